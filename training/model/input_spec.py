"""What a trained network expects of its input and says with its output."""

from dataclasses import dataclass

import torch
from torch import Tensor

from saros_hf.labels import Task, num_classes

from ..data.tasks import TaskChoice, tasks_of
from ..transforms import Window


@dataclass(frozen=True)
class InputSpec:
    """The learning problem, stated once and stored with the weights.

    Attributes:
        task: Which label map the network predicts, or ``joint`` for both.
        context: Neighbouring slices on each side, as channels.
        window: Hounsfield units that become -1 and 1.
        spacing_range_mm: Smallest and largest in-plane spacing among the training cases.
        position: Whether it is told where along the scan a slice lies.
        slice_spacing_mm: Distance of neighbouring slices in the training cases, which is that to
            the next context slice; 5 mm in SAROS.
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

    def by_task(self, logits: Tensor) -> dict[Task, Tensor]:
        """Return each task's share of logits (B, classes of all tasks, ...)."""
        if len(self.tasks) == 1:
            return {self.tasks[0]: logits}
        sizes = [num_classes(task) for task in self.tasks]
        return dict(zip(self.tasks, logits.split(sizes, dim=1), strict=True))

    @property
    def channels(self) -> int:
        """Number of input channels."""
        return 2 * self.context + 1 + (POSITION_CHANNELS if self.position else 0)

    def in_plane_scale(self, spacing_mm: float) -> float:
        """Return the factor by which to enlarge an image along i or j to a spacing trained on.

        1.0 where the network saw such spacing, else just enough to reach the range's edge.
        """
        low, high = self.spacing_range_mm
        return spacing_mm / min(max(spacing_mm, low), high)


POSITION_CHANNELS = 2

_LONG_SCAN_MM = 1000.0


def with_position(images: Tensor, position: Tensor) -> Tensor:
    """Return images with two channels more, each constant over its image.

    Args:
        images: (B, C, I, J).
        position: (B, 2) height above the scan's lowest slice in mm, and the share of the scan
            that lies below, 0 to 1.

    Returns:
        (B, C + 2, I, J), the height counted in steps of half a metre from the middle of a long
        scan, the share as -1 to 1.
    """
    scale = position.new_tensor([_LONG_SCAN_MM, 1.0])
    channels = 2 * position / scale - 1
    planes = channels[:, :, None, None].expand(-1, -1, *images.shape[-2:])
    return torch.cat([images, planes.to(images)], dim=1)
