"""Choice of the label maps that one network learns."""

from typing import Literal, TypeAlias

from saros_hf.labels import TASKS, Task

TaskChoice: TypeAlias = Literal["body-regions", "body-parts", "joint"]


def tasks_of(choice: TaskChoice) -> tuple[Task, ...]:
    """Return the label maps to learn: both for ``joint``."""
    return TASKS if choice == "joint" else (choice,)
