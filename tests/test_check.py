"""`calibrant check`, from end to end: real processes, and targets that do what targets do."""

from __future__ import annotations

import math
import os
import re
import time
from pathlib import Path

import jsonschema
import pytest
from support import calibrant, checked, one_sentence, run, statuses, target

from calibrant.book.clauses import book
from calibrant.checks.check import check
from calibrant.checks.options import Options
from calibrant.protocol.errors import CheckError
from calibrant.reports.machine import document, schema
from calibrant.suite.session import current

RIGHT = """
    def absolute_loss(t_p, t_c):
        if t_p.shape != t_c.shape or not t_p.size:
            raise ValueError("shapes differ")
        return (abs(t_p - t_c) / t_p.dtype.type(t_p.size)).sum()
"""
"""One right function."""

QUICK = ("--examples", "5", "--workers", "1")


def test_a_target_of_one_function_is_checked_on_that_one(tmp_path: Path) -> None:
    said, shown = checked(tmp_path, target(tmp_path, RIGHT), "--examples", "5")

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
    jsonschema.validate(said, schema())


def test_a_must_that_breaks_is_nonconforming(tmp_path: Path) -> None:
    file = target(tmp_path, "def loss_fn(t_p, t_c):\n    return ((t_p - t_c) ** 2).sum()\n")

    said, shown = checked(
        tmp_path, file, "--clause", "loss.mean-square", "--profile", "ci", "--examples", "20", "--workers", "1"
    )

    assert said["exit_status"] == 1
    assert "loss.mean-square  breaks in float32, float64   The loss of predictions" in shown
    assert "loss_fn([0.0, 0.0], [0.0, 1.0]) returned 1.0, exactly 0.5: off by 0.5, allowed" in shown
    assert "times its bound" in shown
    assert "units in the last place of float32" in shown
    assert "planted does not conform: 1 breaks" in shown


def test_a_should_that_breaks_is_a_warning(tmp_path: Path) -> None:
    file = target(tmp_path, RIGHT.replace(" or not t_p.size", ""))

    said, shown = checked(tmp_path, file, "--clause", "loss.empty", "--clause", "loss.absolute", *QUICK)

    assert statuses(said) == {"loss.empty": {"breaks"}, "loss.absolute": {"holds"}}
    assert said["exit_status"] == 0
    assert "It is a SHOULD: this is a warning." in shown


def test_nothing_ran_is_no_pass(tmp_path: Path) -> None:
    said, shown = checked(tmp_path, target(tmp_path, RIGHT), "--chapter", "model", *QUICK)

    assert said["exit_status"] == 2
    assert {status for seen in statuses(said).values() for status in seen} == {"absent"}
    assert "was not checked: nothing could be judged" in shown


def test_a_part_says_that_it_is_one(tmp_path: Path) -> None:
    file = target(tmp_path, RIGHT)

    said, shown = checked(tmp_path, file, "--clause", "loss.absolute", "--dtype", "float64", *QUICK)

    assert said["partial"] == [f"only 1 of {len(book())} clauses were asked for", "float32 left out"]
    assert f"PARTIAL: only 1 of {len(book())} clauses were asked for." in shown
    assert "PARTIAL: float32 left out." in shown
    assert "conforms, as far as it was checked" in shown


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_a_dtype_that_the_target_does_not_name_can_be_asked_for(dtype: str, tmp_path: Path) -> None:
    pytest.importorskip("ml_dtypes")

    said, _ = checked(tmp_path, target(tmp_path, RIGHT), "--chapter", "loss", "--dtype", dtype, *QUICK)

    assert {verdict["dtype"] for verdict in said["verdicts"]} == {dtype}
    assert statuses(said)["loss.absolute"] == {"holds"}
    jsonschema.validate(said, schema())


