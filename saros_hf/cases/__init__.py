"""A case: its row in the case table, its files, where its CT came from, its license."""

from .case import PHANTOM_DESCRIPTION, Case
from .licenses import PHANTOM_COLLECTION, License

__all__ = ["PHANTOM_COLLECTION", "PHANTOM_DESCRIPTION", "Case", "License"]
