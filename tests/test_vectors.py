"""Vectors: they say what the judge says, reject all that they can, hold no case too many, and are replayed whatever a target does."""

from __future__ import annotations

import copy
import json
import math
import os
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from support import PATIENCE, calibrant, one_sentence, target

from calibrant import cli, exact
from calibrant.book.clauses import CHAPTERS, book
from calibrant.impostors import Impostor, catalog
from calibrant.impostors.planting import target_from_impostor
from calibrant.judge import tallying
from calibrant.protocol.errors import CheckError
from calibrant.protocol.operations import OPERATIONS
from calibrant.target.calling import Absent, Subject
from calibrant.target.loading import PROGRAM, load
from calibrant.vectors import choosing, replaying
from calibrant.vectors.cases import Case, asked, judged, verdict
from calibrant.vectors.due import CLAIMS, claims
from calibrant.vectors.files import VectorsError, _digest, read
from calibrant.vectors.numbers import NOTHING, REFUSED, numbers, says

pytestmark = pytest.mark.filterwarnings("ignore")  # what impostors warn of is their own affair


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of vectors, as the command writes it: once for all processes of a run."""
    base = tmp_path_factory.getbasetemp()
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID")
    shared = (base.parent if run else base) / f"vectors-{run}"
    said = shared.with_suffix(".said")
    try:
        shared.mkdir()
    except FileExistsError:
        until = time.monotonic() + PATIENCE
        while not said.exists():
            assert time.monotonic() < until, "the process that writes the vectors does not end"
            time.sleep(0.1)
        return shared
    process = calibrant("vectors", str(shared), PYTHONHASHSEED="0")
    assert process.returncode == 0, process.stderr
    said.write_text(process.stdout, encoding="utf-8")
    return shared


@pytest.fixture(scope="session")
def cases(folder: Path) -> list[Case]:
    return [case for of_file in read(folder).values() for case in of_file]


def subject_of(name: str, case: Case) -> Subject:
    return Subject(load(name), case.dtype or "float64")


# What is written


def test_a_folder_is_small_and_says_what_it_rejects(folder: Path, cases: list[Case]) -> None:
    files = sorted(file.name for file in folder.iterdir())
    size = sum(file.stat().st_size for file in folder.iterdir())
    said = folder.with_suffix(".said").read_text(encoding="utf-8")

    assert files == sorted([*(f"{chapter}.json" for chapter in CHAPTERS), "README.md", "schema.json"])
    assert size < 600_000
    named = {(case.operation, flag) for case in cases for flag in case.flags}
    assert f"{len(cases)} cases, {size / 1000:.0f} kB" in said
    assert f"reject {len(named)} of {len(catalog())} impostors" in said


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_file_is_as_its_schema_says(folder: Path, chapter: str) -> None:
    schema = json.loads((folder / "schema.json").read_text(encoding="utf-8"))
    held = json.loads((folder / f"{chapter}.json").read_text(encoding="ascii"))

    jsonschema.Draft202012Validator(schema).validate(held)
    flags = {(case["operation"], flag) for case in held["cases"] for flag in case["flags"]}
    assert flags == {(operation, name) for operation, notes in held["notes"].items() for name in notes}
    assert {book()[case["clause"]].chapter for case in held["cases"]} == {chapter}


def test_cases_have_names_of_their_own(cases: list[Case]) -> None:
    assert len({case.id for case in cases}) == len(cases)


@pytest.mark.parametrize("operation", ["loss_fn", "expand", "broadcast_shapes", "early_stopping"])
def test_another_process_chooses_the_same_cases(cases: list[Case], operation: str) -> None:
    """This one hashes by another seed than the one that wrote the folder."""
    again = [
        case
        for group in choosing.groups()
        if group.operation == operation
        for case in choosing.of_group(*group.named())
    ]

    assert sorted(case.id for case in again) == sorted(case.id for case in cases if case.operation == operation)
    written = {case.id: case.written() for case in cases}
    assert [case.written() for case in again] == [written[case.id] for case in again]


# What they reject


def by_group(cases: list[Case]) -> Iterator[tuple[choosing.Group, list[Case]]]:
    for group in choosing.groups():
        of_group = [case for case in cases if group.holds(case)]
        if of_group:
            yield group, of_group


def test_every_impostor_that_a_file_can_show_is_rejected_by_the_case_that_names_it(cases: list[Case]) -> None:
    by_name = {(one.operation, one.name): one for one in catalog()}
    missed = []
    for group, of_group in by_group(cases):
        for flag in sorted({flag for case in of_group for flag in case.flags}):
            subject = Subject(target_from_impostor(by_name[group.operation, flag]), group.dtype or "float64")
            case = next(case for case in of_group if flag in case.flags)
            if not verdict(case, subject):
                missed.append((case.id, flag))

    assert missed == []


def unsaid(one: Impostor) -> str:
    """Why no case can show an impostor: in what it differs from what is right."""
    if not OPERATIONS[one.operation].in_files:
        return "functions"  # or, of the figures, how many epochs there are
    if one.operation in ("split", "split_data"):
        return "drawn"
    if not one.repeats:
        return "remembers"
    if not one.keeps_dtype:
        return "dtype"
    beside = {"in-place", "pure", "input-kept", "gradients-kept", "no-copy"}
    return "changes" if {clause.split(".")[1] for clause in one.breaks} <= beside else ""


def test_of_every_other_impostor_it_is_known_why_no_file_can_show_it(cases: list[Case]) -> None:
    named = {(case.operation, flag) for case in cases for flag in case.flags}
    others = [one for one in catalog() if (one.operation, one.name) not in named]

    assert [f"{one.operation}.{one.name}" for one in others if not unsaid(one)] == []
    assert {unsaid(one) for one in others} == {"functions", "drawn", "remembers", "dtype", "changes"}


def test_an_impostor_is_rejected_in_every_dtype_and_optimizer_in_which_it_breaks_a_clause(cases: list[Case]) -> None:
    from calibrant.checks.power import due

    missed = []
    for group, of_group in by_group(cases):
        flags = {flag for case in of_group for flag in case.flags}
        for one in group.impostors():
            broken = {
                clause.partition("@")[0] for clause in due(one)[0] if not group.dtype or clause.endswith(group.dtype)
            }
            if broken and one.name not in flags and not unsaid(one):
                missed.append((group, one.name))

    assert missed == []


def test_no_case_can_be_left_out(cases: list[Case]) -> None:
    spare = [
        case.id
        for _, of_group in by_group(cases)
        for case in of_group
        if set(case.flags) <= {flag for other in of_group if other is not case for flag in other.flags}
    ]

    assert spare == []


def test_what_covers_all_holds_no_set_too_many() -> None:
    """The largest is taken first, and is not needed once the others are there."""
    sets = [{1, 2, 3, 4}, {1, 2, 5}, {3, 4, 6}, {6}, {5}, set()]

    assert choosing.cover(sets, [1] * len(sets)) == [1, 2]
    assert choosing.cover([{1}, {1}], [5, 3]) == [1]
    assert choosing.cover([], []) == []


# Right answers, and wrong ones


@pytest.mark.parametrize("name", ["numpy", "reference", "torch"])
def test_a_right_target_agrees(cases: list[Case], name: str) -> None:
    """But for what it declares: PyTorch's losses do broadcast."""
    if name != "numpy":
        pytest.importorskip("torch")
    loaded = load(name)
    subjects = {dtype: Subject(loaded, dtype or "float64") for dtype in ("", "float32", "float64")}
    wrong, absent = [], 0
    for case in cases:
        if case.clause in loaded.deviations or (OPERATIONS[case.operation].starts_processes and name == "reference"):
            continue  # processes take seconds to start, and the chapter on accumulation asks them
        try:
            sentence = verdict(case, subjects[case.dtype])
        except Absent:
            absent += 1
        else:
            wrong += [f"{case.id} {sentence}"] * bool(sentence)

    assert wrong == []
    assert absent < len(cases) / 3


