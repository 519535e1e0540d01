"""The case table of a phantom cohort."""

import math
import uuid
from collections import Counter
from dataclasses import replace
from itertools import combinations

from ..cases.case import AnatomicRegion, Case, Sex
from ..cases.licenses import PHANTOM_COLLECTION
from ..folds import Fold

_REGIONS: tuple[AnatomicRegion, ...] = ("abdomen", "thorax", "wholebody")
# In this order three cases already cover training, validation and test.
_FOLDS: tuple[Fold, ...] = ("fold-2", "fold-3", "fold-1", "fold-4", "test", "fold-5")
_PAIR_EVERY, _PAIR_FROM = 20, 12
_LAI_EVERY, _LAI_FIRST = 5, 1  # counted among abdomens, like the Pancreas-CT cases of SAROS
_IMPLANT_EVERY = 6
_IMPLANT_FOLDS: tuple[Fold, ...] = ("fold-2", "test", "fold-3", "fold-1", "fold-4", "fold-5")


def phantom_cohort(cases: int, *, seed: int) -> tuple[Case, ...]:
    """Return the case table of a synthetic cohort.

    A third each of the cases are abdomen, thorax and whole body, half are women, and every fold
    has the same mixture. About one patient in twenty has two scans, both in one fold. One in six
    of the women whose chest is in view has breast implants, spread over the folds; the 18 of 900
    in SAROS would be too few to learn from in a small cohort.

    Args:
        cases: Number of cases.
        seed: Seed for the UIDs.

    Example:
        >>> phantom_cohort(3, seed=0)[1].anatomic_region
        'thorax'
    """
    table = [_case(number, seed) for number in range(cases)]
    _pair_patients(table)
    _give_implants(table)
    return tuple(table)


def _case(number: int, seed: int) -> Case:
    region, row = number % 3, number // 3
    sexes: tuple[Sex, Sex] = ("female", "male")
    lai = region == 0 and row % _LAI_EVERY == _LAI_FIRST
    case_id = f"case_{number:03}"
    return Case(
        case_id=case_id,
        study_instance_uid=_uid(seed, case_id, "study"),
        series_instance_uid=_uid(seed, case_id, "series"),
        collection=PHANTOM_COLLECTION,
        patient_id=f"PHANTOM-{number:04}",
        sex=sexes[(row + number // 18 + region) % 2],
        anatomic_region=_REGIONS[region],
        has_breast_implant=False,
        orientation="LAI" if lai else "LPS",
        fold=_FOLDS[(row + 2 * region) % len(_FOLDS)],
    )


def _uid(seed: int, case_id: str, kind: str) -> str:
    """Return a DICOM UID under 2.25, the branch that needs no registration."""
    return f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, f'saros-hf phantom {seed} {case_id} {kind}').int}"


def _pair_patients(table: list[Case]) -> None:
    """Make some cases a second scan of an earlier patient of the same sex and fold."""
    wanted = max(1, len(table) // _PAIR_EVERY) if len(table) >= _PAIR_FROM else 0
    paired: set[int] = set()
    for first, second in combinations(range(len(table)), 2):
        if len(paired) == 2 * wanted:
            return
        case, other = table[first], table[second]
        alike = (other.sex, other.fold) == (case.sex, case.fold)
        if alike and paired.isdisjoint((first, second)):
            table[second] = replace(other, patient_id=case.patient_id)
            paired |= {first, second}


def _give_implants(table: list[Case]) -> None:
    """Spread implants over the folds, training and test first."""
    scans = Counter(case.patient_id for case in table)
    in_fold: Counter[Fold] = Counter()
    candidates: list[tuple[int, int, int]] = []
    for number, case in enumerate(table):
        in_view = case.sex == "female" and case.anatomic_region != "abdomen"
        if in_view and scans[case.patient_id] == 1:
            candidates.append((in_fold[case.fold], _IMPLANT_FOLDS.index(case.fold), number))
            in_fold[case.fold] += 1
    wanted = math.ceil(len(candidates) / _IMPLANT_EVERY)
    for _, _, number in sorted(candidates)[:wanted]:
        table[number] = replace(table[number], has_breast_implant=True)
