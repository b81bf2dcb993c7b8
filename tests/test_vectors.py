"""Vectors: they say what the judge says, reject all that they can, hold no case too many, and are replayed whatever a target does."""

from __future__ import annotations

import contextlib
import functools
import json
import math
import shlex
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from support import target

from calibrant import cli, exact
from calibrant.book.clauses import CHAPTERS, book
from calibrant.checks.power import due
from calibrant.impostors import Impostor, catalog, repeatable
from calibrant.protocol.errors import CheckError
from calibrant.protocol.operations import OPERATIONS
from calibrant.protocol.wire import plain
from calibrant.target.calling import Refused, Subject
from calibrant.target.loading import load
from calibrant.vectors import choosing, replaying
from calibrant.vectors.cases import NOTHING, REFUSED, Case, numbers, says
from calibrant.vectors.due import claims
from calibrant.vectors.files import digest, document, read, released, write

pytestmark = pytest.mark.filterwarnings("ignore")  # an impostor's warnings are its own affair


Chosen = list[tuple[choosing.Group, list[Case]]]
PARTS: dict[str, list[choosing.Group]] = {}
"""The groups of each operation, or of each optimizer."""
for one in choosing.groups():
    PARTS.setdefault(f"{one.operation} {one.optimizer}".strip(), []).append(one)


@pytest.fixture(params=PARTS.values(), ids=PARTS)
def chosen(request: pytest.FixtureRequest) -> Chosen:
    """The released cases of an operation, by their groups; one test chooses them anew."""
    return [(group, [case for case in released_cases() if group_of(case) == group]) for group in request.param]


