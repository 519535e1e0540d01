"""SAROS, the sparsely annotated CT body composition dataset."""

__version__ = "0.1.0"
