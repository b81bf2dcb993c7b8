"""The dtypes that calibrant judges, by NumPy's names."""

from __future__ import annotations

import importlib
from typing import Any

from calibrant.protocol.errors import TargetError

DTYPES = ("float16", "bfloat16", "float32", "float64")


def numpy_dtype(name: str) -> Any:
    """The NumPy dtype of a name. Raises TargetError for bfloat16 without ml_dtypes, which defines it."""
    import numpy as np

    if name == "bfloat16":
        try:
            importlib.import_module("ml_dtypes")
        except ImportError:
            raise TargetError("bfloat16 needs ml_dtypes: pip install 'calibrant[bfloat16]'") from None
    return np.dtype(name)
