"""The page of a check or of a matrix: one HTML file that needs nothing else."""

from __future__ import annotations

import base64
import functools
import hashlib
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from importlib import resources
from typing import TYPE_CHECKING, Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from calibrant.checks.outcomes import Finding
from calibrant.checks.verdicts import GRAVEST
from calibrant.judge import show
from calibrant.protocol import VERSION
from calibrant.protocol.declarations import DTYPES
from calibrant.protocol.errors import CheckError, NoAnswer, printable
from calibrant.protocol.operations import OPERATIONS
from calibrant.protocol.wire import decoded
from calibrant.reports import pictures
from calibrant.reports.closing import outcome
from calibrant.reports.findings import (
    Told,
    counted,
    counts,
    explanations,
    place,
    told,
    totals,
    ulps_of,
    unserved,
    without_indent,
)
from calibrant.reports.machine import environment
from calibrant.reports.pictures import number

if TYPE_CHECKING:
    from calibrant.checks.check import Checked
    from calibrant.checks.verdicts import Result

_MOST = 64
"""The most elements of an answer that have a row each."""


def text(matrix: Sequence[Checked]) -> str:
    """The page of these checks; everything that a target said is escaped."""
    jinja = Environment(
        loader=PackageLoader("calibrant.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    jinja.filters |= {"count": counted, "prose": _prose, "place": place, "paragraph": without_indent}
    jinja.filters |= {"counts": counts, "explanations": explanations, "unserved": unserved}
    jinja.filters |= {"calls": _calls, "facts": _facts, "elements": _elements, "drawn": _drawn}
    several = len(matrix) > 1
    checks = [_Page(one, f"t{k}-" if several else "") for k, one in enumerate(matrix, start=1)]
    style, script = _part("page.css"), _part("page.js")
    return jinja.get_template("page.html").render(
        calibrant=VERSION,
        checks=checks,
        several=several,
        rows=_rows(checks),
        statuses=GRAVEST,
        occurring=[status for status in GRAVEST if any(status in check.totals for check in checks)],
        style=Markup(style),
        script=Markup(script),
        allowed=f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; base-uri 'none'; form-action 'none'",
    )


def _shown(value: Any) -> Any:
    """Text in printable characters only; what calibrant has drawn itself stays as it is."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _prose(sentence: str) -> Markup:
    """A sentence whose words in backticks are code."""
    parts = enumerate(printable(sentence).split("`"))
    return Markup("").join(Markup("<code>{}</code>").format(part) if k % 2 else escape(part) for k, part in parts)


def _part(name: str) -> str:
    return resources.files("calibrant.reports").joinpath("templates", name).read_text(encoding="utf-8")


def _hash(source: str) -> str:
    """A source as a policy names it, so that a browser takes this one and no other."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()}'"


def _rows(checks: Sequence[_Page]) -> list[tuple[str, str, list[Told | None]]]:
    """The table of a matrix: each clause, its chapter, and what became of it in each check."""
    found = [{clause.name: clause for clause in check.clauses} for check in checks]
    return [
        (name, next(of[name].chapter for of in found if name in of), [of.get(name) for of in found])
        for name in dict.fromkeys(name for of in found for name in of)
    ]


@dataclass(frozen=True)
class _Page:
    """One check as the template reads it."""

    checked: Checked
    prefix: str
    """The beginning of every id, in a matrix."""

    @property
    def result(self) -> Result | None:
        return self.checked.result

    @property
    def name(self) -> str:
        return self.checked.name if self.result is None else str(self.result.target["name"])

    @property
    def outcome(self) -> str:
        return f"cannot be checked here: {self.checked.problem}" if self.result is None else outcome(self.result)

    @property
    def kind(self) -> str:
        """The colour of the outcome."""
        return ("good", "bad", "unknown")[self.checked.exit_status]

    @functools.cached_property
    def clauses(self) -> list[Told]:
        return [] if self.result is None else told(self.result)

    @property
    def failing(self) -> list[Told]:
        """Those that fail; the warnings last."""
        return sorted((clause for clause in self.clauses if clause.failing), key=lambda clause: not clause.fails)

    @property
    def totals(self) -> dict[str, int]:
        return dict(totals(self.clauses))

    @property
    def dtypes(self) -> list[str]:
        seen = {verdict.dtype for clause in self.clauses for verdict in clause.verdicts}
        return [dtype for dtype in DTYPES if dtype in seen]

    @property
    def margins(self) -> Markup | None:
        """The picture of the largest errors of all clauses; None where none has an error."""
        rows: dict[str, list[tuple[str, float, str]]] = {}
        for clause in self.clauses:
            for verdict in clause.verdicts:
                ratios = [number(one.bounds) for one in verdict.failures]
                known = [x for x in ratios if x is not None] or [verdict.worst / self.slack] * (
                    verdict.status == "holds"
                )
                for ratio in [x for x in known if x > 0][:1]:
                    link = f"#{self.prefix}{clause.name}" if clause.failing else f"#{self.prefix}row-{clause.name}"
                    rows.setdefault(clause.chapter, []).append((f"{clause.name} in {verdict.dtype}", ratio, link))
        return Markup(pictures.margins(list(rows.items()))) if rows else None

    @property
    def silent(self) -> list[tuple[str, str, list[str]]]:
        """What was not judged: the status, why, and the clauses; the most frequent reason first."""
        found: dict[tuple[str, str], list[str]] = {}
        for clause in self.clauses:
            for status in ("absent", "undecided"):
                which = [verdict for verdict in clause.verdicts if verdict.status == status]
                if which:
                    where = f" ({', '.join(v.dtype for v in which)})" if len(which) < len(clause.verdicts) else ""
                    reason = next((v.reason for v in which if v.reason), "nothing could be judged")
                    found.setdefault((status, reason), []).append(clause.name + where)
        return sorted(
            ((status, why, names) for (status, why), names in found.items()), key=lambda x: (x[0], -len(x[2]))
        )

    @property
    def slack(self) -> float:
        """The factor by which the target widens every bound: what counts is the widened one."""
        return 1.0 if self.result is None else float(self.result.target["slack"])

    def worst(self, clause: Told) -> str:
        """The largest error of a clause that holds, in units of its bound."""
        worst = max(verdict.worst for verdict in clause.verdicts) / self.slack
        return f"{worst:.2g}" if worst and not clause.failing else ""

    def spread(self, clause: Told) -> Markup | None:
        """The picture of all errors of a clause that are within their bound; None if none was counted."""
        counts = [sum(several) for several in zip(*(v.spread for v in clause.verdicts if v.spread), strict=True)]
        return Markup(pictures.spread(counts)) if any(counts) else None

    @property
    def deviating(self) -> list[Told]:
        return [clause for clause in self.clauses if clause.status == "deviates"]

    @property
    def work(self) -> tuple[int, int, int]:
        """The number of examples, of judged numbers, and of numbers in the largest array that was asked."""
        verdicts = [verdict for clause in self.clauses for verdict in clause.verdicts]
        largest = max((v.largest for v in verdicts), default=0)
        return sum(v.examples for v in verdicts), sum(v.judged for v in verdicts), largest

    @property
    def surroundings(self) -> list[tuple[str, str]]:
        """Where and how it was checked."""
        assert self.result is not None
        target, options = self.result.target, self.result.options
        about = [("target", target["spec"]), ("version", target.get("version")), ("dtypes", ", ".join(self.dtypes))]
        about += [(f"convention {name}", choice) for name, choice in target["conventions"].items()]
        about += [("bounds widened", f"{target['slack']:g} times")] if target["slack"] != 1 else []
        about += [("command", options.command(target["spec"]))]
        about += [("profile", options.profile), ("examples for each property", options.examples)]
        about += [("seed", "the same examples in every run" if options.profile == "ci" else options.seed)]
        about += [("time limit of a call", f"{options.timeout:g} s"), ("workers", options.workers)]
        return [(name, str(said)) for name, said in (*about, *environment().items()) if said not in (None, "")]


def _calls(finding: Finding) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Each call of an example: its operation, and its arguments as a person writes them."""
    for call in finding.calls:
        yield call["operation"], [(name, value(said)) for name, said in call["arguments"].items()]


def value(said: Any) -> str:
    """A value of a report as a person writes it: an array in the shortest digits of its dtype."""
    array = _array(said)
    if array is not None:
        return show(array)
    if isinstance(said, dict):
        return "{" + ", ".join(f"{key}: {value(part)}" for key, part in said.items()) + "}"
    if isinstance(said, list):
        return "[" + ", ".join(map(value, said)) + "]"
    return str(said)


def _array(said: Any) -> np.ndarray[Any, Any] | None:
    """The array that a report wrote down; None for anything else."""
    if not isinstance(said, dict) or "dtype" not in said:
        return None
    dtype = re.sub(r"^(float(96|128)|uint64)$", "float64", str(said["dtype"]))
    try:
        array: np.ndarray[Any, Any] = decoded(said | {"dtype": re.sub(r"^u?int\d+$", "int64", dtype)})
    except (NoAnswer, CheckError):  # a target may have forged it
        return None
    return array


@dataclass(frozen=True)
class _Numbers:
    """The numbers of a failing answer, one by one, beside the exact ones."""

    indices: list[str]
    came_back: list[float]
    exact: list[float]
    errors: list[float]
    bounds: list[float]

    @property
    def ratios(self) -> list[float]:
        """The errors in units of their bounds."""
        return [
            0.0 if error == 0 else error / bound if bound > 0 else math.inf
            for error, bound in zip(self.errors, self.bounds, strict=True)
        ]


def _numbers(finding: Finding) -> _Numbers | None:
    """The numbers of a failing answer; None where no exact numbers with bounds are beside it."""
    came_back, due = _array(finding.actual), _array(finding.expected)
    if came_back is None or due is None or finding.exactly is None or finding.allowed is None:
        return None
    if not came_back.size == due.size == len(finding.exactly) == len(finding.allowed):
        return None
    numbers = came_back.astype(np.float64).reshape(-1).tolist()
    return _Numbers(
        [", ".join(map(str, index)) for index in np.ndindex(due.shape)],
        numbers,
        due.astype(np.float64).reshape(-1).tolist(),
        [_distance(x, exactly) for x, exactly in zip(numbers, finding.exactly, strict=True)],
        [math.inf if (bound := number(x)) is None else bound for x in finding.allowed],
    )


def _distance(x: float, exactly: str) -> float:
    """The distance of a number from a fraction."""
    try:
        return float(abs(Fraction(x) - Fraction(exactly))) if math.isfinite(x) else math.inf
    except (ArithmeticError, ValueError):  # it is beyond float64
        return math.inf


def _facts(finding: Finding) -> list[tuple[str, str]]:
    """What came back and what is due, in words and numbers."""
    facts = []
    if finding.actual is not None:
        facts.append(("came back", value(finding.actual)))
    if finding.exactly is not None:
        facts.append(("exact value", _exact_value(finding)))
    elif finding.expected is not None:
        facts.append(("due", value(finding.expected)))
    for name, said in (("error", finding.error), ("bound", finding.bound)):
        if (x := number(said)) is not None:
            facts.append((name, f"{x:.6g}"))
    if math.isfinite(bounds := number(finding.bounds) or math.nan):
        ulps = ulps_of(finding)
        facts.append(("off by", f"{bounds:,.4g} bounds" + ("" if ulps is None else f", {ulps:,.4g} ulps")))
    return facts


def _exact_value(finding: Finding) -> str:
    """The exact value as decimals, with the fraction beside it where that is one and short."""
    assert finding.exactly is not None
    decimal = value(finding.expected)
    fractions = finding.exactly
    return (
        f"{decimal} = {fractions[0]}"
        if len(fractions) == 1 and "/" in fractions[0] and len(fractions[0]) < 24
        else decimal
    )


def _elements(finding: Finding) -> list[tuple[str, str, str, str, str, str, bool]]:
    """A row for each number of an answer of several: index, came back, exact, error, bound, error in bounds, whether it is outside."""
    numbers = _numbers(finding)
    if numbers is None or not 1 < len(numbers.came_back) <= _MOST:
        return []
    columns = zip(
        numbers.indices, numbers.came_back, numbers.exact, numbers.errors, numbers.bounds, numbers.ratios, strict=True
    )
    return [
        (index, f"{came_back:.9g}", f"{exact:.9g}", f"{error:.3g}", f"{bound:.3g}", f"{ratio:,.3g}", not ratio <= 1)
        for index, came_back, exact, error, bound, ratio in columns
    ]


def _drawn(finding: Finding) -> list[Markup]:
    """The pictures that say more than the sentence."""
    found = [_split(finding), _path(finding) or _sequence(finding)]
    if not found[0]:
        numbers, bounds = _numbers(finding), number(finding.bounds)
        ratios = numbers.ratios if numbers else [bounds] if bounds is not None else []
        found.append(pictures.errors(ratios) if any(not ratio <= 1 for ratio in ratios) else None)
    return [Markup(picture) for picture in found if picture]


def _split(finding: Finding) -> str | None:
    """The rows of the last split of an example."""
    call: dict[str, Any] = finding.calls[-1] if finding.calls else {}
    parts, arguments = call.get("answer"), call.get("arguments", {})
    if call.get("operation") == "split" and isinstance(parts, list) and len(parts) == 2:
        train, val = map(_flat, parts)
        count = arguments.get("n_samples")
        if isinstance(count, int) and 0 < count <= 4096 and all(x.is_integer() for x in (*train, *val)):
            return pictures.rows_of_a_split([*map(int, train)], [*map(int, val)], count)
    return None


def _path(finding: Finding) -> str | None:
    """The number of a trajectory that is told to be wrong, step by step, beside the exact one."""
    answer = finding.calls[-1].get("answer") if finding.calls else None
    if (
        not (finding.path and finding.exactly)
        or not isinstance(answer, list)
        or len(answer) != len(finding.path)
        or len(answer) < 3
    ):
        return None
    leaf = next((step.index(finding.expected) for step in finding.path if finding.expected in step), None)
    if leaf is None or any(not isinstance(step, list) or leaf >= len(step) for step in answer):
        return None
    came_back, exact = ([_flat(step[leaf]) for step in steps] for steps in (answer, finding.path))
    if len({len(step) for step in (*came_back, *exact)}) != 1 or not exact[0]:
        return None
    worst = max(
        range(len(exact[0])), key=lambda k: max(_gap(a[k], b[k]) for a, b in zip(came_back, exact, strict=True))
    )
    what = "step" + f", parameter {leaf}" * (len(finding.path[0]) > 1) + f", element {worst}" * (len(exact[0]) > 1)
    return pictures.sequence([step[worst] for step in came_back], [step[worst] for step in exact], what)


def _gap(a: float, b: float) -> float:
    return abs(a - b) if math.isfinite(a) and math.isfinite(b) else math.inf


def _flat(said: Any) -> list[float]:
    """The numbers of an array in a row; none of anything else."""
    array = _array(said)
    return [] if array is None else array.astype(np.float64).reshape(-1).tolist()


def _sequence(finding: Finding) -> str | None:
    """The losses of a loop beside the exact ones."""
    last = finding.calls[-1]["operation"] if finding.calls else ""
    came_back, exact = _array(finding.actual), _array(finding.expected)
    loops = last in OPERATIONS and any("losses" in part for part in OPERATIONS[last].parts)
    if (
        not (loops and finding.exactly)
        or came_back is None
        or exact is None
        or came_back.ndim != 1
        or exact.ndim != 1
        or exact.size < 3
    ):
        return None
    return pictures.sequence(_flat(finding.actual), _flat(finding.expected), "epoch")
