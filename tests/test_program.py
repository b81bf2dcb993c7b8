"""Targets in other languages: programs that conform, and programs that misbehave in every way."""

from __future__ import annotations

import contextlib
import functools
import json
import math
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import calibrant, checked, ends, one_sentence, statuses

from calibrant.protocol.errors import NoAnswer, TargetError
from calibrant.protocol.wire import decoded
from calibrant.target import program
from calibrant.target.calling import Failure, Subject, identical
from calibrant.target.description import Target
from calibrant.target.loading import load
from calibrant.target.program import LONGEST, Program

PROGRAMS = Path(__file__).parent / "programs"
NODE = ["node", str(PROGRAMS / "adapter.js")]
HALF = (np.array([0.0, 0.0]), np.array([0.0, 1.0]))
"""Arguments with a loss of 0.5."""
CHILD = "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])"
"""A child that outlives its parent, and holds its output open."""


@pytest.fixture(scope="module")
def adapter_in_c(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The adapter in C, compiled."""
    binary = tmp_path_factory.mktemp("c") / "adapter"
    subprocess.run(
        ["gcc", "-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-o", binary, PROGRAMS / "adapter.c", "-lm"],
        check=True,
    )
    return str(binary)


def about(member: str = "result", **said: Any) -> str:
    """Code of a program that answers `initialize`."""
    response = {"jsonrpc": "2.0", "id": 0, member: {"name": "x", "operations": ["loss_fn"]} | said}
    return f"print({json.dumps(response)!r}, flush=True)"


def asked_once(code: str) -> list[str]:
    """A program that runs code when it is asked for the first time."""
    return [sys.executable, "-c", f"import os, signal, subprocess, sys, time\n{about()}\ninput(), input()\n{code}"]


@contextlib.contextmanager
def loaded(code: str, timeout: float) -> Iterator[Target]:
    """A program that runs code when it is asked, as a target, which ends with the block."""
    target = load("program: " + shlex.join(asked_once(code)), timeout)
    assert target.program is not None
    with contextlib.closing(target.program):
        yield target


# Programs that conform


@pytest.mark.untraced
@pytest.mark.parametrize(
    "name, chapters, holding",
    [("plain JavaScript", "loss broadcasting validation autograd", 59), ("plain C", "loss gradients autograd", 35)],
)
def test_a_right_program_conforms(name: str, chapters: str, holding: int, adapter_in_c: str, tmp_path: Path) -> None:
    line = shlex.join(NODE) if "Script" in name else shlex.quote(adapter_in_c)
    chosen = [option for chapter in chapters.split() for option in ("--chapter", chapter)]

    said, shown = checked(tmp_path, "--program", line, "--profile", "ci", "--examples", "8", *chosen)

    found = statuses(said)
    assert said["exit_status"] == 0, shown
    assert said["target"]["name"] == name
    assert sum(seen == {"holds"} for seen in found.values()) == holding
    assert {status for seen in found.values() for status in seen} == {"holds", "absent"}


def test_numbers_that_json_cannot_hold_go_both_ways(adapter_in_c: str) -> None:
    running = Program([adapter_in_c], 10)
    t_u = np.array([math.nan, math.inf, -math.inf, 5e-324, 1 / 3])

    there_and_back = running.ask("dmodel_dw", t_u, np.array(1.0), np.array(0.0))

    assert there_and_back.tobytes() == t_u.tobytes()
    narrow = np.float32([0.1, 3.4e38, 1e-45])
    assert running.ask("dmodel_dw", narrow, np.float32(1), np.float32(0)).tobytes() == narrow.tobytes()
    running.close()


def test_a_file_may_name_a_program(tmp_path: Path) -> None:
    file = tmp_path / "in_node.py"
    file.write_text(f"program = {NODE!r}\n", encoding="utf-8")

    said, _ = checked(tmp_path, str(file), "--clause", "loss.mean-square", "--examples", "3", "--workers", "1")

    assert said["target"]["name"] == "plain JavaScript"
    assert statuses(said) == {"loss.mean-square": {"holds"}}


def test_the_report_on_a_wrong_program_names_its_impostor_and_repeats_the_failure(tmp_path: Path) -> None:
    source = (PROGRAMS / "adapter.js").read_text(encoding="utf-8")
    wrong = tmp_path / "wrong.js"
    wrong.write_text(source.replace("value / values.length, 0)", "value, 0)"), encoding="utf-8")

    said, shown = checked(
        tmp_path, "--program", f"node {wrong}", "--clause", "loss.mean-square", "--profile", "ci", "--workers", "1"
    )

    assert statuses(said) == {"loss.mean-square": {"breaks"}}
    assert "loss_fn behaves as `sum-instead-of-mean`" in shown
    lines = re.search(r"To see it:\n((?:    .*\n)+)", shown)
    assert lines is not None
    seen = subprocess.run(["sh", "-c", lines[1]], capture_output=True, text=True, check=True).stdout.splitlines()
    assert [json.loads(line)["id"] for line in seen] == [0, 1]
    assert json.loads(seen[1])["result"]["data"] == [1]


def test_a_wrong_engine_in_another_language_breaks_the_clause_of_its_mistake(tmp_path: Path) -> None:
    """It gives exponents no gradient, and hands on what an earlier pass left."""
    source = (PROGRAMS / "adapter.js").read_text(encoding="utf-8")
    wrong = tmp_path / "wrong.js"
    for right, mistake in (
        (" * Math.log(x)]", " * 0]"),
        ("for (const node of tape) node.grad = 0", "for (const node of tape) node.grad ??= 0"),
    ):
        assert source.count(right) == 1
        source = source.replace(right, mistake)
    wrong.write_text(source, encoding="utf-8")
    clauses = [f"--clause=autograd.{name}" for name in ("composition", "quotients", "shared-graph")]

    said, shown = checked(
        tmp_path, "--program", f"node {wrong}", *clauses, "--profile=ci", "--examples=8", "--workers=1"
    )

    assert statuses(said) == dict(
        zip(
            ("autograd.composition", "autograd.quotients", "autograd.shared-graph"),
            ({"holds"}, {"breaks"}, {"breaks"}),
            strict=True,
        )
    )
    assert "automatic_gradient behaves as `exponent-is-a-constant`" in shown


def test_a_word_that_javascript_knows_stays_a_word() -> None:
    """Every object has a function of that name."""
    params = {"n_epochs": 1, "optimizer": {"name": "toString", "lr": 0.5}}
    asked = [{"id": 0, "method": "training_loop", "params": params}, {"id": 1, "method": "toString", "params": {}}]

    lines = "".join(json.dumps(one) + "\n" for one in asked)
    said = subprocess.run(NODE, input=lines, capture_output=True, text=True, check=True).stdout.splitlines()

    assert [json.loads(line)["error"]["message"] for line in said] == [
        'only plain sgd at one rate, not {"name":"toString","lr":0.5}',
        "there is no toString",
    ]


@pytest.mark.parametrize(("name", "package"), [("deepbox", "deepbox@1"), ("tfjs", "@tensorflow/tfjs@4")])
@pytest.mark.parametrize("installed", [None, "0.9.0"])
def test_a_library_that_node_does_not_find_is_named(
    name: str, package: str, installed: str | None, tmp_path: Path
) -> None:
    """Node looks for the library in the folder where calibrant starts. It is missing there, or too old."""
    if installed:
        about = tmp_path / "node_modules" / package.rpartition("@")[0] / "package.json"
        about.parent.mkdir(parents=True)
        about.write_text(json.dumps({"version": installed}), encoding="utf-8")

    process = calibrant("check", name, cwd=tmp_path)

    assert one_sentence(process, installed or "is not installed here", f"npm install {package}"), process.stderr


# Programs that lie, each with the message about it


def says(**response: Any) -> str:
    return f"print({json.dumps({'jsonrpc': '2.0', 'id': 1} | response)!r}, flush=True)"


GIVES_NO_ANSWER = [
    ("print('loss = 0.5', flush=True)", "wrote 'loss = 0.5', which is not JSON"),
    ("print('{\"json', end='', flush=True); os._exit(3)", """ended (status 3) in the middle of '{"json'"""),
    (r"os.write(1, b'{\"jsonrpc\": \"\xff\xfe\"}\n')", "which is not UTF-8"),
    ("print('[' * 100_000, flush=True)", "nested too deeply"),
    ("while True: print('x' * 65536, end='')", f"wrote more than {LONGEST >> 20} MiB without ending its line"),
    (says(result=math.nan), 'NaN is no number of JSON; the string "NaN" is due'),
    ("print('9' * 100_000, flush=True)", "which is not JSON"),
    (says(id=1001, result=0.5), "answered request 1001 where 1 was asked"),
    (says(id="1", result=0.5), "answered request '1' where 1 was asked"),
    (says(id=None, error={"code": 1, "message": "what"}), "could not read the request: what (code 1)"),
    ("""print('{"jsonrpc": "2.0", "result": 0.5}', flush=True)""", "which is no JSON-RPC 2.0 response"),
    ("print([], flush=True)", "which is no JSON-RPC 2.0 response"),
    (says(jsonrpc="1.0", result=0.5), "which is no JSON-RPC 2.0 response"),
    (says(result=0.5, error={"code": 1, "message": "both"}), "which is no JSON-RPC 2.0 response"),
    (says(error="no"), "answered with an error that is none of JSON-RPC's: 'no'"),
    (says(error={"code": True, "message": "no"}), "answered with an error that is none of JSON-RPC's: {'code': True"),
    ("os._exit(3)", "ended (status 3)"),
    ("os.kill(os.getpid(), signal.SIGKILL)", "was ended by SIGKILL"),
    ("time.sleep(600)", "did not return within 0.5 s"),
    ("os.close(1); time.sleep(600)", "closed its standard input or output"),
    (f"{CHILD}; os._exit(0)", "ended (status 0)"),
    ("while True: sys.stderr.write('wrong ' * 10_000)", "had written to standard error"),
    (
        "sys.exit('there is no memory left')",
        "ended (status 1); it had written to standard error 'there is no memory left'",
    ),
]


@pytest.mark.parametrize(("code", "sentence"), GIVES_NO_ANSWER)
def test_anything_but_an_answer_ends_the_program(code: str, sentence: str) -> None:
    running = Program(asked_once(code), 10 if "65536" in code else 0.5)

    with pytest.raises(NoAnswer) as error:
        running.ask("loss_fn", *HALF)

    assert sentence in str(error.value)
    assert error.value.late == ("did not return" in str(error.value))
    assert ends(running.process.pid)


def test_the_next_call_starts_a_program_anew_that_has_ended(tmp_path: Path) -> None:
    running = Program(asked_once(f"open({str(tmp_path / 'asked')!r}, 'a').write('x')"), 5)
    for count in (1, 2):
        with pytest.raises(NoAnswer, match=r"ended \(status 0\)"):
            running.ask("loss_fn", *HALF)
        assert (tmp_path / "asked").read_text() == "x" * count

    running.command = ["no-such-program"]
    with pytest.raises(
        NoAnswer, match="could not be called, for program no-such-program: 'no-such-program' was not found"
    ):
        running.ask("loss_fn", *HALF)


@pytest.mark.parametrize("code", [f"{says(result=0.5)}; {says(result=0.5)}", f"while True: {says(result=0.5)}"])
def test_a_second_answer_does_not_answer_the_next_request(code: str) -> None:
    running = Program(asked_once(f"{code}\ninput()"), 0.5)
    assert running.ask("loss_fn", *HALF) == 0.5
    time.sleep(0.05)  # so that the second answer has arrived

    with pytest.raises(NoAnswer, match=r"answered request 1 where 2 was asked|without being asked"):
        running.ask("loss_fn", *HALF)

    running.close(0.0)


def test_children_that_a_program_leaves_end_with_it() -> None:
    running = Program(asked_once(f"{CHILD}; {says(result=0.5)}; input()"), 0.5)
    assert running.ask("loss_fn", *HALF) == 0.5

    running.close()

    assert ends(running.process.pid)


def test_a_program_leaves_when_its_input_ends(tmp_path: Path) -> None:
    said = tmp_path / "said"
    code = f"import sys; {about()}; [None for _ in sys.stdin]; open({str(said)!r}, 'w').write('left')"
    running = Program([sys.executable, "-c", code], 5)

    running.close()

    assert said.read_text() == "left"


def test_an_operation_that_ends_the_program_is_given_up_in_the_end() -> None:
    with loaded("os._exit(3)", 5) as target:
        for _ in range(program.DEATHS):
            assert not target.hung
            with pytest.raises(Failure, match=r"ended \(status 3\)"):
                Subject(target, "float64").loss_fn(*HALF)

        assert "ended (status 3)" in target.hung["loss_fn"].sentence


# Programs that cannot be checked

CANNOT_START = {
    "did not answer initialize: ended (status 5)": "import sys; sys.exit(5)",
    "ended (status 1); it had written to standard error 'there is none'": "import sys; sys.exit('there is none')",
    "wrote 'HTTP/1.1 400 Bad Request": "print('HTTP/1.1 400 Bad Request')",
    "did not answer initialize within 0.9 s": "import time; time.sleep(600)",
    "answered initialize with [], not with an object": """print('{"jsonrpc": "2.0", "id": 0, "result": []}')""",
    "did not answer initialize: it is not here (code 1)": about("error", code=1, message="it is not here"),
    "operations is None, not a list of names": about(operations=None),
    "did not answer initialize: returned {": about(dtype="float64"),
    "there is no operation 'los_fn'; nearest: loss_fn": about(operations=["los_fn"]),
    "names descend, which takes a function: say functions = 'straight-line'": about(operations=["descend"]),
    "functions is 'lisp', not 'straight-line'": about(functions="lisp"),
    "has none of the operations": about(operations=[]),
    "says 'operatons' of itself, which means nothing; nearest: operations": about(operatons=["loss_fn"]),
    "name is 3, not a string": about(name=3),
    "slack is 0, not a number of at least 1": about(slack=0),
    "'no-such-program' was not found": ["no-such-program"],
    "is not executable": ["./readable"],
    "cannot be started: ": ["./nonsense"],
    "is no command line: No closing quotation": ["node 'adapter.js"],
    "program is empty": [""],
}


@pytest.mark.parametrize("sentence", CANNOT_START)
def test_a_program_that_cannot_be_asked_is_one_sentence(
    sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "readable").touch()
    (tmp_path / "nonsense").write_bytes(b"\x00\x01\x02")
    (tmp_path / "nonsense").chmod(0o755)
    code = CANNOT_START[sentence]
    line = shlex.join([sys.executable, "-c", code]) if isinstance(code, str) else code[0]

    with pytest.raises(TargetError) as error:
        load(f"program: {line}", 0.3 if "within" in sentence else 5)

    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.untraced
def test_a_check_of_a_program_leaves_nothing_behind(tmp_path: Path) -> None:
    """It starts a child at each question."""
    adapter = tmp_path / "adapter.js"
    child = "require('child_process').spawn('sleep', ['600'], {argv0: __filename}).unref();"
    adapter.write_text(child + (PROGRAMS / "adapter.js").read_text(encoding="utf-8"), encoding="utf-8")

    said, _ = checked(tmp_path, "--program", f"node {adapter}", "--clause=loss.mean-square", "--examples=3")

    assert statuses(said) == {"loss.mean-square": {"holds"}}
    for command in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it ended meanwhile
            assert str(adapter).encode() not in command.read_bytes()


# The answers of a program as arrays


@pytest.mark.parametrize(
    "sent, array",
    [
        ({"dtype": "float32", "shape": [2], "data": [0.1, "NaN"]}, np.float32([0.1, math.nan])),
        ({"dtype": "float64", "shape": [], "data": ["-Infinity"]}, np.array(-math.inf)),
        ({"dtype": "int64", "shape": [0, 3], "data": []}, np.zeros((0, 3), dtype=np.int64)),
        ({"dtype": "bool", "shape": [1], "data": [True]}, np.array([True])),
    ],
)
def test_an_array_is_its_dtype_its_shape_and_its_numbers(sent: Any, array: Any) -> None:
    assert identical(decoded(sent), array)


MALFORMED = {
    "returned an array of shape [3] with 1 numbers": {"dtype": "float64", "shape": [3], "data": [0.5]},
    "which is no array: dtype, shape and data make one": {"dtype": "float64", "data": [0.5]},
    "returned an array whose shape is [-1]": {"dtype": "float64", "shape": [-1], "data": [0.5]},
    "returned an array of dtype 'float128'; nearest: ": {"dtype": "float128", "shape": [], "data": [0.5]},
    "returned an array with 'half' where a number is due": {"dtype": "float64", "shape": [], "data": ["half"]},
    "an array that cannot be one: int too large": {"dtype": "float64", "shape": [1], "data": [10**400]},
    "an array that cannot be one: Python int too large": {"dtype": "int32", "shape": [1], "data": [10**400]},
    "beyond the range of float64; the string": {"dtype": "float32", "shape": [2], "data": [0.0, json.loads("-1e400")]},
    'the string "Infinity" is due': [json.loads("1e400")],
    "returned lists that are nested more than 32 deep": functools.reduce(lambda x, _: [x], range(40), 0.5),
}


@pytest.mark.parametrize("sentence", MALFORMED)
def test_a_malformed_array_is_no_answer(sentence: str) -> None:
    with pytest.raises(NoAnswer) as error:
        decoded(MALFORMED[sentence])

    assert sentence in str(error.value)
    assert error.value.answered
