"""`calibrant check`, from end to end: real processes, and targets with real faults."""

from __future__ import annotations

import contextlib
import math
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from support import PATIENCE, SCHEMA, calibrant, checked, heeded, one_sentence, run, statuses, target

from calibrant import strategies
from calibrant.book.clauses import book
from calibrant.checks import last
from calibrant.checks.check import check
from calibrant.checks.options import Options
from calibrant.reports.machine import document
from calibrant.suite.session import Session, current

RIGHT = """
    def absolute_loss(t_p, t_c):
        if t_p.shape != t_c.shape or not t_p.size:
            raise ValueError("shapes differ")
        return (abs(t_p - t_c) / t_p.dtype.type(t_p.size)).sum()
"""
"""One right function."""

QUICK = ("--examples=5", "--workers=1")


def of(*clauses: str) -> list[str]:
    """The options that choose these clauses."""
    return [f"--clause={clause}" for clause in clauses]


def test_a_target_of_one_function_is_checked_on_that_one(tmp_path: Path) -> None:
    said, shown = checked(tmp_path, target(tmp_path, RIGHT), "--examples=5")

    found = statuses(said)
    held = {name for name, seen in found.items() if seen == {"holds"}}
    assert said["exit_status"] == 0
    assert said["partial"] == []
    assert said["target"]["operations"] == ["absolute_loss"]
    assert set(found) == set(book())
    assert held == {name for name in found if found[name] != {"absent"}}
    assert {"loss.absolute", "loss.scalar", "loss.same-shape", "loss.pure"} <= held
    assert "loss.mean-square" not in held
    assert "planted conforms: " in shown
    assert "PARTIAL" not in shown
    jsonschema.validate(said, SCHEMA)


FAULTY = """
    import numpy as np

    def loss_fn(t_p, t_c):
        return ((t_p - t_c) ** 2).sum()

    def absolute_loss(t_p, t_c):
        if t_p.shape != t_c.shape:
            raise ValueError("shapes differ")
        return abs(t_p - t_c).mean()

    def dloss_fn(t_p, t_c):
        return 2 * (t_p - t_c)[:, None] / len(t_p)

    def model(t_u, w, b):
        return (w * t_u + b) * np.nan

    def dmodel_dw(t_u, w, b):
        print("x" * 1_000_000)
        raise ValueError("no\\nway")

    def dmodel_db(t_u, w, b):
        return None if len(t_u) % 2 else "a string"

    def split(n_samples, val_fraction, seed):
        if n_samples < 2:
            raise NotImplementedError("one row is not split")
        if not 0 <= val_fraction < 1:
            raise ValueError
        rows = np.random.default_rng(seed).permutation(n_samples)
        n_val = int(val_fraction * n_samples + 0.75)
        return rows[n_val:], rows[:n_val]
"""
FAULTS = {
    "loss.absolute": "holds",
    "loss.empty": "breaks",
    "loss.mean-square": "breaks",
    "gradient.by-hand-loss": "breaks",
    "gradient.by-hand-w": "broken",
    "gradient.by-hand-b": "broken",
    "model.linear": "breaks",
    "split.none-held-out": "breaks",
}
"""The status of each clause."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the target with all the faults."""
    return tmp_path_factory.mktemp("faulty")


@pytest.fixture(scope="module")
def faulty(folder: Path) -> tuple[Any, str]:
    """One check of all the faults."""
    return checked(folder, target(folder, FAULTY), *of(*FAULTS), "--profile=ci", "--workers=2")


def failures(said: Any, clause: str) -> list[Any]:
    """The failures of a clause, over its dtypes."""
    found = [failure for v in said["verdicts"] if v["clause"] == clause for failure in v["failures"]]
    assert found
    return found


def test_each_fault_is_a_verdict_of_its_own(faulty: tuple[Any, str]) -> None:
    said, shown = faulty

    assert statuses(said) == {clause: {status} for clause, status in FAULTS.items()}
    assert said["exit_status"] == 1
    assert "planted does not conform: 1 clause holds, 5 break, 2 broken" in shown
    assert "loss.empty  breaks in float32, float64 (SHOULD: a warning)" in shown
    assert all(set(failure["actual"]["data"]) == {"NaN"} for failure in failures(said, "model.linear"))
    jsonschema.validate(said, SCHEMA)


