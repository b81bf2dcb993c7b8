"""How values, calls and answers are written: for a person, for Python, for JSON."""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from calibrant import exact
from calibrant.exact import Exact

if TYPE_CHECKING:
    from calibrant.subject import Call
    from calibrant.target import Target


NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
"""The numbers that JSON has not, each by the word that is written for it."""


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


def written(call: Call) -> str:
    """A call as a person would write it: loss_fn([0.0, 0.0], [0.0, 1.0])."""
    return f"{call.operation}({', '.join(map(shown, call.given))})"


def shown(value: Any) -> str:
    """An argument or an answer, arrays within lists included, as a person would write it."""
    if is_array(value):
        return show(value)
    return _bracketed(value, shown) or getattr(value, "source", repr(value))


def _bracketed(value: Any, write: Callable[[Any], str]) -> str:
    """A list or a tuple with its elements written by `write`; nothing if it is neither."""
    if isinstance(value, list):
        return "[" + ", ".join(map(write, value)) + "]"
    if isinstance(value, tuple):
        return "(" + ", ".join(map(write, value)) + ("," if len(value) == 1 else "") + ")"
    return ""


def snippet(target: Target, calls: list[Call]) -> str:
    """Python that repeats the calls with nothing but NumPy and the target; of a program, the command line that does."""
    if target.program is not None:
        return _shell(target.program.command, calls)
    lines = ["import numpy as np"]
    from calibrant.target import is_file, resolve, split_file

    resolved = resolve(target.spec)
    if is_file(target.spec):
        place, _, attribute = split_file(target.spec)
        folder = str(Path(place).parent)
        lines += ["import runpy, sys, types", f"sys.path.insert(0, {folder!r})"]
        lines += [f"target = types.SimpleNamespace(**runpy.run_path({place!r}))"]
        lines += [f"target = target.{attribute}"] * bool(attribute)
    else:
        module, _, attribute = resolved.partition(":")
        lines += [f"import {module}", f"target = {module}.{attribute}"] if attribute else [f"import {module} as target"]
    wrap = "target.asarray({})" if hasattr(target.implementation, "asarray") else "{}"
    back = hasattr(target.implementation, "to_numpy")
    for call in calls:
        text = f"target.{call.operation}({', '.join(_literal(value, wrap) for value in call.given)})"
        lines.append(f"print({f'target.to_numpy({text})' if back and is_array(call.answer) else text})")
    if any("ml_dtypes." in line for line in lines):
        lines.insert(1, "import ml_dtypes")
    return "\n".join(lines)


def _shell(command: list[str], calls: list[Call]) -> str:
    """A command line that sends the calls to a program and prints what it answers."""
    from calibrant.program import message

    requests = [message(0, "initialize", {})]
    requests += [message(number, call.operation, call.arguments) for number, call in enumerate(calls, start=1)]
    return " \\\n  ".join(["printf '%s\\n'", *map(shlex.quote, requests)]) + f" | {shlex.join(command)}"


def plain(value: Any) -> Any:
    """A value as JSON can hold it: arrays as the protocol writes them, the rest as it is or as text."""
    if isinstance(value, np.generic):
        value = np.asarray(value)
    if is_array(value):
        data = [json_number(x) for x in np.asarray(value).astype(np.float64).reshape(-1).tolist()]
        return {"dtype": value.dtype.name, "shape": list(value.shape), "data": data}
    if isinstance(value, dict):
        return {str(key): plain(x) for key, x in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(x) for x in value]
    if isinstance(value, float):
        return json_number(value)
    return value if isinstance(value, (int, str, bool)) or value is None else getattr(value, "source", repr(value))


def json_number(x: float) -> float | str:
    """A number as JSON can hold it."""
    return x if math.isfinite(x) else "NaN" if math.isnan(x) else "Infinity" if x > 0 else "-Infinity"


def _literal(value: Any, wrap: str = "{}") -> str:
    """A value in Python; every array within it is put into `wrap`."""
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
    """What is not finite by the names that NumPy has for it."""
    return text.replace("nan", "np.nan").replace("inf", "np.inf")


def is_array(value: Any) -> bool:
    """Whether this is an argument that a target may want in its own kind of array."""
    return isinstance(value, np.ndarray)
