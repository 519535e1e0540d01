"""Score predictions against a folder of cases: ``saros evaluate``."""

__all__: list[str] = []
