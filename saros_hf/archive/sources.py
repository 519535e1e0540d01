"""The archives of the CTs, by name."""

from typing import Literal, TypeAlias, get_args

from .idc_source import IdcSource
from .nbia_source import NBIA_V4, NbiaSource
from .retry import Patience

SourceName: TypeAlias = Literal["idc", "nbia"]
SOURCES: tuple[SourceName, ...] = get_args(SourceName)
SeriesSource: TypeAlias = IdcSource | NbiaSource


def source_named(name: SourceName, patience: Patience, endpoint: str | None = None) -> SeriesSource:
    """Return NCI Imaging Data Commons or TCIA's own NBIA server.

    Args:
        name: Name of the archive.
        patience: Time-outs.
        endpoint: A mirror with the same protocol.
    """
    if name == "idc":
        return IdcSource(patience, endpoint=endpoint)
    return NbiaSource(patience, base_url=endpoint or NBIA_V4)
