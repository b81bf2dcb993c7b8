"""One operation of a target, called without trusting it."""

from __future__ import annotations

import contextlib
import io
import operator
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import FrameType
from typing import Any, NoReturn

import numpy as np

from calibrant.exact import FLUSHING, FORMATS
from calibrant.judge import Tally
from calibrant.protocol.dtypes import numpy_dtype
from calibrant.protocol.errors import NoAnswer
from calibrant.protocol.operations import LISTS, PARAMETERS, RETURNS, SHAPES, WORDS, by_name, patience
from calibrant.protocol.text import brief, first_line
from calibrant.protocol.wire import is_array, plain
from calibrant.target.description import Target

_OUTPUT_KEPT = 2000


class Absent(Exception):
    """An operation that the target does not provide."""


class Refused(Absent):
    """A request that an operation does not serve: it raised NotImplementedError."""


class NotCalled(Absent):
    """A request that is not made, because the operation did not return from an earlier one: of this one nothing can be said."""


class Failure(AssertionError):
    """An operation that gave no answer that could be judged: it raised, hung, or returned what is not a number."""

    def __init__(self, sentence: str, *, raised: bool = False, answered: bool = False) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.raised = raised
        """Whether it raised an exception, as it must where it is to refuse."""
        self.answered = answered
        """Whether it returned something, though no numbers."""


class Hang(BaseException):
    """Raised inside a call that has run too long; not an Exception, so that `except Exception` does not stop it."""


