"""The verdicts for a person at a terminal."""

from __future__ import annotations

import contextlib
import io
import itertools
import re
import signal
import textwrap
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING, Any

from calibrant.book.clauses import book
from calibrant.checks.outcomes import COUNTS, Finding
from calibrant.checks.verdicts import Verdict, gravest, uncovered
from calibrant.protocol.errors import escaped, printable
from calibrant.target.loading import OBJECT

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
    "theta": "θ", "eta": "η", "lambda": "λ", "delta": "δ", "mu": "μ", "tau": "τ", "beta": "β", "epsilon": "ε", "rho": "ρ", "pi": "π",
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


def text(result: Result, *, width: int = 120, color: bool = False, verbosity: int = 0) -> str:
    """The whole report on a result, as `calibrant check` prints it; its verbosity is 1 for -v and -1 for -q."""
    from rich.console import Console

    file = io.StringIO()
    console = Console(
        file=file, width=width, force_terminal=color, color_system="standard" if color else None, highlight=False
    )
    show(result, console, verbosity)
    return file.getvalue()


def show(result: Result, console: Console, verbosity: int = 0) -> None:
    """Print the failing clauses with their reasons, the table of the chapters, and a summary."""
    Report(console, verbosity, strict=result.options.strict).end(result)


def failure_lines(verdicts: Iterable[Verdict]) -> list[str]:
    """The lines about every clause that does not hold, with all that is known, none of them wrapped."""
    telling = Telling(width=10**9, verbosity=1)
    return [line for of_clause in by_clause(verdicts).values() for part in telling.of(of_clause) for line in part]


