"""How often each label is drawn: which weights make sense."""

from collections.abc import Mapping, Sequence

import numpy as np

from saros_hf.errors import UsageError
from saros_hf.labels import Task, num_classes


def refuse_bad_weights(where: str, weights: Sequence[float], *, count: int | None = None) -> None:
    """Raise unless weights are numbers from 0 on, one of them above.

    Args:
        where: The option that they come from.
        weights: One for each label id, background first.
        count: How many there should be, if that is known.

    Raises:
        UsageError: Says what is wrong with them.
    """
    array = np.asarray(weights, float)
    if count is not None and array.size != count:
        found, expected = f"{array.size} weights", f"{count}, one for each label id"
    elif not np.isfinite(array).all() or (array < 0).any():
        found, expected = f"{array[~(np.isfinite(array) & (array >= 0))][0]:g}", "numbers from 0 on"
    elif not array.any():
        found, expected = "no weight above 0", "one at least"
    else:
        return
    remedy = "Give the background's first; 0 leaves a label out."
    raise UsageError(where, found, expected, remedy)


def refuse_bad_task_weights(
    weights: Mapping[Task, Sequence[float]] | None, tasks: Sequence[Task]
) -> None:
    """Raise unless each weighted task is one of ``tasks`` and has a good weight for each label.

    Raises:
        UsageError: Names the task.
    """
    for task, of_task in (weights or {}).items():
        if task not in tasks:
            raise UsageError(
                "label_weights",
                repr(task),
                " or ".join(tasks),
                "Name only label maps that are trained on; others are drawn from evenly.",
            )
        refuse_bad_weights(f"label_weights, {task}", of_task, count=num_classes(task))
