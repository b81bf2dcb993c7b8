"""Values as a person would write them."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

from calibrant import exact
from calibrant.exact import Exact


def show(x: Any) -> str:
    """An array as a person would write it: shortest digits of its own dtype."""
    x = np.asarray(x)
    if x.ndim == 0:
        return str(x.item()) if x.dtype.kind in "biuUS" else str(x[()])
    if x.size > 60:
        return f"an array of shape {x.shape}"
    return "[" + ", ".join(show(row) for row in x) + "]"


def show_exact(x: Exact) -> str:
    """True values as decimals, and as fractions where those are short."""
    texts = [show_fraction(value) for value in x.fractions()]
    return texts[0] if x.shape == () else "[" + ", ".join(texts) + "]"


def show_fraction(x: Fraction) -> str:
    """0.5, 0.3333333333333333 (1/3), 4517.296363636364."""
    nearest = repr(exact.to_float(x))
    if "inf" not in nearest and Fraction(nearest) == x:
        return nearest
    return f"{nearest} ({x})" if len(str(x)) <= 16 else nearest
