"""A guarded call of one operation: it may raise, hang, print or return anything, and gives an answer or a failure."""

from __future__ import annotations

import contextlib
import functools
import io
import operator
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Any, NoReturn, TypeVar

import numpy as np

from calibrant.exact import formats_of
from calibrant.judge import Tally, show
from calibrant.protocol.declarations import numpy_dtype
from calibrant.protocol.errors import NoAnswer, TargetError, brief, first_line, named
from calibrant.protocol.operations import IMPORT_PATIENCE, OPERATIONS, Operation
from calibrant.protocol.wire import is_array, plain
from calibrant.target.description import Hung, Target
from calibrant.target.loading import ISOLATED, OBJECT, load

_MOST_NUMBERS = 2**16
"""The most numbers in an array of an answer; a right answer has far fewer."""

_Value = TypeVar("_Value")

_SHRINKING = 60.0
"""The seconds that a property may take once an operation is not called again."""
LENIENCY = 3
"""The factor on the time limit of a call that is made again because it did not return."""
_MOST_IN_VAIN = 3
"""The number of calls that are made again in vain, after which none is made again: the target hangs, and the machine is not busy."""

_OUTPUT_KEPT = 200
"""The characters that are kept of the text a call prints."""


class Absent(Exception):
    """An operation that the target does not provide."""


class Refused(Absent):
    """A request that an operation does not serve: it raised NotImplementedError."""


class NotCalled(Absent):
    """A request that is not made, because the operation did not return from an earlier one."""


@dataclass(eq=False, repr=False)
class Failure(AssertionError):
    """A call without an answer to judge: the operation raised, hung, or returned something other than numbers."""

    sentence: str
    raised: bool = False
    """Whether the operation raised an exception, which is how it refuses."""
    answered: bool = False
    """Whether the operation returned something other than numbers."""
    made: bool = True
    """Whether the call was made; else the sentence names the call for which it was not."""


class _Raised(NoAnswer):
    """An exception of the target's."""


class Hang(BaseException):
    """The end of a call that runs too long. It is not an Exception, so `except Exception` in a target does not catch it."""