class Report:
    """A report that prints a clause as soon as its verdicts are final, in any order, and in the end all that is left."""

    def __init__(self, console: Console, verbosity: int = 0, *, strict: bool = False) -> None:
        self._console = console
        self._verbosity = verbosity
        self._telling = Telling(console.width, verbosity, strict=strict)
        self._begun = False

    def tell(self, of_clause: list[Verdict]) -> None:
        """Print a clause in its final form, if it does not hold; it is not printed again."""
        heading, body = self._telling.of(of_clause)
        with _uninterrupted():
            if body and self._begun:
                put([""], self._console)
            put(heading, self._console, STYLES.get(gravest(_failing(of_clause) or of_clause), ""))
            put(body, self._console)
        self._begun = self._begun or bool(heading)

    def end(self, result: Result) -> None:
        """Print the failing clauses that are not printed yet, what repeats their examples, the table of the chapters, a summary."""
        for of_clause in _grouped(result.verdicts):
            self.tell(of_clause)
        closing = closing_lines(result, self._verbosity)
        if self._verbosity < 0:
            put([*(line for line in closing[:-1] if line.startswith("PARTIAL")), closing[-1]], self._console)
            return
        if self._begun:
            put(["", *self._telling.snippets()], self._console)
        _put_chapters(result, self._console)
        closing = [*self._telling.explained(), *closing]
        for line in closing:
            put(_wrapped(line, self._console.width), self._console)
        spec = result.target["spec"]
        if not spec.startswith(OBJECT):  # which no command can name
            again = f"To repeat this run: {result.options.command(spec)}"
            put(wrapped_command(again, self._console.width), self._console)


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """Let Ctrl-C wait until the block has ended: what is half printed would be lost, or printed twice."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    received: list[FrameType | None] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: received.append(frame))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if received and callable(before):
            before(signal.SIGINT, received[0])


_MOST = 12
"""The most lines of a clause in a report that is not verbose."""
_LONG = 8
"""The most elements of a list that is shown whole, in such a report."""


class Telling:
    """The lines about failing clauses, one after the other.

    The first clause that an impostor explains is told at length, each further one in a line, unless the report is verbose.
    """

    def __init__(self, width: int, verbosity: int = 0, *, strict: bool = False) -> None:
        self._width = width
        self._verbosity = verbosity
        self._strict = strict
        self._told: set[str] = set()
        self._explains: Counter[tuple[str, str]] = Counter()
        self._snippets: dict[str, str] = {}
        self._defined: set[str] = set()

    def of(self, of_clause: list[Verdict]) -> tuple[list[str], list[str]]:
        """The heading and the lines below it, of the verdicts on a clause; none if it holds or was told."""
        name, failing = of_clause[0].clause, _failing(of_clause)
        if name in self._told or not (failing or gravest(of_clause) == "stale"):
            return [], []
        self._told.add(name)
        names = sorted(_explaining(failing))
        known = [impostor for operation, impostor in names if self._explains[operation, impostor]]
        self._explains.update(names)
        if known and self._verbosity == 0:
            return _wrapped(f"{_heading(of_clause, strict=self._strict)}   `{known[0]}` explains it.", self._width), []
        heading = _wrapped(_heading(of_clause, strict=self._strict), self._width)
        if self._verbosity < 0:
            return heading, []
        sentence = readable(of_clause[0].sentence)
        if not failing:
            stale = f"  It is declared as a deviation ({of_clause[0].reason}), but it holds."
            return heading, [line for said in (f"  {sentence}", stale) for line in _wrapped(said, self._width)]
        if self._verbosity > 0:
            return heading, [*_wrapped(f"  {sentence}", self._width), *self._all(failing)]
        return heading, self._short(sentence, failing, _MOST - len(heading))

    def _all(self, failing: list[Verdict]) -> Iterator[str]:
        """Every failure in every dtype that is not like one in an earlier dtype."""
        for verdict, failure in _told_apart(failing):
            for line in [
                *failure.text.rstrip().split("\n"),
                *_measure(failure, verdict),
                *impostor_lines(failure.impostors),
            ]:
                yield from _wrapped(line, self._width)
            if failure.snippet:
                yield "  To see it:"
                yield from (f"    {line}" for line in self._fresh(failure.snippet))

    def _short(self, sentence: str, failing: list[Verdict], most: int) -> list[str]:
        """The smallest example, and one of a dtype that fails otherwise."""
        told = _told_apart(failing)
        (verdict, first), *more = told
        if first.snippet and first.snippet not in self._snippets.values():
            self._snippets[verdict.clause] = first.snippet
        shown = [first, *(failure for other, failure in more if other is not verdict)][:2]
        width = self._width
        parts = [_Part(_wrapped(f"  {sentence}", width), width, usual=2)]
        for failure in shown:
            lines = [
                part for line in failure.text.rstrip().split("\n") for part in _wrapped(shortened_lists(line), width)
            ]
            parts.append(_Part(lines, width, usual=5, middle=True))
        parts += [_Part(_wrapped(line, width), width) for line in _measure(first, verdict)]
        parts += [_Part(_wrapped(line, width), width, usual=2) for line in impostor_lines(first.impostors)[:2]]
        left = len(told) - len(shown)
        parts.append(_Part([f"  And {left} more (-v)."] * bool(left), width))
        while sum(part.most for part in parts) > most:
            max(parts, key=lambda part: (part.most > 1, part.most - part.usual)).most -= 1
        return [line for part in parts for line in part.cut()]

    def _fresh(self, snippet: str) -> list[str]:
        """The lines of a snippet, without imports and definitions that were shown before."""
        lines = [line for line in snippet.split("\n") if line not in self._defined]
        if not snippet.startswith("printf"):
            self._defined.update(line for line in lines if not line.startswith("print("))
        return [part for line in lines for part in _wrapped_code(line, self._width - 4)]

    def snippets(self) -> list[str]:
        """Lines that repeat the first examples that were shown, with one preamble for all of them, and an empty line."""
        lines, told = list[str](), 0
        for snippet in self._snippets.values():
            fresh = self._fresh(snippet)
            if lines and (len(lines) + len(fresh) > _MOST or snippet.startswith("printf")):
                break
            lines += [f"    {line}" for line in fresh]
            told += 1
        few = (
            "them"
            if told == len(self._snippets)
            else f"the first {told} (-v for all)"
            if told > 1
            else "the first (-v for all)"
        )
        them = "it" if len(self._snippets) == 1 else few
        return [f"To see {them}:", *lines, ""] if lines else []

    def explained(self) -> list[str]:
        """A line for each impostor that explains several clauses."""
        return [
            f"{operation} as `{name}` explains {count} of the {len(self._told)} clauses above."
            for (operation, name), count in self._explains.most_common()
            if count > 1
        ]


_DOTS = " ..."


@dataclass
class _Part:
    """Some lines of a clause, which may be cut to fewer: at their end, or in the middle."""

    lines: list[str]
    width: int
    usual: int = 1
    """The number of lines to which it is cut before other parts are cut to less than theirs."""
    middle: bool = False

    def __post_init__(self) -> None:
        self.most = len(self.lines)

    def cut(self) -> list[str]:
        """The lines, or as many as there may be."""
        if self.most == len(self.lines):
            return self.lines
        after = self.most // 2 if self.middle else 0
        *before, last = self.lines[: self.most - after]
        while len(last) > self.width - len(_DOTS) and " " in last.strip():
            last = last.rpartition(" ")[0]
        return [*before, f"{last}{_DOTS}", *self.lines[len(self.lines) - after :]]


def _grouped(verdicts: Iterable[Verdict]) -> list[list[Verdict]]:
    """The verdicts of each clause in the book's order, but each clause that an impostor explains after the first such clause."""
    groups: dict[frozenset[tuple[str, str]], list[list[Verdict]]] = {}
    for name, of_clause in by_clause(verdicts).items():
        names = _explaining(_failing(of_clause)) or frozenset({("", name)})
        groups.setdefault(next((group for group in groups if group & names), names), []).append(of_clause)
    return [of_clause for group in groups.values() for of_clause in group]