@dataclass
class Call:
    """One call of an operation: what was asked, and what came back."""

    operation: str
    given: tuple[Any, ...]
    passed: tuple[Any, ...] = ()
    converted: tuple[Any, ...] = ()
    answer: Any = None
    output: str = ""

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments by their names."""
        return by_name(self.operation, self.given)


class Subject:
    """A target in one dtype: `subject.loss_fn(t_p, t_c)` calls that operation, guarded, and returns NumPy arrays."""

    def __init__(self, target: Target, dtype: str) -> None:
        self.target = target
        self.dtype = numpy_dtype(dtype)
        self.form = (FLUSHING if target.flushes else FORMATS)[dtype]
        self.calls: list[Call] = []
        self.tally = self.tally_anew()
        self.asked: Callable[[Subject], None] | None = None
        """The example of a property that failed last, to be asked again of any subject."""
        self._stuck: dict[str, tuple[str, str]] = {}

    def __repr__(self) -> str:
        return f"{self.target.name} in {self.form.name}"

    @property
    def follow(self) -> dict[str, str]:
        """The variant that the target means to follow of each convention."""
        return self.target.follow

    def tally_anew(self) -> Tally:
        """A tally of nothing yet, to judge the target by."""
        return Tally(slack=self.target.slack, flushes=self.target.flushes)

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        if operation not in PARAMETERS:
            raise AttributeError(operation)

        def call(*arguments: Any) -> Any:
            return self.call(operation, arguments)

        return call

    def array(self, x: Any) -> Any:
        """x rounded to an array of the dtype under test."""
        with np.errstate(all="ignore"):
            return np.asarray(x, dtype=np.float64).astype(self.dtype)

    def call(self, operation: str, arguments: tuple[Any, ...]) -> Any:
        """Call an operation with copies of the arguments.

        Raises Absent if it is not provided, Refused if it does not serve the request, Failure if it raises, hangs, or returns no numbers.
        An operation that hung is not called again: the request that it hung in fails once more, and others raise NotCalled.
        """
        target = self.target
        if operation not in target.operations:
            raise Absent(f"{target.name} has no {operation}")
        arguments = _arrays(arguments)
        call = Call(operation, arguments)
        self.calls.append(call)
        limit = patience(operation, target.timeout)
        if watch is not None and not target.trusted:
            watch(operation, limit)
        sink = _Sink()
        if operation in target.hung:
            problem, raised, answered = self._not_again(operation, arguments), False, False
        else:
            problem, raised, answered = self._made(call, limit, sink)
        self.tally.asked += 1
        call.output = sink.kept()
        if problem:
            printed = f"; it had printed {call.output!r}" if call.output else ""
            raise Failure(problem + printed, raised=raised, answered=answered) from None
        self.tally.answered += 1
        return call.answer

    def _made(self, call: Call, limit: float, sink: _Sink) -> tuple[str, bool, bool]:
        """Make a call: what its problem is, if it has one, and whether it raised, or answered something."""
        target, operation, arguments = self.target, call.operation, call.given
        problem, raised, answered = "", False, False
        try:
            if target.program is not None:
                target.program.ready()
            with (
                _deadline(limit) if target.program is None else contextlib.nullcontext(),
                contextlib.redirect_stdout(sink),
                contextlib.redirect_stderr(sink),
            ):
                call.passed = tuple(copied(argument) for argument in arguments)
                call.converted = tuple(self._converted(argument) for argument in call.passed)
                answer = getattr(target.implementation, operation)(*call.converted)
                call.answer = self._normalized(operation, answer)
        except NotImplementedError as error:
            raise Refused(f"{operation} does not serve this request: {first_line(error)}") from None
        except Hang:
            problem = self._given_up(operation, arguments, f"did not return within {limit:g} s")
        except NoAnswer as error:
            problem, answered = str(error), error.answered
            if error.final:
                problem = self._given_up(operation, arguments, problem)
        except KeyboardInterrupt:
            raise
        except _NotNumbers as error:
            problem, answered = str(error), True
        except SystemExit as error:
            problem = f"called sys.exit({error.code!r})"
        except BaseException as error:  # the target's code may raise anything: it becomes a verdict, not a crash
            problem, raised = f"raised {type(error).__name__}: {first_line(error)}", True
        return problem, raised, answered

    def _given_up(self, operation: str, arguments: tuple[Any, ...], problem: str) -> str:
        """Put on record that an operation is not called again; what is to be said of it."""
        self.target.hung[operation] = problem
        sentence = f"{problem}; it is not called again"
        self._stuck[operation] = repr(plain(arguments)), sentence
        return sentence

    def _not_again(self, operation: str, arguments: tuple[Any, ...]) -> str:
        """What is to be said of an operation that is not called any more. Raises NotCalled for all but the first request."""
        asked = repr(plain(arguments))
        problem = self.target.hung[operation]
        first, sentence = self._stuck.setdefault(operation, (asked, f"is not called again: it {problem}"))
        if asked != first:
            raise NotCalled(f"{operation} is not called again")
        return sentence

    def refuses(self, operation: str, *arguments: Any) -> bool:
        """Whether the operation answers these arguments with an error, of any type but NotImplementedError."""
        try:
            self.call(operation, arguments)
        except Failure as failure:
            if failure.raised:
                return True
            if not failure.answered:
                raise
        return False

    def repeats(self) -> bool:
        """Whether the last call, made once more, has the same outcome to the last bit."""
        last = self.calls[-1]
        try:
            again = self.call(last.operation, last.given)
        except (Absent, Failure):
            return last.answer is None
        finally:
            del self.calls[-1]
        return identical(last.answer, again)

    def keeps_dtype(self, answer: Any) -> bool:
        """Whether the answer has the dtype under test."""
        return bool(answer.dtype == self.dtype)

    def changed(self) -> str:
        """The names of the arguments that the last call changed; none is an empty string."""
        call = self.calls[-1]
        to_numpy = getattr(self.target.implementation, "to_numpy", np.asarray)

        def convert(x: Any) -> Any:
            return x if is_array(x) else to_numpy(x)

        def same(before: Any, after: Any) -> bool:
            if isinstance(before, (list, tuple)):
                return len(before) == len(after) and all(map(same, before, after))
            if not is_array(before):
                return bool(before == after)
            after = convert(after)
            return bool(before.shape == after.shape and before.tobytes() == after.tobytes())

        names = [*call.arguments] if len(call.arguments) == len(call.given) else [*call.arguments] * len(call.given)
        arguments = zip(names, call.given, call.passed, call.converted, strict=True)
        return ", ".join(
            name
            for name, before, passed, converted in arguments
            if not (same(before, passed) and same(before, converted))
        )

    def _converted(self, argument: Any) -> Any:
        asarray = getattr(self.target.implementation, "asarray", None)
        if asarray is None:
            return argument
        if isinstance(argument, (list, tuple)):
            return type(argument)(self._converted(x) for x in argument)
        return asarray(argument) if is_array(argument) else argument

    def _normalized(self, operation: str, answer: Any) -> Any:
        if operation == "figures":
            return answer
        if operation in WORDS:
            if not isinstance(answer, str):
                raise _NotNumbers(f"returned {brief(answer)} where a word is due")
            return answer
        if operation in SHAPES:
            return _shape(answer)
        if operation in LISTS:
            return self._lists(operation, answer, LISTS[operation])
        names = RETURNS.get(operation)
        if names is None:
            return self._numbers(operation, answer)
        if operation == "automatic_gradient" or not isinstance(answer, (str, bytes)):
            try:
                parts = tuple(answer)
            except TypeError:
                parts = None
            if parts is not None and len(parts) == len(names):
                return tuple(
                    self._numbers(f"{operation}'s {name}", part) for name, part in zip(names, parts, strict=True)
                )
        raise _NotNumbers(f"returned {brief(answer)} where ({', '.join(names)}) is due")

    def _lists(self, operation: str, answer: Any, depth: int) -> Any:
        """Lists of lists ... of arrays, so many deep."""
        if depth == 0:
            return None if answer is None else self._numbers(operation, answer)
        if isinstance(answer, (str, bytes, dict)):
            raise _NotNumbers(f"returned {brief(answer)} where a list is due")
        try:
            parts = list(answer)
        except TypeError:
            raise _NotNumbers(f"returned {brief(answer)} where a list is due") from None
        return [self._lists(operation, part, depth - 1) for part in parts]

    def _numbers(self, what: str, answer: Any) -> Any:
        """The answer as a NumPy array of floats; plain Python numbers take the dtype under test if it holds them."""
        convert = getattr(self.target.implementation, "to_numpy", None)
        plain = isinstance(answer, (int, float)) and not isinstance(answer, (bool, np.generic))
        if isinstance(answer, (list, tuple)):
            parts = [self._numbers(what, part) for part in answer]
            plain = all(part.dtype == self.dtype for part in parts)
            try:
                array = np.array([part.astype(np.float64) for part in parts])
            except ValueError:
                raise _NotNumbers(f"returned a ragged {type(answer).__name__} for {what}") from None
        else:
            array = np.asarray(answer if convert is None or plain else convert(answer))
        if array.dtype.kind not in "iuf" and array.dtype.name != "bfloat16":
            raise _NotNumbers(f"returned {brief(answer)} where numbers are due")
        if plain:
            with np.errstate(all="ignore"):
                narrow = array.astype(self.dtype)
            if ((narrow.astype(np.float64) == array) | np.isnan(array.astype(np.float64))).all():
                return narrow
        return array


class _NotNumbers(Exception):
    """What a target returned is not what its operation returns."""


class _Sink(io.TextIOBase):
    """Takes what a target prints, and keeps a little of it."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._room = _OUTPUT_KEPT

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if self._room > 0:
            self._parts.append(text[: self._room])
            self._room -= len(text)
        return len(text)

    def kept(self) -> str:
        return "".join(self._parts)[:200]


