"""What a formula declares of its arguments: names, shapes, and what numbers they may hold; and the formulas of a file.

A declaration is `@formula(shapes="n d, d, d, -> n d")`, an argument between commas and its axes between blanks, or an annotation
for each argument: `def layer_norm(x: "n d", w: "d", b: "d", eps: "")`. An argument without axes is a number. `2e` is twice e.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import inspect
import re
import runpy
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import CodeType
from typing import Any, NoReturn

from calibrant.formula.balls import FormulaError
from calibrant.protocol.errors import nearest

CATALOGUE = "catalogue"
"""The word for the formulas that ship."""

KINDS = ("numbers", "positive", "probabilities", "signs", "distribution", "log-distribution", "index", "mask")
"""What an argument may hold. `index d` are whole numbers below d, `index d alone` also the argument `alone`; a mask holds somewhere in each row."""

PATIENCE = 10.0
"""The seconds of computing in which a formula must end, however busy the machine is."""

_RINGS = {
    signal.ITIMER_PROF: (signal.SIGPROF, time.process_time),
    signal.ITIMER_REAL: (signal.SIGALRM, time.monotonic),
}
"""Of each timer, the signal that it sends and the clock that it follows."""
_AXIS = re.compile(r"(\d+)?([a-z]\w*)?")
_MODULE = "<formulas>"
"""The name of a file's module while it runs: no other module's."""
_FUTURE_ANNOTATIONS = 0x1000000
_LONGEST = 56
"""The most letters of a formula's name: a worker's record of its call has room for no more."""


@dataclass(frozen=True)
class Declared:
    """A formula and what it declares."""

    function: Any
    name: str
    parameters: tuple[str, ...]
    axes: tuple[tuple[str, ...], ...]
    """The axes of each argument."""
    draws: Mapping[str, Any]
    """What each argument holds, or the values among which an axis, a number, or each element of an array is chosen."""

    @property
    def clause(self) -> str:
        """The name of the clause on its value."""
        return "layers." + re.sub("[^a-z0-9]+", "-", self.name.lower()).strip("-")

    @property
    def signature(self) -> str:
        """layer_norm(x, w, b, eps)"""
        return f"{self.name}({', '.join(self.parameters)})"

    @functools.cached_property
    def differentiable(self) -> tuple[int, ...]:
        """The places of the arguments that have a gradient: neither whole numbers and masks nor labels, whose elements are chosen from a tuple."""
        said = [self.draws.get(name, KINDS[0]) for name in self.parameters]
        return tuple(
            i
            for i, (kind, axes) in enumerate(zip(said, self.axes, strict=True))
            if axes and isinstance(kind, str) and kind.split(" ")[0] not in ("index", "mask")
        )

    @functools.cached_property
    def constants(self) -> tuple[float, ...]:
        """The numbers in the formula's own code, where its branches may lie."""
        found: set[float] = set()

        def read(code: CodeType) -> None:
            for constant in code.co_consts:
                if isinstance(constant, CodeType):
                    read(constant)
                elif isinstance(constant, (int, float)) and not isinstance(constant, bool):
                    found.add(float(constant))

        read(inspect.unwrap(self.function).__code__)
        return tuple(sorted(found))


def size(axis: str, sizes: Mapping[str, int]) -> int:
    """The length of an axis, such as 2e."""
    factor, name = _AXIS.fullmatch(axis).groups()  # type: ignore[union-attr]  # `declared` has looked at it
    return int(factor or 1) * (sizes[name] if name else 1)


def declared(function: Any, name: str, shapes: str | None = None) -> Declared:
    """What a function declares, or what `shapes` declares of it. Raises FormulaError, in one sentence, for a declaration that cannot be."""

    def wrong(sentence: str) -> FormulaError:
        return FormulaError(f"formula {name} {sentence}")

    if len(name) > _LONGEST:
        raise wrong(f"has a name of {len(name)} letters: at most {_LONGEST} are possible")
    parameters = inspect.signature(function).parameters
    for one in parameters.values():
        if one.kind not in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD):
            raise wrong(f"takes {one}: name each argument")
    if "upstream" in parameters:
        raise wrong("has an argument named upstream, which is the name of the gradient that its backward pass is given")
    shapes = shapes or getattr(function, "shapes", None)
    if shapes is None:
        annotated = [_annotation(function, one) for one in parameters.values()]
        if None in annotated or not annotated:
            raise wrong(
                'declares no shapes: write @formula(shapes="n d, d -> n"), or begin its name with an underscore if it is a helper'
            )
        shapes = ",".join(map(str, annotated))
    axes = _axes(shapes)
    for axis in (axis for several in axes for axis in several):
        if not axis or not _AXIS.fullmatch(axis):
            raise wrong(f"declares the axis {axis!r}, which is neither a name, a number, nor a number before a name")
    if len(axes) != len(parameters):
        raise wrong(f"declares {len(axes)} shapes, {shapes!r}, for {len(parameters)} arguments")
    draws = {key: tuple(one) if isinstance(one, list) else one for key, one in getattr(function, "draws", {}).items()}
    names = {m for several in axes for axis in several if (m := _AXIS.fullmatch(axis)[2])}  # type: ignore[index]
    known = {*parameters, *names}
    for key, value in draws.items():
        if key not in known:
            raise wrong(f"draws {key!r}, which is no argument and no axis{nearest(key, known)}")
        if key in parameters and key in names:
            raise wrong(f"draws {key}, which is an argument and an axis: give the axis another name")
        if value == ():
            raise wrong(f"draws {key} from an empty tuple")
        if isinstance(value, str) and value.split(" ")[0] not in KINDS:
            raise wrong(f"draws {key} as {value!r}, which is none of {', '.join(KINDS)}{nearest(value, KINDS)}")
        if (
            isinstance(value, str)
            and value.startswith("index ")
            and (lost := {word.lstrip("0123456789") for word in value.split()[1:]} - known - {""})
        ):
            raise wrong(
                f"draws {key} as {value!r}, where {min(lost)} is no axis and no argument{nearest(min(lost), known)}"
            )
    return Declared(_limited(function, name), name, tuple(parameters), axes, draws)


