"""Three small cases of SAROS: case table, ZIP of label maps, series and their index."""

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from helpers.case_folders import case
from helpers.dicom_files import flat_slices, write_slice
from pydicom.uid import generate_uid

from saros_hf.acquire.workspace import WORK_NAME
from saros_hf.archive.retry import Patience
from saros_hf.cases.case import Case
from saros_hf.cases.table import TABLE_NAME, write_case_table
from saros_hf.labels import TASKS
from saros_hf.nifti import read_image, read_mask, write_volume
from saros_hf.volume import Volume

CASE_IDS = ("case_000", "case_001", "case_002")
SLICES = 5
IMPATIENT = Patience(attempts=4, first_wait_s=0.01, longest_wait_s=0.05, stall_s=0.5)
# Five slices at 2 mm from (-30, -40, -20): two at 5 mm.
AFFINE = np.array([[-1.0, 0, 0, 30], [0, -1, 0, 40], [0, 0, 5, -20], [0, 0, 0, 1]])


@dataclass(frozen=True)
class World:
    """The content of the archives, in files of ``root``."""

    root: Path
    cases: tuple[Case, ...] = tuple(replace(case(one), fold="fold-1") for one in CASE_IDS)

    @property
    def table(self) -> Path:
        return self.root / "table" / TABLE_NAME

    @property
    def masks(self) -> Path:
        return self.root / "masks.zip"

    def series(self, case_id: str) -> list[Path]:
        """Return the files of a case's series."""
        return sorted((self.root / "dicom" / case_id).glob("*.dcm"))


def make_world(root: Path) -> World:
    """Write everything; slice k of case n holds 10 n + k HU."""
    world = World(root)
    write_case_table(world.table, world.cases)
    for number, one in enumerate(world.cases):
        for k, slice_ in enumerate(flat_slices(*range(10 * number, 10 * number + SLICES))):
            write_slice(
                root / "dicom" / one.case_id / f"{k}.dcm",
                slice_,
                (-30.0, -40.0, -20.0 + 2 * k),
                SeriesInstanceUID=one.series_instance_uid,
                SOPInstanceUID=generate_uid(entropy_srcs=[one.case_id, str(k)]),
            )
    pack_masks(world)
    return world


def pack_masks(
    world: World, shape: tuple[int, int, int] = (4, 3, 2), case_ids: Sequence[str] = CASE_IDS
) -> None:
    """Write the ZIP of label maps: the lower slice is annotated, the upper one is not."""
    mask = np.zeros(shape, np.uint8)
    mask[..., 1:] = 255
    write_volume(world.root / "mask.nii.gz", Volume(mask, AFFINE))
    with zipfile.ZipFile(world.masks, "w") as packed:
        for case_id in case_ids:
            for task in TASKS:
                packed.write(world.root / "mask.nii.gz", f"SAROS/{case_id}/{task}.nii.gz")


def finished(folder: Path) -> list[str]:
    """Return the cases in ``folder`` and check that each is complete and correct."""
    present = sorted(path.name for path in folder.glob("case_*"))
    for case_id in present:
        image = read_image(folder / case_id / "image.nii.gz")
        # At 5 mm: the first slice, and the mean of the third and the fourth, truncated.
        first = 10 * int(case_id[-3:])
        assert image.array[0, 0].tolist() == [first, first + 2]
        for task in TASKS:
            mask = read_mask(folder / case_id / f"{task}.nii.gz", task)
            assert mask.shape == image.shape
            np.testing.assert_array_equal(mask.affine, image.affine)
        assert (folder / case_id / "source.json").is_file()
    return present


def leftovers(folder: Path) -> list[str]:
    """Return names in ``folder`` other than cases, tables, the ZIP and unfinished work."""
    known = ("case_", "Segmentation-Info", "SAROS-", "failures.csv", WORK_NAME)
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith(known))
