"""The verdicts as a person and as a machine read them."""

from __future__ import annotations

import io
import itertools
import json
import math
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from rich.console import Console
from support import SCHEMA, subject

from calibrant.book.clauses import book
from calibrant.checks import outcomes as recorded
from calibrant.checks.judging import judged
from calibrant.checks.options import Options
from calibrant.checks.outcomes import Finding, Outcome, Status
from calibrant.checks.verdicts import GRAVEST, Result, gathered
from calibrant.judge import Disagreement
from calibrant.protocol.wire import plain
from calibrant.reports import findings, machine, mathematics, terminal
from calibrant.target.calling import Call, Subject, written
from calibrant.target.loading import load
from calibrant.target.snippets import snippet

TARGET: dict[str, Any] = {"spec": "theirs.py", "name": "theirs", "version": None, "operations": ["loss_fn"]}
TARGET |= {"dtypes": ["float32", "float64"], "conventions": {}, "deviations": {}, "slack": 1.0}


FAILING = Finding("  loss_fn([0.0]) returned 1.0")


def outcome(clause: str, status: Status, dtype: str = "float32", **more: Any) -> Outcome:
    """The outcome of a property."""
    whole = Outcome(clause, "test_it", dtype, status, examples=10, judged=10, worst=0.5)
    return replace(whole, **{"failure": FAILING if status == "breaks" else None} | more)


def result(outcomes: Iterable[Outcome], unfinished: tuple[str, ...] = (), **target: Any) -> Result:
    """The result of a whole check in which this became of the properties."""
    options = Options(profile="dev", seed=7, workers=3)
    return Result(TARGET | target, options, gathered(outcomes), list(unfinished))


def printed(shown: Result, width: int = 200, verbosity: int = 0) -> str:
    """The report as a person reads it."""
    return terminal.text(shown, width=width, verbosity=verbosity)


def test_no_sentence_of_the_book_shows_its_tex_or_its_links() -> None:
    for clause in book().values():
        sentence = mathematics.readable(clause.sentence)
        assert not set("$\\{}") & set(sentence.replace("{'", "").replace("'}", "")), (clause.name, sentence)
        assert ".md)" not in sentence, (clause.name, sentence)


def test_the_gravest_status_speaks_for_a_clause() -> None:
    """Of several properties. Their counts add up."""
    for graver, lighter in itertools.combinations_with_replacement(GRAVEST, 2):
        more = {"property": "test_more", "worst": 0.25, "refused": 3}
        (verdict,) = gathered([outcome("loss.zero", lighter), outcome("loss.zero", graver, **more)])
        assert verdict.status == graver
        assert (verdict.examples, verdict.judged, verdict.refused, verdict.worst) == (20, 20, 3, 0.5)
        assert verdict.properties == ["test_it", "test_more"]


def test_a_failure_of_many_lines_is_cut_to_a_screen() -> None:
    """In the middle of what the target did; -v tells all."""
    lines = [f"  loss_fn([{k}.0]) returned {k + 1}.0, and is {'far ' * 10}off" for k in range(40)]
    long = result([outcome("loss.mean-square", "breaks", failure=Finding("\n".join(lines)))])

    short, whole = (printed(long, width=60, verbosity=verbosity) for verbosity in (0, 1))

    told = short.partition("\n\n")[0].splitlines()
    assert len(told) == 12
    assert max(map(len, told)) <= 60
    assert [line for line in told if line.endswith(" ...")] == [
        "  loss_fn([2.0]) returned 3.0, and is far far far far ..."
    ]
    assert "  loss_fn([38.0]) returned 39.0, and is far far far far far" in told
    assert " ..." not in whole
    assert whole.count(") returned ") == 40


def test_verdicts_stand_in_the_books_order_whatever_came_first() -> None:
    order = list(itertools.product(book(), ("float16", "float32", "float64")))

    verdicts = gathered(outcome(clause, "holds", dtype) for clause, dtype in reversed(order))

    assert [(v.clause, v.dtype) for v in verdicts] == order


def test_failures_of_one_clause_stand_in_one_order_and_alike_are_told_once() -> None:
    """The cases of a parametrized property come from whichever process was the first to end."""
    outcomes = [outcome("loss.zero", "breaks", failure=Finding(text)) for text in ("  bb", "  aa", "  c")]
    alike = [outcome("loss.zero", "breaks"), outcome("loss.zero", "breaks", property="test_more")]

    (verdict,) = gathered(outcomes)

    assert [f.text for f in verdict.failures] == ["  c", "  aa", "  bb"]
    assert gathered(outcomes) == gathered(reversed(outcomes))
    assert printed(result(alike)).count("loss_fn([0.0]) returned 1.0") == 1