def test_a_split_that_serves_no_single_row_is_judged_by_the_others(faulty: tuple[Any, str]) -> None:
    """The first examples of a split have one row. No diagnosis blames subnormal numbers."""
    said, shown = faulty

    assert failures(said, "split.none-held-out")
    assert "subnormal" not in shown


def test_the_same_examples_give_the_same_verdicts(faulty: tuple[Any, str], folder: Path) -> None:
    """Whichever of two processes reports first. Clauses are told in the order in which they end."""
    said, shown = checked(folder, str(folder / "planted.py"), *of(*FAULTS), "--profile=ci", "--workers=2")

    assert said == faulty[0]
    assert shown.split("\nchapter ")[1] == faulty[1].split("\nchapter ")[1]


def test_a_seed_draws_its_own_examples(tmp_path: Path) -> None:
    file = target(tmp_path, "def absolute_loss(t_p, t_c):\n    return abs(t_p - t_c).mean()\n")
    worst = []
    for seed in (1, 1, 2):
        said, _ = checked(tmp_path, file, *of("loss.absolute"), f"--seed={seed}", "--examples=10", "--workers=1")
        worst.append([verdict["worst"] for verdict in said["verdicts"]])

    assert worst[0] == worst[1] != worst[2]


def test_no_pass_without_a_judgement(tmp_path: Path) -> None:
    """An operation that serves no request is absent, however few requests are possible."""
    source = "def loss_fn(t_p, t_c):\n    raise NotImplementedError\n"
    source += "def ridge(t_u, t_c, l2):\n    raise NotImplementedError\n"
    options = (*of("regularization.shrinks"), "--chapter=loss", "--chapter=model", "--profile=ci", "--examples=1")

    said, shown = checked(tmp_path, target(tmp_path, source), *options, "--workers=1")

    found = statuses(said)
    assert found.pop("regularization.shrinks") <= {"undecided", "absent"}
    assert {status for seen in found.values() for status in seen} == {"absent"}
    assert said["exit_status"] == 2
    assert "was not checked: no clause could be decided" in shown


FAIR = """
    import itertools
    import numpy as np
    from calibrant.adapters import numpy_target as right

    conventions = {"adadelta.rate": "without"}
    calls = itertools.count()

    def absolute_loss(t_p, t_c):
        return abs(t_p - t_c).mean() + t_p.dtype.type(next(calls))

    def optimize(name, hyperparameters, params, grads):
        if name not in ("sgd", "adadelta"):
            raise NotImplementedError(name)
        return [[p.copy() for p in params] for _ in grads]

    def split(n_samples, val_fraction, seed):
        if n_samples < 2 or not 0 < val_fraction < 1:
            raise ValueError("an empty part")
        return [], []

    def training_loop(n_epochs, optimizer, params, t_u, t_c, val_t_u=None, val_t_c=None):
        if optimizer["name"] != "sgd" or "momentum" in optimizer:
            raise NotImplementedError(str(optimizer))
        (w, b), u, c = params.astype(float), t_u.astype(float), t_c.astype(float)
        with np.errstate(all="ignore"):
            for _ in range(n_epochs):
                r = 2 * (w * u + b - c) / len(u)
                w, b = w - optimizer["lr"] * (r * u).sum(), b - optimizer["lr"] * r.sum()
        return np.array([w, b]), [], []

    def least_squares(t_u, t_c):
        if t_u.shape != t_c.shape or np.ptp(t_u) < 1e-30:
            raise np.linalg.LinAlgError(f"{t_u} is singular")
        return right.least_squares(t_u, t_c)

    def ridge(t_u, t_c, l2):
        if np.ptp(t_u) > 0 and np.mean(np.square(t_u - np.mean(t_u))) + t_u.dtype.type(l2) == 0:
            raise ZeroDivisionError("the matrix is singular")
        return right.ridge(t_u, t_c, l2)
"""
JUDGED = {
    "optimizer.zero-rate": "holds",  # Adadelta without a rate moves at a rate of zero; SGD does not, and counts
    "split.empty-part": "holds",  # though every empty part is refused
    "optimizer.swap": "holds",  # though the float64 parameters go into the gradients of the next step
    "data.scaling": "holds",  # though readings that are all the same are refused: a fit of them may be anything
    "regularization.shrinks": "holds",  # though a matrix whose squares underflow is refused, as deepbox does
    "loss.absolute": "broken",  # it answers at random
}


