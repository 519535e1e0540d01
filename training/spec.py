"""What a trained network expects of its input and says with its output."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from torch import Tensor

from saros_hf.labels import TASKS, Task, num_classes

from .position import POSITION_CHANNELS
from .transforms import Window

TaskChoice: TypeAlias = Literal["body-regions", "body-parts", "joint"]


def tasks_of(choice: TaskChoice) -> tuple[Task, ...]:
    """Return the tasks learned together: both if ``joint``."""
    return TASKS if choice == "joint" else (choice,)


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
