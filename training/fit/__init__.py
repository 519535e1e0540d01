"""Train networks: ``saros fit``, ``validate``, ``test`` and ``cross-validate``."""

__all__: list[str] = []