def in_folder(group: choosing.Group) -> bool:
    """Whether a group is quickly chosen, or replayed in a test below."""
    narrow = group.dtype == "float32" and group.operation != "model"
    return not narrow and group.operation != "split" and group.optimizer in ("", "sgd", "adam", "adamw", "rprop")


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of vectors with some of the cases of each chapter."""
    place = tmp_path_factory.mktemp("vectors")
    write([case for case in released_cases() if in_folder(group_of(case))], place)
    return place


@functools.cache
def released_cases() -> list[Case]:
    """The cases that lie in the package."""
    return read(Path(str(released("schema.json"))).parent)


def group_of(case: Case) -> choosing.Group:
    return choosing.Group(case.operation, case.dtype, case.inputs["name"] if case.operation == "optimize" else "")


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[Any, str, str]]:
    """The command `calibrant vectors`, in this process: its exit status, and its two streams."""

    def run(*arguments: Any) -> tuple[Any, str, str]:
        monkeypatch.setattr(sys, "argv", ["calibrant", "vectors", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return ended.value.code, *capsys.readouterr()

    return run


# Writing


def test_other_processes_write_the_same_folder_and_say_what_it_rejects(
    monkeypatch: pytest.MonkeyPatch, command: Any, tmp_path: Path
) -> None:
    """Strings hash by another seed there than here."""
    operations = ("loss_fn", "expand", "broadcast_shapes", "early_stopping")
    few = [group for group in choosing.groups() if group.operation in operations]
    cases = [case for group in few for case in choosing.of_group(group)]
    size = write(cases, tmp_path / "here")
    monkeypatch.setattr(choosing, "groups", lambda: few)
    monkeypatch.setenv("PYTHONHASHSEED", "1")

    status, said, _ = command(tmp_path / "there", "--recompute", "--workers", 2)

    here, there = ({file.name: file.read_bytes() for file in (tmp_path / name).iterdir()} for name in ("here", "there"))
    assert (status, sorted(there)) == (
        0,
        sorted([*(f"{chapter}.json" for chapter in CHAPTERS), "README.md", "schema.json"]),
    )
    assert here == there
    named = {(case.operation, flag) for case in cases for flag in case.flags}
    assert f"{len(cases)} cases, {size / 1000:.0f} kB" in said
    assert f"reject {len(named)} of {len(catalog())} impostors" in said


@pytest.mark.untraced
def test_the_released_cases_are_those_that_are_computed(chosen: Chosen) -> None:
    """If this fails, the book or an impostor has changed: `calibrant vectors --recompute src/calibrant/vectors/released` writes them anew."""
    for group, cases in chosen:
        computed = sorted(choosing.of_group(group), key=lambda case: [*CHAPTERS].index(case.chapter))
        assert [case.written() for case in cases] == [case.written() for case in computed], group


def test_the_released_folder_is_written_at_once_whole_or_a_chapter(command: Any, tmp_path: Path) -> None:
    status, said, _ = command(tmp_path / "all")
    command(tmp_path / "one", "--chapter", "loss")

    assert status == 0
    assert said.startswith(f"{len(released_cases())} cases, ")
    assert {file.name for file in (tmp_path / "one").iterdir()} == {"loss.json", "README.md", "schema.json"}
    for file in (tmp_path / "all").glob("*.json"):
        if file.stem in CHAPTERS:
            assert file.read_bytes() == released(file.name).read_bytes()


def test_a_case_carries_the_level_of_its_clause() -> None:
    cases = [
        (case["clause"], case["level"])
        for case in json.loads(released("loss.json").read_text(encoding="utf-8"))["cases"]
    ]

    assert {("loss.mean-square", "MUST"), ("loss.wide-accumulation", "SHOULD")} <= set(cases)
    assert all(level == book()[clause].level for clause, level in cases)


@pytest.mark.untraced
def test_files_are_small_and_as_their_schema_says(chosen: Chosen) -> None:
    schema = json.loads(released("schema.json").read_text(encoding="utf-8"))
    cases = [case for _, cases in chosen for case in cases]
    assert len({case.id for case in cases}) == len(cases)
    for chapter in {case.chapter for case in cases}:
        text = document(chapter, [case for case in cases if case.chapter == chapter])
        held = json.loads(text)

        jsonschema.Draft202012Validator(schema).validate(held)
        flags = {(case["operation"], flag) for case in held["cases"] for flag in case["flags"]}
        assert flags == {(operation, name) for operation, notes in held["notes"].items() for name in notes}
        assert len(text.encode("ascii")) < 100_000  # a run of 258 steps shows a counter of eight bits


# What they reject


def unsaid(one: Impostor) -> str:
    """Why no case can show an impostor: the way in which it differs from the right operation."""
    if not OPERATIONS[one.operation].in_files:
        return "functions"  # or, of the figures, how many epochs there are
    if one.operation in ("split", "split_data", "minibatches"):
        return "drawn"
    if not one.repeats:
        return "remembers"
    if not one.keeps_dtype:
        return "dtype"
    if {clause.split(".")[1] for clause in one.breaks} <= {"long-run", "finite"}:
        return "rounding"  # in float32 the bound of hundreds of steps covers it, or it is the rounding that shows it
    beside = {"in-place", "pure", "input-kept", "gradients-kept", "logs-kept", "no-copy"}
    return "changes" if {clause.split(".")[1] for clause in one.breaks} <= beside else ""


@pytest.mark.untraced
def test_the_reason_is_known_wherever_no_case_rejects_an_impostor_that_breaks_a_clause(chosen: Chosen) -> None:
    """In every dtype and optimizer in which it breaks one."""
    missed = []
    for group, cases in chosen:
        flags = {flag for case in cases for flag in case.flags}
        for one in repeatable(group.operation, group.optimizer):
            broken = any(not group.dtype or clause.endswith(group.dtype) for clause in due(one)[0])
            if broken and one.name not in flags and not unsaid(one):
                missed.append((group, one.name))

    assert missed == []


@pytest.mark.parametrize("operation", dict.fromkeys(group.operation for group in choosing.groups()))
def test_a_released_case_is_what_the_book_claims(operation: str) -> None:
    for case in released_cases():
        if case.operation == operation:
            assert (case.clause, case.expected) in claims(operation, case.arguments), case.id


@pytest.mark.untraced
def test_no_case_can_be_left_out(chosen: Chosen) -> None:
    spare = [
        case.id
        for _, cases in chosen
        for case in cases
        if set(case.flags) <= {flag for other in cases if other is not case for flag in other.flags}
    ]

    assert spare == []


# Right answers, and wrong ones


@pytest.mark.untraced
@pytest.mark.parametrize("name", ["reference", "torch"])
def test_a_right_target_agrees(chosen: Chosen, name: str) -> None:
    """But for what it declares: PyTorch's losses do broadcast, and its cosines return."""
    pytest.importorskip("torch")
    loaded = load(name)
    for group, cases in chosen:
        if group.operation not in loaded.operations or (
            OPERATIONS[group.operation].starts_processes and name == "reference"
        ):
            continue  # processes take seconds to start, and the chapter on accumulation asks them
        subject = Subject(loaded, group.dtype or "float64")
        for case in cases:
            with contextlib.suppress(Refused):
                excused = case.deviation(loaded.deviations, case.dtype)[0] is not None
                assert excused or replaying.passed_over(case, loaded) or case.judged(case.asked(subject)) == "", case.id


