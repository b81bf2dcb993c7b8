"""One call of one operation gives an answer, a refusal or a failure in one sentence, whatever the operation does."""

from __future__ import annotations

import contextlib
import io
import math
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from support import subject

from calibrant.target.calling import Absent, Failure, NotCalled, Refused, Subject

ONES = np.ones(2, dtype=np.float32)


def returning(answer: Any, **attributes: Any) -> Subject:
    """A target whose loss is always this answer."""
    return subject(loss_fn=lambda t_p, t_c: answer, **attributes)


def failure(operation: Callable[..., Any], timeout: float = 10.0) -> Failure:
    """The failure of a target with this loss."""
    with pytest.raises(Failure) as caught:
        subject(loss_fn=operation, timeout=timeout).loss_fn(ONES, ONES)
    assert "\n" not in caught.value.sentence
    return caught.value


def test_an_operation_is_provided_or_absent_or_unknown() -> None:
    with pytest.raises(Absent, match="planted has no model"):
        returning(1.0).model(ONES, 1.0, 0.0)
    with pytest.raises(AttributeError):
        _ = returning(1.0).no_such_operation
    assert repr(returning(1.0)) == "planted in float64"


def test_not_implemented_is_a_refusal() -> None:
    with pytest.raises(Refused, match="loss_fn does not serve this request: only on Mondays"):
        subject(loss_fn=raises(NotImplementedError("only on Mondays"))).loss_fn(ONES, ONES)


class Unreadable(Exception):
    """An exception whose message raises."""

    __str__ = None  # type: ignore[assignment]  # on purpose


def raises(error: BaseException) -> Callable[..., Any]:
    """An operation that raises this error."""

    def loss_fn(t_p: Any, t_c: Any) -> Any:
        raise error

    return loss_fn


def recursion(t_p: Any, t_c: Any) -> Any:
    return recursion(t_p, t_c)


RAISED = {
    "ValueError": (raises(ValueError("no way\nat all")), "raised ValueError: no way", True),
    "without a message": (raises(KeyError()), "raised KeyError: (no message)", True),
    "unreadable": (raises(Unreadable()), "raised Unreadable: (its message cannot be read: TypeError)", True),
    "BaseException": (raises(GeneratorExit()), "raised GeneratorExit: (no message)", True),
    "recursion": (recursion, "raised RecursionError: maximum recursion depth exceeded", True),
    "exit": (raises(SystemExit(3)), "called sys.exit(3)", False),
    "forged": (
        raises(type("\x1b[2JE\n", (Exception,), {})("mine conforms\x1b[1m")),
        "raised \\x1b[2JE\\n: mine conforms\\x1b[1m",
        True,
    ),
    "long": (raises(SystemExit("x" * 10**6)), "called sys.exit('" + "x" * 76 + "...", False),
    "wrong signature": (lambda t_p: t_p, "raised TypeError: ", True),
}


@pytest.mark.parametrize(("operation", "sentence", "counts_as_refusal"), RAISED.values(), ids=RAISED)
def test_an_exception_becomes_a_sentence(operation: Callable[..., Any], sentence: str, counts_as_refusal: bool) -> None:
    failed = failure(operation)

    assert failed.sentence.startswith(sentence)
    assert failed.raised is counts_as_refusal


def test_control_c_interrupts_the_check() -> None:
    with pytest.raises(KeyboardInterrupt):
        subject(loss_fn=raises(KeyboardInterrupt())).loss_fn(ONES, ONES)


def sleeps(t_p: Any, t_c: Any) -> Any:
    time.sleep(60)


def runs_in_circles(t_p: Any, t_c: Any) -> Any:
    while True:
        pass


def swallows(error: type[BaseException]) -> Callable[..., Any]:
    """An operation that sleeps on after an error of this type."""

    def loss_fn(t_p: Any, t_c: Any) -> Any:
        with contextlib.suppress(error):
            time.sleep(60)
        time.sleep(60)

    return loss_fn


