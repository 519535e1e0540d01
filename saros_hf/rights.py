"""What may be published, and under which licence; everything that is not clearly allowed is not."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from .cases import Case, License
from .paper_tables import TABLE_1

Part: TypeAlias = Literal["masks", "cc-by", "cc-by-nc"]
"""What is published together: all label maps, the CTs under CC BY, those under CC BY-NC."""

LICENSES: Mapping[Part, tuple[License, ...]] = {
    "cc-by": ("CC BY 3.0", "CC BY 4.0", "synthetic"),
    "cc-by-nc": ("CC BY-NC 3.0",),
}
"""Of the CTs of each part that has any."""


@dataclass(frozen=True)
class Rights:
    """What may be published.

    Attributes:
        allowed: SeriesInstanceUID by case id, of each part; ``masks`` has every case that may be
            spoken of at all.
        withheld: Why the CT of each other case of ``masks`` stays where it is, by case id.
        left_out: Why nothing of a case is published, by case id.
    """

    allowed: Mapping[Part, Mapping[str, str]]
    withheld: Mapping[str, str]
    left_out: Mapping[str, str]


def rights(
    cases: Iterable[Case], archive: Mapping[str, License], phantoms: Collection[Case] = ()
) -> Rights:
    """Return what may be published, by two witnesses that must agree.

    The case table is a file that anybody can edit, so the collection that it names is not
    believed: the archive must hand out the very series, under the collection's licence.

    Args:
        cases: All rows of the case table, those that shall not be published too: two cases that
            claim to be the same series are both withheld.
        archive: Licence of every public series among them, by SeriesInstanceUID.
        phantoms: Rows that ``saros phantom`` wrote for this folder. They count as phantoms if
            the table has no others.
    """
    cases = tuple(cases)
    phantoms = phantoms if all(case in phantoms for case in cases) else ()
    left_out = {one.case_id: why for one in cases if (why := _no_part_of_saros(one, phantoms))}
    claims = Counter(case.series_instance_uid for case in cases)
    members = Counter(case.collection for case in cases)
    allowed: dict[Part, dict[str, str]] = {"masks": {}, **{part: {} for part in LICENSES}}
    withheld: dict[str, str] = {}
    for case in (one for one in cases if one.case_id not in left_out):
        allowed["masks"][case.case_id] = case.series_instance_uid
        reason = _objection(case, archive, claims, members)
        part = next((part for part, known in LICENSES.items() if case.license in known), None)
        if reason is None and part is not None:
            allowed[part][case.case_id] = case.series_instance_uid
        else:
            withheld[case.case_id] = reason or f"licence {case.license}"
    return Rights(allowed, withheld, left_out)


def _no_part_of_saros(case: Case, phantoms: Collection[Case]) -> str | None:
    """Return why not even a label map or a row of the table may leave, ``None`` if they may."""
    if case.license == "unknown":
        return f"{case.collection}: no collection of SAROS"
    if case.license == "synthetic" and case not in phantoms:
        return f"{case.collection}: not as saros phantom made it, or mixed with others"
    return None


def _objection(
    case: Case,
    archive: Mapping[str, License],
    claims: Mapping[str, int],
    members: Mapping[str, int],
) -> str | None:
    """Return why a CT must not be published, ``None`` if nothing speaks against it."""
    uid, license_ = case.series_instance_uid, case.license
    if license_ == "NIH controlled access":
        return f"{case.collection}: {license_}"
    if claims[uid] > 1:
        return f"{claims[uid]} cases of the table claim to be series {uid}"
    if license_ == "synthetic":
        return None
    if members[case.collection] > sum(TABLE_1[case.collection]):
        return f"the table has more CTs of {case.collection} than SAROS"
    if uid not in archive:
        return f"the archive does not hand out series {uid}"
    if archive[uid] != license_:
        return f"{license_} by its collection, {archive[uid]} by the archive"
    return None
