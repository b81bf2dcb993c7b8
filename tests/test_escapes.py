"""What a target says is shown as it is: it draws nothing, ends no line, and cannot write the verdict."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import calibrant, checked, one_sentence, run, target

from calibrant.protocol.errors import CheckError, escaped, printable

pytestmark = pytest.mark.untraced

FORGED = "x\n\r\nmine conforms: 166 clauses hold\x1b[2J\x1b]0;title\x07\u202e\u2028[/x][bold]\udc80" + "y" * 100_000
"""A text that clears the screen, renames the window, turns the line around, opens markup, and writes a last line."""

HOSTILE = f"""
    forged = {FORGED!r}
    name = version = forged
    deviations = {{"loss.scalar": forged}}
    Forged = type(forged.replace("\\udc80", ""), (Exception,), {{}})  # no type's name holds a surrogate

    def loss_fn(t_p, t_c):
        print(forged)
        raise Forged(forged)

    def absolute_loss(t_p, t_c):
        raise NotImplementedError(forged)

    def diagnose(train_losses, val_losses):
        return forged

    def model(t_u, w, b):
        raise SystemExit(forged)

    class Unreadable:
        def __repr__(self):
            return forged

    def dloss_fn(t_p, t_c):
        return Unreadable()
"""
CLAUSES = (
    "loss.mean-square",
    "loss.scalar",
    "loss.absolute",
    "overfitting.diagnosis",
    "model.linear",
    "gradient.chain-rule",
)
OF = [f"--clause={name}" for name in CLAUSES]


def harmless(text: str) -> bool:
    """Whether all lines are printable, and no line is the verdict that a target wrote."""
    lines = text.split("\n")
    return all(line.isprintable() and not line.strip().startswith("mine conforms") for line in lines)


def texts(x: Any) -> list[str]:
    """Every text in a document, but for the lines to paste."""
    if isinstance(x, dict):
        return [text for key, part in x.items() if key != "snippet" for text in (key, *texts(part))]
    if isinstance(x, list):
        return [text for part in x for text in texts(part)]
    return [x] if isinstance(x, str) else []


@given(st.text(), st.integers(3, 50))
def test_an_escaped_text_is_one_printable_line_of_limited_length(text: str, most: int) -> None:
    said = escaped(text, most)

    assert said.isprintable()
    assert len(said) <= most
    assert escaped(said, most) == said
    assert str(CheckError(text)).isprintable()
    assert printable(f"{text}\n{text}").count("\n") >= 1


def test_printable_text_stays_as_it_is() -> None:
    assert escaped("θ ≤ [1/2] C:\\n, 日本") == "θ ≤ [1/2] C:\\n, 日本"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("hostile")
    target(place, HOSTILE, "mine.py")
    return place


def test_no_target_draws_on_the_report_or_forges_its_verdict(folder: Path) -> None:
    said, shown = checked(folder, str(folder / "mine.py"), *OF, "--examples=3", "--workers=1")

    assert harmless(shown), shown
    assert all(harmless(text) for text in texts(said))
    (verdict,) = [
        line for line in shown.splitlines() if " does not conform: " in line or line.startswith("mine conforms")
    ]
    assert verdict.startswith("x\\n\\r\\nmine conforms: 166 clauses hold\\x1b[2J")
    assert len(shown) < 20_000
    assert {v["status"] for v in said["verdicts"] if v["clause"] == "model.linear"} == {"broken"}


def test_no_target_draws_on_the_matrix(folder: Path) -> None:
    link = folder / "[" / "x].py"  # the name of a column
    target(link.parent, HOSTILE, link.name)

    process = calibrant("matrix", "[/x].py", "mine.py", *OF, "--examples=3", "--workers=1", cwd=folder)

    assert harmless(process.stdout), process.stdout
    assert "[/x].py does not conform." in process.stdout
    assert not process.stderr


def test_no_target_draws_on_a_run_of_pytest_or_its_xml(folder: Path) -> None:
    selected = [f"--target-clause={name}" for name in CLAUSES]

    process = run(
        *("-m", "pytest", "-rA", "-p", "no:cacheprovider", "--color=no", "--pyargs", "calibrant.conformance"),
        *("--target", str(folder / "mine.py"), *selected, "--target-examples=3", "--junit-xml", "junit.xml"),
        cwd=folder,
    )

    assert "mine conforms" in process.stdout
    assert harmless(process.stdout), process.stdout
    for element in ElementTree.parse(folder / "junit.xml").iter():
        assert harmless(element.text or "")
        assert all(map(harmless, element.attrib.values()))


PROGRAM = f"""
import json, sys
forged = {FORGED[:400]!r}
for line in sys.stdin:
    asked = json.loads(line)
    if asked["method"] == "initialize":
        said = {{"result": {{"name": forged, "version": forged, "operations": ["loss_fn"], "deviations": {{"loss.zero": forged}}}}}}
    else:
        said = {{"error": {{"code": 1, "message": forged}}}}
        sys.stderr.write(forged.replace(chr(0xdc80), ""))
    print(json.dumps({{"jsonrpc": "2.0", "id": asked["id"], **said}}), flush=True)