@pytest.mark.parametrize("operation", [sleeps, runs_in_circles, swallows(Exception), swallows(BaseException)])
def test_a_call_that_hangs_is_stopped_and_not_made_again(operation: Callable[..., Any]) -> None:
    hanging = subject(loss_fn=operation, timeout=0.1, absolute_loss=lambda t_p, t_c: t_p.dtype.type(1))
    started = time.monotonic()
    for _ in range(20):
        with pytest.raises(
            Failure,
            match=r"within 0.1 s, and when it was made again did not return within 0.3 s; it is not called again",
        ):
            hanging.loss_fn(ONES, ONES)

    assert time.monotonic() - started < 3
    assert hanging.absolute_loss(ONES, ONES) == 1
    with pytest.raises(NotCalled):
        hanging.loss_fn(ONES, -ONES)
    told = r"^loss_fn is not called again: loss_fn\(\[1.0, 1.0\], \[1.0, 1.0\]\) did not return within"
    with pytest.raises(Failure, match=told) as caught:  # for other arguments, which it does not accuse
        Subject(hanging.target, "float64").loss_fn(ONES, -ONES)
    assert not caught.value.made


def test_a_call_that_is_slow_once_is_made_again_with_more_time() -> None:
    seconds = [0.5, 0.15, 0.0, 60.0, 60.0]

    def loss_fn(t_p: Any, t_c: Any) -> Any:
        time.sleep(seconds.pop(0))
        return t_p.dtype.type(1)

    slow = subject(loss_fn=loss_fn, timeout=0.1)
    assert slow.loss_fn(ONES, ONES) == 1
    assert slow.loss_fn(ONES, ONES) == 1
    with pytest.raises(Failure, match=r"did not return within 0.1 s; it is not called again"):
        slow.loss_fn(ONES, ONES)
    assert seconds == [60.0]


def test_a_target_that_hangs_everywhere_is_given_more_time_three_times_only() -> None:
    names = ("loss_fn", "absolute_loss", "dloss_fn", "dabsolute_loss", "multiply")
    hanging = subject(timeout=0.05, **dict.fromkeys(names, sleeps))
    told = []
    for name in names:
        with pytest.raises(Failure) as caught:
            hanging.call(name, (ONES, ONES))
        told.append("when it was made again" in caught.value.sentence)

    assert told == [True, True, True, False, False]


def test_somebody_elses_alarm_still_rings_and_no_alarm_is_left_behind() -> None:
    rang: list[float] = []
    before = signal.signal(signal.SIGALRM, lambda *_: rang.append(time.monotonic()))
    try:
        returning(1.0).loss_fn(ONES, ONES)
        assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
        started = time.monotonic()
        signal.setitimer(signal.ITIMER_REAL, 0.2)

        returning(1.0).loss_fn(ONES, ONES)

        assert signal.getsignal(signal.SIGALRM) is not before
        while not rang and time.monotonic() - started < 2:
            time.sleep(0.01)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)

    assert len(rang) == 1
    assert 0.15 < rang[0] - started < 1


def test_a_call_from_another_thread_works() -> None:
    """No signal can stop a call there."""
    answers: list[Any] = []
    thread = threading.Thread(target=lambda: answers.append(returning(np.float32(2)).loss_fn(ONES, ONES)))
    thread.start()
    thread.join()

    assert answers == [2]


def hostile(method: str) -> Any:
    """An object one of whose methods raises."""

    def no(*_: Any, **__: Any) -> Any:
        raise RuntimeError("not me")

    return type("Hostile", (), {method: no})()


class ManyRows:
    """A sequence that contains itself."""

    def __len__(self) -> int:
        return 2

    def __getitem__(self, i: int) -> Any:
        return self


NOT_NUMBERS = {
    "None": (None, "returned None where numbers are due"),
    "text": ("1.0", "returned '1.0' where numbers are due"),
    "bytes": (b"1.0", "returned b'1.0' where numbers are due"),
    "bool": (True, "returned True where numbers are due"),
    "NumPy bool": (np.array([True]), "where numbers are due"),
    "object": (object(), "returned <object object"),
    "list of objects": ([1.0, None], "returned None where numbers are due"),
    "list of texts": (["1"], "returned '1' where numbers are due"),
    "dict": ({"loss": 1.0}, "returned {'loss': 1.0} where numbers are due"),
    "set": ({1.0}, "returned {1.0} where numbers are due"),
    "complex": (1 + 0j, "returned (1+0j) where numbers are due"),
    "complex array": (np.array([1j]), "where numbers are due"),
    "dates": (np.array(["2020-01-01"], dtype="datetime64[D]"), "where numbers are due"),
    "ragged": ([[1.0], [1.0, 2.0]], "returned a ragged list for loss_fn"),
    "function": (len, "returned <built-in function len> where numbers are due"),
    "huge int": (10**1000, "where numbers are due"),
    "hostile repr": (hostile("__repr__"), "returned a Hostile whose repr raises RuntimeError where numbers are due"),
}


