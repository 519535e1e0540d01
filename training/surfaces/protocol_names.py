"""Names of the three protocols of the surface scores."""

from typing import Literal, TypeAlias

SurfaceProtocol: TypeAlias = Literal["slice", "volume", "published"]


SURFACE_PROTOCOLS: tuple[SurfaceProtocol, ...] = ("slice", "volume", "published")