FAULTY = """
    import numpy as np

    def loss_fn(t_p, t_c):
        return np.float64(((t_p - t_c) ** 2).sum())

    def absolute_loss(t_p, t_c):
        return None if len(t_p) % 2 else "a string"

    def model(t_u, w, b):
        return (w * t_u + b) * np.nan

    def dloss_fn(t_p, t_c):
        return 2 * (t_p - t_c)[:, None] / len(t_p)
"""


@pytest.mark.parametrize("options", [("--profile", "ci"), ("--seed", "7")], ids=" ".join)
def test_the_same_examples_give_the_same_verdicts(options: tuple[str, ...], tmp_path: Path) -> None:
    """To the last character, whichever of two processes was the first to report."""
    arguments = (
        target(tmp_path, FAULTY),
        "--clause",
        "loss.dtype",
        "--clause",
        "loss.mean-square",
        "--clause",
        "model.linear",
        "--clause",
        "loss.symmetric",
        "--clause",
        "gradient.by-hand-loss",
        "--examples",
        "20",
        *options,
    )

    one, shown = checked(tmp_path, *arguments, "--workers", "2")
    other, shown_again = checked(tmp_path, *arguments, "--workers", "2")

    assert one == other
    assert shown == shown_again
    jsonschema.validate(one, schema())


def test_another_seed_draws_other_examples(tmp_path: Path) -> None:
    file = target(tmp_path, "def absolute_loss(t_p, t_c):\n    return abs(t_p - t_c).mean()\n")
    worst = []
    for seed in ("1", "2"):
        said, _ = checked(
            tmp_path, file, "--clause", "loss.absolute", "--seed", seed, "--examples", "10", "--workers", "1"
        )
        worst.append([verdict["worst"] for verdict in said["verdicts"]])

    assert worst[0] != worst[1]


def test_what_is_not_a_number_is_broken_and_the_rest_is_judged(tmp_path: Path) -> None:
    file = target(tmp_path, FAULTY)

    clauses = ("--clause", "loss.absolute", "--clause", "model.linear", "--clause", "loss.dtype")

    said, _ = checked(tmp_path, file, *clauses, *QUICK)

    found = statuses(said)
    assert found["loss.absolute"] == {"broken"}
    assert found["model.linear"] == {"breaks"}
    actual = next(v for v in said["verdicts"] if v["clause"] == "model.linear")["failures"][0]["actual"]
    assert set(actual["data"]) == {"NaN"}


