"""The session: the options of this pytest run. pytest forces module-level state on us: it lives here.

Every pytest run where calibrant is installed imports this, so it imports nothing heavy before a target is loaded.
"""

from __future__ import annotations

import functools
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

if TYPE_CHECKING:
    from calibrant.target.calling import Subject
    from calibrant.target.description import Target


class Profile(NamedTuple):
    """How thoroughly a property is tried."""

    examples: int
    same: bool = False
    """Whether the examples are the same in every run."""


PROFILES = {"dev": Profile(50), "ci": Profile(100, same=True), "thorough": Profile(2000)}


@dataclass(eq=False)
class Session:
    """The options and the state of one pytest run."""

    target: str = "reference"
    dtypes: tuple[str, ...] = ()
    timeout: float = 10.0
    profile: str = "dev"
    examples: int | None = None
    seed: int | None = None
    deviations: str | None = None
    """The file that declares further deviations of the target."""
    clauses: frozenset[str] | None = None
    """The clauses whose properties run; None for all of them."""
    run_folder: Path | None = None
    vectors: Path | None = None
    """The folder of vectors to replay instead of running the properties, and after the separator of paths the chapters."""
    shrink: bool = True
    """Whether Hypothesis shrinks a failing example; a trial of an impostor only needs to know that there is one."""
    last: Path | None = None
    """The file on the last check, whose failing examples come first."""
    problem: str = ""
    """What is wrong with the options, so that no target can be loaded."""
    loaded: Target | None = None
    dtypes_of: dict[Any, list[str]] = field(default_factory=dict)
    """The dtypes in which each property runs."""
    judged: dict[Any, tuple[Subject, bool]] = field(default_factory=dict)
    """The subjects of properties that have been judged in several dtypes together, and whether they held in all of them."""
    drawn_seed: int = field(default_factory=lambda: int.from_bytes(os.urandom(4), "big"))
    """The seed where none is given."""

    @functools.cached_property
    def failed(self) -> dict[str, list[dict[str, str]]]:
        """The examples that failed in the last check, for each property: the bytes of each argument in hexadecimal."""
        drawn = {} if self.last is None else json.loads(self.last.read_text(encoding="utf-8"))["drawn"]
        return cast(dict[str, list[dict[str, str]]], drawn)

    @property
    def few(self) -> bool:
        """Whether this run may miss what breaks: it has fewer examples than its profile, or leaves out a dtype of the target."""
        less = self.examples is not None and self.examples < PROFILES[self.profile].examples
        return less or bool(self.dtypes and self.loaded and {*self.loaded.dtypes} - {*self.dtypes})

    def load(self) -> Target:
        """The target, loaded once."""
        from calibrant.protocol.errors import TargetError
        from calibrant.protocol.operations import IMPORT_PATIENCE
        from calibrant.target.description import deviations_in
        from calibrant.target.isolation import at_ease, contained, give_up, watch
        from calibrant.target.loading import load
        from calibrant.target.surroundings import Surroundings

        if self.problem:
            raise TargetError(self.problem)
        if self.loaded is None:
            watch("", IMPORT_PATIENCE * self.timeout)
            try:
                with Surroundings() as surroundings:
                    self.loaded = load(self.target, self.timeout)
            except TargetError as error:
                if contained():
                    give_up(str(error))
                raise
            self.loaded.deviations = {**self.loaded.deviations, **deviations_in(self.deviations)}
            self.loaded.surroundings = surroundings
            at_ease()
        return self.loaded


_sessions = [Session()]
"""The session of each running pytest run, the innermost last."""


def current() -> Session:
    """The session of the innermost pytest run; the defaults outside of one."""
    return _sessions[-1]


def begin(session: Session) -> None:
    """Make this the session until it ends; one pytest run may start another."""
    _sessions.append(session)


def end(session: Session) -> None:
    """End a session; the outer run has its own again."""
    _sessions.remove(session)
