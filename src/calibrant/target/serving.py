"""A target in Python, served as a program: this process holds the target's code, and nothing that judges its answers.

It speaks the protocol of programs, and more: functions arrive as their Python source, and an answer names the arguments that the
call changed.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable
from typing import IO, Any

import numpy as np

from calibrant.protocol.errors import TargetError, brief, first_line, named
from calibrant.protocol.operations import OPERATIONS, Operation
from calibrant.protocol.straight_line import Written
from calibrant.protocol.wire import decoded, plain
from calibrant.target.calling import copied, identical, with_elementary
from calibrant.target.description import Target
from calibrant.target.loading import load
from calibrant.target.program import ABSENT

_RAISED = -32000
"""The code of JSON-RPC for an error of the implementation."""


def serve(target: Target, requests: Iterable[str], answers: IO[str]) -> None:
    """Answer each request, a line each, until there are no more."""
    for line in requests:
        request = json.loads(line)
        if request["method"] == "initialize":
            said: dict[str, Any] = {"result": target.describe() | {"functions": "python"}}
            del said["result"]["spec"]
        else:
            said = _answered(target, OPERATIONS[request["method"]], request["params"])
        json.dump({"jsonrpc": "2.0", "id": request["id"]} | said, answers, allow_nan=False)
        answers.write("\n")
        answers.flush()


def _answered(target: Target, operation: Operation, params: dict[str, Any]) -> dict[str, Any]:
    """The members of a response: the result or the error, and the arguments that were changed."""
    implementation = target.implementation
    convert, back = (getattr(implementation, name, np.asarray) for name in ("asarray", "to_numpy"))
    given = {name: _read(value) for name, value in params.items()}
    arguments = next(iter(given.values())) if operation.starred else [*given.values()]
    received = copied(arguments, convert)
    called = with_elementary(received, implementation)
    try:
        said = {"result": plain(_numpy(getattr(implementation, operation.name)(*called), back))}
    except NotImplementedError as error:
        said = {"error": {"code": ABSENT, "message": first_line(error)}}
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # the target's code may raise anything: the other side judges it
        said = {"error": {"code": _RAISED, "message": named(error)}}
    names = [*given] * (len(arguments) if operation.starred else 1)
    changed = [
        name
        for name, before, after in zip(names, arguments, received, strict=True)
        if not identical(before, after, back)
    ]
    return said | ({"changed": changed} if changed else {})


def _read(value: Any) -> Any:
    """An argument. Tuples and functions are marked."""
    if isinstance(value, list):
        return [_read(part) for part in value]
    match value:
        case {"tuple": parts}:
            return tuple(map(_read, parts))
        case {"function": source}:
            return Written(source)
        case {"dtype": _}:
            return decoded(value)
        case {}:
            return {key: _read(part) for key, part in value.items()}
    return decoded(value)


def _numpy(answer: Any, back: Callable[[Any], Any]) -> Any:
    """An answer whose arrays are NumPy's."""
    if answer is None or (isinstance(answer, (bool, int, float, str)) and not isinstance(answer, np.generic)):
        return answer
    if isinstance(answer, dict):
        return {str(key): _numpy(value, back) for key, value in answer.items()}
    if isinstance(answer, (list, tuple)):
        return [_numpy(part, back) for part in answer]
    array = np.asarray(back(answer))
    return array if array.dtype.kind in "biuf" or array.dtype.name == "bfloat16" else brief(answer)


def _main() -> None:
    """Serve the target of the command line. What it prints goes to standard error."""
    spec, timeout = sys.argv[1:]
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    requests = os.fdopen(os.dup(0), encoding="utf-8")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    try:
        target = load(spec, float(timeout))
    except TargetError as error:
        sys.exit(str(error))
    serve(target, requests, answers)


if __name__ == "__main__":
    _main()