def _failing(of_clause: Iterable[Verdict]) -> list[Verdict]:
    return [verdict for verdict in of_clause if verdict.failures and verdict.status != "deviates"]


def _explaining(failing: Iterable[Verdict]) -> frozenset[tuple[str, str]]:
    """The impostors, each an operation and a name, that explain failures; none unless each failure has one."""
    found = [
        {(one["operation"], one["name"]) for one in failure.impostors}
        for verdict in failing
        for failure in verdict.failures
    ]
    return frozenset(set[tuple[str, str]]().union(*found)) if all(found) else frozenset()


def _heading(of_clause: list[Verdict], *, strict: bool) -> str:
    """'loss.mean-square  breaks in float32, float64'."""
    first, dtypes = of_clause[0], dict[str, list[str]]()
    for verdict in _failing(of_clause):
        dtypes.setdefault(verdict.status, []).append(verdict.dtype)
    how = ", ".join(f"{status} in {', '.join(several)}" for status, several in dtypes.items()) or "stale"
    should = "" if first.level == "MUST" or not dtypes else " (SHOULD)" if strict else " (SHOULD: a warning)"
    return f"{first.clause}  {how}{should}"


def _told_apart(failing: list[Verdict]) -> list[tuple[Verdict, Finding]]:
    """The failures of the first dtype, without repetitions, and of further ones those of other operations or impostors."""
    told, texts, kinds = list[tuple[Verdict, Finding]](), set[str](), set[Any]()
    for verdict in failing:
        of_dtype = set()
        for failure in verdict.failures:
            operation = failure.calls[-1]["operation"] if failure.calls else ""
            kind = (verdict.status, operation, *sorted(one["name"] for one in failure.impostors))
            if failure.text not in texts and kind not in kinds:
                told.append((verdict, failure))
            of_dtype.add(kind)
            texts.add(failure.text)
        kinds |= of_dtype
    return told