@dataclass
class Call:
    """One call of an operation: its arguments, as given and as the target received them, and its answer."""

    operation: str
    given: tuple[Any, ...]
    received: tuple[Any, ...] = ()
    answer: Any = None
    output: str = ""

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments by their names."""
        return OPERATIONS[self.operation].named(self.given)


def written(call: Call) -> str:
    """A call for a person to read: loss_fn([0.0, 0.0], [0.0, 1.0])."""
    return f"{call.operation}({', '.join(map(shown, call.given))})"


def shown(value: Any) -> str:
    """An argument or an answer for a person to read."""
    return text_of(value, show)


def text_of(value: Any, array: Callable[[Any], str]) -> str:
    """A value as Python, with its arrays as `array` gives them."""
    if is_array(value):
        return array(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key!r}: {text_of(x, array)}" for key, x in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        parts = ", ".join(text_of(x, array) for x in value)
        return f"[{parts}]" if isinstance(value, list) else f"({parts}{',' * (len(value) == 1)})"
    return getattr(value, "source", repr(value))


class Subject:
    """A target in one dtype: `subject.loss_fn(t_p, t_c)` calls that operation, guarded, and returns NumPy arrays."""

    def __init__(self, target: Target, dtype: str) -> None:
        self.target = target
        self.dtype = numpy_dtype(dtype)
        self.form = formats_of(flushes=target.flushes, narrow=target.narrow)[dtype]
        self.calls: list[Call] = []
        self.tally = self.tally_anew()
        self.failed: BaseException | None = None
        """The exception that ended a run of its property in several dtypes."""
        self.failing_case: int | None = None
        """Which case of an example failed, once one did."""
        self.asked: Callable[[Subject], None] | None = None
        """The last failing example of a property; it can be repeated on any subject."""
        self.drawn: dict[str, str] = {}
        """The bytes of that example in hexadecimal, for each drawn argument."""
        self.replayed = False
        """Whether the examples of an earlier check that its property was asked first all hold."""
        self.property_: Callable[[Subject], None] | None = None
        """The property itself, with all its examples; likewise."""
        self._stuck: dict[str, str] = {}

    def __repr__(self) -> str:
        return f"{self.target.name} in {self.form.name}"

    def anew(self) -> Subject:
        """The same target in the same dtype, of which nothing is judged yet; requests that hung stay on record."""
        again = Subject(self.target, self.dtype.name)
        again._stuck = self._stuck
        return again

    @contextlib.contextmanager
    def elsewhere(self) -> Iterator[Subject]:
        """Yield the same target as another process loads it, which ends with the block. Raises Absent if none can load it.

        The other process hashes texts in another way.
        """
        spec, timeout = self.target.spec, self.target.timeout
        if spec.startswith(OBJECT):
            raise Absent(f"no other process can load {self.target.name}")
        # Two processes of one shell can hash alike, which the next run, or another machine, does not.
        hashes = {"PYTHONHASHSEED": "1" if os.environ.get("PYTHONHASHSEED") == "0" else "0"}
        if watch is not None:
            watch("", IMPORT_PATIENCE * timeout, ())
        try:
            other = load(spec if self.target.program is not None else ISOLATED + spec, timeout, hashes)
        except TargetError as error:
            raise Absent(f"no other process can load {self.target.name}: {first_line(error)}") from None
        assert other.program is not None
        try:
            yield Subject(other, self.dtype.name)
        finally:
            other.program.close()

    @property
    def follow(self) -> dict[str, str]:
        """The variant of each convention that the target follows."""
        return self.target.follow

    def tally_anew(self) -> Tally:
        """An empty tally with the target's slack."""
        target = self.target
        return Tally(target.slack, target.flushes, target.narrow, self.follow["loss.scale"])

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        if operation not in OPERATIONS:
            raise AttributeError(operation)
        return lambda *arguments: self.call(operation, arguments)

    def array(self, x: Any) -> Any:
        """x rounded to an array of the dtype under test."""
        with np.errstate(all="ignore"):
            return np.asarray(x, dtype=np.float64).astype(self.dtype)

    def call(self, operation: str, arguments: tuple[Any, ...]) -> Any:
        """Call an operation with copies of the arguments.

        Raises Absent if the target does not provide it, Refused if it does not serve the request, Failure if it raises, hangs, or
        returns no numbers. After a hang, the same request fails again without a call, and every other one raises NotCalled.
        """
        target, record = self.target, OPERATIONS.get(operation)
        if record is None or operation not in target.operations:
            raise Absent(f"{target.name} has no {operation}")

        def entering(x: Any) -> Any:
            """An argument as the protocol knows it: arrays without axes, and no scalars of NumPy's."""
            x = np.asarray(x) if isinstance(x, np.generic) else x
            if isinstance(x, np.ndarray):
                self.tally.largest = max(self.tally.largest, x.size)
            return x

        given = tuple(map_leaves(entering, x) for x in arguments)
        call = Call(operation, given, given)
        self.calls.append(call)
        sink, problem, raised, answered = _Sink(), "", False, False
        kind = self.tally.kinds.setdefault((operation, _kind(given)), [0, 0])
        if operation not in target.hung:
            try:
                call.answer = self._patiently(record, call, sink)
            except NotImplementedError as error:
                kind[1] += 1
                raise Refused(f"{operation} does not serve this request: {first_line(error)}") from None
            except NoAnswer as error:
                problem, answered, raised = str(error), error.answered, isinstance(error, _Raised)
                if error.final:
                    target.hung[operation] = Hung(written(call), problem)
                    # The property goes on without calls for as long as it takes to shrink its example.
                    if watch is not None:
                        watch("", max(_SHRINKING, IMPORT_PATIENCE * target.timeout), ())
        if operation in target.hung:
            hung, request = target.hung[operation], repr(plain(given))
            if self._stuck.setdefault(operation, request) != request:
                raise NotCalled(f"{operation} is not called again: {hung.call} {hung.sentence}")
            if written(call) != hung.call:
                self.calls.pop()
                self.tally.asked += 1
                raise Failure(f"{operation} is not called again: {hung.call} {hung.sentence}", made=False)
            problem = f"{hung.sentence}; it is not called again"
        self.tally.asked += 1
        kind[0] += 1
        call.output = sink.kept
        if problem:
            printed = f"; it had printed {call.output!r}" if call.output else ""
            raise Failure(problem + printed, raised=raised, answered=answered)
        self.tally.answered += 1
        return call.answer

    def _patiently(self, operation: Operation, call: Call, sink: io.TextIOBase) -> Any:
        """Make a call, and once more, with more time, if it does not return in time: the machine may be busy.

        It is made again only once for each operation, and no longer once a few calls of any operation were made again in vain.
        """
        target, limit = self.target, operation.patience(self.target.timeout)
        again = operation.name not in target.asked_again and target.in_vain < _MOST_IN_VAIN
        try:
            return self._guarded(call, sink, lambda: self._answer(operation, call), limit, LENIENCY * limit * again)
        except NoAnswer as error:
            if not error.late:
                raise
            if not again:
                raise NoAnswer(str(error), final=True) from None
        target.asked_again.add(operation.name)
        try:
            return self._guarded(call, sink, lambda: self._answer(operation, call), LENIENCY * limit)
        except NoAnswer as error:
            if not error.late:
                raise
            target.in_vain += 1
            raise NoAnswer(
                f"did not return within {limit:g} s, and when it was made again {error}", final=True
            ) from None

    def _answer(self, operation: Operation, call: Call) -> Any:
        """Make a call with copies of its arguments."""
        implementation = self.target.implementation
        call.received = copied(call.given, getattr(implementation, "asarray", np.asarray))
        received = with_elementary(call.received, implementation)
        return self._normalized(operation, getattr(implementation, operation.name)(*received))

    def _guarded(
        self, call: Call, sink: io.TextIOBase, code: Callable[[], _Value], limit: float, more: float = 0.0
    ) -> _Value:
        """Run code of the target for a call, within so many seconds and in the target's own surroundings.

        Code that does not heed the limit, as in C, has `more` seconds until its process is ended. Raises NoAnswer for all that it may
        raise, apart from NotImplementedError.
        """
        target = self.target
        if watch is not None and not target.trusted:
            watch(call.operation, limit + more, call.given)
        try:
            with (
                contextlib.redirect_stdout(sink),
                contextlib.redirect_stderr(_Errors(sink)),
                contextlib.nullcontext() if target.trusted else target.surroundings,
            ):
                if target.program is None:
                    return _in_time(limit, code)
                target.program.leniency = limit / OPERATIONS[call.operation].patience(target.timeout)
                return code()
        except (NotImplementedError, NoAnswer):
            raise
        except Hang:
            raise NoAnswer(f"did not return within {limit:g} s", late=True) from None
        except SystemExit as error:
            raise NoAnswer(f"called sys.exit({brief(error.code)})") from None
        except BaseException as error:  # the target's code may raise anything: it becomes a verdict, not a crash
            if isinstance(error, KeyboardInterrupt) and watch is None:
                raise  # in a worker it is the target's own, since nobody else interrupts a worker
            raise _Raised(f"raised {named(error)}") from None

    def refuses(self, operation: str, *arguments: Any) -> bool:
        """Whether the operation raises an error for these arguments, of any type but NotImplementedError."""
        try:
            self.call(operation, arguments)
        except Failure as failure:
            if failure.raised:
                return True
            if not failure.answered:
                raise
        return False

    def repeats(self) -> bool:
        """Whether the last call has the same outcome, to the last bit, when it is made again."""
        last, n_calls = self.calls[-1], len(self.calls)
        try:
            again = self.call(last.operation, last.given)
        except (Absent, Failure):
            return last.answer is None
        finally:
            del self.calls[n_calls:]  # a function among the arguments may have made more than one
        return isinstance(last.answer, dict) or identical(last.answer, again)

    def changed(self) -> str:
        """The names of the arguments that the last call changed, separated by commas."""
        call, program = self.calls[-1], self.target.program
        if program is not None:
            return ", ".join(name for name in call.arguments if name in program.changed)
        to_numpy = getattr(self.target.implementation, "to_numpy", np.asarray)
        names = [*call.arguments] * (len(call.given) if OPERATIONS[call.operation].starred else 1)
        arguments = zip(names, call.given, call.received, strict=True)
        try:
            return self._guarded(
                call,
                _Sink(),
                lambda: ", ".join(name for name, x, y in arguments if not identical(x, y, to_numpy)),
                OPERATIONS[call.operation].patience(self.target.timeout),
            )
        except (NotImplementedError, NoAnswer) as error:
            raise Failure(f"{first_line(error)}, when its arguments were read again") from None

    def _normalized(self, operation: Operation, answer: Any) -> Any:
        """The answer in the form that the operation's record names, with NumPy arrays. Raises NoAnswer if it has another form."""
        if operation.returns == "figures":
            return answer
        if operation.returns == "word":
            if isinstance(answer, str) and len(answer) <= _OUTPUT_KEPT:
                return str.__str__(answer)  # of a subclass, without its own methods
            raise _not_due(answer, "a word is")
        if operation.returns == "shape":
            try:
                return tuple(map(operator.index, answer))
            except TypeError:
                raise _not_due(answer, "a shape is") from None
        if not operation.parts:
            return self._lists(operation.name, answer, operation.lists)
        due = f"({', '.join(operation.parts)}) is"
        parts = _parts(answer, due)
        if len(parts) != len(operation.parts):
            raise _not_due(answer, due)
        names = (f"{operation.name}'s {part}" for part in operation.parts)
        return tuple(map(self._lists, names, parts, operation.depths))

    def _lists(self, operation: str, answer: Any, depth: int) -> Any:
        """An array, or lists nested to this depth with arrays or None in the innermost."""
        if depth == 0:
            return self._numbers(operation, answer)
        parts = _parts(answer, "a list is")
        return [None if part is None and depth == 1 else self._lists(operation, part, depth - 1) for part in parts]

    def _numbers(self, what: str, answer: Any) -> Any:
        """The answer as a NumPy array. Plain Python numbers take the dtype under test where it holds them exactly."""
        convert = getattr(self.target.implementation, "to_numpy", None)
        plain = isinstance(answer, (int, float)) and not isinstance(answer, (bool, np.generic))
        if isinstance(answer, (list, tuple)):
            parts = [self._numbers(what, part) for part in answer]
            plain = all(part.dtype == self.dtype for part in parts)
            try:
                array = np.array([part.astype(np.float64) for part in parts])
            except ValueError:
                raise NoAnswer(f"returned a ragged {type(answer).__name__} for {what}", answered=True) from None
        else:
            array = np.asarray(answer if convert is None or plain else convert(answer))
        if array.size > _MOST_NUMBERS:
            raise NoAnswer(f"returned {array.size:,} numbers; at most {_MOST_NUMBERS:,} are read", answered=True)
        if array.dtype.kind not in "iuf" and array.dtype.name != "bfloat16":
            raise _not_due(answer, "numbers are")
        if plain:
            with np.errstate(all="ignore"):
                narrow = array.astype(self.dtype)
            if ((narrow.astype(np.float64) == array) | np.isnan(array.astype(np.float64))).all():
                return narrow
        return array


