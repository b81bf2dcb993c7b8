"""The page on checking one's own implementation does what it says: its files are written, its commands run, its output compared."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest
from support import calibrant

PAGE = (Path(__file__).parent.parent / "spec" / "checking.md").read_text(encoding="utf-8")
FILES = {
    name: text
    for text, name in re.findall(r"^```(?:py|js)\n((?:#|//) (\S+)\n.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
}
SESSIONS = re.findall(r"^```console\n\$ calibrant (.*?)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def shows(printed: str, output: str) -> bool:
    """Whether the printed lines are in the output, in their order and one after the other, but for what dots stand for."""
    parts = [
        re.escape(part.rstrip())
        for part in re.split(r"\.\.\.(?=\n|$)", re.sub(r" +$", "", printed, flags=re.MULTILINE))
    ]
    return re.match(".*?".join(parts), re.sub(r" +$", "", output, flags=re.MULTILINE), re.DOTALL) is not None


def test_the_page_has_files_and_sessions() -> None:
    assert {*FILES} == {"mine.py", "mended.py", "mine.js"}
    assert len(SESSIONS) == 5


@pytest.mark.parametrize("command, printed", SESSIONS, ids=[command for command, _ in SESSIONS])
def test_the_page_shows_what_is_printed(command: str, printed: str, tmp_path: Path) -> None:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text, encoding="utf-8")

    process = calibrant(*shlex.split(command), cwd=tmp_path, COLUMNS="300")

    assert shows(printed, process.stdout), process.stdout + process.stderr


def test_a_failure_of_the_other_program_is_repeated_by_its_command_line(tmp_path: Path) -> None:
    wrong = FILES["mine.js"].replace("sum + square / squares.length", "sum + square")
    (tmp_path / "mine.js").write_text(wrong, encoding="utf-8")

    process = calibrant(
        "check", "--program", "node mine.js", "--clause", "loss.mean-square", "--profile", "ci", cwd=tmp_path
    )
    line = process.stdout.split("To see it:\n")[1].split("\n\n")[0]

    assert "loss_fn behaves as `sum-instead-of-mean`" in process.stdout
    assert (
        '"data":[1]'
        in subprocess.run(["sh", "-c", line], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    )


def test_dots_stand_for_something_and_nothing_else_does() -> None:
    assert shows("a\n...\nc\n", "a\nb\nc\n")
    assert shows("a ...\nc", "a b\nc")
    assert not shows("a\nc\n", "a\nb\nc\n")
    assert not shows("b\n", "a\nb\n")
