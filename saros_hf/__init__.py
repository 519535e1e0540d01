"""SAROS, the sparsely annotated CT body composition dataset.

Importing this package makes ``datasets.load_dataset("saros", ...)`` work. The public names are
imported on first use, so that the command line starts without ``datasets``.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .load.registration import register_with_datasets

if TYPE_CHECKING:
    from .load.load_dataset import load_dataset
    from .load.views import SliceView, SliceViews

_MODULE_OF = {"SliceView": "views", "SliceViews": "views", "load_dataset": "load_dataset"}

__all__ = ["SliceView", "SliceViews", "load_dataset"]
__version__ = "0.1.0"

register_with_datasets()


def __getattr__(name: str) -> Any:  # noqa: ANN401
    if name in _MODULE_OF:
        return getattr(import_module(f"{__name__}.load.{_MODULE_OF[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