def nudged(case: Case) -> Iterator[Case]:
    """The case with one number beyond what is allowed of it, each in turn."""

    def leaves(expected: Any) -> Iterator[dict[str, Any]]:
        if isinstance(expected, list):
            for part in expected:
                yield from leaves(part)
        elif isinstance(expected, dict) and "data" in expected:
            yield expected

    for number in range(sum(len(leaf["data"]) for leaf in leaves(case.expected))):
        expected = copy.deepcopy(case.expected)
        leaf, i = [(leaf, i) for leaf in leaves(expected) for i in range(len(leaf["data"]))][number]
        if isinstance(leaf["data"][i], float) and leaf["allowed"][i] < 1 / 16:
            beyond = Fraction(leaf["allowed"][i]) * 2 + Fraction(1, 2**1060)
            leaf["fractions"][i] = str(Fraction(leaf["fractions"][i]) + beyond)
            yield Case(case.operation, case.dtype, case.clause, case.inputs, expected)


@pytest.mark.parametrize("operation", [name for name in CLAIMS if name not in ("training_loop", "split", "split_data")])
def test_a_number_that_is_changed_by_more_than_is_allowed_is_noticed(cases: list[Case], operation: str) -> None:
    from calibrant.impostors.correct import over_arrays

    right = Impostor("right", operation, lambda right, *arguments: right(*arguments), "", ())
    for case in [case for case in cases if case.operation == operation and case.expected != REFUSED][:6]:
        subject = Subject(target_from_impostor(right), case.dtype or "float64")
        answer = subject.call(operation, case.arguments)
        assert judged(case, answer) == ""
        unnoticed = [changed.expected for changed in nudged(case) if not judged(changed, answer)]
        assert unnoticed == []
    assert operation in over_arrays()