def test_a_target_is_judged_by_what_the_book_claims(tmp_path: Path) -> None:
    """A refusal or a deviation where nothing is claimed leaves the clause decided."""
    said, shown = checked(tmp_path, target(tmp_path, FAIR), *of(*JUDGED), "--profile=ci", "--examples=300")

    assert statuses(said) == {clause: {status} for clause, status in JUDGED.items()}
    assert "does not answer the same question the same way twice" in shown


def test_a_target_may_ask_for_wider_bounds_and_declare_deviations(tmp_path: Path) -> None:
    """The report shows both. A deviation that does not deviate is stale, unless few examples or a dtype left out may have missed it."""
    source = """
        name, version = "coarse", "7.1"
        slack = 64
        conventions = {"adam.epsilon": "hat"}
        deviations = {"loss.pure": "it is quicker so", "loss.scalar": "so it was"}

        def absolute_loss(t_p, t_c):
            t_p -= t_c
            return abs(t_p).mean() * t_p.dtype.type(1 + 16 * 2.0 ** (-52 if t_p.dtype == "float64" else -23))
    """
    arguments = (*of("loss.absolute", "loss.pure", "loss.scalar"), "--profile=ci", "--workers=1")

    said, shown = checked(tmp_path, target(tmp_path, source), *arguments, "--examples=20")
    strict, of_strict = checked(tmp_path, target(tmp_path, source.replace("slack = 64", "")), *arguments)

    assert said["exit_status"] == 0
    assert statuses(said) == {"loss.absolute": {"holds"}, "loss.pure": {"deviates"}, "loss.scalar": {"holds"}}
    assert said["target"]["conventions"] == {"adam.epsilon": "hat"}
    assert "Every bound was widened 64 times, as the target asks (slack)." in shown
    assert "loss.pure deviates as declared: it is quicker so" in shown
    assert "coarse (7.1) conforms except for 1 declared deviation, as far as it was checked" in shown
    assert statuses(strict) == {"loss.absolute": {"breaks"}, "loss.pure": {"deviates"}, "loss.scalar": {"stale"}}

    half, _ = checked(tmp_path, target(tmp_path, source), *of("loss.scalar"), "--profile=ci", "--dtype=float16")
    assert (half["exit_status"], statuses(half)) == (0, {"loss.scalar": {"holds"}})
    assert strict["exit_status"] == 1
    assert "It is declared as a deviation (so it was), but it holds." in of_strict


def children_of(mark: str) -> list[Path]:
    """The processes that inherited this mark in their environment."""
    found = []
    for file in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            found += [file] if mark.encode() in file.read_bytes() else []
    return found


HOSTILE = """
    import ctypes, os, sys, time
    deviations = {"optimizer.zero-rate": "nobody asks for it"}
    print("LEAK-import")
    os.write(1, b"LEAK-import")

    def loss_fn(t_p, t_c):
        os.write(1, b"LEAK-1"); os.write(2, b"the last words\\n")
        os._exit(7)

    def absolute_loss(t_p, t_c):
        ctypes.string_at(0)

    def model(t_u, w, b):
        print("LEAK-print" * 10_000); print("LEAK-error" * 10_000, file=sys.stderr)
        os.write(1, b"LEAK-1" * 10_000); os.write(2, b"LEAK-2" * 10_000)
        return w * t_u + b

    def dmodel_dw(t_u, w, b):
        while True:
            try:
                while True:
                    pass
            except BaseException:
                pass

    def dmodel_db(t_u, w, b):
        return sum(range(10**15))  # one call in C, for days: no signal gets through

    def dloss_fn(t_p, t_c):
        return dloss_fn(t_p, t_c)

    def grad_fn(t_u, t_c, t_p, w, b):
        sys.exit(3)

    def finite_difference(t_u, t_c, w, b, delta):
        while True:
            try:
                time.sleep(1000)
            except Exception:
                pass

    def least_squares(t_u, t_c):
        return [1.0, sum(1 for _ in t_u), {}]

    def optimize(name, hyperparameters, params, grads):
        os._exit(1)
"""