def _not_due(answer: Any, due: str) -> NoAnswer:
    """The error for an answer of another kind than is due."""
    return NoAnswer(f"returned {brief(answer)} where {due} due", answered=True)


class _Sink(io.TextIOBase):
    """A stream that keeps the beginning of what a target prints."""

    kept = ""

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self.kept += text[: _OUTPUT_KEPT - len(self.kept)]
        return len(text)


class _Errors(_Sink):
    """A sink that a worker's standard error shares, so that the last words of a process are known when it has died."""

    def __init__(self, sink: io.TextIOBase) -> None:
        self._sink = sink

    def write(self, text: str) -> int:
        if watch is not None:
            with contextlib.suppress(OSError):  # the target may have closed it
                os.write(2, text[:_OUTPUT_KEPT].encode(errors="backslashreplace"))
        return self._sink.write(text)


watch: Callable[[str, float, Sequence[Any]], None] | None = None
"""A hook that is called before each call, with the operation, its time limit and its arguments; a watchdog sets it."""


def _in_time(seconds: float, code: Callable[[], _Value]) -> _Value:
    """Run code, and raise Hang in it after so many seconds, and again until it ends. This stops the main thread only."""
    if threading.current_thread() is not threading.main_thread():
        return code()

    def stop(signum: int, frame: FrameType | None) -> NoReturn:
        raise Hang

    before = signal.signal(signal.SIGALRM, stop)
    started = time.monotonic()
    left, interval = signal.setitimer(signal.ITIMER_REAL, seconds, 0.5)
    try:
        return code()
    finally:
        # Handlers of signals may raise wherever Python looks for them: one for each of the three timers.
        try:
            try:
                stop_timers(before)
            except BaseException:
                stop_timers(before)
        except BaseException:
            stop_timers(before)
        if watch is None and left:  # a timer that was running before continues with its remaining time
            signal.setitimer(signal.ITIMER_REAL, max(left - (time.monotonic() - started), 1e-3), interval)


