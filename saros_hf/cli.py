"""The commands of ``saros`` for data; none of them needs torch."""

from .acquire.command import add_convert, add_download
from .check.command import add_verify
from .composition.command import add_composition
from .console import Subparsers
from .phantom.command import add_phantom
from .publish.command import add_publish_dataset


def add_commands(commands: Subparsers) -> None:
    """Add the data commands; the default ``run`` of each parser is the function to call."""
    add_phantom(commands)
    add_download(commands)
    add_convert(commands)
    add_verify(commands)
    add_composition(commands)
    add_publish_dataset(commands)
