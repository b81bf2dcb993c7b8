"""A target: an implementation under test, and what it says of itself."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace
from typing import Any

from calibrant.book.clauses import book
from calibrant.protocol.conventions import ARITHMETIC, CONVENTIONS
from calibrant.protocol.dtypes import DTYPES
from calibrant.protocol.errors import TargetError
from calibrant.protocol.operations import PARAMETERS
from calibrant.protocol.text import brief, nearest
from calibrant.target.program import Program


@dataclass
class Target:
    """An implementation, and what it says of itself."""

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
    """What is said of operations that are not called again: they did not return in time, or ended the program."""
    program: Program | None = None
    """The program that it is, if it is one; it keeps the time of its calls."""
    trusted: bool = False
    """Whether it is calibrant's own: nothing has to watch over its calls."""
    explained: dict[Any, Any] = field(default_factory=dict)
    """The impostors that its answers were found to be those of."""

    @property
    def flushes(self) -> bool:
        """Whether it declares that it takes subnormal numbers for zero."""
        return self.conventions.get("arithmetic.subnormals") == "flushed"

    @property
    def follow(self) -> dict[str, str]:
        """The variant that it means to follow of each convention: its own, else PyTorch's."""
        return {name: values[0] for name, values in CONVENTIONS.items()} | dict(self.conventions)

    def describe(self) -> dict[str, Any]:
        """What it says of itself, for reports."""
        return {
            "spec": self.spec,
            "name": self.name,
            "version": self.version,
            "operations": list(self.operations),
            "dtypes": list(self.dtypes),
            "conventions": dict(self.conventions),
            "deviations": dict(self.deviations),
            "slack": self.slack,
        }


def described(spec: str, implementation: Any, name: str, timeout: float) -> Target:
    """The target with what it says of itself, each part checked."""

    def said(attribute: str, default: Any) -> Any:
        value = getattr(implementation, attribute, default)
        return default if value is None else value

    operations = tuple(operation for operation in PARAMETERS if callable(getattr(implementation, operation, None)))
    if not operations:
        raise TargetError(
            f"target {spec!r} has none of the operations: {', '.join(PARAMETERS)}"
            + nearest(name, list(PARAMETERS)) * (not isinstance(implementation, (ModuleType, SimpleNamespace)))
        )
    dtypes = said("dtypes", ("float32", "float64"))
    if not isinstance(dtypes, (list, tuple)) or not dtypes:
        raise TargetError(f"target {spec!r}: dtypes is {brief(dtypes)}, not a list of {', '.join(DTYPES)}")
    for dtype in dtypes:
        if dtype not in DTYPES:
            raise TargetError(
                f"target {spec!r}: dtypes names {brief(dtype)}, which is not judged{nearest(str(dtype), DTYPES)}"
            )
    slack = said("slack", 1.0)
    if isinstance(slack, bool) or not isinstance(slack, (int, float)) or not 1 <= slack < math.inf:
        raise TargetError(f"target {spec!r}: slack is {brief(slack)}, not a number of at least 1")
    tables = {}
    for attribute in ("conventions", "deviations"):
        table = said(attribute, {})
        if not isinstance(table, Mapping) or not all(isinstance(x, str) and x for pair in table.items() for x in pair):
            raise TargetError(f"target {spec!r}: {attribute} is {brief(table)}, not a dict of names with their reasons")
        tables[attribute] = dict(table)
    for clause in tables["deviations"]:
        if clause not in book():
            raise TargetError(
                f"target {spec!r}: deviations names the clause {clause!r}, which is not in the book{nearest(clause, list(book()))}"
            )
    known = CONVENTIONS | ARITHMETIC
    for convention, value in tables["conventions"].items():
        if convention not in known:
            raise TargetError(
                f"target {spec!r}: conventions names {convention!r}, which is none{nearest(convention, list(known))}"
            )
        if value not in known[convention]:
            raise TargetError(
                f"target {spec!r}: conventions says {convention} = {value!r}, not one of {', '.join(known[convention])}"
                f"{nearest(value, known[convention])}"
            )
    version = getattr(implementation, "version", None)
    return Target(
        spec=spec,
        implementation=implementation,
        name=str(said("name", name)) if isinstance(said("name", name), str) else name,
        version=version if isinstance(version, str) else None,
        operations=operations,
        dtypes=tuple(dtypes),
        conventions=tables["conventions"],
        deviations=tables["deviations"],
        slack=float(slack),
        timeout=timeout,
    )
