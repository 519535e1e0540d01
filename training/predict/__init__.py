"""Label new CTs: ``saros predict --model``."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..model.test_time_averaging import PredictOptions
    from .ensemble import read_ensemble

__all__ = ["PredictOptions", "read_ensemble"]


def __getattr__(name: str) -> Any:  # noqa: ANN401
    """Import the public names on first use: the command line starts without torch."""
    if name == "PredictOptions":
        from ..model.test_time_averaging import PredictOptions

        return PredictOptions
    if name == "read_ensemble":
        from .ensemble import read_ensemble

        return read_ensemble
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