def children_of(mark: str) -> list[int]:
    """The processes that inherited this mark in their environment."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                environment = (entry / "environ").read_bytes()
            except OSError:
                continue
            if mark.encode() in environment:
                found.append(int(entry.name))
    return found


HOSTILE = """
    import ctypes, os, sys, time
    print("LEAK-import")
    os.write(1, b"LEAK-import")

    def loss_fn(t_p, t_c):
        os.write(1, b"LEAK-1"); os.write(2, b"LEAK-2")
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
"""

ENDS = {
    "loss.mean-square": "loss_fn ended its process",
    "loss.absolute": "absolute_loss ended its process (Fatal Python error: Segmentation fault)",
    "gradient.by-hand-w": "dmodel_dw did not return within 0.3 s and its process had to be ended; it is not called again",
    "gradient.by-hand-b": "dmodel_db did not return within 0.3 s and its process had to be ended; it is not called again",
    "gradient.by-hand-loss": "raised RecursionError",
    "gradient.chain-rule": "called sys.exit(3)",
    "gradient.central": "did not return within 0.3 s",
    "data.scaling": "returned {} where numbers are due",
}
"""What is said of each clause."""


def test_whatever_a_target_does_ends_as_a_verdict_and_the_check_goes_on(tmp_path: Path) -> None:
    mark = f"calibrant-test-{os.getpid()}-{time.monotonic_ns()}"
    clauses = [argument for name in (*ENDS, "model.linear") for argument in ("--clause", name)]
    started = time.monotonic()

    said, shown = checked(
        tmp_path,
        target(tmp_path, HOSTILE),
        *clauses,
        *("--dtype", "float64", "--timeout", "0.3", "--examples", "3", "--workers", "2"),
        MARK=mark,
    )

    assert time.monotonic() - started < 60
    assert statuses(said) == {name: {"broken"} for name in ENDS} | {"model.linear": {"holds"}}
    texts = {verdict["clause"]: [f["text"] for f in verdict["failures"]] for verdict in said["verdicts"]}
    for name, sentence in ENDS.items():
        assert all(sentence in text for text in texts[name]), texts[name]
    assert said["exit_status"] == 1
    assert said["unfinished"] == []
    assert "LEAK" not in shown + str(said)
    assert children_of(mark) == []
    jsonschema.validate(said, schema())


def test_output_of_a_failing_operation_is_told_in_part(tmp_path: Path) -> None:
    file = target(tmp_path, 'def model(t_u, w, b):\n    print("x" * 1_000_000)\n    raise ValueError("no\\nway")\n')

    said, shown = checked(tmp_path, file, "--clause", "model.linear", "--dtype", "float32", *QUICK)

    text = said["verdicts"][0]["failures"][0]["text"]
    assert "raised ValueError: no; it had printed 'xxx" in text
    assert len(text) < 500
    assert len(shown) < 3000


def test_a_target_that_answers_at_random_is_said_to(tmp_path: Path) -> None:
    source = (
        "import os\ndef absolute_loss(t_p, t_c):\n    return abs(t_p - t_c).mean() + t_p.dtype.type(os.urandom(1)[0])\n"
    )

    said, shown = checked(tmp_path, target(tmp_path, source), "--clause", "loss.absolute", "--seed", "1", *QUICK)

    assert statuses(said) == {"loss.absolute": {"broken"}}
    assert "does not answer the same question the same way twice" in shown


def test_what_a_target_asks_for_is_shown(tmp_path: Path) -> None:
    """A wider bound, in the report and in the judgement."""
    source = """
        name, version = "coarse", "7.1"
        slack = 64
        conventions = {"adam.epsilon": "hat"}
        deviations = {"loss.pure": "it is quicker so"}

        def absolute_loss(t_p, t_c):
            t_p -= t_c
            return abs(t_p).mean() * t_p.dtype.type(1 + 16 * 2.0 ** (-52 if t_p.dtype == "float64" else -23))
    """
    arguments = (
        "--clause",
        "loss.absolute",
        "--clause",
        "loss.pure",
        "--profile",
        "ci",
        "--examples",
        "20",
        "--workers",
        "1",
    )

    said, shown = checked(tmp_path, target(tmp_path, source), *arguments)
    strict, _ = checked(tmp_path, target(tmp_path, source.replace("slack = 64", "")), *arguments)

    assert said["exit_status"] == 0
    assert statuses(said) == {"loss.absolute": {"holds"}, "loss.pure": {"deviates"}}
    assert said["target"]["conventions"] == {"adam.epsilon": "hat"}
    assert "Every bound was widened 64 times, as the target asks (slack)." in shown
    assert "loss.pure deviates as declared: it is quicker so" in shown
    assert "coarse (7.1) conforms, as far as it was checked" in shown
    assert statuses(strict)["loss.absolute"] == {"breaks"}


def test_a_deviation_that_does_not_deviate_is_stale(tmp_path: Path) -> None:
    file = target(tmp_path, 'deviations = {"loss.absolute": "so it was"}\n' + RIGHT.replace("\n    ", "\n"))

    said, shown = checked(tmp_path, file, "--clause", "loss.absolute", "--workers", "1")
    few, _ = checked(tmp_path, file, "--clause", "loss.absolute", *QUICK)

    assert statuses(said) == {"loss.absolute": {"stale"}}
    assert said["exit_status"] == 1
    assert "It is declared as a deviation (so it was), but it holds." in shown
    assert statuses(few) == {"loss.absolute": {"holds"}}, "of few examples it may be chance that none shows it"
    assert few["exit_status"] == 0


def test_a_declared_deviation_that_ends_its_process_deviates(tmp_path: Path) -> None:
    """The process that knew of the declaration is gone; the one that started it knows of it too."""
    source = """
        import os
        deviations = {"gradient.by-hand-b": "nobody asks for it"}

        def dmodel_db(t_u, w, b):
            os._exit(1)

        def dmodel_dw(t_u, w, b):
            return t_u
    """
    clauses = ("--clause", "gradient.by-hand-b", "--clause", "gradient.by-hand-w")

    said, shown = checked(tmp_path, target(tmp_path, source), *clauses, *QUICK)

    assert statuses(said) == {"gradient.by-hand-b": {"deviates"}, "gradient.by-hand-w": {"holds"}}
    assert said["exit_status"] == 0
    assert "gradient.by-hand-b deviates as declared: nobody asks for it" in shown


UNLOADABLE = {
    "exits": ("import sys\nsys.exit(4)", "called sys.exit(4) while it was imported"),
    "dies": ("import os\nos._exit(4)", "ended its process (status 4) while it was imported"),
    "dies in a worker": (
        "import os, sys\nif 'xdist' in sys.modules:\n    os._exit(4)\ndef loss_fn(t_p, t_c):\n    return 0.0",
        "ended its process while it was imported in a worker",
    ),
    "hangs": ("import time\ntime.sleep(1000)", "did not finish importing within 1.2 s"),
    "offers nothing": ("x = 1", "has none of the operations"),
}


@pytest.mark.parametrize(("source", "sentence"), UNLOADABLE.values(), ids=UNLOADABLE)
def test_a_target_that_cannot_be_loaded_is_one_sentence(source: str, sentence: str, tmp_path: Path) -> None:
    process = calibrant("check", target(tmp_path, source), "--timeout", "0.2")

    assert one_sentence(process, sentence), process.stderr


def test_a_target_that_cannot_be_loaded_again_leaves_properties_undone(tmp_path: Path) -> None:
    source = f"""
    import os, pathlib
    number = len(list(pathlib.Path({str(tmp_path)!r}).glob("loaded*")))
    pathlib.Path({str(tmp_path)!r}, f"loaded{{number}}").touch()
    if number > 1:  # after it was asked what it offers, and loaded in one worker
        os._exit(4)

    def loss_fn(t_p, t_c):
        os._exit(4)
    """
    said, shown = checked(tmp_path, target(tmp_path, source), "--clause=loss.mean-square", "--workers=1", *QUICK)

    assert statuses(said) == {"loss.mean-square": {"broken"}}
    assert "PARTIAL: 1 property did not run to an end." in shown


def test_options_of_pytest_in_the_environment_change_nothing(tmp_path: Path) -> None:
    """Nor do a project's own settings: the check is the same everywhere."""
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --no-such-option\n")
    (tmp_path / "conftest.py").write_text("raise RuntimeError('not for calibrant')\n")

    said, _ = checked(
        tmp_path,
        target(tmp_path, RIGHT),
        "--clause",
        "loss.absolute",
        *QUICK,
        cwd=tmp_path,
        PYTEST_ADDOPTS="-k nothing",
    )

    assert statuses(said) == {"loss.absolute": {"holds"}}