def array(*given: Any) -> np.ndarray[Any, Any]:
    return np.array(given)


SHAPE: Any = {"shape": [2, 1]}
PAIR = [NOTHING, numbers(2.0)]
NEAR = {"shape": [2], "data": [0.0, 0.25], "fractions": ["0", "1/4"], "allowed": [0.0, 0.5]}
GRAPH = [numbers(1.0), None]
SPOILED = numbers(["NaN", "not finite", None])
WIDE = {**numbers(np.ones(3)), "broadcasts": True}


@pytest.mark.parametrize(
    ("expected", "answer", "sentence"),
    [
        (SHAPE, np.ones((2, 1)), ""),
        (SHAPE, np.ones(2), "returned shape (2,) where (2, 1) is due"),
        ("good", "good", ""),
        ("good", "bad", "returned 'bad' where 'good' is due"),
        ([2, 3], (2, 3), ""),
        ([2, 3], (2, 1), "returned [2, 1] where [2, 3] is due"),
        (PAIR, (np.array(7.0), np.array(2.0)), ""),
        (PAIR, (np.array(7.0), np.array(3.0)), "returned, as part [1], 3.0, exactly 2.0: off by 1, allowed 0"),
        (PAIR, np.array(2.0), "returned 2.0 where a list of 2 is due"),
        (NEAR, array(0.0, 0.75), ""),
        (NEAR, array(0.0, 1.0), "returned [0.0, 1.0], exactly [0.0, 0.25]: off by 0.75 (element 1), allowed 0.5"),
        (NEAR, array(0.5, 0.5), "returned [0.5, 0.5], exactly [0.0, 0.25]: off by 0.5 (element 0), allowed 0"),
        (GRAPH, [np.array(1.0), None], ""),
        (GRAPH, [np.array(1.0), np.array(1.0)], "returned, as part [1], 1.0 where None is due"),
        (GRAPH, [None, None], "returned, as part [0], None where an array is due"),
        (REFUSED, np.array(1.0), "returned 1.0 where an error is due"),
        (SPOILED, array(math.nan, math.nan, 1.0), ""),
        (SPOILED, array(math.nan, -math.inf, math.nan), ""),
        (SPOILED, array(math.nan, 1.0, 1.0), "returned [nan, 1.0, 1.0] where NaN, not finite is due"),
        (SPOILED, array(math.inf, math.inf, 1.0), "returned [inf, inf, 1.0] where NaN, not finite is due"),
        (numbers(array(-math.inf)), array(-math.inf), ""),
        (numbers(array(-math.inf)), array(math.inf), "returned [inf] where -Infinity is due"),
        (WIDE, np.array(1.0), ""),
        (WIDE, array(1.0), ""),
        (WIDE, np.ones(3), ""),
        (WIDE, np.ones(2), "returned shape (2,) where (3,) is due"),
        (WIDE, np.array(2.0), "returned [2.0, 2.0, 2.0], exactly [1.0, 1.0, 1.0]: off by 1 (element 0), allowed 0"),
    ],
)
def test_an_answer_is_told_from_another(expected: Any, answer: Any, sentence: str) -> None:
    assert Case("model", "float64", "model.linear", {}, expected).judged(answer) == sentence


