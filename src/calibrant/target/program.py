"""A target in another language: a program that speaks JSON-RPC 2.0 over its standard input and output, a message a line.

It may hang, die, write without end, or answer another request. After anything but an answer, the program and its process group
are ended, and the next call starts it anew.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import json
import os
import re
import select
import shlex
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from typing import IO, Any, NoReturn, cast

from calibrant.protocol.errors import NoAnswer, TargetError, brief, first_line, nearest, shortened
from calibrant.protocol.operations import IMPORT_PATIENCE, OPERATIONS
from calibrant.protocol.wire import FUNCTIONS, decoded, message
from calibrant.target.processes import end_group

ABSENT = -32601
"""The code of JSON-RPC for a method that does not exist."""

LONGEST = 4 * 2**20
"""The most bytes in a message."""

DEATHS = 5
"""The number of times an operation may end the program; after them it is not called again."""

REGISTER = "CALIBRANT_PROGRAMS"
"""The environment variable with the name of a file. Programs add their process groups to it, and `end_all` ends what is left."""

_DESCRIPTION = (
    "name", "version", "language", "operations", "dtypes", "conventions", "deviations", "slack", "batch", "functions",
)  # fmt: skip
"""The members of a program's description; `batch` is ignored, and `functions` says how it reads functions, if it does."""

_LEAVING = 2.0
"""Seconds between the end of a program's standard input and the end of its process group."""

_GLANCE = 0.05
"""Seconds between two looks at whether a silent program still lives: a child of its own may hold its output open."""


class ProgramError(Exception):
    """A JSON-RPC error in answer to a request: the operation raised it."""


