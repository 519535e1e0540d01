"""Synthetic whole-body CTs in the format of SAROS; nothing in them comes from a patient."""

from .scan import PhantomScan, phantom_scan
from .table import phantom_cohort

__all__ = ["PhantomScan", "phantom_cohort", "phantom_scan"]
