"""How the learning rate goes up and down over a run."""

import math


def warmup_cosine(step: int, *, total_steps: int, warmup: float = 0.2) -> float:
    """Return the share of the peak rate at a step: linear rise, then half a cosine down to 0.

    >>> [round(warmup_cosine(step, total_steps=10), 2) for step in (0, 1, 2, 6, 10)]
    [0.33, 0.67, 1.0, 0.5, 0.0]
    """
    rise = round(warmup * total_steps)
    if step < rise:
        return (step + 1) / (rise + 1)
    progress = min((step - rise) / max(total_steps - rise, 1), 1.0)
    return (1 + math.cos(math.pi * progress)) / 2
