"""``saros convert``: convert DICOM files on disk into case folders."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from threading import Event

from ..archive.local_files import LocalFiles, open_source
from ..archive.obtain_files import MASKS, MaskArchive, obtain_masks, obtain_table
from ..archive.retry import Patience
from ..cases.case import Case
from ..cases.source import converted_cases, holds_series
from ..cases.table import read_case_table, tables_in
from ..ct import broken_file, refuse_without_ct
from ..dicom import CtSeries, DicomContents, find_series
from ..errors import DicomError, one_line
from ..progress import OnProgress
from .assemble import add_masks, assemble
from .outcomes import Outcome, Status
from .workspace import claim


@dataclass(frozen=True)
class Conversion:
    """Options of a conversion.

    Attributes:
        folder: ``DIR`` of ``DIR/case_XXX``.
        table: Rows of the case table, empty to number the cases.
        masks: Label maps to add to the CTs of the table's cases.
        as_published: The DICOM folder is complete, so that uneven slice spacing is replaced by
            its mean, as the authors did, if the label maps then fit.
        keep_patient_id: Record the PatientID of CTs that are not in the table.
    """

    folder: Path
    table: tuple[Case, ...] = ()
    masks: MaskArchive | None = None
    as_published: bool = False
    keep_patient_id: bool = False

    def run(self, source: Path, *, progress: OnProgress | None = None) -> list[Outcome]:
        """Write ``folder/<case_id>/image.nii.gz`` for every CT series in ``source``.

        The case id is taken from the case table by SeriesInstanceUID. Other series get the first
        of ``case_000``, ``case_001``, ... that is used neither by the table nor in ``folder``.
        Complete cases in ``folder`` are kept. A failed series does not stop the others.

        Args:
            source: A folder of any layout, or a .zip, with DICOM files among others.
            progress: Called with the number of processed and of all series.

        Raises:
            MissingFileError: ``source`` is missing, or there is no CT in it.
            UnreadableFileError: ``source`` is a file other than a .zip that is safe to extract.
        """
        outcomes = []
        with open_source(source) as files:
            contents = find_series(files.paths)
            refuse_without_ct(files, contents)
            total = len(contents.broken) + len(contents.series)
            for outcome in self._outcomes(files, contents):
                outcomes.append(outcome)
                if progress is not None:
                    progress(len(outcomes), total)
        return outcomes

    def _outcomes(self, files: LocalFiles, contents: DicomContents) -> Iterator[Outcome]:
        cases = {case.series_instance_uid: case for case in self.table}
        converted = converted_cases(self.folder)
        for path in contents.broken:
            yield Outcome("", "", "failed", None, str(broken_file(files, path)))
        for series in contents.series:
            case = cases.get(series.uid)
            known = case.case_id if case else converted.get(series.uid, "")
            yield self._convert(series, case, known)

    def _convert(self, series: CtSeries, case: Case | None, known: str) -> Outcome:
        case_id = known or _next_free(self.folder, {one.case_id for one in self.table})
        try:
            note = self._finish(series, case_id, case)
        except Exception as error:  # noqa: BLE001 - the other series do not depend on this one
            return Outcome(series.uid, known, "failed", None, one_line(error))
        status: Status = "kept" if note is None else "written"
        return Outcome(series.uid, case_id, status, self.folder / case_id, note or "")

    def _finish(self, series: CtSeries, case_id: str, case: Case | None) -> str | None:
        """Complete a case and return a note on it, ``None`` if it was complete already."""
        case_folder = self.folder / case_id
        with claim(self.folder, case_id) as work:
            if work is None:
                found = f"another saros at work on {case_id}"
                raise DicomError(f"series {series.uid}", found, "one at a time")
            if not holds_series(case_folder, series.uid):
                return assemble(
                    series,
                    case_folder,
                    case=case,
                    masks=self.masks,
                    as_published=self.as_published,
                    keep_patient_id=self.keep_patient_id,
                    work=work,
                )
            if case is not None and self.masks is not None:
                return add_masks(case_folder, case, self.masks, work=work)
        return None


def local_table(
    folder: Path, given: str | Path | None, warn: Callable[[str], None]
) -> tuple[Case, ...]:
    """Return the rows of the case table given or in ``folder``, ``()`` without one."""
    if given is None and not tables_in(folder):
        return ()
    return read_case_table(
        obtain_table(folder, given, patience=Patience(), stop=Event(), on_warning=warn)
    )


def local_masks(
    folder: Path, given: str | Path | None, warn: Callable[[str], None]
) -> MaskArchive | None:
    """Return the label maps given or in ``folder``, ``None`` without any."""
    if given is None and not (folder / MASKS.name).is_file():
        return None
    source = given or folder / MASKS.name
    return obtain_masks(folder, source, patience=Patience(), stop=Event(), on_warning=warn)


def _next_free(folder: Path, used: set[str]) -> str:
    names = (f"case_{number:03d}" for number in count())
    return next(name for name in names if name not in used and not (folder / name).exists())