def test_a_clause_that_was_mostly_beyond_judgement_is_undecided() -> None:
    """Over all its properties, in the dtype."""
    few = {"judged": 3, "unjudged": 10}
    mostly = [outcome("loss.zero", "holds", unjudged=9), outcome("loss.zero", "holds", property="test_more", **few)]
    half = [outcome("loss.scalar", "holds", unjudged=10)]

    found = result([*mostly, *half, outcome("loss.zero", "holds", "float64")])

    assert [(v.clause, v.dtype, v.status) for v in found.verdicts] == [
        ("loss.scalar", "float32", "holds"),
        ("loss.zero", "float32", "undecided"),
        ("loss.zero", "float64", "holds"),
    ]
    assert "loss.zero is undecided in float32: nothing is claimed of 19 of 32 numbers." in printed(found)


@pytest.mark.parametrize(
    ("unjudged", "said"), [(3, "nothing is claimed of 3 of 3 numbers (muon)"), (0, "nothing could be judged (muon)")]
)
def test_a_property_that_judges_nothing_leaves_its_clause_undecided_and_says_why(unjudged: int, said: str) -> None:
    one = subject(loss_fn=len, dtype="float32")

    def property_(target: Subject, name: str) -> None:
        target.tally.unjudged += unjudged

    nothing, _ = judged(property_, {"target": one, "name": "muon"}, "loss.zero", "test_it", one, None, few=False)

    shown = printed(result([outcome("loss.zero", "holds"), nothing]))
    assert f"loss.zero is undecided in float32: {said}." in shown
    assert "was not checked: no clause could be decided" in shown
    for more, cases in ((1, "1 more case"), (2, "2 more cases")):
        others = [outcome("loss.zero", "undecided", reason="so it is", property=f"test_then_{n}") for n in range(more)]
        assert f"{said}, and {cases} could not be judged." in printed(result([nothing, *others]))


def test_with_v_all_undecided_clauses_are_told() -> None:
    undecided = [outcome(name, "undecided", reason="so it is") for name in [*book()][:9]]

    assert "Also undecided: 3 more clauses (`-v` lists them)." in printed(result(undecided))
    assert printed(result(undecided), verbosity=1).count("is undecided in float32: so it is.") == 9


def test_numbers_that_needed_the_second_tier_are_told() -> None:
    """In the lines that close a report, and in its document."""
    found = result([outcome("loss.zero", "holds", another_arrangement=n, property=f"test_{n}") for n in (2, 1)])

    assert "loss.zero: 3 numbers needed the second tier, that of another arrangement." in printed(found)
    assert [v.another_arrangement for v in found.verdicts] == [3]
    assert "second tier" not in printed(result([outcome("loss.zero", "holds")]))


EXIT = {
    0: ("holds absent", "deviates holds"),
    1: ("holds breaks", "holds broken", "holds stale"),
    2: ("", "absent absent", "undecided", "breaks error"),
}


@pytest.mark.parametrize(("status", "seen"), [(status, seen) for status, several in EXIT.items() for seen in several])
def test_the_exit_status_says_whether_it_conforms(status: int, seen: Any) -> None:
    clauses = ("loss.mean-square", "loss.zero")

    assert result(map(outcome, clauses, seen.split())).exit_status == status


@pytest.mark.parametrize(
    ("limits", "status", "said"),
    [
        ({}, 0, "theirs conforms except for 2 declared deviations and 1 undecided MUST: 1 clause holds, 2 deviate"),
        ({"max_deviations": 2, "max_undecided": 1}, 0, "theirs conforms except for 2 declared deviations and 1"),
        ({"max_deviations": 1}, 1, "theirs does not conform with 2 declared deviations, where at most 1 may be: 1"),
        ({"max_undecided": 0}, 2, "theirs was left with 1 undecided MUST, where at most 0 may be: 1 clause holds"),
    ],
)
def test_deviations_and_undecided_clauses_are_told_and_may_be_limited(
    limits: dict[str, int], status: int, said: str
) -> None:
    """A clause counts once, however many dtypes; of the undecided ones, those that are a MUST."""
    seen: dict[str, Status] = {"loss.mean-square": "holds", "loss.zero": "deviates", "loss.scalar": "deviates"}
    seen |= {"loss.absolute": "undecided", "loss.empty": "undecided", "model.linear": "absent"}
    outcomes = [outcome(name, seen[name], dtype) for name in seen for dtype in ("float32", "float64")]
    outcomes = [replace(one, deviation="so it is" if one.status == "deviates" else None) for one in outcomes]
    found = result(outcomes)

    found = replace(found, options=replace(found.options, **limits))

    assert found.exit_status == status
    assert said in printed(found, 300).splitlines()[-2]


