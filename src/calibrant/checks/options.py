"""Options of a check, and why one cannot be made."""

from __future__ import annotations

import os
from dataclasses import dataclass

from calibrant.book.clauses import CHAPTERS, book
from calibrant.protocol.dtypes import DTYPES
from calibrant.protocol.errors import CheckError
from calibrant.protocol.text import nearest
from calibrant.suite.session import PROFILES


@dataclass(frozen=True)
class Options:
    """What is to be checked, and how thoroughly."""

    chapters: tuple[str, ...] = ()
    clauses: tuple[str, ...] = ()
    dtypes: tuple[str, ...] = ()
    profile: str = "dev"
    examples: int | None = None
    seed: int | None = None
    timeout: float = 10.0
    workers: int | None = None

    def validated(self) -> Options:
        """These options, with every choice made. Raises CheckError for what does not exist, naming the nearest."""
        for kind, chosen, known in (
            ("chapter", self.chapters, list(CHAPTERS)),
            ("clause", self.clauses, list(book())),
            ("dtype", self.dtypes, list(DTYPES)),
            ("profile", (self.profile,), list(PROFILES)),
        ):
            for name in chosen:
                if name not in known:
                    raise CheckError(f"there is no {kind} {name!r}{nearest(name, known)}")
        for name, value, least in (
            ("examples", self.examples, 1),
            ("workers", self.workers, 1),
            ("seed", self.seed, 0),
        ):
            if value is not None and value < least:
                raise CheckError(f"{name} is {value}: it must be at least {least}")
        if not 0.05 <= self.timeout <= 86400:
            raise CheckError(f"timeout is {self.timeout:g}: it must be from 0.05 to 86400 seconds")
        same = PROFILES[self.profile].same
        if same and self.seed is not None:
            raise CheckError(f"the profile {self.profile} draws the same examples every time: it takes no seed")
        seed = 0 if same else self.seed if self.seed is not None else int.from_bytes(os.urandom(4), "big")
        return Options(
            self.chapters,
            self.clauses,
            self.dtypes,
            self.profile,
            self.examples,
            seed,
            self.timeout,
            self.workers or len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else self.workers or 1,
        )

    def selects(self, clause: str) -> bool:
        """Whether a clause is asked for."""
        if not self.chapters and not self.clauses:
            return True
        return clause in self.clauses or book()[clause].chapter in self.chapters