def test_numbers_are_written_exactly_or_next_to_it() -> None:
    form = exact.FORMATS["float64"]
    third, long = (exact.constant(x, form) for x in (Fraction(1, 3), Fraction(10**80 + 1, 3 * 10**80)))
    written, unknown = numbers(long.within(1.23456e-16, form)), numbers(third.within(math.inf, form))

    assert numbers(third.within(1e-16, form)) == {
        "shape": [],
        "data": [1 / 3],
        "fractions": ["1/3"],
        "allowed": [1e-16],
    }
    (text,), (allowed,) = written["fractions"], written["allowed"]
    assert len(text) <= 100
    assert abs(Fraction(text) - long.fraction()) < Fraction(allowed) / 10**9
    assert 1.23456e-16 <= allowed < 1.2355e-16
    assert unknown["data"] == [None]
    assert says(written)
    assert not says(unknown)


ONES = [[np.ones(1)], [np.ones(1)]]


@pytest.mark.parametrize(
    ("name", "hyperparameters", "grads", "clause"),
    [
        ("sgd", {"lr": 0.5}, ONES, "sgd"),
        ("sgd", {"lr": [0.5, 0.5]}, ONES, "sgd"),
        ("sgd", {"lr": [0.5, 0.25]}, ONES, "changing-rate"),
        ("sgd", {"lr": [0.5, 0.25], "momentum": 0.5}, ONES, "sgd.momentum"),
        ("sgd", {"lr": 0.5, "momentum": 0.0, "dampening": 0.0}, ONES, "sgd"),
        ("sgd", {"lr": 0.5, "momentum": 0.5, "dampening": 0.5}, ONES, "sgd.dampening"),
        ("sgd", {"lr": 0.5, "momentum": 0.5, "nesterov": True}, ONES, "sgd.nesterov"),
        ("sgd", {"lr": 0.5, "momentum": 0.5, "weight_decay": 0.25}, ONES, "sgd.weight-decay"),
        ("sgd", {"lr": 0.5, "maximize": True, "weight_decay": 0.25}, ONES, "maximize"),
        ("sgd", {"lr": 0.5, "momentum": 0.5}, [[None], [np.ones(1)]], "absent-gradient"),
        ("adam", {"lr": 0.5, "amsgrad": True}, ONES, "adam.amsgrad"),
        ("adam", {"lr": 0.5, "amsgrad": True, "weight_decay": 0.25}, ONES, "adam.weight-decay"),
        ("adamw", {"lr": 0.5, "weight_decay": 0.25}, ONES, "adamw"),
        ("adamw", {"lr": 0.5, "weight_decay": 0.25, "amsgrad": True}, ONES, "adam.amsgrad"),
        ("rmsprop", {"lr": 0.5, "centered": True}, ONES, "rmsprop.centered"),
        ("rmsprop", {"lr": 0.5, "centered": True, "momentum": 0.5}, ONES, "rmsprop.momentum"),
        ("rmsprop", {"lr": 0.5, "weight_decay": 0.25}, ONES, "coupled-decay"),
        ("adagrad", {"lr": 0.5, "lr_decay": 0.5, "initial_accumulator_value": 0.25}, ONES, "adagrad.lr-decay"),
        ("adagrad", {"lr": 0.5, "initial_accumulator_value": 0.25}, ONES, "adagrad.initial-accumulator"),
    ],
)
def test_a_run_of_an_optimizer_is_filed_under_the_clause_that_asks_its_options(
    name: str, hyperparameters: dict[str, Any], grads: list[Any], clause: str
) -> None:
    ((filed, _),) = claims("optimize", (name, hyperparameters, [np.ones(1)], grads))

    assert filed == f"optimizer.{clause}"
    assert filed in book()


SAMPLES, COLUMN = np.array([1.0, 2.0]), np.ones((2, 1))
ADAM = {"name": "adam", "lr": 0.5}


