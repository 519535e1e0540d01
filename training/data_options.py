"""Which options of the data module make sense, told before anything is read."""

from typing import Literal, Protocol, get_args

from saros_hf.errors import UsageError
from saros_hf.labels import Task

from .label_weights import refuse_bad_task_weights
from .patches import PatchSize
from .spec import TaskChoice, tasks_of
from .transforms import Window, refuse_bad_window


class DataOptions(Protocol):
    """The options of :class:`training.datamodule.SarosDataModule` that can be wrong by themselves."""

    task: TaskChoice
    context: int
    patch_size: PatchSize
    batch_size: int
    window: Window
    augment_on: Literal["device", "workers"]
    label_weights: dict[Task, list[float]] | None
    num_workers: int


def refuse_bad_options(options: DataOptions) -> None:
    """Raise unless all options can be used.

    Raises:
        UsageError: Names the first that cannot.
    """
    size = options.patch_size
    tasks = get_args(TaskChoice)
    legal = {
        "task": (options.task in tasks, " or ".join(tasks)),
        "patch_size": (len(size) in (2, 3) and min(size) > 0, "2 or 3 numbers from 1 on"),
        "context": (len(size) == 2 or not options.context, "0 with a patch_size of 3 numbers"),
        "batch_size": (options.batch_size > 0, "1 or more"),
        "num_workers": (options.num_workers >= 0, "0 or more"),
        "augment_on": (options.augment_on in ("device", "workers"), "device or workers"),
    }
    for option, (is_legal, expected) in legal.items():
        if not is_legal:
            found, remedy = str(getattr(options, option)), "Choose one of them."
            raise UsageError(f"--data.{option}", found=found, expected=expected, remedy=remedy)
    refuse_bad_window(options.window)
    refuse_bad_task_weights(options.label_weights, tasks_of(options.task))
