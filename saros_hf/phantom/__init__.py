"""Synthetic whole-body CTs in the format of SAROS; nothing in them comes from a patient."""

__all__: list[str] = []