class Program:
    """A program under test, which is started again when it has ended.

    Its attributes are the members that `initialize` answered, and a method for each operation in them.
    """

    operations: tuple[str, ...]
    functions: str | None = None
    changed: Sequence[Any] = ()
    """The arguments that the last call changed, as the program says."""
    process: subprocess.Popen[bytes]

    def __init__(self, command: Sequence[str], timeout: float, environ: Mapping[str, str] | None = None) -> None:
        self.command = list(command)
        self.timeout = timeout
        self._environ = dict(environ or {})
        self._runs = False
        self._deaths: dict[str, int] = {}
        atexit.register(self.close)
        vars(self).update(self._begin())
        for operation in self.operations:
            setattr(self, operation, functools.partial(self.ask, operation))

    def __repr__(self) -> str:
        return shlex.join(self.command)

    def ask(self, operation: str, *arguments: Any) -> Any:
        """Call an operation and return its answer, of a program that is started if it does not run.

        Raises NotImplementedError if the operation does not serve the request, or takes a function that only this process can call;
        ProgramError for another error that it answers, and NoAnswer if no valid response comes in time.
        """
        if not self._runs:
            try:
                self._begin()
            except TargetError as error:
                raise NoAnswer(f"could not be called, for {error}") from None
        record = OPERATIONS[operation]
        try:
            return self._result(operation, record.named(arguments), record.patience(self.timeout))
        except NoAnswer as error:
            if error.answered:
                raise
            words = self._last_words()
            self.close(0.0)
            deaths = self._deaths[operation] = self._deaths.get(operation, 0) + 1
            raise NoAnswer(f"{error}{words}", final=error.final or deaths >= DEATHS) from None
        except (NotImplementedError, ProgramError):
            raise
        except BaseException:  # an interrupt; the next call must not read this one's answer
            self.close(0.0)
            raise

    def close(self, leaving: float = _LEAVING) -> None:
        """Close the program's standard input, and after `leaving` seconds end its process group."""
        if not self._runs:
            return
        self._runs = False
        with contextlib.suppress(OSError):
            self._pipes[0].close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(leaving)
        end_group(self.process.pid)
        self.process.wait()
        for pipe in self._pipes[1:]:
            pipe.close()

    def _wrong(self, sentence: str) -> TargetError:
        return TargetError(f"program {self!r}{sentence}")

    def _begin(self) -> dict[str, Any]:
        """Start the program and return its description. Raises TargetError, in one sentence, if it gives none."""
        pipe = subprocess.PIPE
        try:
            process = subprocess.Popen(
                self.command,
                stdin=pipe,
                stdout=pipe,
                stderr=pipe,
                bufsize=0,
                start_new_session=True,
                env={**os.environ, **self._environ},
            )
        except (FileNotFoundError, PermissionError) as error:
            why = "was not found" if isinstance(error, FileNotFoundError) else "is not executable"
            raise self._wrong(f": {self.command[0]!r} {why}") from None
        except (OSError, ValueError) as error:
            raise self._wrong(f" cannot be started: {error}") from None
        if REGISTER in os.environ:
            with open(os.environ[REGISTER], "a") as register:
                register.write(f"{process.pid}\n")
        self.process, self._runs = process, True
        self._pipes = cast("tuple[IO[bytes], ...]", (process.stdin, process.stdout, process.stderr))
        for file in self._pipes:
            os.set_blocking(file.fileno(), False)
        self._count = 0
        self._left, self._errors = bytearray(), bytearray()
        patient = self.timeout * IMPORT_PATIENCE / 2  # less than an import may take, so that this message comes first
        try:
            return self._described(self._result("initialize", {}, patient))
        except (ProgramError, NotImplementedError, NoAnswer) as error:
            late = isinstance(error, NoAnswer) and error.final
            why = f" within {patient:g} s" if late else f": {error}"
            words = self._last_words()
            self.close(0.0)
            raise self._wrong(f" did not answer initialize{why}{words}") from None
        except TargetError:
            self.close(0.0)
            raise

    def _described(self, said: Any) -> dict[str, Any]:
        """The description, as far as the checks of every target do not cover it. Raises TargetError if it is not valid."""
        if not isinstance(said, dict):
            raise self._wrong(f" answered initialize with {brief(said)}, not with an object")
        unknown = min(set(said) - {*_DESCRIPTION}, default="")
        if unknown:
            close = nearest(unknown, _DESCRIPTION)
            raise self._wrong(f" says {brief(unknown)} of itself, which means nothing{close}")
        operations = said.get("operations")
        if not isinstance(operations, list) or not all(isinstance(name, str) for name in operations):
            raise self._wrong(f": operations is {brief(operations)}, not a list of names")
        functions = said.get("functions")
        if functions not in (None, *FUNCTIONS):
            raise self._wrong(f": functions is {brief(functions)}, not 'straight-line'")
        possible = [name for name, one in OPERATIONS.items() if functions or not one.takes_functions]
        for name in operations:
            if name not in OPERATIONS:
                raise self._wrong(f": there is no operation {brief(name)}{nearest(name, possible)}")
            if name not in possible:
                raise self._wrong(f" names {name}, which takes a function: say functions = 'straight-line'")
        for member in ("name", "version", "language"):
            if not isinstance(said.get(member, ""), str | None):
                raise self._wrong(f": {member} is {brief(said[member])}, not a string")
        return {**said, "operations": tuple(operations)}

    def _result(self, method: str, params: dict[str, Any], seconds: float) -> Any:
        """Send a request and return its result. Raises NotImplementedError or ProgramError for an error, else NoAnswer."""
        number, self._count = self._count, self._count + 1
        if self._left:
            raise NoAnswer(f"wrote {_quoted(self._left)} without being asked")
        self.changed = ()
        request = message(number, method, params, functions=self.functions)
        line = self._converse(request.encode() + b"\n", seconds)
        response = _read(line)
        if isinstance(response, dict) and isinstance(response.get("changed"), list):
            self.changed = response["changed"]
        return _result(response, line, number)

    def _converse(self, request: bytes, seconds: float) -> bytes:
        """Write a message and read a line. Raises NoAnswer if none comes in time, or none can come."""
        stdin, stdout, stderr = self._pipes
        poll = select.poll()
        for file, event in zip(self._pipes, (select.POLLOUT, select.POLLIN, select.POLLIN), strict=True):
            poll.register(file, event)
        deadline = time.monotonic() + seconds
        unsent = memoryview(request)
        while (left := deadline - time.monotonic()) > 0:
            events = [file for file, _ in poll.poll(min(left, _GLANCE) * 1000)]
            if not events and self.process.poll() is not None:
                raise self._gone()
            if stdin.fileno() in events:
                try:
                    unsent = unsent[stdin.write(unsent) or 0 :]
                except OSError:
                    raise self._gone() from None
                if not unsent:
                    poll.unregister(stdin)
            if stderr.fileno() in events and not self._listen():
                poll.unregister(stderr)
            if stdout.fileno() in events:
                searched = len(self._left)
                more = stdout.read(65536)
                if more == b"":
                    raise self._gone()
                self._left += more or b""
                end = self._left.find(b"\n", searched)
                if end >= 0:
                    line = bytes(self._left[:end])
                    del self._left[: end + 1]
                    return line
                if len(self._left) > LONGEST:
                    raise NoAnswer(f"wrote more than {LONGEST >> 20} MiB without ending its line")
        raise NoAnswer(f"did not return within {seconds:g} s", final=True)

    def _listen(self) -> bool:
        """Read from standard error. Return whether it is still open."""
        more = self._pipes[2].read(65536)
        self._errors += more or b""
        del self._errors[:-2000]
        return more != b""

    def _gone(self) -> NoAnswer:
        """The reason why a program does not read, or does not write any more."""
        try:
            status = self.process.wait(0.5)
        except subprocess.TimeoutExpired:
            return NoAnswer("closed its standard input or output")
        how = f"ended (status {status})" if status >= 0 else f"was ended by {signal.Signals(-status).name}"
        return NoAnswer(how + f" in the middle of {_quoted(self._left)}" * bool(self._left))

    def _last_words(self) -> str:
        """The last line on standard error that names an error, or else the last line, in a clause for a message."""
        until = time.monotonic() + 1.0
        while time.monotonic() < until and select.select([self._pipes[2]], [], [], 0)[0] and self._listen():
            pass
        lines = [line.rstrip() for line in self._errors.decode("utf-8", "replace").splitlines() if line.strip()]
        named = [line for line in lines if re.match(r"\S*(error|exception|panic)", line, re.IGNORECASE)]
        return f"; it had written to standard error {(named or lines)[-1].strip()[-300:]!r}" if lines else ""


