"""What every report says of a clause: its verdicts over all dtypes, its different failures, and what explains several of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from calibrant.book.clauses import book
from calibrant.checks.outcomes import Finding, Status
from calibrant.checks.verdicts import GRAVEST, Verdict, gravest
from calibrant.reports.terminal import by_clause, readable

if TYPE_CHECKING:
    from calibrant.checks.verdicts import Result


@dataclass(frozen=True)
class Told:
    """One clause as a report tells it."""

    verdicts: Sequence[Verdict]
    strict: bool = False
    """Whether a SHOULD counts like a MUST."""

    @property
    def name(self) -> str:
        """The name of the clause."""
        return self.verdicts[0].clause

    @property
    def number(self) -> str:
        """The number of the clause in the book."""
        return book()[self.name].number

    @property
    def chapter(self) -> str:
        """The chapter of the clause."""
        return self.verdicts[0].chapter

    @property
    def level(self) -> str:
        """MUST or SHOULD."""
        return self.verdicts[0].level

    @property
    def sentence(self) -> str:
        """The statement, without its TeX."""
        return readable(self.verdicts[0].sentence)

    @property
    def status(self) -> Status:
        """The gravest status over the dtypes."""
        return gravest(self.verdicts)

    @property
    def failing(self) -> list[Verdict]:
        """The verdicts that do not hold; a declared deviation is none of them, and a stale one is."""
        return [verdict for verdict in self.verdicts if verdict.status in ("breaks", "broken", "error", "stale")]

    @property
    def fails(self) -> bool:
        """Whether the target does not conform for this clause alone, or its check failed: a SHOULD only warns."""
        return any(verdict.fails(strict=self.strict) or verdict.status == "error" for verdict in self.verdicts)

    @property
    def dtypes(self) -> str:
        """The dtypes in which it does not hold."""
        return ", ".join(verdict.dtype for verdict in self.failing)

    @property
    def reason(self) -> str:
        """Why it was not judged, or the declared reason of a deviation."""
        return next((verdict.reason for verdict in self.verdicts if verdict.reason), "")

    @property
    def findings(self) -> list[tuple[str, list[Finding]]]:
        """The different failures, those of each dtype together; dtypes that fail alike stand together."""
        found: list[tuple[str, list[Finding]]] = []
        for verdict in self.failing:
            several = list({failure.text: failure for failure in verdict.failures}.values())
            texts = [failure.text for failure in several]
            alike = next((k for k, (_, before) in enumerate(found) if [one.text for one in before] == texts), None)
            if several and alike is None:
                found.append((verdict.dtype, several))
            elif alike is not None:
                found[alike] = (f"{found[alike][0]}, {verdict.dtype}", found[alike][1])
        return found


def told(result: Result) -> list[Told]:
    """Every clause of a check, in the book's order."""
    return [Told(verdicts, result.options.strict) for verdicts in by_clause(result.verdicts).values()]


def totals(clauses: Sequence[Told]) -> Counter[str]:
    """The number of clauses of each status that occurs, the gravest first."""
    found = Counter[str](clause.status for clause in clauses)
    return Counter({status: found[status] for status in GRAVEST if found[status]})


def explanations(clauses: Sequence[Told]) -> list[tuple[dict[str, Any], list[str]]]:
    """Each impostor as which the target behaves, with the failing clauses that it explains; the one with the most first."""
    found: dict[tuple[str, str], tuple[dict[str, Any], list[str]]] = {}
    for clause in clauses:
        for _, several in clause.findings:
            for one in (impostor for finding in several for impostor in finding.impostors):
                names = found.setdefault((one["operation"], one["name"]), (one, []))[1]
                names += [clause.name] * (clause.name not in names)
    return sorted(found.values(), key=lambda pair: -len(pair[1]))


def without_indent(text: str) -> str:
    """The text of a finding as a paragraph."""
    return "\n".join(line.strip() for line in text.strip().split("\n"))


def counted(n: int, thing: str) -> str:
    """'1 example', '1,234 examples'."""
    return f"{n:,} {thing}{'s' * (n != 1)}"
