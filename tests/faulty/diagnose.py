"""Wrong diagnoses."""

from __future__ import annotations

from typing import Any

import numpy as np


def _required(train_losses: Any, val_losses: Any) -> None:
    if len(train_losses) == 0 or train_losses.shape != val_losses.shape:
        raise ValueError("lengths")
    if not (np.isfinite(train_losses).all() and np.isfinite(val_losses).all()):
        raise ValueError("not finite")


def _fell(train_losses: Any) -> str:
    return "underfitting" if train_losses[-1] > train_losses[0] / 8 else "good"


def from_training_alone(train_losses: Any, val_losses: Any) -> str:
    _required(train_losses, val_losses)
    return _fell(train_losses)


def from_the_gap(train_losses: Any, val_losses: Any) -> str:
    """The source's goal, made a rule: validation more than an eighth above training."""
    _required(train_losses, val_losses)
    return "overfitting" if val_losses[-1] > train_losses[-1] * 1.125 else _fell(train_losses)


def against_the_first(train_losses: Any, val_losses: Any) -> str:
    """The last validation loss against the first, not against the lowest."""
    _required(train_losses, val_losses)
    rises = train_losses[-1] < train_losses[0] and val_losses[-1] > val_losses[0] * 1.125
    return "overfitting" if rises else _fell(train_losses)


def without_tolerance(train_losses: Any, val_losses: Any) -> str:
    """Any rise at all."""
    _required(train_losses, val_losses)
    best = int(np.argmin(val_losses))
    rises = train_losses[-1] < train_losses[best] and val_losses[-1] > val_losses[best]
    return "overfitting" if rises else _fell(train_losses)


def whatever_training_does(train_losses: Any, val_losses: Any) -> str:
    """A run that diverges is called overfitting."""
    _required(train_losses, val_losses)
    return "overfitting" if val_losses[-1] > val_losses.min() * 1.125 else _fell(train_losses)


def underfitting_first(train_losses: Any, val_losses: Any) -> str:
    """The two questions in the other order."""
    _required(train_losses, val_losses)
    best = int(np.argmin(val_losses))
    rises = train_losses[-1] < train_losses[best] and val_losses[-1] > val_losses[best] * 1.125
    if _fell(train_losses) == "underfitting":
        return "underfitting"
    return "overfitting" if rises else "good"


def any_lengths(train_losses: Any, val_losses: Any) -> str:
    n = min(len(train_losses), len(val_losses))
    return _right(train_losses[:n], val_losses[:n]) if n else "good"


def nan_is_good(train_losses: Any, val_losses: Any) -> str:
    if len(train_losses) == 0 or train_losses.shape != val_losses.shape:
        raise ValueError("lengths")
    return _right(train_losses, val_losses)


def _right(train_losses: Any, val_losses: Any) -> str:
    best = int(np.argmin(val_losses))
    rises = train_losses[-1] < train_losses[best] and val_losses[-1] > val_losses[best] * 1.125
    return "overfitting" if rises else _fell(train_losses)
