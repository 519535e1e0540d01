"""Publish a model to the Hugging Face Hub: ``saros publish-model``."""

__all__: list[str] = []
