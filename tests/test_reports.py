"""The verdicts as a person and as a machine read them."""

from __future__ import annotations

import io
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

from calibrant.book.clauses import book, require
from calibrant.checks.options import Options
from calibrant.checks.outcomes import Finding, Outcome, Status
from calibrant.checks.verdicts import GRAVEST, MEANING, Result, Verdict, exit_status, gathered
from calibrant.protocol.wire import plain
from calibrant.reports import machine, terminal
from calibrant.target.calling import Call
from calibrant.target.loading import load
from calibrant.target.snippets import snippet, written

TARGET: dict[str, Any] = {
    "spec": "theirs.py",
    "name": "theirs",
    "version": None,
    "operations": ["loss_fn"],
    "dtypes": ["float32", "float64"],
    "conventions": {},
    "deviations": {},
    "slack": 1.0,
}


def outcome(clause: str, status: Status, dtype: str = "float32", **more: Any) -> Outcome:
    """The outcome of a property."""
    whole = Outcome(clause, "test_it", dtype, status, examples=10, judged=10, worst=0.5)
    return replace(whole, **{"failure": failing() if status == "breaks" else None} | more)


def failing(text: str = "  loss_fn([0.0]) returned 1.0") -> Finding:
    """The finding of an example that failed."""
    return Finding(text)


def result(outcomes: Iterable[Outcome], unfinished: tuple[str, ...] = (), **target: Any) -> Result:
    """The result of a whole check in which this became of the properties."""
    options = Options(profile="dev", seed=7, workers=2)
    return Result(TARGET | target, options, gathered(outcomes), list(unfinished))


def printed(shown: Result) -> str:
    """The report as a person reads it, where no terminal sets a width."""
    file = io.StringIO()
    terminal.show(shown, Console(file=file, width=200, highlight=False))
    return file.getvalue()


def test_no_sentence_of_the_book_shows_its_tex() -> None:
    for clause in book().values():
        sentence = terminal.readable(clause.sentence)
        assert not set("$\\{}") & set(sentence.replace("{'", "").replace("'}", "")), (clause.name, sentence)


def test_the_gravest_status_speaks_for_a_clause() -> None:
    """Of several properties, and of several dtypes."""
    assert set(GRAVEST) == set(MEANING)
    for i, graver in enumerate(GRAVEST):
        for lighter in GRAVEST[i:]:
            verdicts = gathered([outcome("loss.zero", lighter), outcome("loss.zero", graver, property="test_more")])
            assert verdicts[0].status == graver


def test_counts_of_examples_add_up() -> None:
    (verdict,) = gathered(
        [outcome("loss.zero", "holds", worst=0.25), outcome("loss.zero", "holds", property="test_more", refused=3)]
    )

    assert (verdict.examples, verdict.judged, verdict.refused, verdict.worst) == (20, 20, 3, 0.5)
    assert verdict.properties == ["test_it", "test_more"]


def test_verdicts_stand_in_the_books_order_whatever_came_first() -> None:
    names = list(book())
    outcomes = [
        outcome(name, "holds", dtype) for name in reversed(names) for dtype in ("float64", "float32", "float16")
    ]

    verdicts = gathered(outcomes)

    assert [(v.clause, v.dtype) for v in verdicts] == [
        (name, dtype) for name in names for dtype in ("float16", "float32", "float64")
    ]
    assert verdicts == gathered(reversed(outcomes))


def test_failures_of_one_clause_stand_in_one_order_and_alike_are_told_once() -> None:
    """The cases of a parametrized property come from whichever process was the first to end."""
    outcomes = [outcome("loss.zero", "breaks", failure=failing(text)) for text in ("  bb", "  aa", "  c")]
    alike = [outcome("loss.zero", "breaks"), outcome("loss.zero", "breaks", property="test_more")]

    (verdict,) = gathered(outcomes)

    assert [f.text for f in verdict.failures] == ["  c", "  aa", "  bb"]
    assert gathered(outcomes) == gathered(reversed(outcomes))
    assert printed(result(alike)).count("loss_fn([0.0]) returned 1.0") == 1


