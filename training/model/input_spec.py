"""Description of a network's input and output, stored with its weights."""

from dataclasses import dataclass

import torch
from torch import Tensor

from saros_hf.labels import Task, num_classes

from ..data.tasks import TaskChoice, tasks_of
from ..transforms import Window

POSITION_CHANNELS = 2
_LONG_SCAN_MM = 1000.0


@dataclass(frozen=True)
class InputSpec:
    """Input that a network was trained on, and the label maps it predicts.

    Attributes:
        task: Label map that the network predicts, or ``joint`` for both.
        context: Number of neighbouring slices on each side, as channels.
        window: Hounsfield units that become -1 and 1.
        spacing_range_mm: Smallest and largest in-plane spacing of the training cases.
        position: Whether two more channels hold the position of the slice in the scan.
        slice_spacing_mm: Slice spacing of the training cases, 5 mm in SAROS; also the distance
            between context slices.
    """

    task: TaskChoice
    context: int
    window: Window
    spacing_range_mm: tuple[float, float]
    position: bool = False
    slice_spacing_mm: float = 5.0

    @property
    def tasks(self) -> tuple[Task, ...]:
        """The label maps that the network predicts."""
        return tasks_of(self.task)

    @property
    def channels(self) -> int:
        """Number of input channels."""
        return 2 * self.context + 1 + (POSITION_CHANNELS if self.position else 0)

    def by_task(self, logits: Tensor) -> dict[Task, Tensor]:
        """Split logits (B, classes of all tasks, ...) into those of each task."""
        sizes = [num_classes(task) for task in self.tasks]
        if len(sizes) == 1:
            return {self.tasks[0]: logits}
        return dict(zip(self.tasks, logits.split(sizes, dim=1), strict=True))

    def in_plane_scale(self, spacing_mm: float) -> float:
        """Return the zoom factor that brings an axis to a spacing seen in training.

        It is 1.0 within the training range, else just enough to reach the edge of the range.
        """
        low, high = self.spacing_range_mm
        return spacing_mm / min(max(spacing_mm, low), high)


def with_position(images: Tensor, position: Tensor) -> Tensor:
    """Append two channels with the position of the slice, each constant over its image.

    Args:
        images: (B, C, I, J).
        position: (B, 2) height above the lowest slice of the scan in mm, and the fraction of the
            scan that lies below, 0 to 1.

    Returns:
        (B, C + 2, I, J). The height channel is -1 at the lowest slice and 1 at 1000 mm, the
        fraction channel -1 at the lowest and 1 at the highest slice.
    """
    scale = position.new_tensor([_LONG_SCAN_MM, 1.0])
    channels = 2 * position / scale - 1
    planes = channels[:, :, None, None].expand(-1, -1, *images.shape[-2:])
    return torch.cat([images, planes.to(images)], dim=1)
