"""A folder of vectors replayed on a target, in a process of its own that may hang or die."""

from __future__ import annotations

import contextlib
import json
import math
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from calibrant.book.clauses import book
from calibrant.exact import FORMATS
from calibrant.judge import tallying
from calibrant.protocol.conventions import ARITHMETIC, CONVENTIONS
from calibrant.protocol.errors import CheckError
from calibrant.protocol.operations import IMPORT_PATIENCE
from calibrant.target.calling import Absent, NotCalled, Subject
from calibrant.target.description import Target
from calibrant.target.isolation import apart, call_no_more, contain, last_words, not_called_again
from calibrant.target.loading import load
from calibrant.target.probing import probe
from calibrant.target.snippets import shown
from calibrant.vectors.cases import DTYPES, Case, verdict
from calibrant.vectors.files import VectorsError, read

_GRACE = 10.0
"""Seconds beyond all its time limits after which a process that goes no further is ended."""
_LEAVING = 2.0
"""Seconds in which a process that has asked everything may end by itself."""
_WORKER = "vectors"


@dataclass
class Outcome:
    """What became of a case."""

    file: str
    case: Case
    status: str
    """agrees, disagrees, deviates (as the target declares), absent, or passed over (another dtype or convention, or not called again)."""
    sentence: str = ""

    @property
    def failed(self) -> bool:
        """Whether this alone makes a target wrong."""
        return self.status == "disagrees" and book()[self.case.clause].level == "MUST"

    def lines(self) -> list[str]:
        """What is to be told of a disagreement."""
        case = self.case
        told = f"  {case.operation}({', '.join(map(shown, case.arguments))}) {self.sentence}"
        flags = f"  It is there to reject {', '.join(f'`{flag}`' for flag in case.flags)}."
        level = "disagrees with" if self.failed else "is a warning of"
        return [f"{case.id} {level} {case.clause}", told, *[flags] * bool(case.flags)]


@dataclass
class Replay:
    """What a target answered to a folder of vectors."""

    target: dict[str, Any]
    outcomes: list[Outcome]

    def counts(self) -> dict[str, dict[str, int]]:
        """Of each file, how many cases have each status."""
        table: dict[str, dict[str, int]] = {}
        for outcome in self.outcomes:
            row = table.setdefault(outcome.file, {})
            row[outcome.status] = row.get(outcome.status, 0) + 1
        return table

    @property
    def exit_status(self) -> int:
        """0: all answers agree; 1: not so; 2: there was none."""
        if any(outcome.failed for outcome in self.outcomes):
            return 1
        return 0 if any(outcome.status in ("agrees", "disagrees", "deviates") for outcome in self.outcomes) else 2


def verify(
    folder: Path, spec: str, timeout: float = 10.0, told: Callable[[int, int], None] = lambda done, count: None
) -> Replay:
    """Replay a folder on a target. Raises VectorsError or CheckError, in one sentence, if that cannot be done."""
    if not 0.05 <= timeout <= 86400:
        raise VectorsError(f"timeout is {timeout:g}: it must be from 0.05 to 86400 seconds")
    cases = [(file, case) for file, of_file in read(folder).items() for case in of_file]
    described = probe(spec, timeout)
    with tempfile.TemporaryDirectory(prefix="calibrant-") as name:
        run = Path(name)
        results = run / "results"
        results.touch()
        while (done := _written(results)) < len(cases):
            _run([spec, str(folder.resolve()), name, str(done), str(timeout)], results, timeout, told, len(cases))
            if _written(results) < len(cases):
                _on_record(spec, run, results, timeout)
        found = [json.loads(line) for line in results.read_text(encoding="ascii").splitlines()]
    outcomes = [
        Outcome(file, case, _status(case, status, described), sentence)
        for (file, case), (status, sentence) in zip(cases, found, strict=True)
    ]
    return Replay(described, outcomes)


def _status(case: Case, status: str, described: dict[str, Any]) -> str:
    return "deviates" if status == "disagrees" and case.clause in described["deviations"] else status


