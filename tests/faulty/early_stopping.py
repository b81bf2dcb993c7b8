"""Wrong patience: each loop is the right one with one line changed."""

from __future__ import annotations

import math
from typing import Any


def _required(val_losses: Any, patience: int) -> None:
    if len(val_losses) == 0 or patience < 1:
        raise ValueError("losses and patience")


def one_epoch_late(val_losses: Any, patience: int) -> tuple[int, int]:
    """`waited > patience`."""
    _required(val_losses, patience)
    lowest, best, waited = math.inf, 0, 0
    for epoch, loss in enumerate(val_losses):
        waited += 1
        if loss < lowest:
            lowest, best, waited = loss, epoch, 0
        if waited > patience:
            break
    return epoch, best


def one_epoch_early(val_losses: Any, patience: int) -> tuple[int, int]:
    """The best epoch itself is counted as one without improvement."""
    _required(val_losses, patience)
    lowest, best, waited = math.inf, 0, 0
    for epoch, loss in enumerate(val_losses):
        waited += 1
        if loss < lowest:
            lowest, best, waited = loss, epoch, 1
        if waited >= max(patience, 2):
            break
    return epoch, best


def ties_improve(val_losses: Any, patience: int) -> tuple[int, int]:
    _required(val_losses, patience)
    lowest, best, waited = math.inf, 0, 0
    for epoch, loss in enumerate(val_losses):
        waited += 1
        if loss <= lowest and loss < math.inf:
            lowest, best, waited = loss, epoch, 0
        if waited == patience:
            break
    return epoch, best


def nan_improves(val_losses: Any, patience: int) -> tuple[int, int]:
    """`not loss >= lowest`."""
    _required(val_losses, patience)
    lowest, best, waited = math.inf, 0, 0
    for epoch, loss in enumerate(val_losses):
        waited += 1
        if not loss >= lowest:
            lowest, best, waited = loss, epoch, 0
        if waited == patience:
            break
    return epoch, best


def nan_not_counted(val_losses: Any, patience: int) -> tuple[int, int]:
    _required(val_losses, patience)
    lowest, best, waited = math.inf, 0, 0
    for epoch, loss in enumerate(val_losses):
        waited += bool(loss < math.inf)
        if loss < lowest:
            lowest, best, waited = loss, epoch, 0
        if waited == patience:
            break
    return epoch, best


def against_the_previous(val_losses: Any, patience: int) -> tuple[int, int]:
    """Not against the lowest of all."""
    _required(val_losses, patience)
    lowest, best, waited, previous = math.inf, 0, 0, math.inf
    for epoch, loss in enumerate(val_losses):
        waited += 1
        if loss < lowest:
            lowest, best = loss, epoch
        if loss < previous:
            waited = 0
        if loss < math.inf:
            previous = loss
        if waited == patience:
            break
    return epoch, best


def wait_never_reset(val_losses: Any, patience: int) -> tuple[int, int]:
    _required(val_losses, patience)
    lowest, best, waited = math.inf, 0, 0
    for epoch, loss in enumerate(val_losses):
        if loss < lowest:
            lowest, best = loss, epoch
        else:
            waited += 1
        if waited == patience:
            break
    return epoch, best


def best_is_the_last(val_losses: Any, patience: int) -> tuple[int, int]:
    stopped, _ = _right(val_losses, patience)
    return stopped, stopped


def best_of_all_epochs(val_losses: Any, patience: int) -> tuple[int, int]:
    """Those after the stop too."""
    stopped, _ = _right(val_losses, patience)
    return stopped, _right(val_losses, len(val_losses) + 1)[1]


def best_only_if_stopped(val_losses: Any, patience: int) -> tuple[int, int]:
    stopped, best = _right(val_losses, patience)
    return stopped, best if stopped < len(val_losses) - 1 else stopped


def any_patience(val_losses: Any, patience: int) -> tuple[int, int]:
    return _right(val_losses, max(patience, 1)) if len(val_losses) else (0, 0)


def _right(val_losses: Any, patience: int) -> tuple[int, int]:
    _required(val_losses, patience)
    lowest, best, waited = math.inf, 0, 0
    for epoch, loss in enumerate(val_losses):
        waited += 1
        if loss < lowest:
            lowest, best, waited = loss, epoch, 0
        if waited == patience:
            break
    return epoch, best