@pytest.mark.parametrize(
    ("operation", "arguments", "claimed"),
    [
        ("dloss_fn", (SAMPLES, COLUMN), [("loss.same-shape", REFUSED)]),
        ("dloss_fn", (np.zeros(0), np.zeros(0)), []),
        ("closed_form", (1, 0.5, SAMPLES, SAMPLES, COLUMN), [("data.shapes", REFUSED)]),
        ("closed_form", (1, 0.5, SAMPLES, COLUMN, COLUMN), [("data.columns", REFUSED)]),
        ("ridge", (SAMPLES, COLUMN, 0.5), [("data.shapes", REFUSED)]),
        (
            "accumulated_grad",
            (SAMPLES, [(SAMPLES, SAMPLES), (SAMPLES, COLUMN)]),
            [("accumulation.same-shape", REFUSED)],
        ),
        ("accumulated_grad", (SAMPLES, []), [("accumulation.refused", REFUSED)]),
        ("training_loop", (1, ADAM, *[SAMPLES] * 3, COLUMN, COLUMN), [("validation.columns", REFUSED)]),
        ("diagnose", (np.zeros(0), np.zeros(0)), [("overfitting.empty", REFUSED)]),
        ("diagnose", (SAMPLES, np.zeros(1)), [("overfitting.lengths", REFUSED)]),
        ("split", (10, 0.5, 0), []),
        ("split", (10, 1.5, 0), [("split.invalid", REFUSED)]),
        (
            "validation_loss",
            (SAMPLES, np.array([math.nan]), np.array([1.0])),
            [("validation.not-recorded", [NOTHING, numbers(0.0)])],
        ),
        ("training_loop", (-1, ADAM, SAMPLES, SAMPLES, SAMPLES), []),
        ("training_loop", (1, ADAM, SAMPLES, SAMPLES, SAMPLES, SAMPLES, None), []),
        ("optimize", ("sgd", {"beta": 1.0}, [SAMPLES], [[SAMPLES]]), [("optimizer.unknown", REFUSED)]),
    ],
)
def test_nothing_is_claimed_where_the_book_says_nothing(operation: str, arguments: Any, claimed: list[Any]) -> None:
    assert list(claims(operation, arguments)) == claimed


def test_a_mean_whose_scale_cannot_be_changed_exactly_has_no_known_bound() -> None:
    assert "loss.wide-accumulation" not in dict(claims("loss_fn", (np.array([2.0**511] * 4 + [5e-324]), np.zeros(5))))


def test_a_mean_that_overflows_itself_has_no_bound() -> None:
    assert "loss.wide-accumulation" not in dict(claims("loss_fn", (np.full(4, 2.0**512), np.zeros(4))))


# Replaying, for real


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("numpy", ["numpy"]),
        (
            "plain JavaScript",
            ["--program", shlex.join(["node", str(Path(__file__).parent / "programs" / "adapter.js")])],
        ),
    ],
)
def test_a_right_target_is_told_so(folder: Path, command: Any, name: str, arguments: list[str]) -> None:
    status, said, _ = command("--verify", folder, *arguments)

    head, *rows, last = said.splitlines()
    assert status == 0, said
    assert head.split()[:2] == ["chapter", "agrees"]
    assert [line.split()[0] for line in rows] == [*CHAPTERS, "all"]
    agreed = int(rows[-1].split()[1])
    assert agreed == sum(int(line.split()[1]) for line in rows[:-1] if len(line) > 20 and line[14:22].strip())
    assert last.startswith(f"{name} agrees with the vectors: {agreed} of ")


@pytest.mark.parametrize("language", ["c", "javascript"])
def test_a_consumer_in_another_language_replays_a_chapter(language: str, tmp_path: Path) -> None:
    """And rejects a copy of itself that sums where a mean is due."""
    programs = Path(__file__).parent / "programs"
    name, mean, total = (
        ("c", ") / t_p.size;\n    *loss", ");\n    *loss")
        if language == "c"
        else ("js", "value / values.length, 0)", "value, 0)")
    )
    said = []
    for folder, right in (("right", True), ("wrong", False)):
        (tmp_path / folder).mkdir()
        source = (programs / f"adapter.{name}").read_text(encoding="utf-8")
        assert source.count(mean) == 1
        (tmp_path / folder / f"adapter.{name}").write_text(
            source if right else source.replace(mean, total), encoding="utf-8"
        )
        consumer = shutil.copy(programs / f"vectors.{name}", tmp_path / folder)
        command = ["node", consumer]
        if language == "c":
            command = [str(tmp_path / folder / "vectors")]
            subprocess.run(
                ["gcc", "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-o", *command, consumer, "-lm"], check=True
            )
        said.append(subprocess.run([*command, str(released("loss.json"))], capture_output=True, text=True))

    right, wrong = said
    assert right.returncode == 0, right.stdout
    assert " 0 disagrees, 0 warns" in right.stdout
    assert int(right.stdout.split()[0]) == 24
    assert wrong.returncode == 1
    assert "disagrees: loss_fn/mean-square/float64/" in wrong.stdout


