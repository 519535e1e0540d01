"""SAROS, the sparsely annotated CT body composition dataset.

Importing this package makes ``datasets.load_dataset("saros", ...)`` work.
"""

from .load.load_dataset import load_dataset, register
from .load.views import SliceView, SliceViews

register()

__all__ = ["SliceView", "SliceViews", "load_dataset"]
__version__ = "0.1.0"
