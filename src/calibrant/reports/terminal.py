"""The verdicts for a person at a terminal."""

from __future__ import annotations

import itertools
import re
import textwrap
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from calibrant.book.clauses import book
from calibrant.checks.outcomes import COUNTS, Finding
from calibrant.checks.verdicts import Verdict, gravest, uncovered
from calibrant.protocol.errors import escaped, printable

if TYPE_CHECKING:
    from rich.console import Console

    from calibrant.checks.verdicts import Result

COLUMNS = ("holds", "breaks", "broken", "stale", "deviates", "absent", "undecided", "error")
STYLES = {"holds": "green", "breaks": "bold red", "broken": "bold red", "stale": "bold red", "error": "bold magenta"}

_MATHEMATICS = (
    (r"\\begin\{pmatrix\}(.*?)\\end\{pmatrix\}", r"[\1]"),
    (r"\\begin\{cases\}(.*?)\\end\{cases\}", r"{ \1 }"),
    (r" *& *\\text", r" \\text"),
    (r" *& *", ", "),
    (r",? *\\cr *", "; "),
    (r"\\text\{([^{}]*)\}", r" \1 "),
    (r"\{,\}", ","),
    (r"\\frac(\d)(\w)", r"\1/\2"),
    (r"\\frac(\d)\{([^{}]*)\}", r"\1/(\2)"),
    (r"\\(?:left|right)", ""),
    (r"\^\\top", "ᵀ"),
    (r"_\{(\w),i\}", r"_\1[i]"),
    (r"_\{\\(max|min)\}", r"_\1"),
    (r"_\{([^{}]*)\}", r"[\1]"),
    (r"\^\{([^{}]*)\}", r"^(\1)"),
    (r"\\operatorname\{([^{}]*)\}", r"\1"),
    (r"\\overline\{(\d+)\}", r"\1..."),
    (r"\\sqrt\{([^{}]*)\}", r"√(\1)"),
    (r"\\d?frac\{([^{}]*)\}\{([^{}]*)\}", r"(\1) / (\2)"),
    (r"\\hat ?(\\\w+|(?<= )\w)", "\\1\N{COMBINING CIRCUMFLEX ACCENT}"),
    (r"\\bar (\w)", "\\1\N{COMBINING MACRON}"),
    (r"\\bar\{(\w)\}", "\\1\N{COMBINING MACRON}"),
    (r"\\sqrt ?(\\\w+|\w)", r"√\1"),
    (r"\^\\ast", "*"),
    (r"\\sum_i", "Σ"),
    (r"\^2", "²"),
    (r"\^3", "³"),
    (r"\\(?:q?quad|[ ,;])", " "),
)
"""Patterns of TeX and their replacements, from the inside out."""

# fmt: off
_LETTERS = {
    "theta": "θ", "eta": "η", "lambda": "λ", "delta": "δ", "mu": "μ", "tau": "τ", "beta": "β", "epsilon": "ε", "rho": "ρ",
    "alpha": "α", "psi": "ψ", "ell": "ℓ", "partial": "∂", "nabla": "∇", "infty": "∞", "ne": "≠", "cdot": "·", "dots": "...",
    "ldots": "...", "cdots": "...", "kappa": "κ", "phi": "φ", "gamma": "γ", "pm": "±", "le": "≤", "ge": "≥", "approx": "≈",
    "in": "∈", "sum": "Σ",
}
# fmt: on


def readable(sentence: str) -> str:
    """A sentence of the book without its TeX and the targets of its links."""

    def formula(match: re.Match[str]) -> str:
        text, before = match[1], ""
        while text != before:
            before = text
            for pattern, replacement in _MATHEMATICS:
                text = re.sub(pattern, replacement, text)
        return re.sub(r"\\([a-z]+)", lambda m: _LETTERS.get(m[1], m[1]), text)

    text = re.sub(r"\[([^]]+)\]\([^()]+\.md\)", r"\1", re.sub(r"\$([^$]+)\$", formula, sentence))
    return " ".join(text.split())


def by_clause(verdicts: Iterable[Verdict]) -> dict[str, list[Verdict]]:
    """The verdicts of each clause, over all dtypes; they stand in the book's order."""
    return {clause: [*some] for clause, some in itertools.groupby(verdicts, key=lambda verdict: verdict.clause)}


