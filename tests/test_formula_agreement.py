"""Answers of a target against a formula: what is counted, and what is said."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("flint")

from calibrant.formula.declaring import Declared
from calibrant.judge import Disagreement, Tally, tallying
from calibrant.judge.formulas import agree_with_formula

X = np.array([0.5, 1.5, 3.0], dtype=np.float32)
TENTHS = np.float32(0.1) * X
UPSTREAM = np.array([1.0, 2.0, 4.0], dtype=np.float32)


def tenths(x: Any) -> Any:
    return x * 0.1


def beyond(x: Any) -> Any:
    return x * 1e30 * 1e30


def scaled(x: Any, k: Any) -> Any:
    return x * k


def weighed(x: Any, n: Any, k: Any) -> Any:
    return x * n * k


def declared(function: Any, *axes: tuple[str, ...], **draws: Any) -> Declared:
    parameters = function.__code__.co_varnames[: function.__code__.co_argcount]
    return Declared(function, function.__name__, parameters, axes, draws)


ONE, FAR, TWO = declared(tenths, ("n",)), declared(beyond, ("n",)), declared(scaled, ("n",), ("n",))
THREE = declared(weighed, ("n",), ("n",), ("n",), n="index n")


def judged(answer: Any, one: Declared, *inputs: Any, upstream: Any = None, **how: Any) -> Tally:
    """What is counted where an answer is accepted."""
    with tallying(Tally(**how)) as tally:
        agree_with_formula(answer, one, inputs, "float32", upstream)
    return tally


def complaint(answer: Any, one: Declared, *inputs: Any, upstream: Any = None, **how: Any) -> str:
    """What is said of an answer that is rejected."""
    with pytest.raises(Disagreement) as caught:
        judged(answer, one, *inputs, upstream=upstream, **how)
    return str(caught.value)


@pytest.mark.parametrize(("answer", "upstream"), [(TENTHS, None), ([np.float32(0.1) * UPSTREAM], UPSTREAM)])
def test_each_number_of_a_right_answer_counts(answer: Any, upstream: Any) -> None:
    tally = judged(answer, ONE, X, upstream=upstream, judged=5, worst=0.25)
    assert (tally.judged, tally.unjudged, tally.another_arrangement) == (8, 0, 0)
    assert 0.25 <= tally.worst <= 1
    assert judged(answer, ONE, X, upstream=upstream, worst=7.0).worst == 7


@pytest.mark.parametrize("off", [5.0, 20.0])
@pytest.mark.parametrize("upstream", [None, UPSTREAM])
def test_bounds_are_wider_by_the_slack_of_the_target(off: float, upstream: Any) -> None:
    """An answer in float64 that is off by so many unit roundoffs of float32: beyond the first tier, and beyond the second."""
    right = (X if upstream is None else UPSTREAM).astype(np.float64) * 0.1
    answer: Any = right * (1 + off * 2.0**-24)
    answer = answer if upstream is None else [answer]
    how = {"upstream": upstream}

    assert judged(answer, ONE, X, slack=16.0, **how).another_arrangement == 0
    if off < 10:
        assert judged(answer, ONE, X, another_arrangement=2, **how).another_arrangement == 5
    else:
        assert " times its bound of " in complaint(answer, ONE, X, **how)


def test_of_a_wrong_answer_the_worst_place_is_told() -> None:
    with tallying(Tally(judged=5)) as tally, pytest.raises(Disagreement) as caught:
        agree_with_formula(TENTHS + np.array([0, 1, 0]), ONE, (X,), "float32")

    assert str(caught.value).startswith("returned [0.05")
    assert ", where it at [1] is 1.15" in str(caught.value)
    assert tally.judged == 8
    assert caught.value.expected.tolist() == pytest.approx([0.05, 0.15, 0.3])
    assert caught.value.actual.tolist() == pytest.approx([0.05, 1.15, 0.3])
    assert caught.value.measured["error"] == pytest.approx(1.0)


def test_of_a_wrong_gradient_the_argument_is_told() -> None:
    said = complaint([UPSTREAM * 2, UPSTREAM * X + np.array([0, 0, 1])], TWO, X, X * 0 + 2, upstream=UPSTREAM)

    assert said.startswith("is wrong: the gradient for k at [2] is 13.0, exactly 12.0")


@pytest.mark.parametrize(("answer", "upstream"), [(X, None), ([X], UPSTREAM)])
def test_numbers_of_which_nothing_is_claimed_count_as_such(answer: Any, upstream: Any) -> None:
    tally = judged(answer, FAR, X, upstream=upstream, judged=5, unjudged=7, another_arrangement=2, worst=0.25)

    assert (tally.judged, tally.unjudged, tally.another_arrangement, tally.worst) == (5, 10, 2, 0.25)


def test_some_numbers_may_be_beyond_judgement() -> None:
    tally = judged(np.array([np.nan, 1.5]), declared(lambda x: x / (x - 0.5), ("n",)), X[:2])

    assert (tally.judged, tally.unjudged) == (1, 1)


def test_a_gradient_is_for_an_argument_that_has_one_or_for_each_array() -> None:
    n, k = np.array([1, 2, 3]), X * 0 + 2
    gradients = [UPSTREAM * n * k, UPSTREAM * X * n]

    assert judged(gradients, THREE, X, n, k, upstream=UPSTREAM).judged == 6
    assert judged([gradients[0], None, gradients[1]], THREE, X, n, k, upstream=UPSTREAM).judged == 6
    assert judged([gradients[0], None], THREE, X, n, k, upstream=UPSTREAM).judged == 3
    assert judged([None, None], THREE, X, n, k, upstream=UPSTREAM).judged == 0
    said = complaint([*gradients, *gradients], THREE, X, n, k, upstream=UPSTREAM)
    assert said == "returned 4 gradients where 2 are due, for x, k"


def test_labels_and_numbers_have_no_gradient_whatever_is_returned_for_them() -> None:
    labels, junk = np.array([0.0, 1.0, 1.0], dtype=np.float32), X * 7
    to_labels, by_a_number = declared(scaled, ("n",), ("n",), k=(0.0, 1.0)), declared(scaled, ("n",), ())

    assert judged([UPSTREAM * labels, junk], to_labels, X, labels, upstream=UPSTREAM).judged == 3
    assert judged([UPSTREAM * 2, junk], by_a_number, X, 2.0, upstream=UPSTREAM).judged == 3


def test_one_array_may_come_as_a_list_of_its_rows() -> None:
    one, x = declared(tenths, ("m", "n")), X.reshape(3, 1)
    rows = [*(UPSTREAM.reshape(3, 1) * np.float32(0.1))]

    assert judged(rows, one, x, upstream=UPSTREAM.reshape(3, 1)).judged == 3
    assert judged(rows[:2], one, x[:2], upstream=UPSTREAM[:2].reshape(2, 1)).judged == 2
    assert complaint(rows[:2], one, x, upstream=UPSTREAM.reshape(3, 1)) == "returned 2 gradients where 1 are due, for x"
    assert judged([np.asarray(rows)], one, x, upstream=UPSTREAM.reshape(3, 1)).judged == 3
