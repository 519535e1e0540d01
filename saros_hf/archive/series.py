"""A CT series in an archive, and what every archive can do with it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Protocol

from ..cases.licenses import License


@dataclass(frozen=True)
class RemoteSeries:
    """A public series as NCI Imaging Data Commons lists it.

    Attributes:
        instances: Number of DICOM files, one slice each.
        size_bytes: Of all files together, rounded to what the index says.
        license: Of the pixels.
        location: Where its files lie, e.g. ``s3://idc-open-data/<crdc_series_uuid>/``.
    """

    series_uid: str
    instances: int
    size_bytes: int
    license: License
    location: str


class SeriesSource(Protocol):
    """An archive that hands over the DICOM files of a series."""

    def fetch(
        self,
        series: RemoteSeries,
        folder: Path,
        *,
        on_bytes: Callable[[int], None],
        stop: Event,
    ) -> None:
        """Bring every file of ``series`` into ``folder`` and check that they are whole.

        Called again after a failure it keeps what is there and whole, and fetches the rest.
        When it returns, ``folder`` holds ``series.instances`` DICOM files and nothing else.

        Args:
            series: What to fetch.
            folder: Made if need be; belongs to this series alone.
            on_bytes: Called with the number of bytes that have just arrived (negative when bytes
                counted before turn out worthless). Files already there and whole are counted too.
            stop: Set to give up within a second.

        Raises:
            TransientError: Worth another call.
            TransferError: Not worth another call.
        """
