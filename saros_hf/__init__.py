"""SAROS, the sparsely annotated CT body composition dataset.

Importing this package makes ``datasets.load_dataset("saros", ...)`` work.
"""

from .loading import load_dataset, register

register()

__all__ = ["load_dataset"]
__version__ = "0.1.0"