def test_a_should_alone_makes_nothing_nonconforming_and_an_unfinished_check_is_no_pass() -> None:
    outcomes = [outcome("loss.empty", "breaks"), outcome("loss.zero", "holds")]
    finished, unfinished = result(outcomes), result(outcomes, unfinished=("test_loss.py::test_it",))

    assert (finished.exit_status, unfinished.exit_status) == (0, 2)
    assert "loss.empty  breaks in float32 (SHOULD: a warning)" in printed(finished)
    assert "PARTIAL: 1 property did not run to an end." in printed(unfinished)
    assert "could not be checked to the end" in printed(unfinished)


def test_the_report_says_everything_once() -> None:
    failure = replace(FAILING, bounds=1e6, ulps=2.5, snippet="import numpy as np\nprint(1)")
    outcomes = [outcome("loss.mean-square", "breaks", dtype, failure=failure) for dtype in ("float32", "float64")]
    outcomes += [
        outcome("loss.zero", "breaks", deviation="it rounds"),
        outcome("model.linear", "absent", reason="none"),
    ]
    outcomes += [outcome("loss.scalar", "holds", refused=4)]

    shown = printed(result(outcomes, version="3", slack=2.0))

    assert shown.splitlines()[-1] == "To repeat this run: calibrant check theirs.py --seed 7 --workers 3"
    assert shown.count("loss_fn([0.0]) returned 1.0") == 1
    assert "  Error: 1e+06 times its bound, 2.5 ulps of float32." in shown
    assert "    import numpy as np\n    print(1)" in shown
    assert "4 requests were not served" in shown
    assert "theirs (3) does not conform: 1 clause holds, 1 breaks, 1 deviates as declared, 1 absent" in shown
    assert "seed 7" in shown
    assert [line.split() for line in shown.splitlines() if line[:5] in ("chapt", "loss ", "model", "all  ")] == [
        ["chapter", "holds", "breaks", "deviates", "absent"],
        ["model", "·", "·", "·", "1"],
        ["loss", "1", "1", "1", "·"],
        ["all", "1", "1", "1", "1"],
    ]


IMPOSTOR = {
    "operation": "loss_fn",
    "name": "half",
    "sentence": "it is half of it",
    "seen": ["https://github.com/a/b/issues/1"],
}
LONG = (
    "  loss_fn([" + ", ".join(map(str, range(2000, 2060))) + "]) returned 1.0, exactly 0.5: off by 0.5, allowed 4e-07"
)


def blocks(shown: str) -> dict[str, list[str]]:
    """The lines of each failing clause, by its name."""
    found: dict[str, list[str]] = {}
    for line in shown.split("\nTo see ")[0].split("\nchapter ")[0].splitlines():
        if line[:1].isalpha() and (name := line.split()[0]) in book():
            found[name] = []
        found[[*found][-1]] += [line] if line else []
    return found


@pytest.mark.parametrize("width", [60, 120])
def test_a_failing_clause_takes_at_most_twelve_lines_and_no_word_is_broken(width: int) -> None:
    """Long lists are shortened in the middle. With -v everything is there."""
    texts = [LONG, *(f"{LONG}; {'more and ' * 90} {k}" for k in range(3))]
    failures = [Finding(said, bounds=2.0, ulps=2.0, impostors=[IMPOSTOR] * 3) for said in texts]
    outcomes = [outcome(name, "breaks", failure=failure) for name in [*book()][::9] for failure in failures]
    shown, everything = (printed(result(outcomes), width, verbosity) for verbosity in (0, 1))

    assert max(map(len, blocks(shown).values())) <= 12
    assert max(map(len, shown.splitlines())) <= width
    assert "2059" in shown.split("returned")[0]
    assert "2030" not in shown
    assert "And 3 more (-v)." in shown
    assert "2030" in everything
    assert {*shown.split("chapter")[0].split()} <= {
        *everything.split(),
        *["...", "...,", "And", "3", "more", "(-v).", "`half`", "explains", "it."],
    }


