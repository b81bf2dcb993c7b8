"""The commands: their output and their refusals."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support import calibrant, one_sentence, run, target

from calibrant import __version__, cli
from calibrant.protocol.errors import CheckError
from calibrant.vectors import choosing

RIGHT = "def absolute_loss(t_p, t_c):\n    return abs(t_p - t_c).mean()\n"


def test_help_imports_nothing_heavy() -> None:
    source = """
import sys
from calibrant import cli
sys.argv = ["calibrant"]  # no command is a call for help
try:
    cli.main()
finally:
    heavy = {"numpy", "hypothesis", "pytest", "torch", "sympy", "ml_dtypes", "jinja2"} & set(sys.modules)
    print("heavy:", sorted(heavy))
"""
    process = run("-c", source)

    assert process.returncode == 0, process.stderr
    assert process.stdout.endswith("heavy: []\n")
    assert all(command in process.stdout for command in ("check", "explain", "targets"))


WRONG: dict[str, tuple[list[str], list[str]]] = {
    "command": (["chek"], ["chek"]),
    "option": (["check", "--chaptr", "loss"], ["--chaptr", "--chapter"]),
    "chapter": (["check", "numpy", "--chapter", "los"], ["los", "nearest: loss"]),
    "clause": (["check", "numpy", "--clause", "loss.mean-squared"], ["loss.mean-squared", "nearest: loss.mean-square"]),
    "dtype": (["check", "numpy", "--dtype", "float23"], ["float23", "float32"]),
    "profile": (["check", "numpy", "--profile", "cii"], ["cii", "nearest: ci"]),
    "registered target": (["check", "nunpy"], ["nunpy", "nearest: numpy"]),
    "target, which is empty": (["check", ""], ["target ''"]),
    "empty target of vectors": (["vectors", "--verify", ".", ""], ["no whole folder"]),
    "empty target without --verify": (["vectors", "vectors", ""], ["''"]),
    "empty program": (["check", "--program", ""], ["program is empty"]),
    "program": (["check", "--program", "no-such-program --x"], ["calibrant: program no-such-program --x: "]),
    "target and program": (["check", "numpy", "--program", "node x.js"], ["only one of them"]),
    "folder as a target": (["check", "."], ["target '.' is a folder"]),
    "pipe as a target": (["check", "/dev/null"], ["'/dev/null' is no regular file"]),
    "deviations": (["check", "numpy", "--max-deviations", "-1"], ["max-deviations is -1"]),
    "undecided clauses": (["check", "numpy", "--max-undecided", "-1"], ["max-undecided is -1"]),
    "file": (["check", "no_such_file.py"], ["no_such_file.py", "there is no such file"]),
    "examples": (["check", "numpy", "--examples", "0"], ["examples is 0"]),
    "examples that are no number": (["check", "numpy", "--examples", "many"], ["--examples"]),
    "workers": (["check", "numpy", "--workers", "-1"], ["workers is -1"]),
    "timeout": (["check", "numpy", "--timeout", "0"], ["timeout is 0"]),
    "timeout that is no number": (["check", "numpy", "--timeout", "nan"], ["timeout is nan"]),
    "seed": (["check", "numpy", "--seed", "-1"], ["seed is -1"]),
    "seed of a profile without chance": (["check", "numpy", "--profile", "ci", "--seed", "1"], ["ci", "seed"]),
    "folder": (["check", "numpy", "--json", "no/such/folder.json"], ["no/such"]),
    "several files": (["check", "numpy", "--json", "-", "--html", "-"], ["only one report"]),
    "explained clause": (["explain", "loss.same-shapes"], ["loss.same-shapes", "nearest: loss.same-shape"]),
    "nothing to explain": (["explain"], ["argument"]),
    "matrix of nothing": (["matrix"], ["no target is named"]),
    "clause of a matrix": (["matrix", "numpy", "--clause", "loss.men-square"], ["nearest: loss.mean-square"]),
    "folder of a matrix": (["matrix", "numpy", "--json", "/no/such/folder/m.json"], ["/no/such/folder", "be written"]),
    "deviations of no target": (
        ["matrix", "numpy", "--deviations", "torch=x.toml"],
        ["deviations is 'torch=x.toml', which is not TARGET=FILE for one of the targets"],
    ),
    "deviations of any target": (["matrix", "numpy", "--deviations", "x.toml"], ["'x.toml', which is not TARGET=FILE"]),
    "deviations that are not there": (["matrix", "numpy", "--deviations", "numpy=x.toml"], ["x.toml cannot be read"]),
    "two targets": (["check", "a.py", "b c.py"], ["`calibrant matrix a.py 'b c.py'`"]),
    "fail-fast": (["check", "numpy", "--fail-fast", "0"], ["fail-fast is 0"]),
    "pattern of clauses": (["check", "numpy", "--clause", "los.*"], ["there is no clause 'los.*'"]),
    "impostor's operation": (["power", "los_fn"], ["los_fn", "nearest: loss_fn"]),
    "profile of a trial": (["power", "loss_fn", "--profile", "cii"], ["cii", "nearest: ci"]),
    "examples of a trial": (["power", "loss_fn", "--examples", "0"], ["examples is 0"]),
    "folder of trials": (["power", "loss_fn", "--json", "no/such/file.json"], ["no/such"]),
    "function to differentiate": (["gradcheck", "losses.py"], ["'losses.py': name a file and a function of it"]),
    "file of a function": (["gradcheck", "losses:log_cosh"], ["'losses:log_cosh': name a file and a function of it"]),
    "language": (["init", "--language", "pythn"], ["there is no skeleton in 'pythn'; nearest: python"]),
    "impostor": (["impostors", "sum-instead-of-men"], ["sum-instead-of-men", "nearest: sum-instead-of-mean"]),
}


@pytest.mark.parametrize(("arguments", "parts"), WRONG.values(), ids=WRONG)
def test_what_does_not_exist_is_one_sentence(arguments: list[str], parts: list[str], tmp_path: Path) -> None:
    process = calibrant(*arguments, cwd=tmp_path)

    assert one_sentence(process, *parts), (process.returncode, process.stdout, process.stderr)
    assert [*tmp_path.iterdir()] == []


NAMES = ("calibrant", "json", "multiprocessing", "numpy", "random", "shutil", "subprocess", "token", "typing")


@pytest.mark.parametrize("how", ["file", "module", "isolated"])
def test_files_named_as_modules_hide_none(how: str, tmp_path: Path) -> None:
    """Beside the target, and where the command runs; the target's own neighbours are found."""
    for name in NAMES:
        target(tmp_path, "raise RuntimeError('nobody asked for this file')\n", f"{name}.py")
    target(tmp_path, RIGHT, "helper.py")
    target(tmp_path, "from helper import absolute_loss\n")
    spec = ["planted"] if how == "module" else ["planted.py", *["--isolated"] * (how == "isolated")]

    # Coverage would import some of these modules first.
    unmeasured = {"COVERAGE_PROCESS_START": "", "COVERAGE_PROCESS_CONFIG": ""}
    options = ("--clause=loss.absolute", "--examples=2", "--workers=1")
    process = run("-P", "-m", "calibrant", "check", *spec, *options, cwd=tmp_path, **unmeasured)

    assert process.returncode == 0, process.stdout + process.stderr


