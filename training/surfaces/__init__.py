"""Surface elements, their distances and the three surface protocols behind ``training.functional``."""

__all__: list[str] = []