def test_clauses_that_one_impostor_explains_follow_the_first_in_a_line_each() -> None:
    """Not where another failure of the clause has no explanation."""
    explained = replace(FAILING, impostors=[IMPOSTOR])
    outcomes = [outcome(name, "breaks", failure=explained) for name in ("loss.mean-square", "loss.zero", "split.sizes")]
    outcomes += [outcome("loss.scalar", "breaks"), outcome("loss.dtype", "breaks", failure=explained)]
    outcomes += [outcome("loss.dtype", "breaks", property="test_more")]

    found = blocks(shown := printed(result(outcomes)))

    assert [*found] == ["loss.mean-square", "loss.zero", "split.sizes", "loss.scalar", "loss.dtype"]
    assert found["split.sizes"] == ["split.sizes  breaks in float32   `half` explains it."]
    assert "  loss_fn behaves as `half`: it is half of it; seen in a/b#1." in found["loss.mean-square"]
    assert len(found["loss.dtype"]) > 2
    assert "loss_fn as `half` explains 3 of the 5 clauses above." in shown
    assert findings.explanations(findings.told(result(outcomes))) == [
        (IMPOSTOR, ["loss.mean-square", "loss.zero", "split.sizes"])
    ]
    assert "explains" not in printed(result(outcomes), verbosity=1).split("chapter")[0]


@pytest.mark.parametrize(("ulps", "told"), [(2.0, ", 2 ulps of float32."), (1e45, "its bound.")])
def test_units_in_the_last_place_of_zero_are_not_told(ulps: float, told: str) -> None:
    finding = replace(FAILING, bounds=3.0, ulps=ulps)

    assert blocks(printed(result([outcome("loss.zero", "breaks", failure=finding)])))["loss.zero"][-1].endswith(told)


def test_dtypes_that_fail_differently_are_each_told() -> None:
    one, other = (
        outcome("loss.zero", "breaks"),
        outcome("loss.zero", "broken", "float64", failure=Finding("  it raised")),
    )

    found = blocks(printed(result([one, other])))

    assert found["loss.zero"][0] == "loss.zero  breaks in float32, broken in float64"
    assert {"  loss_fn([0.0]) returned 1.0", "  it raised"} <= {*found["loss.zero"]}


def test_a_quiet_report_has_a_line_for_each_failing_clause_and_the_verdict() -> None:
    outcomes = [outcome("loss.zero", "breaks"), outcome("loss.scalar", "holds"), outcome("loss.empty", "breaks")]

    first, second, verdict = printed(result(outcomes), verbosity=-1).splitlines()

    assert (first, second) == ("loss.zero  breaks in float32", "loss.empty  breaks in float32 (SHOULD: a warning)")
    assert verdict.startswith("theirs does not conform: 1 clause holds, 2 break")


def test_a_clause_is_told_once_whether_live_or_in_the_end() -> None:
    """The heading is colored at a terminal, unless colors are off."""
    found, file = result([outcome("loss.zero", "breaks"), outcome("loss.scalar", "breaks")]), io.StringIO()
    report = terminal.Report(Console(file=file, width=100, force_terminal=True, color_system="standard"))

    report.tell([verdict for verdict in found.verdicts if verdict.clause == "loss.zero"])
    assert "\x1b[1;31mloss.zero  breaks in float32\x1b[0m" in file.getvalue()
    report.end(found)

    assert [file.getvalue().count(f"{name}  breaks") for name in ("loss.zero", "loss.scalar")] == [1, 1]
    assert "\x1b[" not in printed(found)


def test_a_snippet_says_what_is_due_and_the_preamble_comes_once() -> None:
    snippets = [
        f"import numpy as np\nimport theirs as target\nprint(target.loss_fn({k}), 'where 0.5 is due')" for k in (1, 2)
    ]
    outcomes = [
        outcome(name, "breaks", failure=Finding(f"  {said}", snippet=said))
        for name, said in zip(("loss.zero", "loss.scalar"), snippets, strict=True)
    ]

    for verbosity in (0, 1):
        shown = printed(result(outcomes), verbosity=verbosity)
        assert shown.count("    import numpy as np\n") == 1
        assert "    print(target.loss_fn(2), 'where 0.5 is due')" in shown


