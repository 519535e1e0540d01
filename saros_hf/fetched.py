"""What an archive has handed over for one series."""

from pathlib import Path

from .dicom import CtSeries, find_series
from .errors import TransferError


def only_series(folder: Path, series_uid: str) -> CtSeries:
    """Return the one series in a folder of fetched files.

    Raises:
        TransferError: There is another one, none, or a damaged file.
    """
    contents = find_series(sorted(path for path in folder.iterdir() if path.is_file()))
    found = [series for series in contents.series if series.uid == series_uid]
    if len(found) != 1 or contents.broken:
        raise TransferError(
            f"series {series_uid}",
            found=f"{len(contents.broken)} damaged files and CT series "
            f"{', '.join(one.uid for one in contents.series) or 'none'}",
            expected="that series alone",
            remedy="The archive may have revised it; try the other --source.",
        )
    return found[0]