def test_a_shape_a_word_and_a_list_are_told_from_others() -> None:
    shape = Case("model", "float32", "model.shape", {}, {"shape": [2, 1]})
    word = Case("diagnose", "float32", "overfitting.diagnosis", {}, "good")
    sizes = Case("broadcast_shapes", "", "broadcast.result", {}, [2, 3])
    pair = Case("early_stopping", "float32", "early-stopping.best", {}, [NOTHING, numbers(2.0)])
    nothing = Case("calc_forward", "float32", "autograd.set-grad-enabled", {}, [numbers(1.0), None])
    error = Case("model", "float32", "model.linear", {}, REFUSED)

    assert judged(shape, np.ones((2, 1))) == ""
    assert judged(shape, np.ones(2)) == "returned shape (2,) where (2, 1) is due"
    assert judged(word, "good") == ""
    assert judged(word, "bad") == "returned 'bad' where 'good' is due"
    assert judged(sizes, (2, 3)) == ""
    assert judged(sizes, (2, 1)) == "returned [2, 1] where [2, 3] is due"
    assert judged(pair, (np.array(7.0), np.array(2.0))) == ""
    assert judged(pair, (np.array(7.0), np.array(3.0))).startswith("returned, as part [1], 3.0, exactly 2.0: off by 1")
    assert judged(pair, np.array(2.0)) == "returned 2.0 where a list of 2 is due"
    assert judged(nothing, [np.array(1.0), None]) == ""
    assert judged(nothing, [np.array(1.0), np.array(1.0)]) == "returned, as part [1], 1.0 where None is due"
    assert judged(nothing, [None, None]) == "returned, as part [0], None where an array is due"
    assert judged(error, np.array(1.0)) == "returned 1.0 where an error is due"


def test_what_is_not_finite_is_due_by_its_word() -> None:
    words = {
        "shape": [3],
        "data": ["NaN", "not finite", None],
        "fractions": ["NaN", "not finite", None],
        "allowed": [0.0, 0.0, None],
    }
    case = Case("dloss_fn", "float64", "gradient.nan", {}, words)

    assert judged(case, np.array([math.nan, math.nan, 1.0])) == ""
    assert judged(case, np.array([math.nan, -math.inf, math.nan])) == ""
    assert judged(case, np.array([math.nan, 1.0, 1.0])) == "returned [nan, 1.0, 1.0] where NaN, not finite is due"
    assert judged(case, np.array([math.inf, math.inf, 1.0])) != ""
    infinite = Case("multiply", "float64", "broadcast.like-numpy", {}, numbers(np.array([-math.inf])))
    assert judged(infinite, np.array([-math.inf])) == ""
    assert judged(infinite, np.array([math.inf])) != ""


def test_an_answer_may_broadcast_where_the_case_says_so() -> None:
    case = Case("dmodel_db", "float64", "gradient.by-hand-b", {}, {**numbers(np.ones(3)), "broadcasts": True})

    assert judged(case, np.array(1.0)) == ""
    assert judged(case, np.array([1.0])) == ""
    assert judged(case, np.ones(3)) == ""
    assert judged(case, np.ones(2)) != ""
    assert judged(case, np.array(2.0)) != ""