def test_a_wrong_target_is_told_which_answer_and_what_the_case_rejects(
    folder: Path, tmp_path: Path, command: Any
) -> None:
    file = target(tmp_path, "def loss_fn(t_p, t_c):\n    return ((t_p - t_c) ** 2).sum()\n")

    status, written, said = command("--verify", folder, file, "--chapter", "loss", "--json", "-")

    held = json.loads(written)
    counts = Counter(case["status"] for case in held["cases"])
    assert held["counts"]["all"] == {word: counts[word] for word in replaying.WORDS}
    assert list(held["counts"]) == ["loss", "all"]
    assert held["exit_status"] == 1
    assert counts["disagrees"]
    assert counts["warns"]
    assert {case["level"] for case in held["cases"] if case["status"] == "warns"} == {"SHOULD"}
    assert f"{counts['disagrees']} are wrong, {counts['warns']} are wrong where the clause is a SHOULD" in said
    lines = said.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("loss_fn/mean-square/float64/"))
    assert status == 1
    assert lines[start].endswith(" disagrees with loss.mean-square")
    assert lines[start + 1].startswith("  loss_fn([")
    assert "off by" in lines[start + 1]
    assert "`sum-instead-of-mean`" in lines[start + 2]
    assert any("is a warning of loss.empty" in line for line in lines)
    assert lines[-1].startswith("planted does not agree with the vectors: ")


WILD = """
import os, time

def model(t_u, w, b):
    os._exit(3)

def loss_fn(t_p, t_c):
    time.sleep(1000)

def dloss_fn(t_p, t_c):
    os.write(1, b"x" * 2**20)
    return 2 * (t_p - t_c) / t_p.dtype.type(t_p.size)

def dmodel_db(t_u, w, b):
    return "one"

def multiply(x, y):
    raise NotImplementedError("no products here")
"""


def test_a_target_that_hangs_dies_or_floods_is_replayed_to_the_end(folder: Path, tmp_path: Path) -> None:
    replay = replaying.verify(folder, target(tmp_path, WILD), timeout=0.5)

    said: dict[str, set[str]] = {}
    for outcome in replay.outcomes:
        said.setdefault(outcome.case.operation, set()).add(outcome.sentence)
    statuses = {outcome.case.operation: outcome.status for outcome in replay.outcomes}
    hung, again = "did not return within 0.5 s", "it is not called again"
    assert replay.exit_status == 1
    assert f"ended its process; {again}" in said["model"]
    assert f"{hung}, and when it was made again did not return within 1.5 s; {again}" in said["loss_fn"]
    assert said["dmodel_db"] == {"returned 'one' where numbers are due"}
    assert statuses["model"] == statuses["loss_fn"] == "passed over"
    assert statuses["dloss_fn"] == "agrees"
    assert statuses["multiply"] == statuses["optimize"] == "absent"
    assert len(replay.outcomes) == len(read(folder))