def counts(verdicts: Iterable[Verdict]) -> dict[str, dict[str, int]]:
    """For each chapter, in the book's order, the number of clauses with each status."""
    table: dict[str, dict[str, int]] = {}
    for of_clause in by_clause(verdicts).values():
        row = table.setdefault(of_clause[0].chapter, dict.fromkeys(COLUMNS, 0))
        row[gravest(of_clause)] += 1
    return table


def _totals(verdicts: Iterable[Verdict]) -> Counter[str]:
    return Counter(gravest(of_clause) for of_clause in by_clause(verdicts).values())


def show(result: Result, console: Console) -> None:
    """Print the failing clauses with their reasons, the table of the chapters, and a summary."""
    from rich.table import Table

    put(failure_lines(result.verdicts), console)
    total = _totals(result.verdicts)
    shown = [column for column in COLUMNS if column == "holds" or total[column]]
    none = blank(console)
    drawn = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    drawn.add_column("chapter")
    for column in shown:
        drawn.add_column(column, justify="right", style=STYLES.get(column, ""))
    for chapter, row in (counts(result.verdicts) | {"all": total}).items():
        drawn.add_row(chapter, *(str(row[column] or none) for column in shown))
    console.print(drawn)
    console.print()
    put(closing_lines(result), console)


def blank(console: Console) -> str:
    """The sign for nothing in a table: one that every terminal shows, where it does not show all of Unicode."""
    return "·" if console.encoding.startswith("utf") else "-"


def put(texts: Iterable[str], console: Console) -> None:
    """Print texts as they are: nothing in them is markup, or moves the cursor."""
    from rich.text import Text

    for text in texts:
        console.print(Text(printable(text)), soft_wrap=True)


def failure_lines(verdicts: Iterable[Verdict]) -> list[str]:
    """The lines about every clause that does not hold."""
    lines: list[str] = []
    for name, of_clause in by_clause(verdicts).items():
        first = of_clause[0]
        if gravest(of_clause) == "stale":
            lines.append(f"{name}  stale   {readable(first.sentence)}")
            lines += [f"  It is declared as a deviation ({first.reason}), but it holds.", ""]
        failing = [verdict for verdict in of_clause if verdict.failures and verdict.status != "deviates"]
        if not failing:
            continue
        first, dtypes = failing[0], ", ".join(verdict.dtype for verdict in failing)
        lines.append(f"{name}  {gravest(failing)} in {dtypes}   {readable(first.sentence)}")
        told: set[str] = set()
        for failure in first.failures:
            if failure.text not in told:
                told.add(failure.text)
                lines += _failure_lines(failure, first)
        if first.level == "SHOULD":
            lines.append("  It is a SHOULD: this is a warning.")
        lines.append("")
    return lines


def _failure_lines(failure: Finding, verdict: Verdict) -> list[str]:
    lines = [failure.text.rstrip()]
    if isinstance(failure.bounds, (int, float)) and failure.bounds > 0:
        in_ulps = f", {failure.ulps:.3g} units in the last place" if isinstance(failure.ulps, (int, float)) else ""
        lines.append(f"  The error is {failure.bounds:.3g} times its bound{in_ulps} of {verdict.dtype}.")
    lines += impostor_lines(failure.impostors)
    if failure.snippet:
        lines += ["  To see it:", textwrap.indent(failure.snippet, "    ")]
    return lines


def impostor_lines(impostors: list[dict[str, Any]]) -> list[str]:
    """'  loss_fn behaves as `half`: ...; seen in ...', or as either of several."""
    lines = []
    for operation in dict.fromkeys(one["operation"] for one in impostors):
        named = [one for one in impostors if one["operation"] == operation]
        for k, one in enumerate(named):
            places = [link.removeprefix("https://github.com/").replace("/issues/", "#") for link in one["seen"]]
            seen = f"; seen in {', '.join(places[:3])}" if places else ""
            what = f"{operation} behaves as" if k == 0 else "  or as"
            lines.append(f"  {what} `{one['name']}`: {one['sentence']}{seen}.")
    return lines