ENDS = {
    "loss.mean-square": ") ended its process; it had written to standard error 'the last words'",
    "loss.absolute": ") ended its process (Fatal Python error: Segmentation fault)",
    "gradient.by-hand-w": " did not return within 4 s and its process had to be ended; it is not called again",
    "gradient.by-hand-b": " did not return within 4 s and its process had to be ended; it is not called again",
    "gradient.by-hand-loss": "raised RecursionError",
    "gradient.chain-rule": "called sys.exit(3)",
    "gradient.central": "did not return within 1 s",
    "data.scaling": "returned {} where numbers are due",
}
"""A part of the text of each failing clause."""


def test_every_hostile_operation_ends_as_a_verdict_and_the_check_goes_on(tmp_path: Path) -> None:
    """A declared deviation counts even where the operation ends its process."""
    mark = f"calibrant-test-{os.getpid()}-{time.monotonic_ns()}"
    arguments = (*of(*ENDS, "model.linear", "optimizer.zero-rate"), "--dtype=float64", "--examples=3", "--workers=2")

    said, shown = checked(tmp_path, target(tmp_path, HOSTILE), *arguments, "--timeout=1", cold=True, MARK=mark)

    others = {"model.linear": {"holds"}, "optimizer.zero-rate": {"deviates"}}
    assert statuses(said) == {name: {"broken"} for name in ENDS} | others
    assert "optimizer.zero-rate deviates as declared: nobody asks for it" in shown
    texts = {verdict["clause"]: [f["text"] for f in verdict["failures"]] for verdict in said["verdicts"]}
    for name, sentence in ENDS.items():
        assert all(sentence in text for text in texts[name]), texts[name]
    assert said["exit_status"] == 1
    assert said["unfinished"] == []
    assert "LEAK" not in shown + str(said)
    assert children_of(mark) == []
    jsonschema.validate(said, SCHEMA)


UNLOADABLE = {
    "dies": ("import os\nos._exit(4)", "ended its process (status 4) while it was imported", 10.0),
    "dies in a worker": (
        "import os\nif 'PYTEST_DISABLE_PLUGIN_AUTOLOAD' in os.environ:\n    os._exit(4)\ndef loss_fn(t_p, t_c):\n    return 0.0",
        "ended its process while it was imported in a worker",
        10.0,
    ),
    "hangs": ("import time\ntime.sleep(1000)", "did not finish importing within 1.2 s", 0.2),
}


@pytest.mark.parametrize(("source", "sentence", "timeout"), UNLOADABLE.values(), ids=UNLOADABLE)
def test_a_target_that_cannot_be_loaded_is_one_sentence(
    source: str, sentence: str, timeout: float, tmp_path: Path
) -> None:
    process = calibrant("check", target(tmp_path, source), f"--timeout={timeout}", cold=True)

    assert one_sentence(process, sentence), process.stderr


def test_a_target_that_cannot_be_loaded_again_leaves_properties_undone(tmp_path: Path) -> None:
    source = f"""
    import os, pathlib
    number = len(list(pathlib.Path({str(tmp_path)!r}).glob("loaded*")))
    pathlib.Path({str(tmp_path)!r}, f"loaded{{number}}").touch()
    if number > 1:  # after it was asked what it offers, and loaded in one worker
        os._exit(4)

    def absolute_loss(t_p, t_c):
        os._exit(4)
    """
    said, shown = checked(
        tmp_path, target(tmp_path, source), "--clause=loss.absolute", "--workers=1", *QUICK, cold=True
    )

    assert statuses(said) == {"loss.absolute": {"broken"}}
    assert "PARTIAL: 1 property did not run to an end." in shown


def test_a_property_whose_process_dies_after_its_report_has_one_outcome(tmp_path: Path) -> None:
    """The target waits for the tear-down that follows the report."""
    source = """
    import os
    from calibrant.target import isolation

    def absolute_loss(t_p, t_c):
        isolation.at_ease = lambda: os._exit(4)
        return (abs(t_p - t_c) / t_p.dtype.type(t_p.size)).sum()
    """
    said, _ = checked(tmp_path, target(tmp_path, source), *of("loss.absolute"), "--dtype=float64", *QUICK, cold=True)

    (verdict,) = said["verdicts"]
    assert (verdict["status"], len(verdict["properties"])) == ("holds", 1)


