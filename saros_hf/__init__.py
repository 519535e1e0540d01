"""SAROS, the sparsely annotated CT body composition dataset.

Importing this package makes ``datasets.load_dataset("saros", ...)`` work.
"""

from .loading import load_dataset, register
from .views import SliceView, SliceViews

register()

__all__ = ["SliceView", "SliceViews", "load_dataset"]
__version__ = "0.1.0"
