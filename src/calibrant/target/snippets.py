"""Calls and answers as text: for a person to read, and for Python or a shell to repeat."""

from __future__ import annotations

import re
import shlex
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from calibrant.judge import show
from calibrant.protocol.wire import is_array, message
from calibrant.target.autodiff import Differentiated
from calibrant.target.calling import Call, map_leaves, text_of
from calibrant.target.description import Target
from calibrant.target.loading import OBJECT, located, packaged
from calibrant.target.program import Program


def snippet(target: Target, calls: list[Call], due: str = "") -> str:
    """Python that repeats the calls with NumPy and the target, or a command line that repeats them on a program.

    Python prints what is due beside the last answer.
    """
    if target.program is not None:
        return _shell(target.program, calls)
    lines = ["import numpy as np"]
    place, attribute = located(target.spec)
    if target.spec.startswith(OBJECT):
        lines += ["# target is the object that was checked"]
    elif place.endswith(".py"):
        folder = str(Path(place).parent)
        beside, name = packaged(Path(place))
        if name in sys.modules:  # it imports its neighbours as a package does
            lines += ["import sys", f"sys.path.insert(0, {str(beside)!r})", f"import {name} as target"]
        else:
            lines += ["import runpy, sys, types", f"sys.path.insert(0, {folder!r})"]
            lines += [f"target = types.SimpleNamespace(**runpy.run_path({place!r}))"]
        lines += [f"target = target.{attribute}"] * bool(attribute)
    else:
        lines += [f"import {place}", f"target = {place}.{attribute}"] if attribute else [f"import {place} as target"]
    if isinstance(target.implementation, Differentiated):
        lines += ["from calibrant.target.autodiff import Differentiated"]
        lines += [f"target = Differentiated(target, {target.implementation.framework!r})"]
    own = hasattr(target.implementation, "asarray")
    array = (lambda x: f"target.asarray({_literal(x)})") if own else _literal
    back = hasattr(target.implementation, "to_numpy")
    calls = [replace(call, given=_with_functions(call.given, target)) for call in calls]
    for call in calls:
        text = f"target.{call.operation}({', '.join(text_of(value, array) for value in call.given)})"
        answer = f"target.to_numpy({text})" if back and is_array(call.answer) else text
        lines.append(f"print({answer}{f', {due!r}' * (bool(due) and call is calls[-1])})")
    text = "\n".join(lines)
    imports = {
        r"\bml_dtypes\.": "import ml_dtypes",
        r"\b(inf|nan)\b": "from numpy import inf, nan",
        r"\bWritten\(": "from functools import partial\nfrom calibrant.protocol.straight_line import Written",
    }
    return "\n".join([*(line for used, line in imports.items() if re.search(used, text)), text])


def _with_functions(given: Any, target: Target) -> Any:
    """Arguments whose functions call what the target names for methods that its arrays lack."""
    table = getattr(target.implementation, "elementary", None) or {}

    def text(x: Any) -> Any:
        if not any(f".{name}(" in getattr(x, "source", "") for name in table):
            return x
        return SimpleNamespace(source=f"partial(Written({x.source!r}), elementary=target.elementary)")

    return map_leaves(text, given)


def _shell(program: Program, calls: list[Call]) -> str:
    """A command line that sends the calls to a program and prints its answers."""
    requests = [message(0, "initialize", {})]
    how = program.functions
    requests += [message(k, call.operation, call.arguments, functions=how) for k, call in enumerate(calls, start=1)]
    return " \\\n  ".join(["printf '%s\\n'", *map(shlex.quote, requests)]) + f" | {shlex.join(program.command)}"


def _literal(x: Any) -> str:
    """An array as Python."""
    text = show(x) if 0 < x.size <= 60 else repr(x.astype(np.float64).tolist())
    module = "ml_dtypes" if x.dtype.name == "bfloat16" else "np"
    shaped = f".reshape({x.shape})" if x.size == 0 and x.ndim > 1 else ""
    return f"np.array({text}, dtype={module}.{x.dtype.name}){shaped}"
