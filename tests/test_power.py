"""The power of the suite: the commands `calibrant power` and `calibrant impostors`, and a trial."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import configuration
from support import PATIENCE, calibrant, ends, heeded, require_fit

from calibrant import cli
from calibrant.checks import power
from calibrant.checks.here import Settings
from calibrant.checks.outcomes import Outcome
from calibrant.checks.power import Trial, due, sample, summary, tried
from calibrant.checks.spread import spread
from calibrant.impostors import Impostor, add, select
from calibrant.reports import trials as report


def one(name: str) -> Impostor:
    (found,) = select([name])
    return found


@pytest.mark.parametrize("quick", [False, True])
def test_a_trial_tells_what_was_missed_and_what_is_beyond(quick: bool) -> None:
    """An impostor that names the wrong clauses does not pass. The sample of an operation's first starts with the first clause."""
    first = select(["loss_fn"])[0]
    lying = replace(first, clauses=("loss.zero", "loss.permutation?"))

    trial = tried(lying, Settings(examples=20), quick=quick)

    assert trial.missed == ["loss.zero@float32", "loss.zero@float64"]
    assert {"loss.mean-square@float32"} <= set(trial.beyond) <= set.union(*due(first))
    assert trial.quickest is not None
    assert trial.quickest.clause in first.breaks


def test_a_quick_trial_leaves_a_clause_once_it_is_broken() -> None:
    """Three properties of `broadcast.like-numpy` reject this impostor."""
    quick, whole = tried(one("multiply.squeezed"), quick=True), tried(one("multiply.squeezed"), Settings(examples=10))

    found = [(rejection.clause, rejection.dtype) for rejection in quick.rejections]
    assert found[:2] == [("broadcast.result", "float32"), ("broadcast.result", "float64")]
    assert [clause for clause, _ in found[2:]] == ["broadcast.like-numpy"]
    assert (quick.missed, quick.beyond) == ([], [])
    assert len(whole.rejections) > len(found)


def test_the_samples_of_an_operations_impostors_are_all_clauses_together() -> None:
    names = [f"a.b{number}@float64" for number in range(70)]

    sampled = [sample(found, names) for found in select(["loss_fn"])]

    assert {name for some in sampled for name in some} == set(names)
    assert sample(one("loss_fn.half"), []) == []
    assert len(sample(one("loss_fn.half"), names[:2])) == 2


def test_a_report_says_what_is_wrong_with_a_trial() -> None:
    caught = Trial(
        "loss_fn", "half", rejections=[Outcome("loss.mean-square", "test_it", "float32", "breaks", rejected_at=2)]
    )
    lost = Trial("loss_fn", "expanded", missed=["loss.zero@float32"], beyond=["loss.nan@float64"])

    lines = report.lines([lost, caught], select(["loss_fn"]))

    assert lines[0].split() == ["loss_fn", "as", "half", "2", "loss.mean-square", "in", "float32"]
    assert lines[1].split() == ["loss_fn", "as", "expanded", "not", "caught"]
    assert "    names loss.zero@float32, and does not break it" in lines
    assert "    breaks loss.nan@float64, and does not name it" in lines
    assert lines[-1] == (
        "1 of 2 impostors are caught, after 2 examples in the median and 2 at most; 1 break less than they name, 1 more."
    )
    assert summary([])["median_examples"] is None
    assert report.lines([], []) == ["No impostor breaks it; nothing was tried."]


@pytest.mark.parametrize("quick", [[], ["--quick"]])
def test_the_command_measures_and_writes(tmp_path: Path, quick: list[str]) -> None:
    file = tmp_path / "trials.json"

    process = calibrant("power", "loss_fn.half", "dloss_fn.not-averaged", "--json", str(file), "--workers", "1", *quick)
    written = json.loads(file.read_text(encoding="utf-8"))

    require_fit(written, "power.schema.json")
    assert process.returncode == 0, process.stderr
    assert process.stdout.splitlines()[-1].startswith("2 of 2 impostors are caught, after ")
    assert written["summary"]["caught"] == len(written["trials"]) == 2
    assert all(trial["caught"] and not trial["missed"] + trial["beyond"] for trial in written["trials"])