def test_numbers_are_written_exactly_or_next_to_it() -> None:
    third = exact.constant(Fraction(1, 3), exact.FORMATS["float64"]).within(1e-16, exact.FORMATS["float64"])
    long = Fraction(10**80 + 1, 3 * 10**80)
    written = numbers(exact.constant(long, exact.FORMATS["float64"]).within(1.23456e-16, exact.FORMATS["float64"]))

    assert numbers(third) == {"shape": [], "data": [1 / 3], "fractions": ["1/3"], "allowed": [1e-16]}
    (text,), (allowed,) = written["fractions"], written["allowed"]
    assert len(text) <= 100
    assert abs(Fraction(text) - long) < Fraction(allowed) / 10**9
    assert 1.23456e-16 <= allowed < 1.2355e-16
    assert numbers(third.within(math.inf, third.form))["data"] == [None]
    assert says(numbers(third))
    assert not says(numbers(third.within(math.inf, third.form)))


def test_nothing_is_claimed_where_the_book_says_nothing() -> None:
    samples, table = np.array([1.0, 2.0]), np.ones((2, 1))

    assert list(claims("dloss_fn", (samples, table))) == []
    assert list(claims("closed_form", (1, 0.5, samples, samples, table))) == []
    assert list(claims("split", (10, 0.5, 0))) == []
    assert list(claims("split", (10, 1.5, 0))) == [("split.invalid", REFUSED)]
    assert list(claims("validation_loss", (samples, np.array([math.nan]), np.array([1.0])))) == []
    # A mean whose bound is not known, because its scale cannot be changed exactly.
    assert "loss.wide-accumulation" not in dict(claims("loss_fn", (np.array([2.0**511] * 4 + [5e-324]), np.zeros(5))))
    adam = {"name": "adam", "lr": 0.5}
    assert list(claims("training_loop", (-1, adam, samples, samples, samples))) == []
    assert list(claims("training_loop", (1, adam, samples, samples, samples, samples, None))) == []
    assert dict(claims("optimize", ("sgd", {"beta": 1.0}, [samples], [[samples]]))) == {"optimizer.unknown": REFUSED}


# Replaying, for real


def replayed(folder: Path, *arguments: str) -> Any:
    return calibrant("vectors", "--verify", str(folder), *arguments)


def test_a_right_target_is_told_so(folder: Path) -> None:
    process = replayed(folder, "numpy")

    assert process.returncode == 0, process.stdout
    *files, last = process.stdout.splitlines()
    assert [line.split()[0] for line in files] == [f"{chapter}.json" for chapter in CHAPTERS]
    assert "disagrees" not in process.stdout
    assert last.startswith("numpy agrees with the vectors in ")
    assert "cases were not asked" in last


def test_a_wrong_target_is_told_which_answer_and_what_the_case_rejects(folder: Path, tmp_path: Path) -> None:
    file = target(tmp_path, "def loss_fn(t_p, t_c):\n    return ((t_p - t_c) ** 2).sum()\n")

    process = replayed(folder, file)

    assert process.returncode == 1
    lines = process.stdout.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("loss_fn/mean-square/float64/"))
    assert lines[start].endswith(" disagrees with loss.mean-square")
    assert lines[start + 1].startswith("  loss_fn([")
    assert "off by" in lines[start + 1]
    assert "`sum-instead-of-mean`" in lines[start + 2]
    assert any("is a warning of loss.empty" in line for line in lines)
    assert lines[-1].startswith("planted does not agree with the vectors: ")


WILD = """
import ctypes, os, signal, sys, time

def model(t_u, w, b):
    os._exit(3)

def loss_fn(t_p, t_c):
    while True:
        pass

def absolute_loss(t_p, t_c):
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
    time.sleep(1000)

def dloss_fn(t_p, t_c):
    for _ in range(2000):
        os.write(1, b"x" * 4096)
        print("y" * 4096)
    return 2 * (t_p - t_c) / t_p.dtype.type(t_p.size)

def dmodel_dw(t_u, w, b):
    sys.exit(0)

def dmodel_db(t_u, w, b):
    return "one"

def grad_fn(t_u, t_c, t_p, w, b):
    ctypes.string_at(0)

def multiply(x, y):
    raise NotImplementedError("no products here")
"""


