"""Annotated slices, patch centres, batches and loaders behind ``datamodule`` and ``samplers``."""
