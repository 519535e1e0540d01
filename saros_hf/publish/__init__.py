"""Publish a folder of cases to the Hugging Face Hub: ``saros publish-dataset``."""

__all__: list[str] = []
