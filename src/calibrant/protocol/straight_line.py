"""Functions as data: straight-line programs, which a target in any language can run on values of its own.

Value 0 is the column of parameters. Instruction k makes value k out of earlier ones: `["*", 1, 2]` multiplies two of them,
`["index", 0, 1]` takes the second parameter, `["constant", 2.0]` is a number. The result is the number of a value, or a list of them.
"""

from __future__ import annotations

import contextlib
import functools
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Instruction = tuple[Any, ...]
"""An operation and its operands."""

BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "**": operator.pow,
}
"""The operations that are operators of Python."""

METHODS = {"sum": 1, "mean": 1, "exp": 1, "log": 1, "tanh": 1, "maximum": 2}
"""The other operations on values, each with the number of its operands: methods of the target's arrays, or functions that it names."""


class Traced:
    """A value that records what is made of it."""

    def __init__(self, tape: list[Instruction], *instruction: Any) -> None:
        if instruction:
            tape.append(instruction)
        self.tape, self.number = tape, len(tape)

    def made(self, name: str, *operands: Any) -> Traced:
        """The value that an operation makes of these operands; one that is a number becomes a constant."""
        values = [x if isinstance(x, Traced) else Traced(self.tape, "constant", x) for x in operands]
        return Traced(self.tape, name, *(x.number for x in values))

    def __getitem__(self, place: int) -> Traced:
        return Traced(self.tape, "index", self.number, place)


def _operator(name: str, *, left: bool = False) -> Callable[[Traced, Any], Traced]:
    return lambda x, y: x.made(name, y, x) if left else x.made(name, x, y)


for _name, _word in {"+": "add", "-": "sub", "*": "mul", "/": "truediv", "**": "pow"}.items():
    setattr(Traced, f"__{_word}__", _operator(_name))
    setattr(Traced, f"__r{_word}__", _operator(_name, left=True))
for _name in METHODS:
    setattr(Traced, _name, lambda x, *others, _name=_name: x.made(_name, x, *others))


def traced(function: Callable[[Any], Any]) -> dict[str, Any]:
    """The instructions of a function of parameters, and its result."""
    tape: list[Instruction] = []
    result = function(Traced(tape))
    return {"instructions": tape, "result": [x.number for x in result] if isinstance(result, list) else result.number}


def run(
    instructions: Sequence[Instruction],
    result: int | Sequence[int],
    params: Any,
    elementary: Mapping[str, Callable[..., Any]] | None = None,
) -> Any:
    """The result of a straight-line program at parameters of a target, as its own arrays compute it.

    `elementary` names functions for operations of which its arrays have no method. Raises NotImplementedError where there is neither.
    """
    values = [params]
    for name, *operands in instructions:
        if name == "constant":
            values.append(operands[0])
        elif name == "index":
            values.append(values[operands[0]][operands[1]])
        else:
            known = BINARY.get(name) or (elementary or {}).get(name) or _method(name)
            values.append(known(*(values[k] for k in operands)))
    return values[result] if isinstance(result, int) else [values[k] for k in result]


def _method(name: str) -> Callable[..., Any]:
    """A method of an array, or the function of NumPy for NumPy's arrays."""

    def call(x: Any, *others: Any) -> Any:
        method = getattr(x, name, None)
        if method is None and isinstance(x, (np.ndarray, np.generic)):
            return getattr(np, name)(x, *others)
        if method is None:
            raise NotImplementedError(
                f"{type(x).__name__} has no method {name}, and the target names no function for it"
            )
        return method(*others)

    return call


@dataclass(frozen=True)
class Written:
    """A function of parameters that does what its source says, and no more, so that another process can run it."""

    source: str
    stands_alone = True

    def __call__(self, params: Any, elementary: Mapping[str, Callable[..., Any]] | None = None) -> Any:
        """The value at these parameters."""
        if self.straight_line is None:
            return eval(self.source)(params)
        return run(**self.straight_line, params=params, elementary=elementary)

    @functools.cached_property
    def straight_line(self) -> dict[str, Any] | None:
        """The function as a straight-line program; None if it is none."""
        with contextlib.suppress(
            Exception
        ):  # the source may do anything: what fails here fails again when it is called
            return traced(eval(self.source))
        return None
