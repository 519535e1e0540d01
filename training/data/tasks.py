"""Which label maps are learned together."""

from typing import Literal, TypeAlias

from saros_hf.labels import TASKS, Task

TaskChoice: TypeAlias = Literal["body-regions", "body-parts", "joint"]


def tasks_of(choice: TaskChoice) -> tuple[Task, ...]:
    """Return the tasks learned together: both if ``joint``."""
    return TASKS if choice == "joint" else (choice,)
