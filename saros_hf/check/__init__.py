"""Check a folder of cases against its table and the paper: ``saros verify``."""

__all__: list[str] = []
