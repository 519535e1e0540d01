"""The parts of ``training.module``: network, optimizer, prediction, and what is saved with the weights."""

__all__: list[str] = []