"""


def test_no_program_draws_on_the_report(tmp_path: Path) -> None:
    command = shlex.join([sys.executable, target(tmp_path, PROGRAM, "program.py")])
    options = ("--clause=loss.mean-square", "--clause=loss.zero", "--dtype=float64", "--examples=3", "--workers=1")

    said, shown = checked(tmp_path, "--program", command, *options)

    assert harmless(shown), shown
    assert all(harmless(text) for text in texts(said))
    assert "raised ProgramError: x (code 1)" in shown


UNLOADABLE = {
    "raises": f"raise type({FORGED.encode('ascii', 'ignore').decode()!r}, (Exception,), {{}})({FORGED!r})",
    "leaves": f"raise SystemExit({FORGED!r})",
    "deviations": f"def loss_fn(t_p, t_c): pass\ndeviations = {{{FORGED!r}: 'so'}}",
    "conventions": f"def loss_fn(t_p, t_c): pass\nconventions = {{'adam.epsilon': {FORGED!r}}}",
}


@pytest.mark.parametrize("source", UNLOADABLE.values(), ids=UNLOADABLE)
def test_no_target_that_cannot_be_loaded_draws_on_the_terminal(source: str, tmp_path: Path) -> None:
    process = calibrant("check", target(tmp_path, source, "mine.py"))

    assert one_sentence(process, "mine.py"), process.stderr
    assert harmless(process.stderr)


# Where the output goes


RIGHT = """
    name = "théta θ"

    def absolute_loss(t_p, t_c):
        return (abs(t_p - t_c) / t_p.dtype.type(t_p.size)).sum()
"""


@pytest.mark.parametrize(
    ("encoding", "command", "shown"),
    [
        ("ascii", "check", "th\\xe9ta \\u03b8 conforms"),
        ("latin-1", "matrix", "model.linear   -"),
        ("latin-1", "explain", "2.1 "),
    ],
)
def test_every_encoding_shows_the_verdict(encoding: str, command: str, shown: str, tmp_path: Path) -> None:
    """A character that it lacks is replaced by its escape."""
    options = ("--clause=loss.absolute", "--clause=model.linear", "--examples=3", "--workers=1")
    arguments = ("model.linear",) if command == "explain" else (target(tmp_path, RIGHT, "theirs.py"), *options)
    environment = os.environ | {"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}

    process = subprocess.run(
        [sys.executable, "-m", "calibrant", command, *arguments], env=environment, capture_output=True, check=False
    )

    assert (process.returncode, process.stderr) == (0, b"")
    assert shown in process.stdout.decode(encoding)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no full disk to write to")
def test_a_full_disk_is_one_sentence_and_the_verdict_is_shown_before(tmp_path: Path) -> None:
    options = ("check", target(tmp_path, RIGHT), "--clause=loss.absolute", "--examples=3", "--workers=1")

    to_file = calibrant(*options, "--json", "/dev/full")

    assert to_file.returncode == 2
    assert to_file.stderr == "calibrant: /dev/full cannot be written: No space left on device\n"
    assert to_file.stdout.splitlines()[-2].startswith("théta θ conforms")
    for arguments in (options, ("explain", "loss"), ("--help",), ("impostors", "loss_fn")):
        with open("/dev/full", "w") as full:
            process = subprocess.run(
                [sys.executable, "-m", "calibrant", *arguments], stdout=full, stderr=subprocess.PIPE, check=False
            )
        assert process.returncode == 2, arguments
        assert process.stderr.count(b"\n") == 1
        assert b"No space left on device" in process.stderr
