"""Impostors: the wrong answers that people really give, and the legitimate variants that they are told from.

An impostor is a small change to a right operation, `wrong(right, *arguments)`. `kinds` has the rows in which the chapters write them.
Each is written once and evaluated over two kinds of numbers. Over NumPy's arrays it is a target that the properties must reject, by the
clauses that it names and no others. Over exact ones it explains a failing target: one whose every answer it gives, within the bound of
its own rounding, behaves as it does.
"""

import functools
import importlib
import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from calibrant.book.clauses import CHAPTERS, book
from calibrant.protocol.errors import UnknownName, nearest
from calibrant.protocol.operations import OPERATIONS


@dataclass(frozen=True)
class Impostor:
    """A known way to answer otherwise."""

    name: str
    operation: str
    wrong: Callable[..., Any]
    """`wrong(right, *arguments)`: what it returns in the place of the operation `right`."""
    sentence: str
    """What it does, without a capital or a full stop, for 'behaves as NAME: ...'."""
    clauses: tuple[str, ...]
    """What it breaks, the clause first that shows it best: `clause`, `clause@dtype` in that dtype only, `clause?` perhaps."""
    kind: str = "bug"
    """`bug`, or `variant`: one that is legitimate once it is declared."""
    seen: tuple[str, ...] = ()
    """Where it was seen: `owner/repository#number` on GitHub."""
    exactly: bool = True
    """Whether it can be evaluated over exact numbers. What cannot is held against its own floating-point answers, bit for bit, on
    numbers with which nothing rounds."""
    keeps_dtype: bool = True
    """Whether its answer is in the dtype of its arguments; one that answers in another says so."""
    applies_to: tuple[str, ...] = ()
    """Of an operation whose first argument is a name: the names for which it answers otherwise."""
    convention: tuple[str, str] = ("", "")
    """Of a variant that can be declared: the convention and its value."""
    why_not_small: str = ""
    """Of the first that shows a clause best: why no small example of round numbers can show it; empty if one can."""
    repeats: bool = True
    """Whether it answers the same when it is asked again; one that does not is told to be random, and is never named."""
    soon: bool = True
    """Whether a few hundred steps show it; one that takes thousands is never named, because nobody would wait for it."""
    chapters: tuple[str, ...] = ()
    """The chapters whose clauses it is tried on, where they are not those of its operation."""
    beside: tuple[str, ...] = ()
    """The right operations that its target offers as well, because a clause compares them with it."""
    needs: str = ""
    """The module without which it cannot be tried; empty if it needs none."""

    @property
    def possible(self) -> bool:
        """Whether it can be tried here."""
        return not self.needs or importlib.util.find_spec(self.needs) is not None

    def answer(self, correct: Callable[..., Any], *arguments: Any) -> Any:
        """What it returns in the place of a right operation, to whose first argument it may not apply."""
        concerned = not self.applies_to or arguments[0] in self.applies_to
        return self.wrong(correct, *arguments) if concerned else correct(*arguments)

    @property
    def links(self) -> list[str]:
        """The addresses of where it was seen."""
        return [f"https://github.com/{place.replace('#', '/issues/')}" for place in self.seen]

    @property
    def main(self) -> str:
        """The clause that shows it best."""
        return self.breaks[0]

    @property
    def breaks(self) -> list[str]:
        """The clauses that it breaks, or may break, in whatever dtype."""
        return list(dict.fromkeys(clause.rstrip("?").partition("@")[0] for clause in self.clauses))

    def breaks_in(self, dtype: str) -> set[str]:
        """The clauses that it breaks, or may break, in one dtype. What shows in float32 only shows in narrower ones too."""
        where = {"", dtype if dtype == "float64" else "float32"}
        return {name for name, _, only in (one.rstrip("?").partition("@") for one in self.clauses) if only in where}

    def told(self) -> dict[str, Any]:
        """What a report says of it."""
        said = {name: getattr(self, name) for name in ("operation", "name", "kind", "sentence")}
        return {**said, "clauses": self.breaks, "seen": self.links}


_registered: dict[tuple[str, str], Impostor] = {}


def add(one: Impostor) -> None:
    """Put an impostor into the catalog."""
    key = one.operation, one.name
    if key in _registered and _registered[key].sentence != one.sentence:
        raise ValueError(f"two impostors of {one.operation} are called {one.name}")
    _registered[key] = one


MODULES = {
    "optimizers": (
        *("optimizers", "optimizer_variants", "optimizer_questions"),
        *("further_optimizers", "newest_optimizers", "quasi_newton", "rows"),
    ),
    "training": ("schedules", "clipping", "averages", "training", "minibatches"),
    "validation": ("splits", "validation", "regularization", "stopping"),
}
"""The modules of a chapter that has several; any other chapter has one of its own name."""


def modules() -> list[ModuleType]:
    """The modules with the chapters' impostors, in reading order."""
    names = [name for chapter in CHAPTERS for name in MODULES.get(chapter, (chapter,))]
    return [importlib.import_module(f"calibrant.impostors.{name}") for name in names]


@functools.cache
def catalog() -> tuple[Impostor, ...]:
    """All impostors, in the order of the protocol's operations."""
    modules()
    order = list(OPERATIONS)
    return tuple(sorted(_registered.values(), key=lambda one: order.index(one.operation)))


def repeatable(operation: str, optimizer: str = "") -> list[Impostor]:
    """The impostors of an operation, or of one optimizer, that may be named: they answer the same when they are asked again."""
    found = [one for one in catalog() if one.operation == operation and one.repeats and one.soon]
    return [one for one in found if not optimizer or not one.applies_to or optimizer in one.applies_to]


def breaking(clause: str) -> list[Impostor]:
    """The impostors that break a clause, those first that it shows best."""
    found = [one for one in catalog() if clause in one.breaks]
    return sorted(found, key=lambda one: one.main != clause)


def select(names: Sequence[str]) -> list[Impostor]:
    """The impostors of these operations, clauses or names; all if there are none.

    Raises UnknownName for what is none of them, with the nearest.
    """
    found: dict[Impostor, None] = {}
    for name in names:
        of_name = [x for x in catalog() if name in (x.operation, x.name, f"{x.operation}.{x.name}", *x.breaks)]
        if not of_name and name not in book():
            known = dict.fromkeys(word for one in catalog() for word in (one.operation, one.name, one.main))
            raise UnknownName(f"{name!r} is no impostor, operation or clause{nearest(name, list(known))}")
        found |= dict.fromkeys(of_name)
    return [*found] if names else [*catalog()]