SNIPPETS = {
    "file": ("deep/planted.py", "deep/planted.py", ""),
    "object in a file": ("deep/planted.py", "deep/planted.py:Shelf.inner", "Shelf"),
    "module": ("deep/planted.py", "deep.planted", ""),
    "object in a module": ("deep/planted.py", "deep.planted:Shelf.inner", "Shelf"),
}


@pytest.mark.parametrize(("file", "spec", "shelf"), SNIPPETS.values(), ids=SNIPPETS)
def test_the_printed_lines_print_what_was_returned(file: str, spec: str, shelf: str, tmp_path: Path) -> None:
    """As they stand, in a process that has NumPy and the target, and does not know calibrant."""
    functions = """
def loss_fn(t_p, t_c):
    return helper.sum_of_squares(t_p - t_c)

def model(t_u, w, b):
    return (w * t_u + b + 1).astype("float16")

def training_loop(n_epochs, optimizer, params, t_u, t_c):
    return params + n_epochs, [optimizer["lr"]] * max(n_epochs, 0), []
"""
    source = f"import numpy as np\nimport helper\n{functions}"
    if shelf:
        methods = functions.replace("\ndef", "\n@staticmethod\ndef").replace("\n", "\n        ")
        source = f"import helper\nclass Shelf:\n    class inner:\n        {methods}\n"
    target(tmp_path, source, file)
    beside = "deep/helper.py" if ".py" in spec else "helper.py"
    target(tmp_path, "def sum_of_squares(r):\n    return (r * r).sum()\n", beside)
    clauses = ("loss.mean-square", "model.linear", "descent.negative-rate", "descent.log", "loss.wide-accumulation")
    arguments = [argument for clause in clauses for argument in ("--clause", clause)]

    said, shown = checked(
        tmp_path, spec, *arguments, "--profile", "ci", "--examples", "10", "--workers", "1", cwd=tmp_path
    )

    assert statuses(said) == {clause: {"breaks"} for clause in clauses}
    ran = 0
    for verdict in said["verdicts"]:
        for failure in verdict["failures"]:
            snippet = failure["snippet"]
            if verdict["dtype"] == "float32" and failure is verdict["failures"][0]:
                assert all(line.strip() in shown for line in snippet.splitlines())
            process = run("-c", snippet + "\nimport sys\nassert 'calibrant' not in sys.modules\n", cwd=tmp_path)
            assert process.returncode == 0, (snippet, process.stderr)
            returned = numbers(process.stdout.splitlines()[-1])
            if failure["actual"] and verdict["clause"] != "descent.log":
                due = [float(x) for x in failure["actual"]["data"]]
                assert returned == due or (math.isinf(due[0]) and math.isinf(returned[0])), (snippet, process.stdout)
                ran += 1
            if verdict["dtype"] == "float32":
                break
    assert ran >= 4