def test_a_target_that_hangs_dies_or_floods_is_replayed_to_the_end(folder: Path, tmp_path: Path) -> None:
    replay = replaying.verify(folder, target(tmp_path, WILD), timeout=0.5)

    said: dict[str, set[str]] = {}
    for outcome in replay.outcomes:
        said.setdefault(outcome.case.operation, set()).add(outcome.sentence)
    hung, again = "did not return within 0.5 s", "it is not called again"
    late = f"{hung} and its process had to be ended"
    assert replay.exit_status == 1
    assert (
        {f"ended its process; {again}"}
        < said["model"]
        <= {
            f"ended its process; {again}",
            "is not called again: it ended its process",
            "model is not called again",
        }
    )
    assert {f"{hung}; {again}", "loss_fn is not called again"} <= said["loss_fn"]
    assert f"{late}; {again}" in said["absolute_loss"]
    assert said["dmodel_dw"] == {"called sys.exit(0)"}
    assert said["dmodel_db"] == {"returned 'one' where numbers are due"}
    assert any(sentence.startswith("ended its process (Fatal Python error") for sentence in said["grad_fn"])
    statuses = {outcome.case.operation: outcome.status for outcome in replay.outcomes}
    assert statuses["dloss_fn"] == "agrees"
    assert statuses["model"] == statuses["loss_fn"] == statuses["grad_fn"] == "passed over"
    assert statuses["multiply"] == statuses["optimize"] == "absent"
    assert len(replay.outcomes) == sum(map(len, read(folder).values()))


def test_a_program_is_replayed_on_as_a_target_is(folder: Path, command: Any) -> None:
    line = shlex.join(["node", str(Path(__file__).parent / "programs" / "adapter.js")])

    status, said, _ = command("vectors", "--verify", str(folder), "--program", line)

    assert status == 0, said
    assert said.splitlines()[-1].startswith("plain JavaScript agrees with the vectors in ")


def test_a_program_that_lies_is_replayed_to_the_end(folder: Path) -> None:
    """It writes what is no JSON, to whatever it is asked."""
    liar = [sys.executable, "-I", str(Path(__file__).parent / "programs" / "liar.py"), "garbage", "0"]

    replay = replaying.verify(folder, PROGRAM + shlex.join(liar), timeout=5.0)

    asked_of = [outcome for outcome in replay.outcomes if outcome.case.operation == "loss_fn"]
    assert replay.exit_status == 1
    assert {outcome.status for outcome in asked_of} <= {"disagrees", "passed over"}
    assert len(replay.outcomes) == sum(map(len, read(folder).values()))


@pytest.mark.parametrize(("end", "said"), [("os._exit(3)", "ended its process"), ("time.sleep(1000)", "hung")])
def test_a_target_that_cannot_be_loaded_twice_is_a_sentence(folder: Path, tmp_path: Path, end: str, said: str) -> None:
    """It loads once, when it is asked what it is."""
    mark = tmp_path / "mark"
    source = (
        f"import os, pathlib, time\nmark = pathlib.Path({str(mark)!r})\nif mark.exists():\n    {end}\nmark.touch()\n"
    )
    file = target(tmp_path, source + "def model(t_u, w, b):\n    return w * t_u + b\n")

    with pytest.raises(CheckError, match=f"{said} while it was imported in a worker"):
        replaying.verify(folder, file, timeout=0.1)


def test_a_target_is_not_asked_for_what_it_does_not_mean(folder: Path, tmp_path: Path) -> None:
    source = """
    from calibrant.adapters.numpy_target import broadcast_shapes, model, optimize, training_loop
    name, dtypes = "mine", ("float64",)
    conventions = {"adam.epsilon": "hat", "sgd.buffer": "plain"}
    deviations = {"loss.same-shape": "it broadcasts"}
    def loss_fn(t_p, t_c):
        return ((t_p - t_c) ** 2).mean()
    """
    replay = replaying.verify(folder, target(tmp_path, source))

    of = {
        (outcome.case.operation, outcome.case.dtype, outcome.case.inputs.get("name")): outcome
        for outcome in replay.outcomes
    }
    assert of["model", "float32", None].sentence == "it does not compute in float32"
    assert of["optimize", "float64", "adam"].sentence == "it declares adam.epsilon = hat"
    assert of["optimize", "float64", "adamw"].sentence == "it declares adam.epsilon = hat"
    assert of["optimize", "float64", "sgd"].status == of["optimize", "float64", "rmsprop"].status == "agrees"
    assert of["broadcast_shapes", "", None].status == "agrees"
    loop = [outcome for outcome in replay.outcomes if outcome.case.inputs.get("optimizer", {}).get("name") == "adam"]
    assert {outcome.status for outcome in loop} == {"passed over"}
    shapes = [outcome for outcome in replay.outcomes if outcome.case.clause == "loss.same-shape"]
    assert {outcome.status for outcome in shapes if outcome.case.operation == "loss_fn"} == {"deviates", "passed over"}