def _measure(failure: Finding, verdict: Verdict) -> list[str]:
    """'Error: 2 times its bound, 4 ulps of float32.', where an error was measured."""
    if not isinstance(failure.bounds, (int, float)) or failure.bounds <= 0:
        return []
    in_ulps = f", {failure.ulps:.3g} ulps of {verdict.dtype}" if isinstance(failure.ulps, (int, float)) else ""
    return [f"  Error: {failure.bounds:.3g} times its bound{in_ulps}."]


def shortened_lists(said: str) -> str:
    """A text whose long lists are shortened in the middle: [1, 2, 3, ..., 99, 100]."""
    open_lists: list[list[str]] = [[""]]
    for piece in re.split(r"(\[|\]|, )", said):
        if piece == "[":
            open_lists.append([""])
        elif piece == "]" and len(open_lists) > 1:
            items = open_lists.pop()
            items = items if len(items) <= _LONG else [*items[:3], "...", *items[-2:]]
            open_lists[-1][-1] += f"[{', '.join(items)}]"
        elif piece == ", " and len(open_lists) > 1:
            open_lists[-1].append("")
        else:
            open_lists[-1][-1] += piece
    return open_lists[0][0] if len(open_lists) == 1 else said


def _wrapped(line: str, width: int) -> list[str]:
    """A line in several of this width, which keep its indentation; no word is broken."""
    indent = line[: len(line) - len(line.lstrip())]
    return textwrap.wrap(
        line.strip(),
        width,
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _wrapped_code(line: str, width: int) -> list[str]:
    """A line of Python in several that mean the same, all but the first indented; one without a call stays whole."""
    if len(line) <= width or not re.match(r"(print|target = [\w.]+)\(", line):
        return [line]
    if line.startswith("target"):
        line = line.replace("(", "( ", 1)
    return [part.rstrip() for part in _wrapped_words(line, width)]


def wrapped_command(line: str, width: int) -> list[str]:
    """A command line in several that a shell takes as one."""
    *first, last = _wrapped_words(line, width - 2)
    return [*(f"{part} \\" for part in first), last]


def _wrapped_words(line: str, width: int) -> list[str]:
    """Code in several lines, all but the first indented; quoted texts stay whole."""
    kept = re.sub(r"'[^']*'", lambda quoted: quoted[0].replace(" ", "\0"), line)
    lines = textwrap.wrap(kept, width, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False)
    return [part.replace("\0", " ") for part in lines]


def _put_chapters(result: Result, console: Console) -> None:
    """Print the number of clauses of each status, a row for each chapter."""
    from rich.table import Table

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


def blank(console: Console) -> str:
    """The sign for nothing in a table: one that every terminal shows, where it does not show all of Unicode."""
    return "·" if console.encoding.startswith("utf") else "-"


def put(texts: Iterable[str], console: Console, style: str = "") -> None:
    """Print texts as they are: nothing in them is markup, or moves the cursor."""
    from rich.text import Text

    for one in texts:
        console.print(Text(printable(one), style), soft_wrap=True)


def place(link: str) -> str:
    """A link to an issue as people write it: 'pytorch/pytorch#10148'."""
    return link.removeprefix("https://github.com/").replace("/issues/", "#").replace("/pull/", "#")


def impostor_lines(impostors: list[dict[str, Any]]) -> list[str]:
    """'  loss_fn behaves as `half`: ...; seen in ...', or as either of several."""
    lines = []
    for operation in dict.fromkeys(one["operation"] for one in impostors):
        named = [one for one in impostors if one["operation"] == operation]
        for k, one in enumerate(named):
            seen = f"; seen in {', '.join(map(place, one['seen'][:3]))}" if one["seen"] else ""
            what = f"{operation} behaves as" if k == 0 else "  or as"
            lines.append(f"  {what} `{one['name']}`: {one['sentence']}{seen}.")
    return lines


_UNSERVED = 3
"""The most clauses of which a report tells what was not served, without `-v`."""
_UNDECIDED = 6
"""The most undecided clauses whose reasons are told."""


def closing_lines(result: Result, verbosity: int = 0) -> list[str]:
    """The lines after the table: deviations, reservations, and the verdict on the target."""
    target, verdicts = result.target, result.verdicts
    name = target["name"] + (f" ({target['version']})" if target["version"] else "")
    lines = [
        f"{clause} deviates as declared: {next(v.reason for v in of_clause if v.reason)}"
        for clause, of_clause in by_clause(verdicts).items()
        if gravest(of_clause) == "deviates"
    ]
    undecided = by_clause(v for v in verdicts if v.status == "undecided" and v.reason)
    for clause, of_clause in [*undecided.items()][:_UNDECIDED]:
        lines.append(f"{clause} is undecided in {', '.join(v.dtype for v in of_clause)}: {of_clause[0].reason}.")
    if len(undecided) > _UNDECIDED:
        lines.append(f"{len(undecided) - _UNDECIDED} more clauses are undecided; --json tells why.")
    if target["slack"] != 1:
        lines.append(f"Every bound was widened {target['slack']:g} times, as the target asks (slack).")
    lines += _unserved(verdicts, verbosity)
    lines += [f"Warning: {warning}." for warning in target.get("warnings", ())]
    lines += [f"PARTIAL: {reason}." for reason in result.partial]
    dtypes = ", ".join(dict.fromkeys(verdict.dtype for verdict in verdicts))
    work = (
        f"{sum(v.examples for v in verdicts):,} examples and {sum(v.judged for v in verdicts):,} judged numbers in {dtypes}, "
        f"arrays of up to {max((v.largest for v in verdicts), default=0):,} numbers, "
        + ("the same in every run" if result.options.profile == "ci" else f"seed {result.options.seed}")
    )
    said = _counted(_totals(verdicts)) or "nothing ran"
    return [escaped(line, None) for line in (*lines, f"{name} {outcome(result)}: {said} ({work}).")]


def _unserved(verdicts: Iterable[Verdict], verbosity: int) -> list[str]:
    """How many requests the target did not serve, and of the clauses with most of them, each with the first reason."""
    counts = {
        clause: (sum(v.refused for v in of_clause), next((v.refusal for v in of_clause if v.refusal), None))
        for clause, of_clause in by_clause(verdicts).items()
    }
    most = sorted(((count, clause, why) for clause, (count, why) in counts.items() if count), key=lambda row: -row[0])
    if not most:
        return []
    shown = len(most) if verbosity > 0 else _UNSERVED
    lines = [f"{sum(row[0] for row in most):,} requests were not served (NotImplementedError) and count for nothing:"]
    lines += [f"  {clause}: {count:,}{f' ({why})' if why else ''}" for count, clause, why in most[:shown]]
    more = len(most) - shown
    return lines + [f"  and of {more} more clause{'s' * (more > 1)} (`-v`)"] * (more > 0)


def outcome(result: Result) -> str:
    """The verdict on the target, in words."""
    status, options = result.exit_status, result.options
    strictly = " strictly, where a SHOULD counts" * options.strict
    deviations = f"{result.deviating} declared deviation{'s' * (result.deviating != 1)}"
    undecided = f"{result.undecided} undecided MUST{'s' * (result.undecided != 1)}"
    if status == 1:
        failed = any(verdict.fails(strict=options.strict) for verdict in result.verdicts)
        return f"does not conform{strictly}" + f" with {deviations}, where at most {options.max_deviations} may be" * (
            not failed
        )
    if status == 2:
        if all(verdict.status in ("absent", "undecided") for verdict in result.verdicts):
            return "was not checked: nothing could be judged"
        finished = not result.unfinished and all(verdict.status != "error" for verdict in result.verdicts)
        too_many = f"was left with {undecided}, where at most {options.max_undecided} may be"
        return too_many if finished else "could not be checked to the end"
    exceptions = " and ".join([deviations] * bool(result.deviating) + [undecided] * bool(result.undecided))
    partly = ", as far as it was checked" * bool(result.partial)
    return f"conforms{strictly}" + f" except for {exceptions}" * bool(exceptions) + partly


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