def closing_lines(result: Result) -> list[str]:
    """The lines after the table: deviations, reservations, and the verdict on the target."""
    target, verdicts = result.target, result.verdicts
    name = target["name"] + (f" ({target['version']})" if target["version"] else "")
    lines = [
        f"{clause} deviates as declared: {next(v.reason for v in of_clause if v.reason)}"
        for clause, of_clause in by_clause(verdicts).items()
        if gravest(of_clause) == "deviates"
    ]
    lines += [
        f"{v.clause} is undecided in {v.dtype}: {v.reason}." for v in verdicts if v.status == "undecided" and v.reason
    ]
    if target["slack"] != 1:
        lines.append(f"Every bound was widened {target['slack']:g} times, as the target asks (slack).")
    refused = sum(verdict.refused for verdict in verdicts)
    if refused:
        lines.append(f"{refused:,} requests were not served (NotImplementedError) and count for nothing.")
    lines += [f"PARTIAL: {reason}." for reason in result.partial]
    dtypes = ", ".join(dict.fromkeys(verdict.dtype for verdict in verdicts))
    work = (
        f"{sum(v.examples for v in verdicts):,} examples and {sum(v.judged for v in verdicts):,} judged numbers in {dtypes}, "
        + ("the same in every run" if result.options.profile == "ci" else f"seed {result.options.seed}")
    )
    said = _counted(_totals(verdicts)) or "nothing ran"
    return [escaped(line, None) for line in (*lines, f"{name} {outcome(result)}: {said} ({work}).")]


def outcome(result: Result) -> str:
    """The verdict on the target, in words."""
    status, options = result.exit_status, result.options
    deviations = f"{result.deviating} declared deviation{'s' * (result.deviating != 1)}"
    undecided = f"{result.undecided} undecided MUST{'s' * (result.undecided != 1)}"
    if status == 1:
        failed = any(verdict.failed for verdict in result.verdicts)
        return "does not conform" + f" with {deviations}, where at most {options.max_deviations} may be" * (not failed)
    if status == 2:
        if all(verdict.status in ("absent", "undecided") for verdict in result.verdicts):
            return "was not checked: nothing could be judged"
        finished = not result.unfinished and all(verdict.status != "error" for verdict in result.verdicts)
        too_many = f"was left with {undecided}, where at most {options.max_undecided} may be"
        return too_many if finished else "could not be checked to the end"
    exceptions = " and ".join([deviations] * bool(result.deviating) + [undecided] * bool(result.undecided))
    partly = ", as far as it was checked" * bool(result.partial)
    return "conforms" + f" except for {exceptions}" * bool(exceptions) + partly


_WORDS = {
    "holds": ("clause holds", "clauses hold"),
    "breaks": ("breaks", "break"),
    "stale": ("declared but not deviating",) * 2,
    "deviates": ("deviates as declared", "deviate as declared"),
    "error": ("could not be checked",) * 2,
}


def _counted(row: dict[str, int]) -> str:
    """'12 clauses hold, 1 breaks'."""
    present = [(status, row[status]) for status in COLUMNS if row[status]]
    return ", ".join(f"{n} {_WORDS.get(status, (status,) * 2)[n > 1]}" for status, n in present)


def summary_lines(verdicts: list[Verdict]) -> list[str]:
    """A line for each chapter, for the end of a pytest run."""
    lines = [f"{chapter}: {_counted(row)}" for chapter, row in counts(verdicts).items()]
    return lines + [line for line in failure_lines(v for v in verdicts if v.status == "stale") if line]


def coverage_lines(verdicts: list[Verdict]) -> list[str]:
    """For each clause, the number of examples and of judged numbers, over all dtypes."""
    lines = ["", f"{'clause':32} {'examples':>9} {'judged':>9} {'unjudged':>9}"]
    for name, of_clause in by_clause(verdicts).items():
        numbers = (sum(getattr(verdict, what) for verdict in of_clause) for what in COUNTS[:3])
        lines.append(f"{name:32} " + " ".join(f"{number:9,}" for number in numbers))
    missing = uncovered(verdicts)
    lines += [f"{name:32} not covered" for name in missing]
    return [*lines, f"{len(book()) - len(missing)} of {len(book())} clauses are covered."]