watch: Callable[[str, float], None] | None = None
"""Set by whoever can end this process when a call can be stopped by nothing else; told of each call before it is made."""


@contextlib.contextmanager
def _deadline(seconds: float) -> Iterator[None]:
    """Raise Hang in the block once it has run for so long, and again until it ends; only the main thread can be stopped so."""
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield
        return

    def stop(signum: int, frame: FrameType | None) -> NoReturn:
        raise Hang

    before = signal.signal(signal.SIGALRM, stop)
    started = time.monotonic()
    left, interval = signal.setitimer(signal.ITIMER_REAL, seconds, 0.5)
    try:
        yield
    finally:
        # Somebody else's timer goes on where ours interrupted it.
        signal.setitimer(signal.ITIMER_REAL, max(left - (time.monotonic() - started), 1e-3) if left else 0.0, interval)
        signal.signal(signal.SIGALRM, before)


def _arrays(arguments: Any) -> Any:
    """The arguments with every NumPy scalar, which is none of the kinds that the protocol names, as an array."""
    if isinstance(arguments, (list, tuple)):
        return type(arguments)(map(_arrays, arguments))
    return np.asarray(arguments) if isinstance(arguments, np.generic) else arguments


def _shape(answer: Any) -> tuple[int, ...]:
    """The answer as a tuple of whole numbers."""
    try:
        sizes = [operator.index(size) for size in answer]
    except TypeError:
        raise _NotNumbers(f"returned {brief(answer)} where a shape is due") from None
    return tuple(sizes)


def identical(one: Any, other: Any) -> bool:
    """Whether two answers are the same to the last bit."""
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(one) == len(other) and all(map(identical, one, other))
    if is_array(one) and is_array(other):
        return bool(one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes())
    return bool(isinstance(one, dict) or (is_array(one) == is_array(other) and one == other))


def copied(argument: Any) -> Any:
    """An argument whose arrays are copies, within lists and dicts too."""
    if isinstance(argument, (list, tuple)):
        return type(argument)(map(copied, argument))
    if isinstance(argument, dict):
        return {key: copied(value) for key, value in argument.items()}
    return argument.copy() if is_array(argument) else argument
