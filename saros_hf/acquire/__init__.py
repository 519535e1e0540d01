"""Commands that fetch and convert CTs into case folders."""

__all__: list[str] = []