@pytest.mark.parametrize(("answer", "sentence"), NOT_NUMBERS.values(), ids=NOT_NUMBERS)
def test_anything_but_numbers_is_no_answer(answer: Any, sentence: str) -> None:
    failed = failure(lambda t_p, t_c: answer)

    assert sentence in failed.sentence
    assert failed.answered
    assert not failed.raised


@pytest.mark.parametrize("own", [{}, {"asarray": raises(ValueError())}, {"to_numpy": raises(ValueError())}])
@pytest.mark.parametrize("answer", [hostile("__array__"), ManyRows()])
def test_an_object_that_resists_conversion_is_no_answer(answer: Any, own: dict[str, Any]) -> None:
    with pytest.raises(Failure):
        returning(answer, timeout=0.3, **own).loss_fn(ONES, ONES)


NUMBERS: dict[str, tuple[Any, str, str, tuple[int, ...]]] = {
    "float": (0.5, "float32", "float32", ()),
    "int": (2, "float32", "float32", ()),
    "float that float32 does not hold": (0.1, "float32", "float64", ()),
    "nan": (float("nan"), "float32", "float32", ()),
    "inf": (float("inf"), "float32", "float32", ()),
    "overflowing float": (1e300, "float32", "float64", ()),
    "list of floats": ([0.5, 1.0], "float32", "float32", (2,)),
    "tuple of NumPy scalars": ((np.float32(1), np.float32(2)), "float32", "float32", (2,)),
    "list of arrays": ([np.ones(2, np.float32)] * 3, "float32", "float32", (3, 2)),
    "empty list": ([], "float32", "float32", (0,)),
    "wider array": (np.ones(2), "float32", "float64", (2,)),
    "wider scalar": (np.float64(0.5), "float32", "float64", ()),
    "list of wider scalars": ([np.float64(0.5)], "float32", "float64", (1,)),
    "narrower array": (np.ones(2, np.float16), "float32", "float16", (2,)),
    "array of ints": (np.ones(2, np.int64), "float32", "int64", (2,)),
    "bfloat16 as Python float": (0.5, "bfloat16", "bfloat16", ()),
}


@pytest.mark.parametrize(("answer", "dtype", "of", "shape"), NUMBERS.values(), ids=NUMBERS)
def test_numbers_arrive_as_arrays_of_their_own_dtype(answer: Any, dtype: str, of: str, shape: tuple[int, ...]) -> None:
    """Plain Python numbers take the dtype under test where it holds them exactly."""
    if dtype == "bfloat16":
        pytest.importorskip("ml_dtypes")

    array = returning(answer, dtype=dtype).loss_fn(ONES, ONES)

    assert array.dtype.name == of
    assert array.shape == shape


def test_the_output_of_a_call_is_caught_and_a_failure_shows_its_beginning(capfd: pytest.CaptureFixture[str]) -> None:
    def model(*_: Any) -> Any:
        for _ in range(1000):
            print("secret " * 100)
            print("secret " * 100, file=sys.stderr)
        raise ValueError("no")

    def loss_fn(t_p: Any, t_c: Any) -> Any:
        print("secret")
        sys.stdout.flush()
        return t_p.dtype.type(1)

    asked = subject(loss_fn=loss_fn, model=model)
    with pytest.raises(Failure, match="raised ValueError: no; it had printed 'secret secret") as caught:
        asked.model(ONES, 1.0, 0.0)

    assert len(caught.value.sentence) < 300
    assert asked.loss_fn(ONES, ONES) == 1
    assert asked.calls[-1].output == "secret\n"
    assert capfd.readouterr() == ("", "")
    assert isinstance(sys.stdout, io.TextIOBase)


