"""What a target may declare: dtypes, and conventions, which are the legitimate variants of optimizers and arithmetic."""

import importlib
from typing import Any

from calibrant.protocol.errors import TargetError

DTYPES = ("float16", "bfloat16", "float32", "float64")
"""The dtypes that calibrant judges, by NumPy's names."""

CONVENTIONS = {
    "sgd.buffer": ("plain", "with-lr", "average"),
    "sgd.dampening": ("skipped-first", "always"),
    "sgd.nesterov": ("torch", "look-ahead"),
    "sgd.decay": ("coupled", "decoupled"),
    "adam.epsilon": ("outside", "inside", "hat"),
    "adam.correction": ("both", "none"),
    "adam.amsgrad": ("raw", "corrected"),
    "adam.decay": ("coupled", "decoupled"),
    "adamw.decay": ("before", "after", "without-lr"),
    "rmsprop.epsilon": ("outside", "inside"),
    "rmsprop.start": ("zero", "one"),
    "rmsprop.buffer": ("plain", "with-lr"),
    "adagrad.epsilon": ("outside", "inside"),
    "adadelta.rate": ("with", "without"),
    "adamax.epsilon": ("in-maximum", "outside"),
    "adamax.correction": ("both", "none"),
    "nadam.schedule": ("slow", "fast", "constant"),
    "radam.epsilon": ("hat", "outside"),
}
"""The values of each convention for an optimizer, PyTorch's first."""

ARITHMETIC = {"arithmetic.subnormals": ("kept", "flushed")}
"""The values of each convention for the arithmetic of a machine or a compiler, IEEE 754 first."""


def numpy_dtype(name: str) -> Any:
    """The NumPy dtype of a name. Raises TargetError for bfloat16 without ml_dtypes, which defines it."""
    import numpy as np

    if name == "bfloat16":
        try:
            importlib.import_module("ml_dtypes")
        except ImportError:
            raise TargetError("bfloat16 needs ml_dtypes: pip install 'calibrant[bfloat16]'") from None
    return np.dtype(name)
