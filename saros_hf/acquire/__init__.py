"""Fetch and convert CTs into case folders: ``saros download`` and ``saros convert``."""

__all__: list[str] = []