class Boxed:
    """A target's own kind of array."""

    def __init__(self, x: Any) -> None:
        self.x = np.array(x)


OWN = {"asarray": Boxed, "to_numpy": lambda boxed: boxed.x}


def set_to_seven(t_p: Any, t_c: Any) -> None:
    t_p[:] = 7


def add_to_its_own_copy(t_p: Any, t_c: Any) -> None:
    t_p.x += 1


def write_to_several(n_epochs: Any, optimizer: Any, params: Any, t_u: Any, t_c: Any) -> None:
    optimizer["lr"] = 0
    params *= 2
    t_c[0] = -t_c[0]


def add_to_a_part(name: Any, hyperparameters: Any, params: Any, grads: Any) -> None:
    grads[1][0] += 1


def append(name: Any, hyperparameters: Any, params: Any, grads: Any) -> None:
    hyperparameters["lr"].append(1.0)
    params.append(params[0])


def arrays() -> list[Any]:
    return [np.ones(2, dtype=np.float32), np.array(3.0, dtype=np.float32)]


def zeros() -> tuple[Any, Any]:
    return np.zeros(2, np.float32), np.zeros(2, np.float32)


ANSWERS = {"loss_fn": 1.0, "training_loop": ([1.0, 1.0], [], []), "optimize": [[1.0]], "plateau": [1.0]}
CHANGED: dict[str, tuple[Callable[..., None], str, Callable[[], tuple[Any, ...]], str]] = {
    "an array": (set_to_seven, "loss_fn", zeros, "t_p"),
    "an array of its own kind": (add_to_its_own_copy, "loss_fn", zeros, "t_p"),
    "nothing": (lambda *_: None, "loss_fn", lambda: (np.array([np.nan, -0.0], np.float32), ONES), ""),
    "no number": (lambda *_: None, "plateau", lambda: (ONES, math.nan, {"factor": math.nan}), ""),
    "several": (
        write_to_several,
        "training_loop",
        lambda: (1, {"lr": 0.5}, arrays()[0], ONES, arrays()[0]),
        "optimizer, params, t_c",
    ),
    "a part": (add_to_a_part, "optimize", lambda: ("sgd", {}, arrays(), [[None, None], arrays()]), "grads"),
    "lists": (append, "optimize", lambda: ("sgd", {"lr": [0.5]}, arrays(), []), "hyperparameters, params"),
}


@pytest.mark.parametrize(("change", "operation", "arguments", "changed"), CHANGED.values(), ids=CHANGED)
def test_every_argument_that_changed_is_named_and_the_callers_never_change(
    change: Callable[..., None], operation: str, arguments: Callable[[], tuple[Any, ...]], changed: str
) -> None:
    own = OWN if change is add_to_its_own_copy else {}
    asked = subject(**{operation: lambda *given: change(*given) or ANSWERS[operation]}, **own)
    given = arguments()

    getattr(asked, operation)(*given)

    assert asked.changed() == changed
    np.testing.assert_equal(given, arguments())
    np.testing.assert_equal(tuple(asked.calls[-1].arguments.values()), given)


def test_arrays_are_converted_scalars_too_and_counts_are_python_numbers() -> None:
    """Within lists as well, where None stays."""
    seen: list[Any] = []

    def operation(*arguments: Any) -> Any:
        seen[:] = arguments
        return [arguments[2]] if arguments[0] == "sgd" else arguments[-1]

    asked = subject(model=operation, closed_form=operation, optimize=operation, **OWN)
    asked.closed_form(3, 0.5, ONES, ONES, ONES)
    assert [type(x) for x in seen] == [int, float, Boxed, Boxed, Boxed]
    asked.model(ONES, asked.array(1.0), ONES[0])
    assert [x.x.shape for x in seen] == [(2,), (), ()]

    answer = asked.optimize("sgd", {"lr": [0.5, 0.25]}, arrays(), [[None, arrays()[1]]])

    assert seen[:2] == ["sgd", {"lr": [0.5, 0.25]}]
    assert [x.x.tolist() for x in seen[2]] == [[1.0, 1.0], 3.0]
    assert (seen[3][0][0], seen[3][0][1].x.tolist()) == (None, 3.0)
    assert [[x.tolist() for x in step] for step in answer] == [[[1.0, 1.0], 3.0]]


