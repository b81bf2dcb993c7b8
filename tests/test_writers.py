"""The reports for other programs: JUnit's XML, Markdown, a workflow's annotations, a badge; and the action that asks for them."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import textwrap
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
import typer
from support import calibrant, require_fit, target
from test_page import HOSTILE, hostile
from test_reports import outcome, result

from calibrant import cli
from calibrant.book.clauses import book
from calibrant.checks.check import Checked
from calibrant.checks.outcomes import Finding
from calibrant.reports import annotations, exchange, markdown

ROOT = Path(__file__).parent.parent
IMPOSTOR = {"operation": "loss_fn", "name": "half", "kind": "bug", "sentence": "it is halved", "clauses": []}
FAILED = Finding(
    "  loss_fn([0.0]) returned 1.0",
    impostors=[IMPOSTOR | {"seen": ["https://github.com/a/b/issues/1"]}],
    snippet="print(1)",
)
MIXED = [
    *(outcome("loss.mean-square", "breaks", dtype, failure=FAILED) for dtype in ("float32", "float64")),
    outcome("loss.empty", "breaks"),
    outcome("loss.scalar", "holds", deviation="it is declared"),
    outcome("loss.nan", "breaks", deviation="it rounds"),
    outcome("loss.zero", "holds"),
    outcome("loss.absolute", "error", failure=Finding("  the check itself failed")),
    outcome("model.linear", "absent", reason="theirs has no model", failure=None),
]
CHECKS = [Checked("theirs.py", result(MIXED)), Checked("nonsense", None, "there is no such file")]
EVIL = [Checked(HOSTILE, hostile(HOSTILE)), Checked(HOSTILE, None, HOSTILE)]


def test_junit_has_a_case_for_each_clause_and_dtype() -> None:
    """A MUST that is broken fails. A SHOULD, a deviation and what is absent are skipped, with their reason."""
    suites = ElementTree.fromstring(exchange.junit(CHECKS))

    theirs, nonsense = suites
    said = {case.get("name"): (case[0].tag, case[0].get("message")) if len(case) else None for case in theirs}
    assert said["loss.zero[float32]"] is None
    assert said["loss.mean-square[float64]"] == said["loss.mean-square[float32]"]
    assert said["loss.mean-square[float32]"][0] == "failure"
    assert said["loss.scalar[float32]"][0] == "failure", "a stale deviation"
    assert said["loss.absolute[float32]"][0] == "error"
    assert said["loss.empty[float32]"] == ("skipped", "breaks")
    assert said["loss.nan[float32]"] == ("skipped", "deviates: it rounds")
    assert said["model.linear[float32]"] == ("skipped", "absent: theirs has no model")
    assert theirs[1].find("failure") is not None
    assert "loss_fn([0.0]) returned 1.0\n\nTo see it:\nprint(1)" in theirs.findtext("testcase/failure", "")
    assert dict(theirs.items()) == {"name": "theirs.py", "tests": "8", "failures": "3", "errors": "1", "skipped": "3"}
    assert nonsense.find("testcase/error").get("message") == "there is no such file"
    assert (suites.get("tests"), suites.get("errors")) == ("9", "2")


def test_a_strict_check_counts_a_should_in_junit_and_in_annotations() -> None:
    shown = result([outcome("loss.empty", "breaks")])
    strict = [Checked("x", replace(shown, options=replace(shown.options, strict=True)))]

    assert "<failure" in exchange.junit(strict)
    assert annotations.text(strict).startswith("::error title=loss.empty")


def test_markdown_tells_each_failure_to_unfold_and_a_table_of_targets() -> None:
    text = markdown.text(CHECKS)

    assert "| theirs.py | could not be checked to the end | 1 | 2 | 1 | 1 | 1 | 1 |" in text
    assert "| `loss.mean-square` | ❌ breaks |  |" in text
    assert "| `loss.empty` | ⚠️ breaks (SHOULD) |  |" in text
    assert "<details><summary>❌ <code>loss.mean-square</code> breaks in float32, float64</summary>" in text
    assert "`loss_fn` behaves as **half**: it is halved. Seen in [a/b#1](https://github.com/a/b/issues/1)." in text
    assert "```python\nprint(1)\n```" in text
    assert text.index("loss.scalar</code>") < text.index("loss.empty</code>"), "warnings come last"
    assert "\n- loss.nan deviates as declared: it rounds\n" in text
    assert "## nonsense cannot be checked here\n\nthere is no such file\n" in text
    assert markdown.text(CHECKS[:1]).startswith("## theirs could not be checked to the end\n")


def test_markdown_names_the_failures_that_it_has_no_room_for() -> None:
    text = markdown.text([Checked("x", result([outcome(name, "breaks") for name in book()]))])

    assert text.count("<details>") == text.count("</details>") == 20
    assert f"And {len(book()) - 20} more: " in text
    assert len(text) < 65_536


def test_what_a_target_says_is_no_markdown() -> None:
    """Outside of code, nothing is a tag, a mention, an issue, a link, or the end of a cell; inside, nothing ends the code."""
    words = HOSTILE + "``` [a](b) | @user #12 https://x.y www.x.y **b** $x$ "
    text = markdown.text([Checked(words, hostile(words)), Checked(words, None, words)])

    prose = re.sub(r"^(`{3,})\w*\n.*?\n\1$", "", text, flags=re.MULTILINE | re.DOTALL)
    prose = re.sub(r"(?<!\\)`[^`]*`", "", prose)
    for piece in ("[a](b)", "**b**", "$x$", "@user", "#12", "https://x.y", "www.x.y", "```", "<script", "<img"):
        assert piece not in prose, piece
    assert not [c for c in text if not c.isprintable() and c != "\n"]
    rows = [line for line in prose.splitlines() if line.startswith("| ")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in rows[:3]} == {7}


def test_annotations_are_commands_of_a_workflow() -> None:
    lines = annotations.text(CHECKS).splitlines()

    assert lines[0].startswith("::error title=loss.mean-square breaks in float32%2C float64::The loss of predictions")
    assert "%0Aloss_fn([0.0]) returned 1.0%0Aloss_fn behaves as half: it is halved." in lines[0]
    assert [line.split(" ")[0] for line in lines] == ["::error"] * 3 + ["::warning", "::notice", "::error"]
    assert lines[-1] == "::error title=nonsense cannot be checked here::there is no such file"


def test_annotations_stand_beside_the_file_of_the_target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    spec = target(tmp_path, "", "sub/a,b.py")

    lines = annotations.text([Checked(spec, result(MIXED, spec=f"{spec}:thing"))]).splitlines()

    assert all(" file=sub/a%2Cb.py,title=" in line for line in lines)


def test_no_target_writes_a_command_of_a_workflow() -> None:
    words = "x\n::set-output name=a::b\r\n::error::%0A"
    text = annotations.text([Checked(words, hostile(words)), Checked(words, None, words)])

    assert all(line.startswith(("::error ", "::warning ", "::notice ")) for line in text.splitlines())
    assert "%250A" in text
    assert not [c for c in text if not c.isprintable() and c != "\n"]


def test_many_annotations_end_with_the_names_of_the_rest() -> None:
    """GitHub shows ten of a kind."""
    names = [name for name, clause in book().items() if clause.level == "MUST"][:30]
    lines = annotations.text([Checked("x", result([outcome(name, "breaks") for name in names]))]).splitlines()

    assert [line.split(" ")[0] for line in lines] == ["::error"] * 10 + ["::notice"]
    assert lines[9] == f"::error title=21 more clauses not told here::{', '.join(names[9:])}"


@pytest.mark.parametrize(
    ("seen", "message", "color"),
    [
        ([outcome("loss.zero", "holds"), outcome("loss.nan", "absent")], "1 of 1 clauses", "brightgreen"),
        (MIXED[:2] + MIXED[5:6], "does not conform, 1 of 2 clauses", "red"),
        ([outcome("loss.nan", "absent")], "was not checked: no clause could be decided", "lightgrey"),
    ],
)
def test_a_badge_says_how_many_clauses_hold(seen: list[object], message: str, color: str) -> None:
    badge = json.loads(exchange.shield([Checked("x", result(seen))]))  # type: ignore[arg-type]  # outcomes

    assert (badge["schemaVersion"], badge["label"]) == (1, "calibrant")
    assert (badge["message"], badge["color"]) == (message, color)


def test_every_writer_takes_what_a_target_may_say() -> None:
    for write in (exchange.junit, exchange.shield, markdown.text, annotations.text):
        text = write(EVIL)
        assert not [c for c in text if not c.isprintable() and c != "\n"]
    assert len(ElementTree.fromstring(exchange.junit(EVIL))) == 2


def test_one_check_writes_every_report(tmp_path: Path) -> None:
    """The report for a person goes to standard error where another takes standard output."""
    spec = target(tmp_path, "def absolute_loss(t_p, t_c):\n    return abs(t_p - t_c).sum()\n")
    few = ("--clause", "loss.absolute", "--examples", "4", "--workers", "1", "--dtype", "float64")
    files = [word for name in ("json", "html", "junit-xml", "shield") for word in (f"--{name}", f"report.{name}")]

    process = calibrant("check", spec, *few, *files, "--markdown", "-", "--github", cwd=tmp_path)

    assert process.returncode == 1
    assert process.stdout.startswith("## planted does not conform\n")
    assert "::error file=planted.py,title=loss.absolute breaks in float64::" in process.stderr
    document = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    require_fit(document, "verdicts.schema.json")
    assert document["environment"]["numpy"]
    failure = document["verdicts"][0]["failures"][0]
    assert len(failure["allowed"]) == len(failure["exactly"]) == 1
    assert failure["calls"][-1]["answer"] == failure["actual"]
    assert "<!doctype html>" in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert '<testcase classname="loss.loss.absolute"' in (tmp_path / "report.junit-xml").read_text(encoding="utf-8")
    assert json.loads((tmp_path / "report.shield").read_text(encoding="utf-8"))["color"] == "red"


ACTION = (ROOT / ".github" / "actions" / "calibrant" / "action.yml").read_text(encoding="utf-8")


def test_the_action_passes_its_inputs_to_the_command(tmp_path: Path) -> None:
    """The last step's script, with a command in the place of `calibrant` that writes down its words."""
    script = textwrap.dedent(ACTION.split("run: |\n")[1])
    fake = tmp_path / "calibrant"
    fake.write_text('#!/bin/sh\nfor word; do echo "$word"; done\nexit 1\n', encoding="utf-8")
    fake.chmod(fake.stat().st_mode | stat.S_IXUSR)
    inputs = {"TARGET": "my target.py; rm -rf $HOME", "PROGRAM": "", "OPTIONS": "--profile ci --html page.html"}
    surroundings = os.environ | inputs | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "GITHUB_STEP_SUMMARY": "s.md"}

    process = subprocess.run(
        ["bash", "-e", "-c", script], env=surroundings, capture_output=True, text=True, check=False
    )

    command, *words = process.stdout.splitlines()
    assert (process.returncode, process.stderr) == (1, "")
    given = typer.main.get_command(cli.app).commands[command].make_context(command, words).params  # type: ignore[attr-defined]  # a group has them
    assert given["target"] == [inputs["TARGET"]]
    assert (given["profile"], given["github"], given["markdown"].name, given["html"].name) == (
        "ci",
        True,
        "s.md",
        "page.html",
    )


def test_the_action_takes_the_inputs_that_the_readme_gives() -> None:
    """And no input stands in a script, where it would be code."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```yaml\n(.*?)```", readme, re.DOTALL)
    inputs = re.findall(r"^  ([\w-]+):$", ACTION.split("inputs:")[1].split("runs:")[0], re.MULTILINE)

    assert "/.github/actions/calibrant@" in example
    assert set(re.findall(r"^    ([\w-]+): ", example, re.MULTILINE)) <= set(inputs)
    assert "${{" not in "".join(re.findall(r"run: (?:\|\n((?:        .*\n)+)|(.*\n))", ACTION)[0])
    assert "\t" not in ACTION
