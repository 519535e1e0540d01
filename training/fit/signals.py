"""What a signal does to training: nothing at once, for weights are saved between two steps."""

import signal
import threading
from collections.abc import Callable
from enum import IntEnum
from types import FrameType
from typing import Any

import torch
from lightning import Trainer
from lightning.pytorch.utilities import rank_zero_info

from saros_hf.errors import SarosError

from ..data.loaders import SIGNALS


class RunStoppedError(SarosError, RuntimeError):
    """Somebody stopped a run that can be taken up again."""


class StopRequest(IntEnum):
    """What a signal asks for; of several the largest counts."""

    NONE = 0
    REQUEUE = 1
    STOP = 2


class Interruption:
    """Takes note of signals while a run trains; a second Ctrl-C ends it where it is."""

    def __init__(self) -> None:
        self._wish = StopRequest.NONE
        self._interrupts = 0
        self._requeue: Callable[[int, FrameType | None], Any] | None = None
        self._handlers: dict[signal.Signals, Any] = {}

    def watch(self) -> None:
        """Take note of signals from now on, which only a main thread can."""
        if threading.current_thread() is not threading.main_thread():
            return
        self._wish = StopRequest.NONE
        self._interrupts = 0
        self._handlers = {one: signal.signal(one, self._note) for one in SIGNALS}
        # Under SLURM this is Lightning's: it saves a checkpoint and has the job started again.
        handler = self._handlers[signal.SIGUSR1]
        self._requeue = handler if callable(handler) else None

    def leave(self) -> None:
        """Let signals do again what they did before."""
        for one, handler in self._handlers.items():
            signal.signal(one, handler)
        self._handlers = {}

    def wish(self, trainer: Trainer) -> StopRequest:
        """Return what any of the ranks was asked for; all must call this at the same batch."""
        if trainer.world_size == 1:
            return self._wish
        mine = torch.tensor(int(self._wish), device=trainer.strategy.root_device)
        return StopRequest(int(trainer.strategy.reduce(mine, reduce_op="max")))

    def requeue(self) -> None:
        """Have SLURM start the job again; until it ends this one, training goes on."""
        self._wish = StopRequest.NONE
        if self._requeue is not None:
            self._requeue(signal.SIGUSR1, None)

    def _note(self, number: int, frame: FrameType | None) -> None:
        requeues = number == signal.SIGUSR1 and self._requeue is not None
        self._wish = max(self._wish, StopRequest.REQUEUE if requeues else StopRequest.STOP)
        self._interrupts += number == signal.SIGINT
        if self._interrupts > 1:
            signal.default_int_handler(number, frame)
        rank_zero_info(
            f"{signal.Signals(number).name}: saving at the end of this batch or validation. "
            "A second Ctrl-C stops at once, without."
        )