def test_a_declared_deviation_is_stale_only_if_it_shows_in_no_dtype() -> None:
    declared = {"deviation": "so it is"}
    holds, breaks = (outcome("loss.zero", status, "float64", **declared) for status in ("holds", "breaks"))

    assert [v.status for v in gathered([outcome("loss.zero", "holds", **declared), holds])] == ["stale", "stale"]
    assert [v.status for v in gathered([outcome("loss.zero", "holds", **declared), breaks])] == ["holds", "deviates"]
    assert [v.status for v in gathered([outcome("loss.zero", "absent", **declared)])] == ["absent"]


STATUS = [
    ((), 2),
    (("absent", "absent"), 2),
    (("undecided",), 2),
    (("holds", "absent"), 0),
    (("deviates", "holds"), 0),
    (("holds", "breaks"), 1),
    (("holds", "broken"), 1),
    (("holds", "stale"), 1),
    (("breaks", "error"), 2),
]


@pytest.mark.parametrize(("seen", "status"), STATUS)
def test_the_exit_status_says_whether_it_conforms(seen: tuple[Any, ...], status: int) -> None:
    must = require("loss.mean-square")
    verdicts = [Verdict(must.name, "loss", "MUST", must.sentence, "float32", one) for one in seen]

    assert exit_status(verdicts) == status


def test_a_should_alone_makes_nothing_nonconforming_and_an_unfinished_check_is_no_pass() -> None:
    outcomes = [outcome("loss.empty", "breaks"), outcome("loss.zero", "holds")]
    finished, unfinished = result(outcomes), result(outcomes, unfinished=("test_loss.py::test_it",))

    assert (finished.exit_status, unfinished.exit_status) == (0, 2)
    assert "It is a SHOULD: this is a warning." in printed(finished)
    assert "PARTIAL: 1 property did not run to an end." in printed(unfinished)
    assert "could not be checked to the end" in printed(unfinished)


def test_the_report_says_everything_once() -> None:
    failure = replace(failing(), bounds=1e6, ulps=2.5, snippet="import numpy as np\nprint(1)")
    shown = printed(
        result(
            [outcome("loss.mean-square", "breaks", dtype, failure=failure) for dtype in ("float32", "float64")]
            + [outcome("loss.zero", "breaks", deviation="it rounds"), outcome("model.linear", "absent", reason="none")]
            + [outcome("loss.scalar", "holds", refused=4)],
            version="3",
            slack=2.0,
        )
    )

    assert shown.count("loss_fn([0.0]) returned 1.0") == 1
    assert "loss.mean-square  breaks in float32, float64   The loss of predictions" in shown
    assert "The error is 1e+06 times its bound, 2.5 units in the last place of float32." in shown
    assert "    import numpy as np\n    print(1)" in shown
    assert "loss.zero deviates as declared: it rounds" in shown
    assert "Every bound was widened 2 times, as the target asks (slack)." in shown
    assert "4 requests were not served" in shown
    assert "theirs (3) does not conform: 1 clause holds, 1 breaks, 1 deviates as declared, 1 absent" in shown
    assert "seed 7" in shown
    assert [line.split() for line in shown.splitlines() if line[:5] in ("chapt", "loss ", "model", "all  ")] == [
        ["chapter", "holds", "breaks", "deviates", "absent"],
        ["model", "·", "·", "·", "1"],
        ["loss", "1", "1", "1", "·"],
        ["all", "1", "1", "1", "1"],
    ]


def test_a_target_cannot_draw_on_the_report() -> None:
    """The report shows its words as they are: they are no markup."""
    shown = result(
        [outcome("loss.zero", "breaks", failure=failing("  raised [bold red]x[/] and [link"))], name="[red]n"
    )

    assert "raised [bold red]x[/] and [link" in printed(shown)
    assert "[red]n does not conform" in printed(shown)


def test_the_document_fits_its_schema(tmp_path: Path) -> None:
    written = tmp_path / "verdicts.json"
    shown = result([outcome(name, status) for name, status in zip(book(), [*GRAVEST] * 2, strict=False)])

    machine.write(machine.document(shown), written)

    document = json.loads(written.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(machine.schema())
    jsonschema.validate(document, machine.schema())
    for missing in ("verdicts", "exit_status", "partial"):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({key: document[key] for key in document if key != missing}, machine.schema())
    assert document == machine.document(shown) | {"options": document["options"]}
    assert document["exit_status"] == shown.exit_status == 2


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
