"""Annotated slices, patch centres, batches and loaders behind ``datamodule`` and ``samplers``."""

__all__: list[str] = []