def _written(results: Path) -> int:
    """How many cases have an outcome."""
    return results.read_bytes().count(b"\n")


def _run(arguments: list[str], results: Path, timeout: float, told: Callable[[int, int], None], count: int) -> None:
    """A process that goes on where the one before it ended, until all is asked, it ends, or it goes no further."""
    done, since = -1, 0.0
    with apart("calibrant.vectors", *arguments, register=results.with_name("programs")) as process:
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.05)
                return
            now = _written(results)
            if now == count:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(_LEAVING)
                return
            if now != done:
                done, since = now, time.monotonic()
                told(done, count)
            elif time.monotonic() - since > IMPORT_PATIENCE * timeout + _GRACE:
                return


def _on_record(spec: str, run: Path, results: Path, timeout: float) -> None:
    """The outcome of the case in which a process died; its operation is not called again."""
    operation, sentence = last_words(run, _WORKER, timeout) if (run / f"{_WORKER}.call").exists() else ("", "")
    if not operation:
        raise CheckError(
            f"target {spec!r} was loaded once, and then ended its process, or went no further, when it was loaded again"
        )
    if operation not in not_called_again(run):
        call_no_more(run, operation, sentence)
        sentence += "; it is not called again"
    whole = results.read_bytes()
    results.write_bytes(whole[: whole.rfind(b"\n") + 1] + _line("disagrees", sentence))
    for left in ("call", "trace"):
        (run / f"{_WORKER}.{left}").unlink()


def _line(status: str, sentence: str = "") -> bytes:
    return json.dumps([status, sentence]).encode("ascii") + b"\n"


def replay(spec: str, folder: str, run: str, first: str, timeout: str) -> None:
    """Ask a target, in this process, all cases from one on, and write what becomes of each."""
    cases = [case for of_file in read(Path(folder)).values() for case in of_file]
    target = load(spec, float(timeout))
    contain(Path(run), _WORKER)
    target.hung |= not_called_again(Path(run))
    subjects = {dtype: Subject(target, dtype) for dtype in (*DTYPES, target.dtypes[0])}
    subjects[""] = subjects[DTYPES[-1] if DTYPES[-1] in target.dtypes else target.dtypes[0]]
    with (Path(run) / "results").open("ab", buffering=0) as results:
        for case in cases[int(first) :]:
            subject = subjects[case.dtype]
            reason = _passed_over(case, target)
            if reason:
                results.write(_line("passed over", reason))
                continue
            with tallying(subject.tally):
                try:
                    sentence = verdict(case, subject)
                except Absent as absent:
                    status = "passed over" if isinstance(absent, NotCalled) else "absent"
                    results.write(_line(status, str(absent)))
                else:
                    results.write(_line("disagrees" if sentence else "agrees", sentence))
            subject.calls.clear()
    if target.program is not None:
        target.program.close()


def _passed_over(case: Case, target: Target) -> str:
    """Why a case says nothing of a target; empty if it does."""
    if case.dtype and case.dtype not in target.dtypes:
        return f"it does not compute in {case.dtype}"
    inputs = case.inputs
    optimizer = inputs.get("name") or inputs["optimizer"]["name"] if {"name", "optimizer"} & set(inputs) else ""
    for name, value in target.conventions.items():
        concerned = name.split(".")[0]
        if value != (CONVENTIONS | ARITHMETIC)[name][0] and (
            optimizer == concerned or ((optimizer, concerned) == ("adamw", "adam") and name != "adam.decay")
        ):
            return f"it declares {name} = {value}"
    form = FORMATS[case.dtype or "float64"]
    if target.flushes and _smallest(case.inputs) < (form.normal / form.u**2) ** 0.5:
        return "it declares arithmetic.subnormals = flushed, and a product may be subnormal here"
    return ""


def _smallest(given: Any) -> float:
    """The smallest magnitude of the numbers that are not zero."""
    if isinstance(given, (dict, list)):
        return min(map(_smallest, given.values() if isinstance(given, dict) else given), default=math.inf)
    return abs(given) if isinstance(given, float) and given else math.inf
