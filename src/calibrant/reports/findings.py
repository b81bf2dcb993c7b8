"""What every report says of a clause: its verdicts over all dtypes, its different failures, and what explains several of them."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from calibrant.book.clauses import book
from calibrant.checks.outcomes import Finding, Status
from calibrant.checks.verdicts import GRAVEST, Verdict, gravest
from calibrant.reports.mathematics import readable

if TYPE_CHECKING:
    from calibrant.checks.verdicts import Result

COLUMNS: tuple[Status, ...] = ("holds", "breaks", "broken", "stale", "deviates", "absent", "undecided", "error")
"""The statuses in the order of a table."""

Impostor = dict[str, Any]
"""An impostor as which a target behaves: its operation, its name, its sentence, and where it was seen."""


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
        return next(
            (verdict.reason for verdict in self.verdicts if verdict.reason and verdict.status == self.status), ""
        )

    @property
    def stale(self) -> str:
        """Why it fails where it holds although the target declares otherwise; empty if it does not."""
        return f"It is declared as a deviation ({self.reason}), but it holds." if self.status == "stale" else ""

    @property
    def explained_by(self) -> dict[tuple[str, str], Impostor]:
        """The impostors that explain it, by operation and name: those of all its failures; none unless each failure has one."""
        failures = [failure for verdict in self.failing for failure in verdict.failures]
        found = {(one["operation"], one["name"]): one for failure in failures for one in failure.impostors}
        return found if all(failure.impostors for failure in failures) else {}

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
    return by_clause(result.verdicts, strict=result.options.strict)


def by_clause(verdicts: Iterable[Verdict], *, strict: bool = False) -> list[Told]:
    """Every clause of these verdicts, which stand in the book's order."""
    groups = itertools.groupby(verdicts, key=lambda verdict: verdict.clause)
    return [Told([*of_clause], strict) for _, of_clause in groups]


def totals(clauses: Iterable[Told]) -> Counter[str]:
    """The number of clauses of each status that occurs, the gravest first."""
    found = Counter[str](clause.status for clause in clauses)
    return Counter({status: found[status] for status in GRAVEST if found[status]})


def counts(clauses: Iterable[Told]) -> dict[str, dict[str, int]]:
    """For each chapter, in the book's order, the number of clauses with each status."""
    table: dict[str, dict[str, int]] = {}
    for clause in clauses:
        table.setdefault(clause.chapter, dict.fromkeys(COLUMNS, 0))[clause.status] += 1
    return table


def explanations(clauses: Iterable[Told]) -> list[tuple[Impostor, list[str]]]:
    """Each impostor that explains clauses, with their names; the one with the most first."""
    found: dict[tuple[str, str], tuple[Impostor, list[str]]] = {}
    for clause in clauses:
        for key, one in clause.explained_by.items():
            found.setdefault(key, (one, []))[1].append(clause.name)
    return sorted(found.values(), key=lambda pair: -len(pair[1]))


def unserved(clauses: Iterable[Told]) -> list[tuple[int, str, str]]:
    """The number of requests that were not served, of each clause that had some, and the first reason; the most first."""
    found = []
    for clause in clauses:
        refused = sum(verdict.refused for verdict in clause.verdicts)
        why = next((verdict.refusal for verdict in clause.verdicts if verdict.refusal), "")
        found += [(refused, clause.name, why)] * bool(refused)
    return sorted(found, key=lambda row: -row[0])


def place(link: str) -> str:
    """A link to an issue as people write it: 'pytorch/pytorch#10148'."""
    return link.removeprefix("https://github.com/").replace("/issues/", "#").replace("/pull/", "#")


def impostor_lines(impostors: list[Impostor]) -> list[str]:
    """'  loss_fn behaves as `half`: ...; seen in ...', or as either of several."""
    lines = []
    for operation in dict.fromkeys(one["operation"] for one in impostors):
        named = [one for one in impostors if one["operation"] == operation]
        for k, one in enumerate(named):
            seen = f"; seen in {', '.join(map(place, one['seen'][:3]))}" if one["seen"] else ""
            what = f"{operation} behaves as" if k == 0 else "  or as"
            lines.append(f"  {what} `{one['name']}`: {one['sentence']}{seen}.")
    return lines


def ulps_of(finding: Finding) -> float | None:
    """The error of a finding in units in the last place; None where that says nothing, as beside an exact 0."""
    return finding.ulps if isinstance(finding.ulps, (int, float)) and finding.ulps < 1e20 else None


def without_indent(text: str) -> str:
    """The text of a finding as a paragraph."""
    return "\n".join(line.strip() for line in text.strip().split("\n"))


def counted(n: int, thing: str) -> str:
    """'1 example', '1,234 examples'."""
    return f"{n:,} {thing}{'s' * (n != 1)}"
