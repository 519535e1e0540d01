"""``python -m training fit ...`` is ``saros fit ...``."""

from .cli import main

main()
