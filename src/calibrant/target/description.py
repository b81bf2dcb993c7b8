"""A target: an implementation under test, and its description of itself."""

from __future__ import annotations

import difflib
import inspect
import math
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import FunctionType
from typing import Any

from calibrant.book.clauses import book
from calibrant.protocol.declarations import CONVENTIONS, DTYPES, GENERAL, Declared, deviation, followed, named_dtypes
from calibrant.protocol.errors import TargetError, brief, escaped, nearest
from calibrant.protocol.operations import OPERATIONS
from calibrant.protocol.straight_line import METHODS
from calibrant.protocol.wire import plain
from calibrant.target.program import Program
from calibrant.target.surroundings import Surroundings

_SHOWN = ("spec", "name", "version", "operations", "dtypes", "conventions", "deviations", "slack", "warnings")


_FUNCTIONS: Any = FunctionType | staticmethod | classmethod
_OPTIONS: dict[str, Any] = {
    "dtypes": list | tuple,
    "conventions": Mapping,
    "deviations": Mapping,
    "slack": int | float,
    "asarray": _FUNCTIONS,
    "to_numpy": _FUNCTIONS,
}
"""The kinds of the options whose misspelled names would change a verdict in silence."""


@dataclass(frozen=True)
class Hung:
    """A call that did not return, or ended its process."""

    call: str
    """The call for a person to read."""
    sentence: str
    """What became of it."""


@dataclass
class Target:
    """An implementation and its description of itself."""

    spec: str
    implementation: Any
    name: str
    version: str | None
    operations: tuple[str, ...]
    dtypes: tuple[str, ...]
    conventions: Mapping[str, str]
    deviations: Mapping[str, str]
    slack: float
    timeout: float = 10.0
    warnings: tuple[str, ...] = ()
    """Sentences on attributes that mean nothing, and nearly have a name that does."""
    hung: dict[str, Hung] = field(default_factory=dict)
    """The operations that are not called again."""
    asked_again: set[str] = field(default_factory=set)
    """The operations of which a call was made again because it did not return in time."""
    in_vain: int = 0
    """The number of calls that did not return when they were made again, either."""
    program: Program | None = None
    """The program, for a target in another language. It limits the time of its calls itself."""
    trusted: bool = False
    """Whether nobody needs to watch its calls: the target is calibrant's own."""
    answered_elsewhere: dict[str, Any] = field(default_factory=dict)
    """What the target answered in another process, which is asked once for all dtypes."""
    surroundings: Surroundings = field(default_factory=Surroundings)
    """The surroundings in which its code runs."""
    explained: dict[Any, Any] = field(default_factory=dict)
    """The explanations of wrong answers that diagnosis has found so far."""

    @property
    def flushes(self) -> bool:
        """Whether the target declares that it flushes subnormal numbers to zero."""
        return self.conventions.get("arithmetic.subnormals") == "flushed"

    @property
    def narrow(self) -> bool:
        """Whether the target declares that it holds hyperparameters in float32."""
        return self.conventions.get("arithmetic.hyperparameters") == "float32"

    @property
    def follow(self) -> dict[str, str]:
        """The variant of each convention that the target follows: its own, else the book's."""
        return followed(self.conventions)

    def deviation(self, clause: str, dtype: str) -> Declared:
        """What the target declares of a clause in a dtype."""
        return deviation(self.deviations, clause, dtype)

    def describe(self) -> dict[str, Any]:
        """The description for reports, as JSON holds it."""
        return {name: plain(getattr(self, name)) for name in _SHOWN}