def numbers(printed: str) -> list[float]:
    """The numbers in what print says of an array or a number."""
    return [float(x) for x in re.findall(r"[-+]?(?:inf|nan|\d+\.?\d*(?:e[-+]?\d+)?)", printed)]


def test_a_check_inside_another_run_of_pytest_leaves_it_as_it_was(tmp_path: Path) -> None:
    """The engine is pytest, in the same process: what the outer run was asked for is still known after it."""
    outer = current()

    result = check(target(tmp_path, RIGHT), Options(clauses=("loss.absolute",), examples=2, workers=1))

    assert current() is outer
    assert result.exit_status == 0
    assert document(result)["outcome"] == "conforms, as far as it was checked"


def test_unknown_names_are_one_sentence_for_a_program_too() -> None:
    with pytest.raises(CheckError, match="there is no chapter 'los'; nearest: loss"):
        check("numpy", Options(chapters=("los",)))


def test_what_a_convention_excepts_leaves_the_clause_decided(tmp_path: Path) -> None:
    """Adadelta without a rate moves at a rate of zero; that SGD does not still counts."""
    file = target(
        tmp_path,
        """
        conventions = {"adadelta.rate": "without"}

        def optimize(name, hyperparameters, params, grads):
            if name not in ("sgd", "adadelta"):
                raise NotImplementedError(name)
            return [[p.copy() for p in params] for _ in grads]
        """,
    )

    said, _ = checked(tmp_path, file, "--clause", "optimizer.zero-rate", *QUICK)

    assert statuses(said) == {"optimizer.zero-rate": {"holds"}}


