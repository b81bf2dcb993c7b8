"""Wrong derivatives of the model by its bias."""

from __future__ import annotations

from typing import Any


def the_bias(t_u: Any, w: Any, b: Any) -> Any:
    return b


def zero(t_u: Any, w: Any, b: Any) -> Any:
    return t_u.dtype.type(0)
