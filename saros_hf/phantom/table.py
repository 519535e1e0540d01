"""The case table of a phantom cohort."""

import uuid
from dataclasses import replace

from ..cases.case import AnatomicRegion, Case, Sex
from ..cases.licenses import PHANTOM_COLLECTION
from ..folds import Fold

_REGIONS: tuple[AnatomicRegion, ...] = ("abdomen", "thorax", "wholebody")
# In this order three cases already hold training, validation and test.
_FOLDS: tuple[Fold, ...] = ("fold-2", "fold-3", "fold-1", "fold-4", "test", "fold-5")
_PAIR_EVERY, _PAIR_FROM = 20, 12
_LAI_EVERY, _LAI_FIRST = 5, 1  # of the abdomens, as the Pancreas-CT cases of SAROS
_IMPLANT_EVERY = 6
_IMPLANT_FOLDS: tuple[Fold, ...] = ("fold-2", "test", "fold-3", "fold-1", "fold-4", "fold-5")


def phantom_cohort(cases: int, *, seed: int) -> tuple[Case, ...]:
    """Return the table of a synthetic cohort.

    Thirds of abdomen, thorax and whole body and halves of women and men are interleaved, and
    every fold gets its share of each. About one patient in twenty has two scans, in one fold.
    Breast implants go to one in six of the women whose chest is in view (18 of 900 in SAROS,
    too few to learn from in a small cohort), spread over the folds.
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
    taken: set[int] = set()
    for first in range(len(table)):
        if len(taken) == 2 * wanted:
            return
        second = _partner(table, first, taken)
        if second is not None:
            table[second] = replace(table[second], patient_id=table[first].patient_id)
            taken |= {first, second}


def _partner(table: list[Case], first: int, taken: set[int]) -> int | None:
    case = table[first]
    for number in range(first + 1, len(table)):
        other = table[number]
        if not {first, number} & taken and (other.sex, other.fold) == (case.sex, case.fold):
            return number
    return None


def _give_implants(table: list[Case]) -> None:
    """Spread implants over the folds, training and test first."""
    patients = [case.patient_id for case in table]
    chests = [
        number
        for number, case in enumerate(table)
        if case.sex == "female"
        and case.anatomic_region != "abdomen"
        and patients.count(case.patient_id) == 1
    ]
    wanted = -(-len(chests) // _IMPLANT_EVERY)
    rank = {fold: place for place, fold in enumerate(_IMPLANT_FOLDS)}
    turn: dict[int, tuple[int, int]] = {}
    for number in chests:
        fold = table[number].fold
        earlier = sum(table[other].fold == fold for other in turn)
        turn[number] = (earlier, rank[fold])
    for number in sorted(chests, key=turn.__getitem__)[:wanted]:
        table[number] = replace(table[number], has_breast_implant=True)