def test_the_command_as_a_module_finds_no_file_beside_it_either(tmp_path: Path) -> None:
    target(tmp_path, "raise RuntimeError('nobody asked for this file')\n", "typer.py")

    process = calibrant("explain", "loss", cwd=tmp_path)

    assert process.returncode == 0, process.stderr


def test_a_file_that_hides_a_module_of_the_target_is_named(tmp_path: Path) -> None:
    """Only a file that was imported."""
    target(tmp_path, "x = 1\n", "turtle.py")
    target(tmp_path, "x = 1\n", "tabnanny.py")

    process = calibrant("check", target(tmp_path, f"import turtle\nturtle.Turtle()\n{RIGHT}"))

    assert one_sentence(process, "has no attribute 'Turtle'", f"; {tmp_path / 'turtle'}.py hides the module turtle")
    assert "tabnanny" not in process.stderr


def test_a_json_file_that_cannot_be_written_is_refused_before_the_work(tmp_path: Path) -> None:
    """A file that can be is not there before it is written."""
    process = calibrant("check", "no_such_target.py", "--json", str(tmp_path))
    other = calibrant("check", "no_such_target.py", "--json", str(tmp_path / "new.json"))

    assert one_sentence(process, f"{tmp_path} cannot be written: Is a directory")
    assert one_sentence(other, "there is no such file")
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize("more", [(), ("--recompute",)], ids=["released", "computed"])
def test_a_folder_of_vectors_that_cannot_be_written_is_refused_before_the_work(
    more: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choosing, "chosen", lambda *_: pytest.fail("it began"))

    with pytest.raises(CheckError, match=r"^/dev/null/vectors cannot be written: Not a directory$"):
        cli.app(["vectors", "/dev/null/vectors", *more], standalone_mode=False)


