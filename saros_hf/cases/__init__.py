"""Cases of SAROS: rows of the case table, their files, licences and origin."""

from .case import PHANTOM_DESCRIPTION, Case
from .files import CaseFiles, find_cases
from .licenses import PHANTOM_COLLECTION, License
from .table import read_case_table

__all__ = [
    "PHANTOM_COLLECTION",
    "PHANTOM_DESCRIPTION",
    "Case",
    "CaseFiles",
    "License",
    "find_cases",
    "read_case_table",
]