def test_a_split_that_refuses_every_empty_part_is_decided(tmp_path: Path) -> None:
    file = target(
        tmp_path,
        """
        def split(n_samples, val_fraction, seed):
            if n_samples < 2 or not 0 < val_fraction < 1:
                raise ValueError("an empty part")
            return [], []
        """,
    )

    said, _ = checked(tmp_path, file, "--clause", "split.invalid", *QUICK)

    assert statuses(said) == {"split.invalid": {"holds"}}


def test_a_target_that_refuses_the_simplest_requests_is_judged_by_the_others(tmp_path: Path) -> None:
    """The first examples of a split are of one row."""
    file = target(
        tmp_path,
        """
        def split(n_samples, val_fraction, seed):
            if n_samples < 2:
                raise NotImplementedError("one row is not split")
            return range(n_samples), range(n_samples)
        """,
    )

    said, _ = checked(tmp_path, file, "--clause", "split.partition", *QUICK)

    assert statuses(said) == {"split.partition": {"breaks"}}


def test_a_loop_that_widens_is_judged_all_the_same(tmp_path: Path) -> None:
    """Its float64 parameters go into the gradients of the next step, and must not end the check."""
    file = target(
        tmp_path,
        """
        import numpy as np

        def training_loop(n_epochs, optimizer, params, t_u, t_c, val_t_u=None, val_t_c=None):
            if optimizer["name"] != "sgd":
                raise NotImplementedError(optimizer["name"])
            (w, b), u, c = params.astype(float), t_u.astype(float), t_c.astype(float)
            with np.errstate(all="ignore"):
                for _ in range(n_epochs):
                    r = 2 * (w * u + b - c) / len(u)
                    w, b = w - optimizer["lr"] * (r * u).sum(), b - optimizer["lr"] * r.sum()
            return np.array([w, b]), [], []
        """,
    )

    said, _ = checked(
        tmp_path, file, "--clause", "optimizer.swap", "--profile", "ci", "--examples", "50", "--workers", "1"
    )

    assert statuses(said) == {"optimizer.swap": {"holds"}}


def test_an_operation_that_serves_no_request_is_absent_however_few_are_possible(tmp_path: Path) -> None:
    """Of shapes that differ there are fewer than it takes refusals to give up."""
    file = target(tmp_path, "def loss_fn(t_p, t_c):\n    raise NotImplementedError('not here')\n")

    said, _ = checked(tmp_path, file, "--chapter", "loss", "--examples", "2", "--workers", "1")

    assert {status for seen in statuses(said).values() for status in seen} == {"absent"}
    assert said["exit_status"] == 2


def test_a_target_that_was_asked_nothing_holds_nothing(tmp_path: Path) -> None:
    """Where the optimum has no bound a property asks nothing; what it says of the optimum itself is not said of the target."""
    file = target(tmp_path, "def ridge(t_u, t_c, l2):\n    raise NotImplementedError('not here')\n")

    said, shown = checked(
        tmp_path, file, "--clause", "regularization.shrinks", "--profile", "ci", "--examples", "1", "--workers", "1"
    )

    assert statuses(said)["regularization.shrinks"] <= {"undecided", "absent"}
    assert said["exit_status"] == 2
    assert "nothing could be judged" in shown


def test_a_fit_may_refuse_where_nothing_is_claimed_of_it(tmp_path: Path) -> None:
    """Readings that are all the same have no slope; a fit of them may be anything, or an error."""
    file = target(
        tmp_path,
        """
        import numpy as np
        from calibrant.adapters import numpy_target as right

        def least_squares(t_u, t_c):
            if t_u.shape != t_c.shape or np.ptp(t_u) < 1e-30:
                raise np.linalg.LinAlgError(f"{t_u} is singular")
            return right.least_squares(t_u, t_c)
        """,
    )

    said, _ = checked(tmp_path, file, "--clause", "data.scaling", "--profile", "ci", "--examples", "300")

    assert statuses(said)["data.scaling"] == {"holds"}