def test_a_target_is_not_asked_for_what_it_does_not_mean(folder: Path, tmp_path: Path) -> None:
    source = """
    from calibrant.adapters.numpy_target import broadcast_shapes, model, optimize, training_loop
    name, dtypes = "mine", ("float64",)
    conventions = {"adam.epsilon": "hat", "sgd.buffer": "plain"}
    deviations = {"loss.same-shape": "it broadcasts"}
    def loss_fn(t_p, t_c):
        return ((t_p - t_c) ** 2).mean()
    """
    loop = (1, ADAM, SAMPLES, SAMPLES, SAMPLES)
    inputs = plain(OPERATIONS["training_loop"].named(loop))
    by_adam = [Case("training_loop", "float64", clause, inputs, due) for clause, due in claims("training_loop", loop)]
    write([*read(folder), *by_adam], tmp_path / "vectors")

    replay = replaying.verify(tmp_path / "vectors", target(tmp_path, source))

    of = {
        (outcome.case.operation, outcome.case.dtype, outcome.case.inputs.get("name")): outcome
        for outcome in replay.outcomes
    }
    assert of["model", "float32", None].sentence == "it does not compute in float32"
    assert of["optimize", "float64", "adam"].sentence == "it declares adam.epsilon = hat"
    assert of["optimize", "float64", "adamw"].sentence == "it declares adam.epsilon = hat"
    assert of["optimize", "float64", "sgd"].status == of["optimize", "float64", "rprop"].status == "agrees"
    assert of["broadcast_shapes", "", None].status == "agrees"
    trained = [outcome for outcome in replay.outcomes if outcome.case.inputs.get("optimizer", {}).get("name") == "adam"]
    assert {outcome.sentence for outcome in trained} == {"it declares adam.epsilon = hat"}
    assert {outcome.status for outcome in trained} == {"passed over"}
    shapes = [outcome for outcome in replay.outcomes if outcome.case.clause == "loss.same-shape"]
    assert {outcome.status for outcome in shapes if outcome.case.operation == "loss_fn"} == {"deviates"}


def test_a_target_that_cannot_be_loaded_or_is_asked_nothing_does_not_pass(
    folder: Path, tmp_path: Path, command: Any
) -> None:
    assert_one_sentence(command("--verify", folder, "nunpy"), "nearest: numpy")
    file = target(tmp_path, "def evaluate(loss, params, is_train):\n    return [loss(params), None]\n")

    status, said, _ = command("--verify", folder, file)

    assert status == 2
    assert said.splitlines()[-1].startswith("planted was asked nothing")


BAD: dict[str, tuple[Callable[[bytes], bytes | None], str]] = {
    "a file is missing": (lambda text: None, "loss.json is missing"),
    "cut short": (lambda text: text[:-9], "not JSON, or not all of it is there"),
    "not UTF-8": (lambda text: text + b"\xff", "not JSON"),
    "nested without end": (lambda text: b"[" * 10**6, "not JSON"),
    "another format": (lambda text: b'{"format": 2, "cases": []}', "is of format 2: this calibrant reads format 1"),
    "something else": (lambda text: b"[1, 2]", "names no format"),
    "no cases": (lambda text: b'{"format": 1, "cases": []}', "holds no cases"),
    "edited": (lambda text: text.replace(b"2.0", b"3.0", 1), "has been edited"),
}


@pytest.mark.parametrize(("spoil", "sentence"), BAD.values(), ids=BAD)
def test_a_folder_that_is_not_as_it_was_written_is_one_sentence(
    folder: Path, tmp_path: Path, command: Any, spoil: Callable[[bytes], bytes | None], sentence: str
) -> None:
    bad = tmp_path / "bad"
    shutil.copytree(folder, bad)
    text = spoil((bad / "loss.json").read_bytes())
    if text is None:
        (bad / "loss.json").unlink()
    else:
        (bad / "loss.json").write_bytes(text)

    assert_one_sentence(command("--verify", bad, "numpy"), sentence)


def assert_one_sentence(ended: tuple[Any, str, str], part: str) -> None:
    status, said, complaint = ended
    assert (status, said, len(complaint.splitlines())) == (2, "", 1)
    assert part in complaint


MALFORMED: dict[str, tuple[dict[str, Any], str]] = {
    "operation": ({"operation": "los_fn"}, "there is no operation 'los_fn'; nearest: loss_fn"),
    "clause": ({"clause": "loss.mean"}, "there is no clause 'loss.mean'"),
    "dtype": ({"dtype": "float16"}, "there is no dtype 'float16'"),
    "claim": ({"expected": {"data": [1.0], "fractions": ["1e5/2"], "allowed": [0.0], "shape": []}}, "cannot be read"),
    "claim of another shape": ({"expected": {"shape": [-1]}}, "a shape is [-1]"),
    "claim without a shape": ({"expected": {"data": [1.0]}}, "is no claim"),
    "claim of a truth": ({"expected": True}, "True is no claim"),
    "error without a bound": ({"expected": numbers(2.0) | {"allowed": [math.nan]}}, "nan is no claim"),
    "flags": ({"flags": 3}, "are no words"),
    "inputs": ({"inputs": {"t_c": [1.0]}}, "its inputs are ['t_c'], not t_p, t_c"),
    "number beyond float64": ({"inputs": {"t_p": [math.inf], "t_c": [1.0]}}, "Infinity"),
    "name that draws": ({"operation": "\x1b[2J\n\udc80"}, "there is no operation '\\x1b[2J\\n\\udc80'"),
}


