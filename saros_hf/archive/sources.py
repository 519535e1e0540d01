"""The archives that hand out CTs, by name."""

from typing import Literal, TypeAlias, get_args

from .idc_source import IdcSource
from .nbia_source import NBIA_V4, NbiaSource
from .retry import Patience
from .series import SeriesSource

SourceName: TypeAlias = Literal["idc", "nbia"]
SOURCES: tuple[SourceName, ...] = get_args(SourceName)


def source_named(name: SourceName, patience: Patience, endpoint: str | None = None) -> SeriesSource:
    """Return NCI Imaging Data Commons or TCIA's own NBIA server.

    Args:
        name: Which of them.
        patience: With the archive.
        endpoint: A mirror that speaks its protocol.
    """
    if name == "idc":
        return IdcSource(patience, endpoint=endpoint)
    return NbiaSource(patience, base_url=endpoint or NBIA_V4)
