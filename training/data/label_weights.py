"""Checks of the weights with which labels are drawn."""

from collections.abc import Mapping, Sequence

import numpy as np

from saros_hf.errors import UsageError
from saros_hf.labels import Task, num_classes


def refuse_bad_weights(where: str, weights: Sequence[float], *, count: int | None = None) -> None:
    """Raise unless all weights are finite and at least 0, and one of them is above 0.

    Args:
        where: Option that the weights come from.
        weights: One weight for each label id, background first.
        count: Expected number of weights, if known.

    Raises:
        UsageError: The weights are too few, too many, negative, not finite or all 0.
    """
    array = np.asarray(weights, float)
    bad = array[~(np.isfinite(array) & (array >= 0))]
    if count is not None and array.size != count:
        found, expected = f"{array.size} weights", f"{count}, one for each label id"
    elif bad.size:
        found, expected = f"{bad[0]:g}", "numbers from 0 on"
    elif not array.any():
        found, expected = "no weight above 0", "at least one"
    else:
        return
    remedy = "Give the background's first; 0 leaves a label out."
    raise UsageError(where, found, expected, remedy)


def refuse_bad_task_weights(
    label_weights: Mapping[Task, Sequence[float]] | None, tasks: Sequence[Task]
) -> None:
    """Raise unless every named task is one of ``tasks`` and has a valid weight for each label.

    Raises:
        UsageError: A task is not trained on, or its weights cannot be used.
    """
    for task, weights in (label_weights or {}).items():
        if task not in tasks:
            raise UsageError("label_weights", repr(task), " or ".join(tasks))
        refuse_bad_weights(f"label_weights, {task}", weights, count=num_classes(task))
