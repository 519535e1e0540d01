"""Scores as torchmetrics classes: the mean of :mod:`training.functional` over cases.

Example:
    >>> import torch
    >>> dice = SparseDice(num_classes=3)
    >>> dice.update(torch.tensor([0, 0, 1, 1]), torch.tensor([0, 0, 1, 255]))
    >>> dice.compute().tolist()
    [1.0, 1.0, nan]
    >>> dice.macro().item()
    1.0
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module
from torchmetrics import Metric

from .functional import LabelMap, SurfaceProtocol, dice_per_class, surface_dice_per_class

__all__ = ["NormalizedSurfaceDice", "SparseDice"]

_STEPS = 2.0**40
"""Scores are rounded to multiples of 1 / _STEPS, whose float64 sums are exact up to 8192 cases.
So the result does not depend on how cases are distributed over processes."""


class _MeanPerClass(Metric):
    """The mean of each class over the cases in which it has a score.

    The state is part of ``state_dict()``, so that it is restored from a checkpoint.

    Args:
        num_classes: Number of labels, background included.
        **kwargs: Options of :class:`torchmetrics.Metric`, e.g. ``sync_on_compute``.
    """

    full_state_update = False
    higher_is_better = True
    is_differentiable = False
    plot_lower_bound = 0.0
    plot_upper_bound = 1.0
    plot_legend_name = "Label"
    total: Tensor
    cases: Tensor

    def __init__(self, num_classes: int = 14, **kwargs: Any) -> None:  # noqa: ANN401
        super().__init__(**kwargs)
        self.num_classes = num_classes
        for state in ("total", "cases"):
            zeros = torch.zeros(num_classes, dtype=torch.float64)
            self.add_state(state, default=zeros, dist_reduce_fx="sum", persistent=True)

    def compute(self) -> Tensor:
        """Return the mean of each class, (num_classes,) float64; NaN for a class without a score."""
        return self.total / self.cases

    def macro(self) -> Tensor:
        """Return the mean over the foreground classes that have a score, NaN if none has."""
        scores: Tensor = self.compute()
        return scores[1:].nanmean()

    def plot(self, val: Tensor | Sequence[Tensor] | None = None, ax: Any = None) -> Any:  # noqa: ANN401
        """Plot the scores, or those in ``val``; see :meth:`torchmetrics.Metric.plot`."""
        return self._plot(val, ax)

    def _apply(self, fn: Callable[[Tensor], Tensor], exclude_state: Sequence[str] = "") -> Module:
        """Move the state to the model's device, but keep its dtype.

        torchmetrics lets ``model.to(torch.bfloat16)``, as in Lightning's ``bf16-true``, turn the
        counts into bfloat16. Apple's GPUs have no float64; there the state stays on the CPU.
        """

        def move(state: Tensor) -> Tensor:
            device = fn(torch.empty(0, device=state.device)).device
            return state if device.type == "mps" else state.to(device)

        return super()._apply(move, exclude_state)

    def _add(self, scores: Tensor) -> None:
        scores = scores.to(self.total.device)
        self.total += torch.round(scores.nan_to_num(0) * _STEPS) / _STEPS
        self.cases += ~scores.isnan()


class SparseDice(_MeanPerClass):
    """The Dice score of each class over annotated voxels, as a mean over cases.

    The convention is that of the paper's Table 4: a case with a class in neither map is left out of
    the mean of that class, a case with the class in only one map counts as 0.

    Args:
        num_classes: Number of labels, background included.
        **kwargs: Options of :class:`torchmetrics.Metric`.
    """

    def update(self, pred: LabelMap, target: LabelMap) -> None:
        """Add one case; see :func:`training.functional.dice_per_class`.

        Raises:
            SarosError: The maps cannot be compared, or no voxel is annotated.
        """
        self._add(dice_per_class(pred, target, num_classes=self.num_classes))


class NormalizedSurfaceDice(_MeanPerClass):
    """The NSD of each foreground class, as a mean over cases; the background is NaN.

    Args:
        num_classes: Number of labels, background included.
        tolerance_mm: Largest distance that counts as the same surface.
        protocol: Surfaces to compare, see :func:`training.functional.surface_dice_per_class`.
        **kwargs: Options of :class:`torchmetrics.Metric`.
    """

    def __init__(
        self,
        num_classes: int = 14,
        tolerance_mm: float = 3.0,
        protocol: SurfaceProtocol = "slice",
        **kwargs: Any,  # noqa: ANN401
    ) -> None:
        super().__init__(num_classes, **kwargs)
        self.tolerance_mm = tolerance_mm
        self.protocol = protocol
        # A MetricCollection treats metrics whose states have the same names and values after the
        # first case as one; and the state of one protocol must not be loaded into another.
        self.add_state(
            f"nsd_{protocol}_{tolerance_mm:.17g}",
            default=torch.zeros(()),
            dist_reduce_fx="sum",
            persistent=True,
        )

    def update(
        self, pred: LabelMap, target: LabelMap, spacing_mm: tuple[float, float, float]
    ) -> None:
        """Add one case; see :func:`training.functional.surface_dice_per_class`.

        Raises:
            SarosError: The maps cannot be compared, or no slice is annotated.
        """
        scores = surface_dice_per_class(
            pred,
            target,
            spacing_mm=spacing_mm,
            num_classes=self.num_classes,
            tolerance_mm=self.tolerance_mm,
            protocol=self.protocol,
            include_background=False,
        )
        self._add(scores)