def test_a_strict_check_counts_a_should_and_says_so() -> None:
    found = result([outcome("loss.empty", "breaks"), outcome("loss.zero", "holds")])
    strict = replace(found, options=replace(found.options, strict=True))

    assert (found.exit_status, strict.exit_status) == (0, 1)
    assert "theirs does not conform strictly, where a SHOULD counts: 1 clause holds, 1 breaks" in printed(strict)
    assert printed(strict).endswith("--strict\n")


def test_an_interrupted_check_and_one_that_had_enough_say_so() -> None:
    found = result([outcome("loss.zero", "holds")], unfinished=("test_loss.py::test_it",))

    for verbosity in (-1, 0, 1):
        assert "PARTIAL: somebody interrupted it." in printed(replace(found, interrupted=True), verbosity=verbosity)
    enough = replace(found, stopped=True, options=replace(found.options, fail_fast=1))
    assert "PARTIAL: it ended after 1 failed clause, as --fail-fast asks." in printed(enough)


def test_a_diagnosis_that_fails_does_not_hide_the_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorded, "diagnose", lambda *of: 1 / 0)

    with (
        pytest.raises(Disagreement),
        recorded.recording("loss.zero", "test_it", subject(loss_fn=len), few=False) as record,
    ):
        raise Disagreement("returned 1.0")

    assert [one.status for one in record] == ["breaks"]
    assert record[0].told() == "  returned 1.0; its diagnosis failed: ZeroDivisionError: division by zero"


def test_the_document_fits_its_schema(tmp_path: Path) -> None:
    written = tmp_path / "verdicts.json"
    shown = result([outcome(name, status) for name, status in zip(book(), [*GRAVEST] * 2, strict=False)])

    machine.write(machine.document(shown), written)

    document = json.loads(written.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(document, SCHEMA)
    for missing in ("verdicts", "exit_status", "partial"):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({key: document[key] for key in document if key != missing}, SCHEMA)


def test_every_value_becomes_plain_json() -> None:
    values = {
        "array": np.array([1.0, math.nan, -math.inf], np.float32),
        "scalar": np.float64(math.inf),
        "rate": math.nan,
        "nested": [(1, "x", None, True)],
        "function": len,
    }

    document = json.loads(json.dumps(plain(values), allow_nan=False))

    assert document["array"] == {"dtype": "float32", "shape": [3], "data": [1.0, "NaN", "-Infinity"]}
    assert document["scalar"]["data"] == ["Infinity"]
    assert document["rate"] == "NaN"
    assert document["nested"] == [[1, "x", None, True]]
    assert document["function"] == "<built-in function len>"


def test_a_call_with_lists_of_arrays_is_written_and_repeats(tmp_path: Path) -> None:
    """The pasted lines call the target with the same arrays, in its own kind."""
    (tmp_path / "lists.py").write_text(
        "def asarray(x):\n    return ('mine', x)\n"
        "def optimize(name, hyperparameters, params, grads):\n    return [[name, hyperparameters, params, grads]]\n",
        encoding="utf-8",
    )
    w = np.array([0.5, np.inf], dtype=np.float32)
    call = Call("optimize", ("sgd", {"lr": [0.5, float("nan")]}, [w], [[None], [np.array(1.0, dtype=np.float32)]]))
    lines = snippet(load(str(tmp_path / "lists.py")), [call]).splitlines()

    assert written(call) == "optimize('sgd', {'lr': [0.5, nan]}, [[0.5, inf]], [[None], [1.0]])"
    namespace: dict[str, Any] = {}
    exec("\n".join([*lines[:-1], lines[-1].replace("print(", "answer = (")]), namespace)
    (name, hyperparameters, params, grads) = namespace["answer"][0]
    assert (name, hyperparameters["lr"][0], params[0][0]) == ("sgd", 0.5, "mine")
    assert params[0][1].tolist() == w.tolist()
    assert params[0][1].dtype == np.float32
    assert (grads[0][0], grads[1][0][1].tolist()) == (None, 1.0)
    assert written(Call("broadcast_shapes", ((2, 1), (3,), ()))) == "broadcast_shapes((2, 1), (3,), ())"
