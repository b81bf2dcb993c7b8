"""Calls and answers as text: for a person to read, and for Python or a shell to repeat."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from calibrant.judge import show
from calibrant.protocol.wire import is_array, message
from calibrant.target.calling import Call
from calibrant.target.description import Target
from calibrant.target.loading import located


def written(call: Call) -> str:
    """A call for a person to read: loss_fn([0.0, 0.0], [0.0, 1.0])."""
    return f"{call.operation}({', '.join(map(shown, call.given))})"


def shown(value: Any) -> str:
    """An argument or an answer for a person to read."""
    if is_array(value):
        return show(value)
    if isinstance(value, (list, tuple)):
        return _bracketed(value, shown)
    return getattr(value, "source", repr(value))


def _bracketed(value: list[Any] | tuple[Any, ...], write: Callable[[Any], str]) -> str:
    """A list or a tuple with its elements as `write` gives them."""
    parts = ", ".join(map(write, value))
    if isinstance(value, list):
        return f"[{parts}]"
    return f"({parts}{',' * (len(value) == 1)})"


def snippet(target: Target, calls: list[Call]) -> str:
    """Python that repeats the calls with NumPy and the target, or a command line that repeats them on a program."""
    if target.program is not None:
        return _shell(target.program.command, calls)
    lines = ["import numpy as np"]
    place, attribute = located(target.spec)
    if place.endswith(".py"):
        folder = str(Path(place).parent)
        lines += ["import runpy, sys, types", f"sys.path.insert(0, {folder!r})"]
        lines += [f"target = types.SimpleNamespace(**runpy.run_path({place!r}))"]
        lines += [f"target = target.{attribute}"] * bool(attribute)
    else:
        lines += [f"import {place}", f"target = {place}.{attribute}"] if attribute else [f"import {place} as target"]
    wrap = "target.asarray({})" if hasattr(target.implementation, "asarray") else "{}"
    back = hasattr(target.implementation, "to_numpy")
    for call in calls:
        text = f"target.{call.operation}({', '.join(_literal(value, wrap) for value in call.given)})"
        lines.append(f"print({f'target.to_numpy({text})' if back and is_array(call.answer) else text})")
    if any("ml_dtypes." in line for line in lines):
        lines.insert(1, "import ml_dtypes")
    return "\n".join(lines)


def _shell(command: list[str], calls: list[Call]) -> str:
    """A command line that sends the calls to a program and prints its answers."""
    requests = [message(0, "initialize", {})]
    requests += [message(number, call.operation, call.arguments) for number, call in enumerate(calls, start=1)]
    return " \\\n  ".join(["printf '%s\\n'", *map(shlex.quote, requests)]) + f" | {shlex.join(command)}"


def _literal(value: Any, wrap: str = "{}") -> str:
    """A value as Python, with every array put into `wrap`."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key!r}: {_literal(x, wrap)}" for key, x in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return _bracketed(value, lambda x: _literal(x, wrap))
    if isinstance(value, float):
        return _finite(repr(value))
    if not is_array(value):
        return getattr(value, "source", repr(value))
    text = "[]" if value.size == 0 else show(np.asarray(value))
    if value.size > 60:
        text = repr(value.astype(np.float64).tolist())
    text = _finite(text)
    name = value.dtype.name
    dtype = "ml_dtypes.bfloat16" if name == "bfloat16" else f"np.{name}"
    shaped = f".reshape({value.shape})" if value.size == 0 and value.ndim > 1 else ""
    return wrap.format(f"np.array({text}, dtype={dtype}){shaped}")


def _finite(text: str) -> str:
    """A text with NumPy's names for the numbers that are not finite."""
    return text.replace("nan", "np.nan").replace("inf", "np.inf")
