"""The suite in a project's own pytest run: `pytest --pyargs calibrant.conformance --target theirs.py`."""

from __future__ import annotations

import re
import shutil
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from support import run, target, warm

from calibrant.book.clauses import conformance_folder

RIGHT = """
def loss_fn(t_p, t_c):
    if t_p.shape != t_c.shape or not t_p.size:
        raise ValueError("shapes differ")
    return ((t_p - t_c) ** 2 / t_p.dtype.type(t_p.size)).sum()
"""
WRONG = RIGHT.replace(" / t_p.dtype.type(t_p.size)", "")
SQUARES = "mean_of_the_squared"
"""The -k that selects one property."""
BEGIN = """
import sys
import pytest
sys.stdout, sys.stderr = (open(number, "w", closefd=False) for number in (1, 2))
sys.exit(pytest.main())
"""
"""The command `pytest` in a child of a nursery."""


def suite(folder: Path, *arguments: str, source: str = RIGHT, names: str = SQUARES) -> subprocess.CompletedProcess[str]:
    """The suite on a target, in a project of its own."""
    target(folder, source, "theirs.py")
    options = ("--pyargs", "calibrant.conformance", "--target=theirs.py", "--target-profile=ci", "--target-examples=20")
    return pytest_in(folder, *options, *(("-k", names) if names else ()), *arguments)


def pytest_in(folder: Path, *arguments: str, cold: bool = False) -> subprocess.CompletedProcess[str]:
    """Run pytest in a project of its own; it begins with much imported, or `cold` with nothing."""
    if not (folder / "pytest.ini").exists():
        (folder / "pytest.ini").write_text(
            "[pytest]\nfilterwarnings =\n    error\n    ignore:Module already imported\n"
        )
    begin = ("-m", "pytest") if cold else (*warm()[1:], "-c", BEGIN)
    return run(*begin, "-p", "no:cacheprovider", *arguments, cwd=folder)


def tally(process: subprocess.CompletedProcess[str]) -> dict[str, int]:
    """The counts in pytest's last line."""
    return {word.rstrip("s"): int(count) for count, word in re.findall(r"(\d+) (\w+)", process.stdout.splitlines()[-1])}


@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_wrong_target_fails_with_the_clause_and_its_example(workers: str, tmp_path: Path) -> None:
    process = suite(tmp_path, "-n", workers, "--junit-xml", "junit.xml", source=WRONG)
    cases = {case.attrib["name"]: case for case in ET.parse(tmp_path / "junit.xml").iter("testcase")}

    assert process.returncode == 1
    assert tally(process)["failed"] == 2
    assert "The loss of predictions t_p against measurements t_c is 1/n Σ (t_p[i] - t_c[i])²." in process.stdout
    assert "loss_fn behaves as `sum-instead-of-mean`" in process.stdout
    assert "print(target.loss_fn(np.array([0.0, 0.0], dtype=np.float32)" in process.stdout
    assert "loss_fn([0.0, 0.0], [0.0, 1.0]) returned 1.0, exactly 0.5: off by 0.5" in process.stdout
    assert "loss: 1 breaks" in process.stdout
    assert "Traceback" not in process.stdout
    assert "site-packages" not in process.stdout
    assert set(cases) == {
        f"test_loss_is_the_mean_of_the_squared_residuals[{dtype}]" for dtype in ("float32", "float64")
    }
    assert all("loss.mean-square  breaks" in str(case.findtext("failure")) for case in cases.values())


def test_absent_operations_are_skipped_and_a_should_that_breaks_does_not_fail_the_run(tmp_path: Path) -> None:
    source = RIGHT.replace(" or not t_p.size", "")
    process = suite(tmp_path, "-rxs", source=source, names="no_samples or mean_of_the_squared or weight_times")

    assert process.returncode == 0
    assert (tally(process)["passed"], tally(process)["xfailed"]) == (2, 2)
    assert tally(process)["skipped"] >= 2
    assert "theirs has no model" in process.stdout
    assert "SHOULD" in process.stdout
    assert "loss: 1 clause holds, 1 breaks" in process.stdout


def test_a_right_target_passes_and_coverage_counts_its_lines(tmp_path: Path) -> None:
    pytest.importorskip("pytest_cov")

    process = suite(tmp_path, "--cov", "theirs", "--cov-report", "term-missing")

    assert process.returncode == 0, process.stdout + process.stderr
    assert tally(process)["passed"] == 2
    assert "loss: 1 clause holds" in process.stdout.split("calibrant ===")[-1]
    line = next(line for line in process.stdout.splitlines() if line.startswith("theirs.py"))
    assert line.split()[1:3] == ["4", "1"], line


def test_dtypes_and_clauses_may_be_chosen(tmp_path: Path) -> None:
    process = suite(tmp_path, "--target-dtype", "float16", "--target-clause", "loss.empty", "-v", names="")

    assert process.returncode == 0
    assert "[float16-loss_fn] PASSED" in process.stdout
    assert "loss: 1 clause holds" in process.stdout
    assert tally(process)["passed"] == 1


