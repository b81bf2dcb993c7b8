"""A target in another language: a program that speaks JSON-RPC 2.0 over its standard input and output, a message a line.

Nothing that it does is trusted: it may hang, die, write without end, or answer what was not asked. Whatever is no answer ends it
and its process group; the next call starts it anew.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import re
import select
import shlex
import signal
import subprocess
import time
import weakref
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

from calibrant.protocol.errors import NoAnswer, TargetError
from calibrant.protocol.operations import FUNCTIONS, IMPORT_PATIENCE, PARAMETERS, by_name, patience
from calibrant.protocol.text import brief, nearest
from calibrant.protocol.wire import decoded, message
from calibrant.target.processes import REGISTER, end_group

ABSENT = -32601
"""The error that says: there is no such method."""

LONGEST = 16 * 2**20
"""The bytes that one message may have."""

DEATHS = 5
"""How often one operation may end the program before it is not called any more."""

BATCH = 64
"""The requests that are sent together, where there are many."""

_LEAVING = 2.0
"""Seconds that a program is given to leave when its standard input has ended."""

_GLANCE = 0.05
"""Seconds after which it is seen whether a program that is silent still lives: a child of its own may hold its output open."""


class ProgramError(Exception):
    """A JSON-RPC error that a program answered: how an operation fails."""


class _Unreachable(Exception):
    """A program that gave no answer, and why."""


class _Late(_Unreachable):
    """One that gave none in time."""


class Program:
    """A program under test: started when it is first asked, and anew when it has ended.

    It has the attributes of a target: what `initialize` answered, and an operation for each that it names.
    """

    def __init__(self, command: Sequence[str], timeout: float) -> None:
        self.command = list(command)
        self.timeout = timeout
        self._process: subprocess.Popen[bytes] | None = None
        self._left = bytearray()
        self._errors = bytearray()
        self._count = 0
        self._deaths: dict[str, int] = {}
        atexit.register(_closed, weakref.ref(self))
        said = self._begin()
        self.batch = said.pop("batch")
        self.operations: tuple[str, ...] = said.pop("operations")
        vars(self).update(said)
        for operation in self.operations:
            setattr(self, operation, _Operation(self, operation))

    def __repr__(self) -> str:
        return shlex.join(self.command)

    def ready(self) -> None:
        """Start the program if it does not run. Raises NoAnswer if it does not start again."""
        if self._process is None:
            try:
                self._begin()
            except TargetError as error:
                raise NoAnswer(f"could not be called, for {error}") from None

    def ask(self, operation: str, arguments: Sequence[Any]) -> Any:
        """The answer to one call.

        Raises NotImplementedError where the operation does not serve it, ProgramError where it answers with another error, and
        NoAnswer where it gives no answer in time, or none that JSON-RPC knows.
        """
        self.ready()
        try:
            self._count += 1
            [answer] = self._exchange([self._request(operation, arguments)], patience(operation, self.timeout))
            return _result(answer)
        except _Unreachable as error:
            raise self._end(operation, error) from None
        except (NotImplementedError, ProgramError, NoAnswer):
            raise
        except (
            BaseException
        ):  # whoever interrupts this call gets no answer, and neither shall the next one get this one's
            self.close(0.0)
            raise

    def many(self, operation: str, calls: Sequence[Sequence[Any]]) -> Iterator[Any]:
        """The answer to each of several calls, in their order, or the exception that `ask` raises; in batches, if it takes them."""
        for first in range(0, len(calls), BATCH):
            some = calls[first : first + BATCH]
            answers = self._together(operation, some) if self.batch and len(some) > 1 else None
            for k, call in enumerate(some):
                try:
                    yield _result(answers[k]) if answers else self.ask(operation, call)
                except (NotImplementedError, ProgramError, NoAnswer) as error:
                    yield error

    def _together(self, operation: str, calls: Sequence[Sequence[Any]]) -> list[Any] | None:
        """The answers to a batch; None where it has no answer as a whole, so that each call must be made by itself."""
        self.ready()
        requests = []
        for call in calls:
            self._count += 1
            requests.append(self._request(operation, call))
        try:
            return self._exchange(requests, patience(operation, self.timeout))
        except _Unreachable:
            self.close(0.0)
            return None

    def close(self, leaving: float = _LEAVING) -> None:
        """End the standard input of the program, and after so many seconds the program with its process group."""
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(OSError):
            process.stdin.close()  # type: ignore[union-attr]  # it is a pipe
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(leaving)
        end_group(process.pid)
        process.wait()
        for pipe in (process.stdout, process.stderr):
            pipe.close()  # type: ignore[union-attr]  # likewise
        self._left.clear()

    def _begin(self) -> dict[str, Any]:
        """Start it, and ask what it is. Raises TargetError, in one sentence, if it does not say."""
        self._errors.clear()
        try:
            self._process = process = subprocess.Popen(
                self.command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                start_new_session=True,
            )
        except FileNotFoundError:
            raise TargetError(f"program {self!r}: {self.command[0]!r} was not found") from None
        except PermissionError:
            raise TargetError(f"program {self!r}: {self.command[0]!r} is not executable") from None
        except (OSError, ValueError) as error:
            raise TargetError(f"program {self!r} cannot be started: {error}") from None
        if REGISTER in os.environ:
            with open(os.environ[REGISTER], "a") as register:
                register.write(f"{process.pid}\n")
        for pipe in (process.stdin, process.stdout, process.stderr):
            os.set_blocking(pipe.fileno(), False)  # type: ignore[union-attr]  # they are pipes
        patient = self.timeout * IMPORT_PATIENCE / 2  # so that whoever waits for the import of a target hears of it
        try:
            answer = _result(*self._exchange([self._message("initialize", {})], patient))
            return self._described(answer)
        except _Late:
            problem = f"did not answer initialize within {patient:g} s"
        except (_Unreachable, ProgramError, NotImplementedError, NoAnswer) as error:
            problem = f"did not answer initialize: {error}"
        except BaseException:
            self.close(0.0)
            raise
        words = self._last_words()
        self.close(0.0)
        raise TargetError(f"program {self!r} {problem}{words}") from None

    def _described(self, said: Any) -> dict[str, Any]:
        """What it says of itself, as far as a target in Python could not say it wrongly."""
        if not isinstance(said, dict):
            raise TargetError(f"program {self!r} answered initialize with {brief(said)}, not with an object")
        unknown = set(said) - {*_DESCRIPTION}
        if unknown:
            raise TargetError(
                f"program {self!r} says {brief(min(unknown))} of itself, which means nothing{nearest(min(unknown), _DESCRIPTION)}"
            )
        operations = said.get("operations")
        if not isinstance(operations, list) or not all(isinstance(name, str) for name in operations):
            raise TargetError(f"program {self!r}: operations is {brief(operations)}, not a list of names")
        possible = [name for name in PARAMETERS if name not in FUNCTIONS]
        for name in operations:
            if name in FUNCTIONS:
                raise TargetError(f"program {self!r} names {name}, which takes a function: only a target in Python can")
            if name not in possible:
                raise TargetError(f"program {self!r}: there is no operation {brief(name)}{nearest(name, possible)}")
        for attribute, kind, what in (
            ("name", str, "a string"),
            ("version", str, "a string"),
            ("language", str, "a string"),
            ("batch", bool, "true or false"),
        ):
            if said.get(attribute) is not None and not isinstance(said[attribute], kind):
                raise TargetError(f"program {self!r}: {attribute} is {brief(said[attribute])}, not {what}")
        batch = said.get("batch")
        return {**said, "operations": tuple(operations), "batch": batch is None or batch}

    def _request(self, operation: str, arguments: Sequence[Any]) -> bytes:
        return self._message(operation, by_name(operation, arguments))

    def _message(self, method: str, params: dict[str, Any]) -> bytes:
        return message(self._count, method, params).encode()

    def _exchange(self, requests: list[bytes], seconds: float) -> list[Any]:
        """The response to each of the requests, of which the last has the number of the count."""
        if self._left:
            raise _Unreachable(f"wrote {_quoted(self._left)} without being asked")
        batch = len(requests) > 1
        line = self._converse((b"[" + b",".join(requests) + b"]" if batch else requests[0]) + b"\n", seconds)
        responses = _parsed(line)
        if not batch:
            responses = [responses]
        elif not isinstance(responses, list):
            raise _Unreachable(f"answered a batch with {_quoted(line)}")
        numbers = range(self._count - len(requests) + 1, self._count + 1)
        found: dict[int, Any] = {}
        for response in responses:
            number = _number_of(response, line)
            if number not in numbers or number in found:
                raise _Unreachable(f"answered request {brief(number)} where {numbers[-1]} was asked")
            found[number] = response
        if len(found) != len(requests):
            raise _Unreachable(f"answered {len(found)} of {len(requests)} requests of a batch")
        return [found[number] for number in numbers]

    def _converse(self, request: bytes, seconds: float) -> bytes:
        """Write a message and read a line. Raises _Unreachable if there is none, _Late if there is none in time."""
        process = self._process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        stdin, stdout, stderr = process.stdin.fileno(), process.stdout.fileno(), process.stderr.fileno()
        poll = select.poll()
        poll.register(stdout, select.POLLIN)
        poll.register(stderr, select.POLLIN)
        deadline = time.monotonic() + seconds
        unsent = memoryview(request)
        watching = False
        searched = 0
        while True:
            if unsent:
                try:
                    unsent = unsent[os.write(stdin, unsent) :]
                except BlockingIOError:
                    pass
                except OSError:
                    raise self._gone() from None
                if bool(unsent) != watching:
                    watching = not watching
                    poll.register(stdin, select.POLLOUT) if watching else poll.unregister(stdin)
            left = deadline - time.monotonic()
            if left <= 0:
                raise _Late(f"did not return within {seconds:g} s")
            events = poll.poll(min(left, _GLANCE) * 1000)
            if not events and process.poll() is not None:
                raise self._gone()
            for file, _ in events:
                if file == stderr:
                    if not self._listen(stderr):
                        poll.unregister(stderr)
                elif file == stdout:
                    try:
                        more = os.read(stdout, 65536)
                    except BlockingIOError:
                        continue
                    if not more:
                        raise self._gone()
                    self._left += more
                    end = self._left.find(b"\n", searched)
                    if end >= 0:
                        line = bytes(self._left[:end])
                        del self._left[: end + 1]
                        return line
                    searched = len(self._left)
                    if searched > LONGEST:
                        raise _Unreachable(f"wrote more than {LONGEST >> 20} MiB without ending its line")

    def _listen(self, stderr: int) -> bool:
        """Take what it wrote to standard error; false where that has ended."""
        try:
            more = os.read(stderr, 65536)
        except BlockingIOError:
            return True
        self._errors += more
        del self._errors[:-2000]
        return bool(more)

    def _gone(self) -> _Unreachable:
        """What became of a program that does not read, or whose output has ended."""
        assert self._process is not None
        try:
            status = self._process.wait(0.5)
        except subprocess.TimeoutExpired:
            return _Unreachable("closed its standard input or output")
        how = f"ended (status {status})" if status >= 0 else f"was ended by {signal.Signals(-status).name}"
        return _Unreachable(f"{how}{f' in the middle of {_quoted(self._left)}' if self._left else ''}")

    def _last_words(self) -> str:
        """The line that says most of what it last wrote to standard error: as a rule the last one, or the one that names an error."""
        process = self._process
        if process is not None and process.stderr is not None:
            until = time.monotonic() + 1.0
            while time.monotonic() < until and select.select([process.stderr], [], [], 0)[0]:
                if not self._listen(process.stderr.fileno()):
                    break
        lines = [line.rstrip() for line in bytes(self._errors).decode("utf-8", "replace").splitlines() if line.strip()]
        named = [line for line in lines if re.match(r"\S*(error|exception|panic)", line, re.IGNORECASE)]
        return f"; it had written to standard error {(named or lines)[-1].strip()[-300:]!r}" if lines else ""

    def _end(self, operation: str, why: _Unreachable) -> NoAnswer:
        """End a program that gave no answer; what is to be said of it."""
        words = self._last_words()
        self.close(0.0)
        self._deaths[operation] = self._deaths.get(operation, 0) + 1
        final = isinstance(why, _Late) or self._deaths[operation] >= DEATHS
        return NoAnswer(f"{why}{words}", final=final)


class _Operation:
    """An operation of a program, called as one in Python is."""

    def __init__(self, program: Program, operation: str) -> None:
        self.program = program
        self.operation = operation

    def __call__(self, *arguments: Any) -> Any:
        return self.program.ask(self.operation, arguments)


_DESCRIPTION = (
    "name",
    "version",
    "language",
    "operations",
    "dtypes",
    "conventions",
    "deviations",
    "slack",
    "batch",
)
"""What a program may say of itself."""


def command_of(line: str) -> list[str]:
    """A command line as the words of it. Raises TargetError for one that is none."""
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise TargetError(f"program {line!r} is no command line: {error}") from None
    if not words:
        raise TargetError("program is empty: a command line is due, as in --program 'node adapter.js'")
    return words


def _parsed(line: bytes) -> Any:
    """A line as JSON. Raises _Unreachable for one that is none."""
    try:
        return json.loads(line.decode("utf-8"), parse_constant=_no_constant)
    except UnicodeDecodeError:
        raise _Unreachable(f"wrote {_quoted(line)}, which is not UTF-8") from None
    except RecursionError:
        raise _Unreachable(f"wrote {_quoted(line)}, which is nested too deeply") from None
    except ValueError as error:
        raise _Unreachable(f"wrote {_quoted(line)}, which is not JSON: {str(error)[:120]}") from None


def _no_constant(word: str) -> NoReturn:
    raise ValueError(f'{word} is no number of JSON; the string "{word}" is due')


def _number_of(response: Any, line: bytes) -> Any:
    """The id of a response. Raises _Unreachable for what is no response."""
    said = (
        isinstance(response, dict)
        and response.get("jsonrpc") == "2.0"
        and ("result" in response) != ("error" in response)
    )
    if not said or "id" not in response:
        raise _Unreachable(f"wrote {_quoted(line)}, which is no JSON-RPC 2.0 response")
    number = response["id"]
    if "error" in response:
        problem = _described_error(response["error"])
        if number is None:
            raise _Unreachable(f"could not read the request: {problem}")
    return number if type(number) is int else brief(number)


def _described_error(error: Any) -> str:
    if not isinstance(error, dict) or type(error.get("code")) is not int or not isinstance(error.get("message"), str):
        raise _Unreachable(f"answered with an error that is none of JSON-RPC's: {brief(error)}")
    return f"{(error['message'].strip().splitlines() or ['(no message)'])[0][:300]} (code {error['code']})"


def _result(response: dict[str, Any]) -> Any:
    """The result of a response. Raises NotImplementedError or ProgramError for an error."""
    if "error" not in response:
        return decoded(response["result"])
    said = _described_error(response["error"])
    if response["error"]["code"] == ABSENT:
        raise NotImplementedError(said)
    raise ProgramError(said)


def _quoted(line: bytes | bytearray) -> str:
    text = bytes(line[:200]).decode("utf-8", "replace")
    return repr(text if len(text) <= 80 else text[:77] + "...")


def _closed(program: weakref.ref[Program]) -> None:
    here = program()
    if here is not None:
        here.close()
