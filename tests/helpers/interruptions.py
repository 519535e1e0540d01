"""Callbacks that interrupt a run, as a user or a batch system does, or spoil it."""

import os
import signal

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback


class Interruption(Callback):
    """Sends a signal to its own process in the middle of a step."""

    def __init__(self, name: str, step: int) -> None:
        self.signal = signal.Signals[name]
        self.step = step

    def on_before_optimizer_step(self, trainer: Trainer, *_: object) -> None:
        if trainer.global_step + 1 == self.step:
            os.kill(os.getpid(), self.signal)


class CtrlC(Callback):
    """Stops a validation as Ctrl-C does."""

    def on_validation_start(self, *_: object) -> None:
        raise KeyboardInterrupt


class NanWeights(Callback):
    """Fills the weights with NaN at the end of an epoch."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_train_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        if trainer.current_epoch == self.epoch:
            for parameter in module.parameters():
                parameter.data.fill_(float("nan"))