def test_json_at_standard_output_leaves_the_report_to_standard_error(tmp_path: Path) -> None:
    """Nothing is left in the folder where the check runs."""
    file = target(tmp_path, RIGHT)

    process = calibrant("check", file, "--clause", "loss.abs*", "--examples", "2", "--json", "-", cwd=tmp_path)

    assert json.loads(process.stdout)["outcome"] == "conforms, as far as it was checked"
    assert process.stderr.splitlines()[-1].startswith(
        f"To repeat this run: calibrant check {file} --clause 'loss.abs*'"
    )
    assert {one.name for one in tmp_path.iterdir()} - {"__pycache__"} == {"planted.py"}  # Python may compile it


def test_version_and_list() -> None:
    version, listed = calibrant("--version"), calibrant("check", "--list", "--clause", "loss.z*,model.pure")

    assert version.stdout == f"calibrant {__version__}\n"
    assert [line.split()[1:] for line in listed.stdout.splitlines()[:-1]] == [
        ["model.pure", "MUST", "1", "property"],
        ["loss.zero", "MUST", "2", "properties"],
    ]
    assert listed.stdout.splitlines()[-1] == "2 clauses with 3 properties: 1 in model, 1 in loss."


def test_explain_prints_a_clause_with_its_reason_its_property_and_what_breaks_it() -> None:
    process = calibrant("explain", "loss.zero")

    assert process.returncode == 0
    for part in ("· loss.zero · MUST", " in test_loss.py", '@clause("loss.zero"'):
        assert part in process.stdout
    assert "Also broken by loss_fn as last-sample-dropped" in process.stdout


def test_explain_lists_the_clauses_of_a_chapter() -> None:
    process = calibrant("explain", "model")

    assert process.returncode == 0
    names = [line.split()[1] for line in process.stdout.splitlines() if line[:1] == "2"]
    assert names == ["model.linear", "model.shape", "model.dtype", "model.identity", "model.per-sample", "model.pure"]


def test_targets_lists_what_can_be_checked_here_and_what_is_missing(tmp_path: Path) -> None:
    """A distribution registers a target whose library is not installed, and one that is imported after others have ended."""
    folder = tmp_path / "elsewhere-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: elsewhere\nVersion: 1.0\nProvides-Extra: lacking\n")
    (folder / "entry_points.txt").write_text("[calibrant.targets]\nlacking = lacking_target\nslow = slow_target\n")
    target(tmp_path, "import no_such_library\n", "lacking_target.py")
    target(tmp_path, f"import time\ntime.sleep(4)\n{RIGHT}", "slow_target.py")

    process = calibrant("targets", cold=True, PYTHONPATH=str(tmp_path))

    lines = {line.split()[0]: line for line in process.stdout.splitlines()}
    assert process.returncode == 0
    assert "can be checked" in lines["numpy"]
    assert "float32, float64" in lines["numpy"]
    assert "can be checked" in lines["slow"]
    assert "cannot be checked here" in lines["lacking"]
    assert "needs no_such_library, which is not installed: pip install 'elsewhere[lacking]'" in lines["lacking"]