def test_options_of_pytest_in_the_environment_change_nothing(tmp_path: Path) -> None:
    """A project's own settings change nothing either. A partial check says so."""
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --no-such-option\n")
    (tmp_path / "conftest.py").write_text("raise RuntimeError('not for calibrant')\n")
    arguments = (target(tmp_path, RIGHT), *of("loss.absolute"), "--dtype=float64", *QUICK)

    said, shown = checked(tmp_path, *arguments, cwd=tmp_path, PYTEST_ADDOPTS="-k nothing")

    assert statuses(said) == {"loss.absolute": {"holds"}}
    assert said["partial"] == [f"only 1 of {len(book())} clauses were asked for", "float32 left out"]
    assert f"PARTIAL: only 1 of {len(book())} clauses were asked for." in shown
    assert "PARTIAL: float32 left out." in shown
    assert "conforms, as far as it was checked" in shown


NUMBER = re.compile(r"[-+]?(?:inf|nan|\d+\.?\d*(?:e[-+]?\d+)?)")


@pytest.mark.parametrize("inner", ["", ":Shelf.inner"])
@pytest.mark.parametrize("file", ["deep/planted.py", "deep.planted"])
def test_the_printed_lines_print_what_was_returned(file: str, inner: str, tmp_path: Path) -> None:
    """They run unchanged in a process that imports NumPy and the target, and not calibrant."""
    functions = """
def loss_fn(t_p, t_c):
    return helper.sum_of_squares(t_p - t_c)

def model(t_u, w, b):
    return (w * t_u + b + 1).astype("float16")

def training_loop(n_epochs, optimizer, params, t_u, t_c):
    return params + n_epochs, [optimizer["lr"]] * max(n_epochs, 0), []
"""
    source = f"import numpy as np\nimport helper\n{functions}"
    if inner:
        methods = functions.replace("\ndef", "\n@staticmethod\ndef").replace("\n", "\n        ")
        source = f"import helper\nclass Shelf:\n    class inner:\n        {methods}\n"
    target(tmp_path, source, "deep/planted.py")
    beside = "deep/helper.py" if ".py" in file else "helper.py"
    target(tmp_path, "def sum_of_squares(r):\n    return (r * r).sum()\n", beside)
    clauses = ("loss.mean-square", "model.linear", "descent.negative-rate", "descent.log", "loss.wide-accumulation")

    arguments = (*of(*clauses), "--profile=ci", "--examples=10", "--workers=1")
    said, shown = checked(tmp_path, file + inner, *arguments, "-v", cwd=tmp_path, COLUMNS="1000")

    assert statuses(said) == {clause: {"breaks"} for clause in clauses}
    first = [(v["clause"], v["failures"][0]) for v in said["verdicts"]]
    snippets = [failure["snippet"] for _, failure in first]
    of_float32 = [v["failures"][0]["snippet"] for v in said["verdicts"] if v["dtype"] == "float32"]
    assert all(line.strip() in shown for snippet in of_float32 for line in snippet.splitlines())
    separately = f"for snippet in {snippets!r}:\n    exec(snippet, {{}})\n    print('====')\n"
    process = run("-c", separately + "import sys\nassert 'calibrant' not in sys.modules\n", cwd=tmp_path)
    assert process.returncode == 0, process.stderr
    compared = 0
    for (clause, failure), printed in zip(first, process.stdout.split("====\n"), strict=False):
        if failure["actual"] and clause != "descent.log":
            returned = [float(x) for x in NUMBER.findall(printed.splitlines()[-1].partition(" where ")[0])]
            due = [float(x) for x in failure["actual"]["data"]]
            assert returned == due or (math.isinf(due[0]) and math.isinf(returned[0])), (failure["snippet"], printed)
            compared += 1
    assert compared >= 4


