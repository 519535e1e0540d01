"""What may be published, and under which licence; everything that is not clearly allowed is not."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from ..archive.idc_index import find_public
from ..cases.case import Case
from ..cases.licenses import LICENSES, License
from ..check.paper_tables import TABLE_1
from ..errors import UsageError

Part: TypeAlias = Literal["masks", "cc-by", "cc-by-nc"]
"""What is published together: all label maps, the CTs under CC BY, those under CC BY-NC."""


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


CONTROLLED = "NIH controlled access"


SYNTHETIC = "synthetic"


NON_COMMERCIAL = "CC BY-NC 3.0"


_PHANTOM_UID = "2.25."
"""Root of the UIDs of phantoms; archives hand out others."""


def archive_licenses(cases: Sequence[Case]) -> dict[str, License] | None:
    """Return the licence of each series that the archive hands out, by SeriesInstanceUID.

    Phantoms are in no archive, so that for them alone it is not asked. ``None`` if its index is
    not installed.
    """
    if all(case.license == SYNTHETIC for case in cases):
        return {}
    try:
        found = find_public(case.series_instance_uid for case in cases)
    except UsageError:
        return None
    return {uid: series.license for uid, series in found.items()}


def witnessed(cases: Sequence[Case], archive: Mapping[str, License]) -> set[str]:
    """Return the ids of the cases under a free or non-commercial licence that is no mere claim.

    The case table is a file that anybody can edit: the archive must say the same, or the table
    hold phantoms and nothing else.
    """
    if all(one.license == SYNTHETIC for one in cases):
        return {one.case_id for one in cases if one.series_instance_uid.startswith(_PHANTOM_UID)}
    known = rights([one for one in cases if one.license != SYNTHETIC], archive)
    return {case_id for part in LICENSES for case_id in known.allowed[part]}
