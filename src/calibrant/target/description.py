"""A target: an implementation under test, and its description of itself."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace
from typing import Any

from calibrant.book.clauses import book
from calibrant.protocol.declarations import CONVENTIONS, DTYPES, GENERAL, followed
from calibrant.protocol.errors import TargetError, brief, escaped, nearest
from calibrant.protocol.operations import OPERATIONS
from calibrant.protocol.straight_line import METHODS
from calibrant.protocol.wire import plain
from calibrant.target.program import Program
from calibrant.target.surroundings import Surroundings

_SHOWN = ("spec", "name", "version", "operations", "dtypes", "conventions", "deviations", "slack")


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
    hung: dict[str, str] = field(default_factory=dict)
    """The operations that are not called again, each with the reason: it did not return in time, or it ended its process."""
    program: Program | None = None
    """The program, for a target in another language. It limits the time of its calls itself."""
    trusted: bool = False
    """Whether nobody needs to watch its calls: the target is calibrant's own."""
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
        close = "" if isinstance(implementation, (ModuleType, SimpleNamespace)) else nearest(name, OPERATIONS)
        raise wrong(f" has none of the operations: {', '.join(OPERATIONS)}{close}")
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
    conventions, deviations = said("conventions", {}), said("deviations", {})
    for attribute, table in (("conventions", conventions), ("deviations", deviations)):
        if not isinstance(table, Mapping) or not all(isinstance(x, str) and x for pair in table.items() for x in pair):
            raise wrong(f": {attribute} is {brief(table)}, not a dict of names with their reasons")
    for clause in deviations:
        if clause not in book():
            raise wrong(f": deviations names the clause {clause!r}, which is not in the book{nearest(clause, book())}")
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
        conventions=dict(conventions),
        deviations={clause: escaped(reason, 300) for clause, reason in deviations.items()},
        slack=float(slack),
        timeout=timeout,
    )
