"""What a target may declare: dtypes, and conventions, which are the legitimate variants of optimizers, losses, splits and arithmetic."""

import importlib
from collections.abc import Mapping
from typing import Any, NamedTuple

from calibrant.protocol.errors import TargetError, brief, nearest

DTYPES = ("float16", "bfloat16", "float32", "float64")
"""The dtypes that calibrant judges, by NumPy's names."""

CONVENTIONS = {
    "sgd.buffer": ("plain", "with-lr", "average"),
    "sgd.nesterov-buffer": ("plain", "with-lr", "average"),
    "sgd.dampening": ("skipped-first", "always"),
    "sgd.nesterov": ("torch", "look-ahead"),
    "sgd.decay": ("coupled", "decoupled"),
    "adam.epsilon": ("outside", "inside", "hat"),
    "adam.correction": ("both", "none"),
    "adam.amsgrad": ("raw", "corrected"),
    "adam.decay": ("coupled", "decoupled"),
    "adamw.decay": ("before", "after", "without-lr"),
    "rmsprop.epsilon": ("outside", "inside"),
    "rmsprop.centered-epsilon": ("outside", "inside"),
    "rmsprop.start": ("zero", "one"),
    "rmsprop.buffer": ("plain", "with-lr"),
    "rmsprop.decay": ("coupled", "decoupled"),
    "adagrad.epsilon": ("outside", "inside"),
    "adagrad.decay": ("coupled", "decoupled"),
    "adadelta.rate": ("with", "without"),
    "adadelta.decay": ("coupled", "decoupled"),
    "adamax.epsilon": ("in-maximum", "outside", "with-past", "none"),
    "adamax.correction": ("both", "none"),
    "adamax.decay": ("coupled", "decoupled"),
    "nadam.schedule": ("slow", "fast", "constant", "constant-now"),
    "nadam.decay": ("coupled", "decoupled"),
    "radam.epsilon": ("hat", "outside"),
    "radam.threshold": ("five", "four"),
    "radam.decay": ("coupled", "decoupled"),
    "rprop.turn": ("rest", "step-back"),
    "lion.decay": ("decoupled", "coupled"),
    "adabelief.epsilon": ("each-step", "outside"),
    "adabelief.decay": ("decoupled", "coupled"),
    "lamb.correction": ("both", "none"),
    "lamb.trust": ("always", "with-decay"),
    "lamb.norm": ("whole", "at-most-ten"),
    "lars.norm": ("apart", "together"),
    "lars.buffer": ("with-lr", "plain"),
    "adafactor.epsilon": ("floor", "added"),
    "muon.precision": ("dtype", "bfloat16"),
    "muon.correction": ("none", "both"),
    "muon.epsilon": ("floor", "added"),
    "muon.scale": ("rows", "columns"),
    "sgdschedulefree.warm-up": ("together", "apart"),
    "adamwschedulefree.warm-up": ("together", "apart"),
    "adamwschedulefree.correction": ("average", "rate"),
}
"""The values of each convention for an optimizer: PyTorch's first, or the paper's where PyTorch does not have the optimizer."""

GENERAL = {
    "loss.scale": ("mean", "half", "sum"),
    "gradients.absent": ("skipped", "zero"),
    "lazy.epsilon": ("hat", "outside"),
    "lbfgs.first-rate": ("l1", "l2"),
    "lbfgs.curvature": ("positive", "any"),
    "split.rounding": ("down", "up", "nearest"),
    "schedule.warm-up-count": ("one", "zero"),
    "schedule.after-cosine": ("stays", "returns"),
    "schedule.patience": ("exceeded", "reached"),
    "clip.epsilon": ("none", "added"),
    "resume.hyperparameters": ("saved", "constructed"),
    "arithmetic.hyperparameters": ("dtype", "float32"),
    "arithmetic.subnormals": ("kept", "flushed"),
}
"""The values of each convention that concerns more than one optimizer, the book's first."""

ALIKE = {
    "sgd.nesterov-buffer": "sgd.buffer",
    "rmsprop.centered-epsilon": "rmsprop.epsilon",
    "adamwschedulefree.warm-up": "sgdschedulefree.warm-up",
}
"""Conventions that have the value of another one where they are not declared themselves."""


def followed(conventions: Mapping[str, str]) -> dict[str, str]:
    """The value of every convention for a target that declares these; the book's where it declares none."""
    values = {name: first for name, (first, *_) in (CONVENTIONS | GENERAL).items()} | dict(conventions)
    return values | {name: values[other] for name, other in ALIKE.items() if name not in conventions}


class Declared(NamedTuple):
    """What a target declares of a clause in a dtype."""

    reason: str | None = None
    """Why it breaks the clause; None if it says nothing."""
    in_dtype: bool = False
    """Whether it names the dtype."""
    rarely: bool = False
    """Whether it breaks the clause for a few arguments only, which a run may miss."""


def deviation(deviations: Mapping[str, str], clause: str, dtype: str) -> Declared:
    """What these declared deviations say of a clause in a dtype.

    One is of a clause, `loss.empty`, or of a clause in some dtypes, `loss.empty[float16, float32]`; with ? at the end, it shows rarely.
    """
    found = Declared()
    for key, reason in deviations.items():
        name, dtypes = named_dtypes(key)
        if name == clause and (dtype in dtypes or not (dtypes or found.in_dtype)):
            found = Declared(reason, bool(dtypes), key.endswith("?"))
    return found


def named_dtypes(declared: str) -> tuple[str, list[str]]:
    """The clause of a declared deviation, and the dtypes that it names: none for every dtype. Raises TargetError for a wrong one."""
    clause, bracket, rest = declared.removesuffix("?").partition("[")
    dtypes = [part.strip() for part in rest.removesuffix("]").split(",")] if bracket else []
    for dtype in dtypes:
        if dtype not in DTYPES or not rest.endswith("]"):
            raise TargetError(
                f"{declared!r} names {brief(dtype)}, which is no dtype that is judged{nearest(dtype, DTYPES)}"
            )
    return clause, dtypes


def numpy_dtype(name: str) -> Any:
    """The NumPy dtype of a name. Raises TargetError for bfloat16 without ml_dtypes, which defines it."""
    import numpy as np

    if name == "bfloat16":
        try:
            importlib.import_module("ml_dtypes")
        except ImportError:
            raise TargetError("bfloat16 needs ml_dtypes: pip install 'calibrant[bfloat16]'") from None
    return np.dtype(name)
