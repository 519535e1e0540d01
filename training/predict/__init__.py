"""Label new CTs: ``saros predict --model``."""
