"""Folders of cases under every licence, with series of the real IDC index."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from helpers.case_folders import LPS, case, sparse_mask, write_case
from idc_index_data import IDC_INDEX_PARQUET_FILEPATH

from saros_hf.cases.case import Case
from saros_hf.cases.source import CaseSource
from saros_hf.cases.table import TABLE_NAME, write_case_table
from saros_hf.folds import Fold
from saros_hf.nifti import write_volume
from saros_hf.volume import Volume

SECRET_HU = 2719
"""Every voxel of a CT under controlled access."""

CONTROLLED = "1.3.6.1.4.1.14519.5.2.1.5099.8010.99999999999999999999999"


@cache
def public_series(collection_id: str) -> list[str]:
    """Return CT series of a collection of NCI Imaging Data Commons."""
    wanted = [("collection_id", "=", collection_id), ("Modality", "=", "CT")]
    table = pq.read_table(IDC_INDEX_PARQUET_FILEPATH, columns=["SeriesInstanceUID"], filters=wanted)
    return sorted(table["SeriesInstanceUID"].to_pylist())


def mixed_cases() -> list[Case]:
    """Return CC BY, CC BY-NC and controlled-access cases, of all three splits."""
    rows: list[tuple[Fold, str, str]] = [
        ("fold-2", "C4KC-KiTS", public_series("c4kc_kits")[0]),
        ("fold-1", "C4KC-KiTS", public_series("c4kc_kits")[1]),
        ("test", "CPTAC-PDA", public_series("cptac_pda")[0]),
        ("fold-3", "NSCLC-Radiomics", public_series("nsclc_radiomics")[0]),
        ("fold-2", "HNSCC", CONTROLLED),
    ]
    return [
        replace(case(f"case_{n:03d}", fold), collection=collection, series_instance_uid=uid)
        for n, (fold, collection, uid) in enumerate(rows)
    ]


def write_mixed_folder(folder: Path) -> Path:
    """Write the mixed cases with their ``source.json``; the controlled CT is ``SECRET_HU``."""
    cases = mixed_cases()
    for number, one in enumerate(cases):
        affine = LPS.copy()
        affine[:3, 3] = number
        write_case(folder, one.case_id, affine=affine)
        uids = one.series_instance_uid, one.study_instance_uid
        source = CaseSource(*uids, one.collection, one.patient_id, "", (2.0, 2.0, 5.0), slices=7)
        source.write(folder / one.case_id)
        if one.license == "NIH controlled access":
            secret = np.full((8, 6, 7), SECRET_HU, np.int16)
            write_volume(folder / one.case_id / "image.nii.gz", Volume(secret, affine))
            mask = sparse_mask((8, 6, 7), [2, 4])
            write_volume(folder / one.case_id / "body-regions.nii.gz", Volume(mask, affine))
    write_case_table(folder / TABLE_NAME, cases)
    return folder