def test_a_check_inside_another_run_of_pytest_leaves_it_as_it_was(tmp_path: Path) -> None:
    """The engine is pytest, in the same process: the outer run keeps its session."""
    outer = current()

    result = check(target(tmp_path, RIGHT), Options(clauses=("loss.absolute",), examples=2, workers=1))

    assert current() is outer
    assert result.exit_status == 0
    assert document(result)["outcome"] == "conforms, as far as it was checked"


def test_a_failing_clause_is_told_at_once_and_an_interrupted_check_tells_what_it_knows(tmp_path: Path) -> None:
    source = """
    import time

    def loss_fn(t_p, t_c):
        return ((t_p - t_c) ** 2).sum()

    def model(t_u, w, b):
        time.sleep(1000)
    """
    clauses = of("loss.mean-square", "model.linear")
    command = [sys.executable, "-m", "calibrant", "check", target(tmp_path, source), *clauses, "--timeout=1000"]
    with (
        heeded(signal.SIGINT),
        subprocess.Popen([*command, "--workers=2"], stdout=subprocess.PIPE, text=True, cwd=tmp_path) as process,
    ):
        assert process.stdout is not None
        first = process.stdout.readline()
        process.send_signal(signal.SIGINT)
        shown = process.stdout.read()
        status = process.wait(PATIENCE)

    assert first == "loss.mean-square  breaks in float32, float64\n"
    assert status == 130
    assert "loss.mean-square  breaks" not in shown
    assert shown.startswith("  The loss of predictions")
    assert "PARTIAL: somebody interrupted it." in shown


def test_enough_failed_clauses_end_a_check_and_the_next_one_takes_them_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clause is told once, with its final verdicts. A property whose operations are absent is not run."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    file, told = target(tmp_path, FAULTY), list[Any]()
    options = Options(clauses=(*FAULTS, "loss.pure", "optimizer.*"), examples=5, seed=7, workers=1, fail_fast=2)
    ids = set[str]()

    result = check(file, options, lambda all_ids, outcome: ids.update(all_ids), told.append)
    last.remember(result)

    failed = [verdicts[0].clause for verdicts in told if any(verdict.failed for verdict in verdicts)]
    assert len(failed) == 2
    assert (result.exit_status, result.stopped, result.interrupted) == (1, True, False)
    assert result.partial[1] == "it ended after 2 failed clauses, as --fail-fast asks"
    assert all(verdicts == [v for v in result.verdicts if v.clause == verdicts[0].clause] for verdicts in told)
    assert not [one for one in ids if "test_optimizers" in one]
    assert statuses({"verdicts": [vars(v) for v in result.verdicts]})["optimizer.adam"] == {"absent"}
    again = last.failed(file, Options(examples=1000))
    assert all(set(one) == {"sample"} for some in Session(last=Path(str(again.last))).failed.values() for one in some)
    assert {*failed} <= {*again.clauses} <= {*FAULTS}
    assert (again.seed, again.examples) == (7, 5)
    assert last.failed("other.py", options) is options


def test_the_next_check_begins_with_the_examples_that_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that the single draw does not find, in one dtype; bytes of other strategies are passed over."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    source = RIGHT.replace("return", "return (t_p.size == 11 and t_p.itemsize == 8) +")
    file, options = target(tmp_path, source), Options(clauses=("loss.absolute",), seed=7, examples=1, workers=1)
    name = "test_absolute_loss_is_the_mean_of_the_absolute_residuals"

    before = check(file, options)
    last.remember(before)
    eleven = "000a".ljust(2 * strategies.residuals.length, "0")
    found = replace(before.verdicts[0], status="breaks", drawn={name: [{"sample": "00"}, {"sample": eleven}]})
    last.remember(replace(before, verdicts=[found, *before.verdicts[1:]]))
    again = check(file, last.failed(file, Options()))

    assert statuses({"verdicts": [vars(v) for v in before.verdicts]}) == {"loss.absolute": {"holds"}}
    (verdict,) = [verdict for verdict in again.verdicts if verdict.failures]
    assert (verdict.dtype, verdict.status) == ("float64", "breaks")
    assert verdict.drawn == {name: [{"sample": eleven}]}
    assert len(verdict.failures[0].calls[-1]["arguments"]["t_p"]["data"]) == 11