def test_a_target_that_is_asked_nothing_does_not_pass(folder: Path, tmp_path: Path, command: Any) -> None:
    file = target(tmp_path, "def evaluate(loss, params, is_train):\n    return [loss(params), None]\n")

    status, said, _ = command("vectors", "--verify", str(folder), file)

    assert status == 2
    assert said.splitlines()[-1].startswith("planted was asked nothing")


def edited(folder: Path, place: Path, change: Callable[[dict[str, Any]], Any], file: str = "loss.json") -> Path:
    """A copy of a folder in which one file is changed, and has the sha256 of what it then holds."""
    shutil.copytree(folder, place)
    held = json.loads((folder / file).read_text(encoding="ascii"))
    change(held)
    held["sha256"] = _digest(held["cases"])
    (place / file).write_text(json.dumps(held), encoding="ascii")
    return place


def test_a_digit_that_is_changed_is_noticed(folder: Path, tmp_path: Path) -> None:
    """With a sha256 that fits, so that only the numbers can tell."""

    def flip(held: dict[str, Any]) -> None:
        case = next(case for case in held["cases"] if case["clause"] == "loss.absolute" and case["dtype"] == "float64")
        text = case["expected"]["fractions"][0]
        case["expected"]["fractions"][0] = text[0].translate(str.maketrans("123456789", "234567891")) + text[1:]

    replay = replaying.verify(edited(folder, tmp_path / "edited", flip), "numpy")

    wrong = [outcome.case.clause for outcome in replay.outcomes if outcome.status == "disagrees"]
    assert (replay.exit_status, wrong) == (1, ["loss.absolute"])


def overwritten(text: bytes) -> Callable[[Path], Any]:
    return lambda folder: (folder / "loss.json").write_bytes(text)