def described(spec: str, implementation: Any, name: str, timeout: float) -> Target:
    """The target with its description. Raises TargetError for a description that is not valid."""

    def said(attribute: str, default: Any) -> Any:
        value = getattr(implementation, attribute, default)
        return default if value is None else value

    def wrong(sentence: str) -> TargetError:
        return TargetError(f"target {spec!r}{sentence}")

    operations = tuple(operation for operation in OPERATIONS if callable(getattr(implementation, operation, None)))
    if not operations:
        if isinstance(implementation, FunctionType):
            whole = spec.rpartition(":")[0]
            raise wrong(
                f" is a function: name what it stands in, {whole!r}, or an object whose functions are operations"
            )
        near = "; ".join(_nearly(implementation))
        raise wrong(f" has none of the operations, such as loss_fn, value_and_grad or optimize{near and f': {near}'}")
    dtypes, slack = said("dtypes", ("float32", "float64")), said("slack", 1.0)
    if not isinstance(dtypes, (list, tuple)) or not dtypes:
        raise wrong(f": dtypes is {brief(dtypes)}, not a list of {', '.join(DTYPES)}")
    for dtype in dtypes:
        if dtype not in DTYPES:
            raise wrong(f": dtypes names {brief(dtype)}, which is not judged{nearest(str(dtype), DTYPES)}")
    if isinstance(slack, bool) or not isinstance(slack, (int, float)) or not 1 <= slack < math.inf:
        raise wrong(f": slack is {brief(slack)}, not a number of at least 1")
    elementary = said("elementary", {})
    if not isinstance(elementary, Mapping) or not all(
        name in METHODS and callable(elementary[name]) for name in elementary
    ):
        raise wrong(f": elementary is {brief(elementary)}, not a dict of functions for some of {', '.join(METHODS)}")
    try:
        conventions = _texts("conventions", said("conventions", {}))
        deviations = declared_deviations(said("deviations", {}))
    except TargetError as error:
        raise wrong(f": {error}") from None
    known = CONVENTIONS | GENERAL
    for convention, value in conventions.items():
        if convention not in known:
            raise wrong(f": conventions names {convention!r}, which is none{nearest(convention, known)}")
        if value not in (values := known[convention]):
            may_be = f"{', '.join(values)}{nearest(value, values)}"
            raise wrong(f": conventions says {convention} = {value!r}, not one of {may_be}")
    own_name, version = said("name", name), said("version", None)
    return Target(
        spec=spec,
        implementation=implementation,
        name=escaped(str(own_name) if isinstance(own_name, str) else name, 80),
        version=escaped(version, 40) if isinstance(version, str) else None,
        operations=operations,
        dtypes=tuple(dtypes),
        conventions=conventions,
        deviations=deviations,
        slack=float(slack),
        timeout=timeout,
        warnings=tuple(_nearly(implementation)),
    )


def _texts(attribute: str, table: Any) -> dict[str, str]:
    if not isinstance(table, Mapping) or not all(isinstance(x, str) and x for pair in table.items() for x in pair):
        raise TargetError(f"{attribute} is {brief(table)}, not a dict of names with their reasons")
    return dict(table)


def declared_deviations(table: Any) -> dict[str, str]:
    """The reasons of declared deviations, by clause. Raises TargetError, in one sentence, for one that cannot be."""
    declared = _texts("deviations", table)
    for name in declared:
        try:
            clause, _ = named_dtypes(name)
        except TargetError as error:
            raise TargetError(f"deviations: {error}") from None
        if clause not in book():
            raise TargetError(
                f"deviations names the clause {clause!r}, which is not in the book{nearest(clause, book())}"
            )
    return {clause: escaped(reason, 300) for clause, reason in declared.items()}


def deviations_in(file: str | None) -> dict[str, str]:
    """The deviations that a TOML file declares, none without a file: a reason for each clause, or a table for each chapter.

    Raises TargetError, in one sentence, for a file that cannot be read, or that names what cannot be.
    """
    if file is None:
        return {}
    try:
        return declared_deviations(_flat(tomllib.loads(Path(file).read_text(encoding="utf-8"))))
    except OSError as error:
        raise TargetError(f"deviations: {file} cannot be read: {error.strerror or error}") from None
    except (ValueError, TargetError) as error:  # TOML's and Unicode's errors are ValueErrors
        raise TargetError(f"{file}: {error}") from None


def _flat(table: dict[str, Any], before: str = "") -> dict[str, Any]:
    """The values of nested tables, each by its names with dots between them: a clause without quotes is such a table."""
    found: dict[str, Any] = {}
    for name, value in table.items():
        found |= _flat(value, f"{before}{name}.") if isinstance(value, dict) else {before + name: value}
    return found


def _nearly(implementation: Any) -> Iterator[str]:
    """A sentence on each attribute of a name that nearly is one of an operation or option, which the target does not have."""
    known = (*OPERATIONS, *_OPTIONS)
    missing = [name for name in known if getattr(implementation, name, None) is None]
    for name in dir(implementation):
        if name.startswith("_") or name in known:
            continue
        value = inspect.getattr_static(implementation, name, None)  # which runs none of its code
        fits = [other for other in missing if isinstance(value, _OPTIONS.get(other, _FUNCTIONS))]
        if near := difflib.get_close_matches(name, fits, n=1, cutoff=0.85):
            yield f"its {escaped(name, 80)} means nothing to calibrant; {near[0]} does"
