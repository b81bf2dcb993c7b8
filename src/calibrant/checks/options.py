"""Options of a check, and their validation."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace

from calibrant.book.clauses import CHAPTERS, book
from calibrant.protocol.declarations import DTYPES
from calibrant.protocol.errors import CheckError, nearest
from calibrant.suite.session import PROFILES


@dataclass(frozen=True)
class Options:
    """The chapters, clauses and dtypes to check, and how thoroughly."""

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

    def validated(self) -> Options:
        """These options with every default filled in. Raises CheckError for an unknown name, with the nearest known one."""
        for kind, names, known in (
            ("chapter", self.chapters, list(CHAPTERS)),
            ("clause", self.clauses, list(book())),
            ("dtype", self.dtypes, list(DTYPES)),
            ("profile", (self.profile,), list(PROFILES)),
        ):
            for name in names:
                if name not in known:
                    raise CheckError(f"there is no {kind} {name!r}{nearest(name, known)}")
        for name, value, least in (
            ("examples", self.examples, 1),
            ("workers", self.workers, 1),
            ("seed", self.seed, 0),
            ("max-deviations", self.max_deviations, 0),
            ("max-undecided", self.max_undecided, 0),
        ):
            if value is not None and value < least:
                raise CheckError(f"{name} is {value}: it must be at least {least}")
        if not 0.05 <= self.timeout <= 86400:
            raise CheckError(f"timeout is {self.timeout:g}: it must be from 0.05 to 86400 seconds")
        same = PROFILES[self.profile].same
        if same and self.seed is not None:
            raise CheckError(f"the profile {self.profile} draws the same examples every time: it takes no seed")
        seed = 0 if same else self.seed if self.seed is not None else int.from_bytes(os.urandom(4), "big")
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
        return replace(self, seed=seed, workers=self.workers or cores)

    def selects(self, clause: str) -> bool:
        """Whether these options ask for a clause."""
        everything = not self.chapters and not self.clauses
        return everything or clause in self.clauses or book()[clause].chapter in self.chapters