def stop_timers(alarm: Any) -> None:
    """Stop the timer of real time, and give its signal this handler; in a worker, stop also the target's other timers."""
    signal.setitimer(signal.ITIMER_REAL, 0.0)
    signal.signal(signal.SIGALRM, alarm)
    if watch is not None:
        for timer, number in ((signal.ITIMER_VIRTUAL, signal.SIGVTALRM), (signal.ITIMER_PROF, signal.SIGPROF)):
            signal.setitimer(timer, 0.0)
            signal.signal(number, signal.SIG_IGN)


def map_leaves(change: Callable[[Any], Any], value: Any) -> Any:
    """A value with each element changed, within lists, tuples and dicts too."""
    if isinstance(value, (list, tuple)):
        return type(value)([map_leaves(change, x) for x in value])
    if isinstance(value, dict):
        return {key: map_leaves(change, x) for key, x in value.items()}
    return change(value)


def _kind(value: Any, *, option: bool = False) -> Any:
    """What a target may decide by whether it serves a request: words, options that are on, axes, instructions; not the numbers.

    A number is on unless it is 0; a rate always is.
    """
    if is_array(value):
        return value.ndim
    if isinstance(value, dict):
        return tuple((name, _kind(part, option=name != "lr")) for name, part in value.items())
    if isinstance(value, (list, tuple)):
        return frozenset(map(_kind, value))
    if isinstance(value, (str, bool)) or value is None:
        return value
    line = getattr(value, "straight_line", None)
    return (option and value == 0) if line is None else frozenset(name for name, *_ in line["instructions"])