@pytest.mark.parametrize(("change", "sentence"), MALFORMED.values(), ids=MALFORMED)
def test_a_case_that_cannot_be_asked_is_one_sentence(
    folder: Path, tmp_path: Path, change: dict[str, Any], sentence: str
) -> None:
    """Another version of calibrant has written it: its sha256 is right."""
    place = tmp_path / "other"
    shutil.copytree(folder, place)
    held = json.loads((folder / "loss.json").read_text(encoding="ascii"))
    held["cases"][0].update(change)
    held["sha256"] = digest(held["cases"])
    (place / "loss.json").write_text(json.dumps(held), encoding="ascii")

    with pytest.raises(CheckError, match="case 1 cannot be read") as raised:
        read(place)

    assert sentence in str(raised.value)
    assert str(raised.value).isprintable()


def test_flags_and_names_draw_nothing_on_the_terminal(folder: Path, tmp_path: Path, command: Any) -> None:
    """Neither the words of a file nor those of the target."""
    drawing = "x\nmine agrees with the vectors\x1b[2J\udc80"
    held = json.loads((folder / "loss.json").read_text(encoding="ascii"))
    for case in held["cases"]:
        case["flags"] = [drawing]
    held["sha256"] = digest(held["cases"])
    place = tmp_path / "other"
    shutil.copytree(folder, place)
    (place / "loss.json").write_text(json.dumps(held), encoding="ascii")
    file = target(tmp_path, f"name = {drawing!r}\ndef loss_fn(t_p, t_c):\n    return 7.0\n", "mine.py")

    status, said, _ = command("--verify", place, file)

    lines = said.splitlines()
    assert status == 1
    assert any("It is there to reject `x\\nmine agrees with the vectors\\x1b[2J\\udc80`" in line for line in lines)
    assert all(line.isprintable() and not line.startswith("mine agrees") for line in lines)


def test_an_answer_of_arrays_where_a_shape_is_due_is_wrong() -> None:
    case = Case("optimize", "float64", "optimizer.sgd", {}, [0])

    assert case.judged([[np.ones(2)]]) == "returned [[[1.0, 1.0]]] where [0] is due"


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["somewhere", "numpy"], "a target is for --verify"),
        (["somewhere", "--workers", "0"], "workers is 0"),
        (["somewhere", "--verify", "--timeout", "0"], "timeout is 0"),
        (["somewhere", "--verify"], "there is no folder somewhere"),
        (["somewhere", "--json", "x.json"], "--json is for --verify"),
        (["somewhere", "--chapter", "los"], "nearest: loss"),
    ],
)
def test_meaningless_arguments_are_one_sentence(
    command: Any, monkeypatch: pytest.MonkeyPatch, arguments: list[str], part: str, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)

    assert_one_sentence(command(*arguments), part)
    assert not (tmp_path / "somewhere").exists()


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("mine")

    with pytest.raises(CheckError, match="cannot be written"):
        write([], tmp_path / "taken")


@pytest.mark.parametrize(
    ("operation", "arguments"),
    [
        ("optimize", ("adam", {"lr": [0.5, math.inf], "betas": (0.5, 0.75)}, [array([1.5, math.nan])], [[None], []])),
        ("accumulate", (np.ones(2), [(np.ones(1), np.zeros(1))], True)),
        ("expand", (np.ones(1), (2, 1))),
        ("broadcast_shapes", ((2, 1), ())),
    ],
)
def test_arguments_come_back_as_they_were_asked(operation: str, arguments: tuple[Any, ...]) -> None:
    case = Case(operation, "float64", "", plain(OPERATIONS[operation].named(arguments)), REFUSED)

    assert repr(case.arguments) == repr(arguments)
