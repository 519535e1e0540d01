"""Client of the Hugging Face Hub."""

__all__: list[str] = []