def copied(value: Any, convert: Callable[[Any], Any] = np.asarray) -> Any:
    """A value whose arrays are copies, each converted."""
    return map_leaves(lambda x: convert(x.copy()) if is_array(x) else x, value)


def with_elementary(arguments: Any, implementation: Any) -> Any:
    """Arguments whose straight-line programs call the functions that the implementation names in `elementary`."""
    table = getattr(implementation, "elementary", None)
    if not table:
        return arguments
    return map_leaves(lambda x: functools.partial(x, elementary=table) if hasattr(x, "straight_line") else x, arguments)


def _parts(answer: Any, due: str) -> list[Any]:
    """The parts of an answer. Raises NoAnswer if it is no sequence."""
    with contextlib.suppress(TypeError):
        if not isinstance(answer, (str, bytes, dict)):
            return list(answer)
    raise _not_due(answer, due)


def identical(one: Any, other: Any, to_numpy: Callable[[Any], Any] = np.asarray) -> bool:
    """Whether two values are equal to the last bit; where one is an array, `to_numpy` makes an array of the other."""
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(identical(x, y, to_numpy) for x, y in zip(one, other, strict=True))
    if not is_array(one):
        return not is_array(other) and (one is other or bool(one == other))  # NaN does not equal itself
    other = other if is_array(other) else to_numpy(other)
    return bool(one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes())
