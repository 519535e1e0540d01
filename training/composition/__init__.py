"""Predict label maps with a model, then measure them: ``saros composition --model``."""

__all__: list[str] = []