def test_an_interrupted_measurement_tells_what_it_knows(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without one trial there is nothing to tell."""
    trials = [Trial("loss_fn", "half")]

    def interrupted(*_: object, **__: object) -> Iterator[Trial]:
        yield from trials
        raise KeyboardInterrupt

    monkeypatch.setattr(power, "measured", interrupted)
    monkeypatch.setattr(sys, "argv", ["calibrant", "power", "loss_fn.half", "loss_fn.expanded"])
    for given, said in (
        ([*trials], "interrupted: 1 of 2 impostors were not tried"),
        ([], "interrupted: there is no result"),
    ):
        trials[:] = given
        with pytest.raises(SystemExit) as ended:
            cli.main()
        shown = capsys.readouterr()
        assert (ended.value.code, shown.err) == (130, f"calibrant: {said}\n")
        assert ("0 of 1 impostors are caught" in shown.out) == bool(given)


SPREADS = """
import pathlib
from calibrant.checks.spread import spread
work = "open(NAME, 'w').close(); __import__('time').sleep(600)"
list(spread(exec, [(work.replace("NAME", repr(name)),) for name in ("one", "two")], 2))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells which processes are left")
def test_an_interrupt_ends_work_that_is_spread_at_once(tmp_path: Path) -> None:
    """The processes themselves say nothing of it."""
    command = [sys.executable, "-c", SPREADS]
    with (
        heeded(signal.SIGINT),
        subprocess.Popen(command, cwd=tmp_path, stderr=-1, text=True, start_new_session=True) as process,
    ):
        until = time.monotonic() + PATIENCE
        while not all((tmp_path / name).exists() for name in ("one", "two")) and time.monotonic() < until:
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=PATIENCE)

    assert (process.returncode, said.count("Traceback")) == (-signal.SIGINT, 1)
    assert ends(process.pid)


def test_impostors_are_listed_by_operation_clause_and_name() -> None:
    process = calibrant("impostors", "loss_fn.sum-instead-of-mean")

    assert process.stdout.splitlines() == [
        "loss_fn as sum-instead-of-mean  bug",
        "    The squared residuals are summed, not averaged.",
        "    breaks loss.mean-square, loss.wide-accumulation",
        "    seen in https://github.com/pytorch/pytorch/issues/10148",
        "    seen in https://github.com/odlgroup/odl/issues/1114",
    ]
    assert {found.operation for found in select(["sum-instead-of-mean"])} >= {"loss_fn", "absolute_loss"}
    assert one("loss_fn.half") in select(["loss.mean-square"])
    assert select([]) == select([*dict.fromkeys(found.operation for found in select([]))])


def test_two_impostors_of_an_operation_have_two_names() -> None:
    with pytest.raises(ValueError, match="two impostors of loss_fn are called half"):
        add(replace(one("loss_fn.half"), sentence="it is another one"))

    add(one("loss_fn.half"))  # the same impostor again, as when a module is imported twice


def test_hypothesis_stores_nothing_where_a_command_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither in the folder that the environment names nor in one that it knows from a run before."""
    variable, known = "HYPOTHESIS_STORAGE_DIRECTORY", "__hypothesis_home_directory"
    monkeypatch.setenv(variable, "mine")
    monkeypatch.setattr(configuration, known, Path("known"))

    ((_, (folder, left)),) = spread(lambda: (os.environ[variable], vars(configuration)[known]), [()], 1)

    assert (folder == "mine", left) == (False, None)
    assert not Path(folder).exists()
    assert (os.environ[variable], vars(configuration)[known]) == ("mine", Path("known"))