def command_of(line: str) -> list[str]:
    """Split a command line into words. Raises TargetError if it is empty or malformed."""
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise TargetError(f"program {line!r} is no command line: {error}") from None
    if not words:
        raise TargetError("program is empty: a command line is due, as in --program 'node adapter.js'")
    return words


def _read(line: bytes) -> Any:
    """The JSON in a line. Raises NoAnswer if there is none."""
    try:
        return json.loads(line.decode("utf-8"), parse_constant=_no_constant)
    except (ValueError, RecursionError) as wrong:
        why = {UnicodeDecodeError: "not UTF-8", RecursionError: "nested too deeply"}.get(type(wrong))
        raise NoAnswer(f"wrote {_quoted(line)}, which is {why or f'not JSON: {str(wrong)[:120]}'}") from None


def _result(response: Any, line: bytes, asked: int) -> Any:
    """The result in a response. Raises NoAnswer unless it answers this request, and an error for an error."""
    problem, code, no_response = "", 0, f"wrote {_quoted(line)}, which is no JSON-RPC 2.0 response"
    match response:
        case {"result": _, "error": _}:
            raise NoAnswer(no_response)
        case {"jsonrpc": "2.0", "id": number, "result": result}:
            pass
        case {"jsonrpc": "2.0", "id": number, "error": {"code": int(code), "message": str(why)}} if (
            code is not True and code is not False
        ):
            problem = f"{first_line(why)} (code {code})"
        case {"jsonrpc": "2.0", "id": _, "error": error}:
            raise NoAnswer(f"answered with an error that is none of JSON-RPC's: {brief(error)}")
        case _:
            raise NoAnswer(no_response)
    if problem and number is None:
        raise NoAnswer(f"could not read the request: {problem}")
    if type(number) is not int or number != asked:
        raise NoAnswer(f"answered request {brief(number)} where {asked} was asked")
    if problem:
        raise (NotImplementedError if code == ABSENT else ProgramError)(problem)
    return decoded(result)


def _no_constant(word: str) -> NoReturn:
    raise ValueError(f'{word} is no number of JSON; the string "{word}" is due')


def _quoted(line: bytes | bytearray) -> str:
    return repr(shortened(line[:200].decode("utf-8", "replace")))