def test_properties_in_a_folder_with_a_bracket_in_its_name_stay_apart(tmp_path: Path) -> None:
    (tmp_path / "a[b]").mkdir()
    shutil.copy(conformance_folder() / "test_loss.py", tmp_path / "a[b]")
    source = f"{RIGHT}\ndef absolute_loss(t_p, t_c):\n    return 2 * loss_fn(t_p, t_c)\n"
    target(tmp_path, source, "theirs.py")

    names = "mean_of_the_squared and float32 or mean_of_the_absolute and float64"
    process = pytest_in(tmp_path, "--target=theirs.py", "--target-examples=20", "-k", names)

    assert (tally(process)["passed"], tally(process)["failed"]) == (1, 1)


def test_a_declared_deviation_is_an_expected_failure(tmp_path: Path) -> None:
    declared = 'deviations = {"loss.mean-square": "a sum is what we want"}\n'

    process = suite(tmp_path, "-rx", source=declared + WRONG)

    assert process.returncode == 0
    assert tally(process)["xfailed"] == 2
    assert "deviates as declared: a sum is what we want" in process.stdout
    assert "loss: 1 deviates as declared" in process.stdout


@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_declared_deviation_that_does_not_deviate_fails_the_run(workers: str, tmp_path: Path) -> None:
    declared = 'deviations = {"loss.mean-square": "a sum is what we want"}\n'

    process = suite(tmp_path, "-n", workers, "--target-examples", "100", source=declared + RIGHT)

    assert process.returncode == 1
    assert "loss: 1 declared but not deviating" in process.stdout
    assert "It is declared as a deviation (a sum is what we want), but it holds." in process.stdout


USAGE = {
    "target": (["--target", "theris.py"], "there is no such file; nearest: theirs.py"),
    "registered target": (["--target", "nunpy"], "nearest: numpy"),
    "dtype": (["--target-dtype", "float31"], "there is no dtype 'float31'; nearest: float32"),
    "clause": (["--target-clause", "loss.emty"], "there is no clause 'loss.emty'; nearest: loss.empty"),
    "chapter": (["--target-chapter", "los"], "there is no chapter 'los'; nearest: loss"),
    "profile": (["--target-profile", "cii"], "invalid choice: 'cii'"),
}


@pytest.mark.parametrize(("arguments", "sentence"), USAGE.values(), ids=USAGE)
def test_an_unknown_name_is_a_usage_error(arguments: list[str], sentence: str, tmp_path: Path) -> None:
    process = suite(tmp_path, *arguments)

    assert process.returncode == 4
    assert sentence in process.stderr
    assert "Traceback" not in process.stderr + process.stdout


TABLE = """
[tool.calibrant]
target = "theirs.py"
examples = 20
chapters = ["loss"]
clauses = ["loss.mean-square"]
dtypes = ["float32"]
"""


def test_a_project_names_its_target_and_an_id_can_be_pasted_back(tmp_path: Path) -> None:
    """The command line chooses other clauses than the project; both runs are in a folder below the project's."""
    target(tmp_path, WRONG, "theirs.py")
    (tmp_path / "below").mkdir()
    (tmp_path / "pyproject.toml").write_text(TABLE + "[tool.pytest.ini_options]\n")

    def failed(*arguments: str) -> list[str]:
        process = run("-m", "pytest", "-p", "no:cacheprovider", "--pyargs", *arguments, cwd=tmp_path / "below")
        return re.findall(r"^FAILED (\S+)", process.stdout, re.MULTILINE)

    ids = failed("calibrant.conformance.test_loss", "--target-clause", "loss.mean-square")
    property_ = "calibrant.conformance.test_loss::test_loss_is_the_mean_of_the_squared_residuals[float32]"

    assert len(ids) == 2
    assert ids[0] == property_
    assert failed(ids[0]) == [property_]


def test_a_mistake_in_the_table_of_a_project_concerns_only_runs_of_properties(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.calibrant]\ntargte = "theirs.py"\n')
    (tmp_path / "test_theirs.py").write_text("def test_theirs():\n    pass\n")

    own, suites = (
        pytest_in(tmp_path, "test_theirs.py"),
        pytest_in(tmp_path, "--pyargs", "calibrant.conformance.test_model"),
    )

    assert own.returncode == 0, own.stdout + own.stderr
    assert suites.returncode == 4
    assert f"{tmp_path}/pyproject.toml: [tool.calibrant] has no key 'targte'; nearest: target" in suites.stderr


def test_hypothesis_tests_of_the_same_run_keep_their_own_settings(tmp_path: Path) -> None:
    (tmp_path / "test_theirs.py").write_text(
        "from hypothesis import given, settings, strategies as st\n"
        "settings.register_profile('theirs', max_examples=7, derandomize=False)\n"
        "settings.load_profile('theirs')\n"
        "seen = []\n"
        "@given(st.integers())\n"
        "def test_theirs(x):\n"
        "    seen.append(x)\n"
        "def test_their_settings():\n"
        "    assert settings().max_examples == 7 and not settings().derandomize\n"
        "    assert 1 <= len(seen) <= 7\n"
    )

    process = suite(tmp_path, "test_theirs.py", names="theirs or their_settings or mean_of_the_squared")

    assert process.returncode == 0, process.stdout
    assert tally(process)["passed"] == 4