BAD: dict[str, tuple[Callable[[Path], Any], str]] = {
    "a file is missing": (lambda folder: (folder / "loss.json").unlink(), "loss.json is missing"),
    "cut short": (overwritten(b'{"format": 1, "cases": [{"id": "lo'), "not JSON, or not all of it is there"),
    "not UTF-8": (overwritten(b'{"format": \xff'), "not JSON"),
    "nested without end": (overwritten(b"[" * 10**6), "not JSON"),
    "another format": (overwritten(b'{"format": 2, "cases": []}'), "is of format 2: this calibrant reads format 1"),
    "something else": (overwritten(b"[1, 2]"), "names no format"),
    "no cases": (overwritten(b'{"format": 1, "cases": []}'), "holds no cases"),
    "edited": (
        lambda folder: (folder / "loss.json").write_text((folder / "loss.json").read_text().replace("2.0", "3.0", 1)),
        "has been edited",
    ),
    "no folder": (shutil.rmtree, "there is no folder"),
}


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[Any, str, str]]:
    """The command line, in this process: its exit status, and what it says on either stream."""

    def run(*arguments: str) -> tuple[Any, str, str]:
        monkeypatch.setattr(sys, "argv", ["calibrant", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return ended.value.code, *capsys.readouterr()

    return run


@pytest.mark.parametrize(("spoil", "sentence"), BAD.values(), ids=BAD)
def test_a_folder_that_is_not_as_it_was_written_is_one_sentence(
    folder: Path, tmp_path: Path, command: Any, spoil: Callable[[Path], Any], sentence: str
) -> None:
    bad = tmp_path / "bad"
    shutil.copytree(folder, bad)
    spoil(bad)

    status, said, complaint = command("vectors", "--verify", str(bad), "numpy")

    assert (status, said) == (2, "")
    assert sentence in complaint
    assert len(complaint.splitlines()) == 1


MALFORMED: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "operation": (
        lambda case: case.update(operation="los_fn"),
        "it names an operation that there is not, 'los_fn'; nearest",
    ),
    "clause": (lambda case: case.update(clause="loss.mean"), "it names a clause that there is not"),
    "dtype": (lambda case: case.update(dtype="float16"), "it names a dtype that there is not"),
    "dtype of an array": (lambda case: case["inputs"]["t_p"].update(dtype="object"), "t_p is of dtype 'object'"),
    "inputs": (lambda case: case.update(inputs={"x": 1}), "its inputs are x"),
    "shape of an input": (lambda case: case["inputs"]["t_p"].update(shape=[7]), "cannot be read"),
    "id": (lambda case: case.update(id="mine"), "its id is 'mine'"),
    "nothing is due": (lambda case: case.pop("expected"), "it has no 'expected'"),
    "a list is no case": (lambda case: case.clear(), "it has no 'expected'"),
    "a number too many": (lambda case: case["expected"]["data"].append(1.0), "not every number of shape []"),
    "allowed": (lambda case: case["expected"].update(allowed=[-1.0]), "an allowed error is no number of at least 0"),
    "fraction": (lambda case: case["expected"].update(fractions=["1e999999999"]), "'1e999999999' is no fraction"),
    "denominator": (lambda case: case["expected"].update(fractions=["1/0"]), "cannot be read"),
}


@pytest.mark.parametrize(("spoil", "sentence"), MALFORMED.values(), ids=MALFORMED)
def test_a_case_that_cannot_be_asked_is_one_sentence(
    folder: Path, tmp_path: Path, spoil: Callable[[dict[str, Any]], Any], sentence: str
) -> None:
    def change(held: dict[str, Any]) -> None:
        spoil(next(case for case in held["cases"] if case["clause"] == "loss.absolute"))

    with pytest.raises(VectorsError, match="cannot be read") as raised:
        read(edited(folder, tmp_path / "edited", change))

    assert sentence in str(raised.value)


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["vectors", "somewhere", "numpy"], "a target is for --verify"),
        (["vectors", "somewhere", "--workers", "0"], "workers is 0"),
        (["vectors", "somewhere", "--verify", "--timeout", "0"], "timeout is 0"),
    ],
)
def test_what_means_nothing_is_one_sentence(
    command: Any, monkeypatch: pytest.MonkeyPatch, arguments: list[str], part: str, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)

    status, said, complaint = command(*arguments)

    assert (status, said) == (2, "")
    assert part in complaint
    assert not (tmp_path / "somewhere").exists()


def test_a_target_that_cannot_be_loaded_is_one_sentence(folder: Path) -> None:
    assert one_sentence(replayed(folder, "nunpy"), "nunpy", "nearest: numpy")


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    from calibrant.vectors.files import write

    (tmp_path / "taken").write_text("mine")

    with pytest.raises(VectorsError, match="cannot be written"):
        write([], tmp_path / "taken")


def test_arguments_come_back_as_they_were_asked() -> None:
    question = (
        "adam",
        {"lr": [0.5, math.inf], "betas": (0.5, 0.75)},
        [np.array([[1.5, math.nan]])],
        [[None], [np.ones((1, 2))]],
    )
    case = asked("optimize", "float64", question, "optimizer.adam", REFUSED)
    name, hyperparameters, (params,), grads = case.arguments

    assert (name, hyperparameters, grads[0]) == ("adam", {"lr": [0.5, math.inf], "betas": (0.5, 0.75)}, [None])
    assert np.array_equal(params, question[2][0], equal_nan=True)
    batches = asked(
        "accumulate", "float64", (np.ones(2), [(np.ones(1), np.zeros(1))], True), "accumulation.sum", REFUSED
    )
    assert isinstance(batches.arguments[1][0], tuple)
    assert asked("expand", "float64", (np.ones(1), (2, 1)), "broadcast.no-copy", REFUSED).arguments[1] == (2, 1)
    assert asked("broadcast_shapes", "", ((2, 1), ()), "broadcast.result", REFUSED).arguments == ((2, 1), ())


def test_slack_of_a_target_widens_what_is_allowed() -> None:
    case = Case(
        "model", "float64", "model.linear", {}, {"shape": [], "data": [1.0], "fractions": ["1"], "allowed": [1e-3]}
    )
    subject = Subject(load("numpy"), "float64")
    subject.tally.slack = 3.0

    assert judged(case, np.array(1.002)) != ""
    with tallying(subject.tally):
        assert judged(case, np.array(1.002)) == ""
