"""Options of a check, and their validation."""

from __future__ import annotations

import fnmatch
import functools
import os
import shlex
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, fields, replace

from calibrant.book.clauses import CHAPTERS, LAYERS, book
from calibrant.protocol.declarations import DTYPES
from calibrant.protocol.errors import CheckError, nearest
from calibrant.protocol.operations import checked_formulas
from calibrant.suite.session import PROFILES
from calibrant.target.loading import PROGRAM

_FEW = 12
"""The most known names that a message lists."""


def expanded(names: Iterable[str], known: Collection[str], kind: str) -> tuple[str, ...]:
    """The known names that these words stand for, in the order of the known ones.

    A word is a name, a pattern such as `loss.*`, or several of either with commas between them. Raises CheckError for a word
    that stands for nothing: it names the nearest, or a few that are known.
    """
    found: set[str] = set()
    for word in (part.strip() for name in names for part in name.split(",")):
        fitting = fnmatch.filter(known, word)
        if not fitting:
            raise CheckError(f"there is no {kind} {word!r}{nearest(word, known) or _some(known)}")
        found.update(fitting)
    return tuple(name for name in known if name in found)


def _some(known: Collection[str]) -> str:
    """'; known: a, b': all where they are few, else three and the command that lists all."""
    if len(known) <= _FEW:
        return f"; known: {', '.join(known)}"
    return f"; known: {', '.join([*known][:3])}, ...: `calibrant check --list` lists all {len(known)}"


@dataclass(frozen=True)
class Options:
    """The chapters, clauses and dtypes to check, and how thoroughly. `expanded` reads the names."""

    chapters: tuple[str, ...] = ()
    clauses: tuple[str, ...] = ()
    dtypes: tuple[str, ...] = ()
    profile: str = "dev"
    examples: int | None = None
    seed: int | None = None
    timeout: float = 10.0
    workers: int | None = None
    isolated: bool = False
    """Whether the target's code runs in processes that judge nothing."""
    max_deviations: int | None = None
    """The most declared deviations of a target that conforms; None for any number."""
    max_undecided: int | None = None
    """The most undecided MUST clauses of a target that conforms; None for any number."""
    strict: bool = False
    """Whether a broken SHOULD makes a target nonconforming."""
    fail_fast: int | None = None
    """The number of failed clauses that ends the check; None for no end."""
    deviations: str | None = None
    """A TOML file that declares further deviations of the target."""
    last: str | None = None
    """A file on an earlier check, whose failing examples come first."""
    formulas: str | None = None
    """The formulas that the target is held against, instead of the chapters: `catalogue`, or a file."""
    autodiff: str | None = None
    """The framework that differentiates the target's functions, where the target names none."""
    shapes: str | None = None
    """The shapes of the formula's arguments, where it declares none."""

    def validated(self) -> Options:
        """These options with every default filled in. Raises CheckError for an unknown name, with the nearest known one."""
        dtypes = expanded(self.dtypes, DTYPES, "dtype")
        _ = self.selected  # an unknown name is refused here
        if self.profile not in PROFILES:
            raise CheckError(
                f"there is no profile {self.profile!r}{nearest(self.profile, PROFILES) or _some(PROFILES)}"
            )
        for name, value, least in (
            ("examples", self.examples, 1),
            ("workers", self.workers, 1),
            ("seed", self.seed, 0),
            ("max-deviations", self.max_deviations, 0),
            ("max-undecided", self.max_undecided, 0),
            ("fail-fast", self.fail_fast, 1),
        ):
            if value is not None and value < least:
                raise CheckError(f"{name} is {value}: it must be at least {least}")
        if not 0.05 <= self.timeout <= 86400:
            raise CheckError(f"timeout is {self.timeout:g}: it must be from 0.05 to 86400 seconds")
        same = PROFILES[self.profile].same
        if same and self.seed:
            raise CheckError(f"the profile {self.profile} draws the same examples every time: it takes no seed")
        seed = 0 if same else self.seed if self.seed is not None else int.from_bytes(os.urandom(4), "big")
        return replace(self, dtypes=dtypes, seed=seed, workers=self.workers or _cores())

    @functools.cached_property
    def selected(self) -> frozenset[str]:
        """The names of the clauses that these options ask for. Raises CheckError for an unknown name."""
        chapters, clauses = expanded(self.chapters, CHAPTERS, "chapter"), expanded(self.clauses, book(), "clause")
        if checked_formulas() and self.chapters:
            raise CheckError(
                f"a check of formulas has one chapter, {LAYERS}: choose clauses, as in --clause 'layers.*'"
            )
        everything = not self.chapters and not self.clauses
        return frozenset(
            name
            for name, clause in book().items()
            if (clause.chapter == LAYERS) == bool(checked_formulas())
            and (everything or name in clauses or clause.chapter in chapters)
        )

    def selects(self, clause: str) -> bool:
        """Whether these options ask for a clause."""
        return clause in self.selected

    def command(self, spec: str) -> str:
        """The command that repeats a check of a target with these options."""
        return f"calibrant check {shlex.join([*_named(spec), *self._words()])}"

    def _words(self, without: Collection[str] = ()) -> list[str]:
        """The words of a command line that give these options."""
        words = list[str]()
        usual = Options(workers=_cores())
        for name, option in OPTIONS.items():
            value = getattr(self, name) if name not in without else None
            if value is True:
                words.append(option)
            elif isinstance(value, tuple):
                words += [option, ",".join(value)] * bool(value)
            elif value != getattr(usual, name) and (name != "seed" or not PROFILES[self.profile].same):
                words += [option, f"{value:g}" if isinstance(value, float) else str(value)]
        return words


def matrix_command(plans: Sequence[tuple[str, Options]]) -> str:
    """The command that checks several targets with these options, which differ only in their deviations."""
    words = [word for spec, _ in plans for word in _named(spec)]
    own = [
        f"--deviations={spec.removeprefix(PROGRAM)}={options.deviations}"
        for spec, options in plans
        if options.deviations
    ]
    return f"calibrant matrix {shlex.join([*words, *own, *plans[0][1]._words(without=['deviations'])])}"


def _named(spec: str) -> list[str]:
    """The words of a command line that name a target."""
    return ["--program", spec.removeprefix(PROGRAM)] if spec.startswith(PROGRAM) else [spec]


OPTIONS = {one.name: f"--{one.name.replace('_', '-')}" for one in fields(Options) if one.name != "last"}
OPTIONS |= {"chapters": "--chapter", "clauses": "--clause", "dtypes": "--dtype"}
"""The option of the command line for each field."""


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