def test_a_project_without_clauses_is_left_alone(tmp_path: Path) -> None:
    """pytest loads the plugin wherever calibrant is installed: it stays silent, and imports nothing heavy."""
    (tmp_path / "test_theirs.py").write_text(
        "import sys\n"
        "def test_theirs():\n"
        "    assert not {'torch', 'sympy', 'numpy', 'calibrant.checks.check', 'calibrant.exact'} & set(sys.modules)\n"
    )

    process = pytest_in(tmp_path, "test_theirs.py", "-p", "no:hypothesispytest", cold=True)

    assert process.returncode == 0, process.stdout
    assert "calibrant" not in process.stdout.partition("collected 1 item")[2]


OF_NO_CLAUSE = """
from calibrant.suite.property import clause

@clause("loss.mean-squares")
def test_nothing(target):
    pass

def test_something():
    pass
"""
OF_A_CLAUSE = """
from calibrant.suite.property import clause
from calibrant.judge import holds

@clause("loss.scalar")
def test_their_loss(target):
    ones = target.array([1.0, 1.0])
    holds(target.loss_fn(ones, ones).shape == (), "is no scalar")
"""


def test_a_property_of_somebodys_own_names_a_clause_of_the_book(tmp_path: Path) -> None:
    target(tmp_path, RIGHT, "theirs.py")
    (tmp_path / "test_theirs.py").write_text(OF_A_CLAUSE)
    (tmp_path / "test_wrong.py").write_text(OF_NO_CLAUSE)

    right, wrong = (pytest_in(tmp_path, file, "--target", "theirs.py") for file in ("test_theirs.py", "test_wrong.py"))

    assert right.returncode == 0, right.stdout
    assert "loss: 1 clause holds" in right.stdout
    assert wrong.returncode == 2
    assert "there is no clause 'loss.mean-squares'; nearest: loss.mean-square" in wrong.stdout
    assert "1 error" in wrong.stdout.splitlines()[-1]


def test_clause_coverage_fails_where_no_example_ran(tmp_path: Path) -> None:
    process = suite(tmp_path, "--target-coverage", names="mean_of_the_squared or weight_times")

    assert process.returncode == 1, process.stdout
    assert re.search(r"^loss\.mean-square +40 +\d+", process.stdout, re.MULTILINE)
    assert re.search(r"^model\.linear +not covered$", process.stdout, re.MULTILINE)


FIRST_CALL = "calls = []\n" + RIGHT.replace("return ", "calls.append(1)\n    return (len(calls) == 1) + ")


def test_a_target_that_is_wrong_once_does_not_repeat_itself(tmp_path: Path) -> None:
    """Its property is judged in both dtypes together, and then in each alone, where it holds."""
    process = suite(tmp_path, source=FIRST_CALL)

    assert process.returncode == 1
    assert "loss_fn does not answer the same question the same way twice; once loss_fn(" in process.stdout


OF_OTHERS = """
import pytest
from hypothesis import given, strategies as st
from calibrant.suite.property import clause

@pytest.mark.clause("loss.scalar")
def test_without_a_target():
    assert True

@clause("loss.scalar")
@given(number=st.integers(0, 100))
def test_raises_an_error_of_its_own(target, number):
    target.loss_fn(target.array([1.0]), target.array([1.0]))
    if number > 50:
        raise IndexError(number)
"""


def test_an_error_of_a_property_is_no_verdict_on_the_target(tmp_path: Path) -> None:
    """However many examples Hypothesis needs to make it simpler; a test without a target is nobody's property."""
    target(tmp_path, RIGHT, "theirs.py")
    (tmp_path / "test_theirs.py").write_text(OF_OTHERS)

    process = pytest_in(tmp_path, "test_theirs.py", "--target", "theirs.py", "--target-examples", "30", cold=True)

    assert tally(process) == {"passed": 1, "failed": 2}
    assert "loss: 1 could not be checked" in process.stdout


@pytest.mark.skipif(pytest.version_tuple < (9,), reason="pytest cannot end the process of a test that hangs")
def test_pytest_may_end_a_call_that_hangs_in_c(tmp_path: Path) -> None:
    """The worker is replaced, and the run goes on."""
    limits = ("-n1", "-ofaulthandler_timeout=5", "-ofaulthandler_exit_on_timeout=true", "--target-dtype=float64")

    process = suite(tmp_path, *limits, source="def loss_fn(t_p, t_c):\n    sum(range(10**13))\n")

    assert process.returncode == 1
    assert "crashed while running" in process.stdout
    assert tally(process)["failed"] == 1
