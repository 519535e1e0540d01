"""Body composition: tissues, volumes, areas and ratios from a CT and its body regions.

The public names are imported on first use, so that the command line starts fast.

>>> import saros_hf.composition
>>> saros_hf.composition.TISSUES[0].name
'muscle'
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .compartments import tissue_map
    from .measurement import measure
    from .result import Composition
    from .tissues import TISSUES

__all__ = ["TISSUES", "Composition", "measure", "tissue_map"]

_MODULE_OF = {
    "TISSUES": "tissues",
    "Composition": "result",
    "measure": "measurement",
    "tissue_map": "compartments",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401
    if name in _MODULE_OF:
        return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