@contextlib.contextmanager
def in_time(name: str, seconds: float) -> Iterator[None]:
    """Raise FormulaError if the block takes more seconds of this process, or ten times as many of a loaded or sleeping one.

    A timer that runs already goes on afterwards.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(signum: int, frame: Any) -> NoReturn:
        raise FormulaError(f"formula {name} did not end within {seconds:g} s")

    limits = {signal.ITIMER_PROF: seconds, signal.ITIMER_REAL: 10 * seconds}
    running = {timer: signal.getitimer(timer) for timer in limits}
    mine = [timer for timer in limits if not 0 < running[timer][0] < limits[timer]]
    before = {timer: signal.signal(_RINGS[timer][0], stop) for timer in mine}
    start = {timer: _RINGS[timer][1]() for timer in mine}
    for timer in mine:
        signal.setitimer(timer, limits[timer])
    try:
        yield
    finally:
        for timer in mine:
            signal.setitimer(timer, 0.0)
            ring, clock = _RINGS[timer]
            signal.signal(ring, before[timer])
            left, interval = running[timer]
            if left:
                signal.setitimer(timer, max(left - (clock() - start[timer]), 1e-6), interval)


def _limited(function: Any, name: str) -> Any:
    """The function, which raises FormulaError if it does not end in time."""

    @functools.wraps(function)
    def limited(*arguments: Any) -> Any:
        with in_time(name, PATIENCE):
            return function(*arguments)

    return limited


def conflict(function: Any, names: Sequence[str], shapes: Sequence[tuple[int, ...] | None]) -> str | None:
    """What is wrong with the shapes of arguments, of which a function declares the last axes; None if nothing is."""
    found: dict[str, tuple[int, str]] = {}
    for name, shape, axes in zip(names, shapes, _axes(getattr(function, "shapes", None) or ""), strict=False):
        for n, axis in zip(reversed(shape or ()), reversed(axes), strict=False):
            factor, letter = _AXIS.fullmatch(axis).groups()  # type: ignore[union-attr]  # a name, a number, or both
            due, of = found.setdefault(letter or "", (n // int(factor or 1), name)) if letter else (1, name)
            if n != int(factor or 1) * due:
                whose = f" where {of} has {axis} = {int(factor or 1) * due}" if letter else f", not {axis}"
                return f"{name} is {shape}, so its axis {axis} has {n} elements{whose}"
    return None


def _axes(shapes: str) -> tuple[tuple[str, ...], ...]:
    """The axes of each argument."""
    return tuple(tuple(part.split()) for part in shapes.partition("->")[0].split(","))


def _annotation(function: Any, parameter: inspect.Parameter) -> str | None:
    """The shape that an annotation gives, if it is a text."""
    said = parameter.annotation
    if not isinstance(said, str):
        return None
    if not function.__code__.co_flags & _FUTURE_ANNOTATIONS:
        return said
    return ast.literal_eval(said) if said[:1] in "'\"" else None


@functools.cache
def formulas_of(source: str, shapes: str | None = None) -> dict[str, Declared]:
    """The formulas of `catalogue`, of `file.py`, or the one of `file.py:function`. Raises FormulaError if there are none.

    `shapes` declares the shapes of formulas, whatever they say.
    """
    if source == CATALOGUE:
        from calibrant.formula.catalogue import FORMULAS

        return {name: declared(function, name) for name, function in FORMULAS.items()}
    place, _, only = source.partition(".py:")
    path = Path(place if place.endswith(".py") else f"{place}.py")
    if not source.endswith(".py") and not only:
        raise FormulaError(f"formulas is {source!r}: give a file that ends in .py, or {CATALOGUE}")
    functions = {
        name: one
        for name, one in _imported(path).items()
        if inspect.isfunction(one) and one.__module__ == _MODULE and not name.startswith("_")
    }
    if only and only not in functions:
        raise FormulaError(f"{path} has no function {only!r}{nearest(only, functions)}")
    if not functions:
        raise FormulaError(f"{path} defines no formula: write a function whose name begins without an underscore")
    return {name: declared(one, name, shapes) for name, one in functions.items() if not only or name == only}


def framework_of(file: str) -> str:
    """The framework that differentiates the functions of a file: JAX where the file imports it, else PyTorch."""
    path = Path(file)
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    return "jax" if re.search(r"^\s*(?:import|from) jax\b", text, re.MULTILINE) else "torch"


def _imported(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise FormulaError(f"formulas is {str(path)!r}: there is no such file")
    path = path.resolve()
    sys.path.insert(0, str(path.parent))
    try:
        with contextlib.redirect_stdout(sys.stderr):  # a report may go to standard output
            return runpy.run_path(str(path), run_name=_MODULE)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise FormulaError(f"{path} cannot be imported: {type(error).__name__}: {error}") from None
    finally:
        sys.path.remove(str(path.parent))