def test_an_error_is_a_refusal_and_nothing_else_is() -> None:
    def asked(operation: Callable[..., Any]) -> bool:
        return subject(loss_fn=operation, timeout=0.1).refuses("loss_fn", ONES, ONES)

    assert asked(raises(ValueError()))
    assert not asked(lambda t_p, t_c: t_p.dtype.type(0))
    for answer in (None, 1j, [[1.0], [1.0, 2.0]]):  # an answer without numbers
        assert not asked(lambda t_p, t_c, answer=answer: answer)
    for operation in (sleeps, raises(SystemExit(1))):
        with pytest.raises(Failure):
            asked(operation)
    with pytest.raises(Refused):
        asked(raises(NotImplementedError()))


def test_an_answer_that_is_another_each_time_is_noticed() -> None:
    count, words, lengths = iter(range(100)), iter(["good", "overfitting"]), iter([1, 2])
    changing = subject(
        loss_fn=lambda *_: np.float32(next(count)),
        diagnose=lambda *_: next(words),
        optimize=lambda *_: [arrays()] * next(lengths),
    )
    for ask in (
        lambda: changing.loss_fn(ONES, ONES),
        lambda: changing.diagnose(ONES, ONES),
        lambda: changing.optimize("sgd", {}, arrays(), []),
    ):
        ask()
        assert not changing.repeats()

    steady, refusing = returning(np.array([np.nan, -0.0])), subject(loss_fn=raises(ValueError()))
    steady.loss_fn(ONES, ONES)
    assert refusing.refuses("loss_fn", ONES, ONES)
    assert steady.repeats()
    assert refusing.repeats()
    assert len(steady.calls) == 1
    assert subject(diagnose=lambda *_: "good").diagnose(ONES, ONES) == "good"


NOT_DUE = {
    "value_and_grad": (
        (ONES, ONES, ONES),
        r"where (\(loss, grad\) is|numbers are) due",
        (None, 1.0, "ab", (1.0,), (1.0, 2.0, 3.0), np.float32(1), (1.0, None)),
    ),
    "optimize": (("sgd", {}, [], []), "due", (None, 1.0, "steps", {"w": 1}, [1.0], [["w"]], [None])),
    "broadcast_shapes": (((2,),), "where a shape is due", (None, 3, (2.0,), "23", [None])),
    "diagnose": ((ONES, ONES), "where a word is due", (1.0,)),
}


@pytest.mark.parametrize("operation", NOT_DUE)
def test_an_answer_of_another_kind_is_a_failure(operation: str) -> None:
    arguments, sentence, answers = NOT_DUE[operation]
    for answer in answers:
        with pytest.raises(Failure, match=sentence) as caught:
            getattr(subject(**{operation: lambda *_, answer=answer: answer}), operation)(*arguments)
        assert caught.value.answered


def test_several_parts_and_any_number_of_shapes_go_through() -> None:
    asked = subject(
        broadcast_shapes=lambda *shapes: [len(shapes), np.int64(2)],
        value_and_grad=lambda params, t_u, t_c: [np.float32(1), (np.float32(2), np.float32(3))],
    )

    assert asked.broadcast_shapes((2, 1), (), (1,)) == (3, 2)
    assert asked.calls[-1].arguments == {"shapes": [(2, 1), (), (1,)]}
    assert asked.changed() == ""
    assert asked.repeats()
    assert [x.tolist() for x in asked.value_and_grad(ONES, ONES, ONES)] == [1.0, [2.0, 3.0]]


def test_an_operation_that_may_start_processes_has_the_patience_of_an_import() -> None:
    """On a busy machine the imports of a worker take longer than a call."""

    def slow(*arguments: Any) -> Any:
        time.sleep(1.0)
        return [0.0, 0.0], [0.0, 0.0]

    asked = subject(timeout=0.25, data_parallel=slow, grad_fn=slow)
    column = np.ones(1)

    asked.data_parallel(np.zeros(2), [(column, column)], 1, 0.5)

    with pytest.raises(Failure, match=r"did not return within 0.25 s"):
        asked.grad_fn(column, column, column, column, column)
