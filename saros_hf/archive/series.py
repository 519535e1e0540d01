"""A CT series in an archive."""

from dataclasses import dataclass

from ..cases.licenses import License


@dataclass(frozen=True)
class RemoteSeries:
    """A public series as listed in the index of NCI Imaging Data Commons.

    Attributes:
        series_uid: SeriesInstanceUID.
        instances: Number of DICOM files, one slice each.
        size_bytes: Approximate size of all files together.
        license: License of the pixels.
        location: Folder of the files, e.g. ``s3://idc-open-data/<crdc_series_uuid>/``.
    """

    series_uid: str
    instances: int
    size_bytes: int
    license: License
    location: str
