"""The HU window without augmentation."""

from dataclasses import replace

from ..data.patch_batches import PatchBatch
from ..hu_window import Window, normalise_hu, refuse_bad_window


class Normalisation:
    """Applies the HU window to batches and changes nothing else.

    Args:
        window: Hounsfield units that become -1 and 1.
    """

    def __init__(self, window: Window) -> None:
        refuse_bad_window(window)
        self.window = window

    def __call__(self, batch: PatchBatch) -> PatchBatch:
        """Return the batch, its image float32 in [-1, 1]."""
        return replace(batch, image=normalise_hu(batch.image, self.window))
