"""The commands of ``saros`` that make and check data; none of them needs torch."""

from .acquire.command import add_convert, add_download
from .check.command import add_verify
from .console import Subparsers
from .phantom.command import add_phantom
from .publish.command import add_publish_dataset


def add_commands(commands: Subparsers) -> None:
    """Add the data commands; each parser's ``run`` default is the function to call."""
    add_phantom(commands)
    add_download(commands)
    add_convert(commands)
    add_verify(commands)
    add_publish_dataset(commands)
