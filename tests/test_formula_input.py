"""Formulas and inputs that cannot be judged: one sentence each, which names the formula and its arguments, wherever it is asked."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_formula_check import held, written

import calibrant
from calibrant.formula import FormulaError, Undecided, evaluating, gradient_bound, namespace
from calibrant.formula.catalogue import FORMULAS
from calibrant.formula.declaring import in_time

X = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
ASKED = {
    "assert_agrees": lambda formula, *inputs: calibrant.assert_agrees(X, formula, inputs),
    "assert_gradient": lambda formula, *inputs: calibrant.assert_gradient(X, formula, inputs),
    "bound": lambda formula, *inputs: calibrant.bound(formula, inputs, "float64"),
    "gradient_bound": lambda formula, *inputs: gradient_bound(formula, inputs, "float64"),
}


def forever(x: Any) -> Any:
    while True:
        pass


def branching(x: Any) -> Any:
    return x if namespace(x).sum(x) > 0 else -x


FORMS: dict[str, tuple[Any, tuple[Any, ...], str]] = {
    "no function": (17, (X,), "formula is 17: give a function of arrays"),
    "not of arrays": (
        lambda x, n: n,
        (X, 3),
        "formula <lambda> returned int 3 where one array of numbers is due; x is",
    ),
    "unknown operation": (lambda x: namespace(x).fft(x), (X,), "formula <lambda> uses fft, which .* do not have; x is"),
    "narrower inside": (
        lambda x: namespace(x).astype(x, namespace(x).float32),
        (X,),
        r"formula <lambda> turns numbers of float64 into float32: use store\(x, 'float32'\)",
    ),
    "mixed with text": (lambda x: x + "a", (X,), "formula <lambda> mixes an array with str 'a'"),
    "branches": (branching, (X,), "formula branching branches in Python on the value of an array"),
    "returns nothing": (lambda x: None, (X,), "formula <lambda> returned NoneType None where one array"),
    "returns a mask": (lambda x: x > 1, (X,), "formula <lambda> returned Mask"),
    "never ends": (forever, (X,), "formula forever did not end within 0.2 s"),
    "raises": (lambda x: 1 / 0, (X,), "formula <lambda> raised ZeroDivisionError: .*; x is"),
    "too few": (lambda x, y: x + y, (X,), "formula <lambda> does not take these 1 inputs"),
    "a function of C": (np.exp, (X,), "formula exp raised TypeError: .*; x is"),
    "other shapes": (
        lambda x, y: x + y,
        (X, X[:, :2]),
        r"combines arrays of shapes \(2, 3\) and \(2, 2\); x is .* y is",
    ),
    "undeclared shapes": (
        FORMULAS["layer_norm"],
        (X, X[0, :2], X[0], 1e-5),
        r"formula layer_norm declares otherwise: w is \(2,\), so its axis d has 2 elements where x has d = 3",
    ),
    "labels": (
        FORMULAS["cross_entropy"],
        (X, np.array([1, 7])),
        r"index 7 is out of bounds .* labels is \(2,\) from 1 to 7",
    ),
    "complex": (lambda x: x * x, (X + 1j,), "x has dtype complex128, of which formula <lambda> has no bound"),
    "texts": (lambda a, b: a * a, (X, np.array(["1"])), "b has dtype <U1, of which formula <lambda> has no bound"),
    "a list": (lambda x: namespace(x).exp(x), ([1.0, 2.0],), r"formula <lambda> raised .*; x is list \[1.0, 2.0\]"),
}


@pytest.mark.parametrize("ask", ASKED)
@pytest.mark.parametrize("name", FORMS)
def test_a_formula_or_input_that_cannot_be_judged_is_one_sentence(
    ask: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluating, "PATIENCE", 0.2)
    formula, inputs, sentence = FORMS[name]

    with pytest.raises(FormulaError, match=sentence) as told:
        ASKED[ask](formula, *inputs)

    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: calibrant.assert_agrees(X.astype(np.int64), lambda x: x, (X,)), "dtype is 'int64': choose one of"),
        (lambda: calibrant.assert_agrees(X + 1j, lambda x: x, (X,)), "actual is ndarray .*: give an array of floating"),
        (lambda: calibrant.assert_agrees(None, lambda x: x, (X,)), "actual is NoneType None: give an array"),
        (lambda: calibrant.assert_gradient(None, lambda x: x, (X,)), "actual has no gradient to judge"),
        (lambda: calibrant.assert_gradient([X, "x"], lambda x: x, (X,)), r"actual\[1\] is str 'x'"),
        (
            lambda: calibrant.assert_gradient([X, X.astype(np.float32)], lambda x, y: x * y, (X, X)),
            "actual has gradients in float64 and float32: say with dtype= which bound holds",
        ),
        (
            lambda: calibrant.assert_gradient(X, lambda x: x, (X,), upstream=X + 1j),
            "upstream has dtype complex128, of which formula <lambda> has no bound",
        ),
        (lambda: calibrant.bound(lambda x: x, (X,), "int8"), "dtype is 'int8': choose one of"),
    ],
)
def test_an_answer_that_cannot_be_judged_is_one_sentence(call: Any, sentence: str) -> None:
    with pytest.raises(FormulaError, match=sentence):
        call()


@pytest.mark.parametrize(
    "formula",
    [
        lambda x: namespace(x).log(-x),
        lambda x: namespace(x).sqrt(-x),
        lambda x: 1 / (x - x),
        lambda x: (x - x) ** -2,
        lambda x: namespace(x).log(x - x),
        lambda x: namespace(x).atanh(x + 1),
    ],
    ids=["log", "sqrt", "pole", "power", "log of 0", "atanh"],
)
def test_outside_its_domain_and_at_a_pole_a_formula_claims_nothing_and_says_of_what(formula: Any) -> None:
    with pytest.raises(
        Undecided, match=r"formula <lambda> claims nothing .* is not defined; x is \(2, 3\) from 1 to 6"
    ):
        calibrant.assert_agrees(X, formula, (X,))


def test_leading_axes_beside_the_declared_ones_are_welcome() -> None:
    deep = np.ones((2, 2, 3))

    assert calibrant.bound(FORMULAS["layer_norm"], (deep, X[0], X[1], 1e-5), "float64").value.shape == deep.shape


def test_a_timer_that_runs_already_goes_on() -> None:
    rang = []
    before = signal.signal(signal.SIGALRM, lambda *_: rang.append(1))
    signal.setitimer(signal.ITIMER_REAL, 2.0)
    try:
        with in_time("f", 20.0):  # the other timer comes first
            pass
        with in_time("f", 0.05), pytest.raises(FormulaError, match="formula f did not end within"):
            time.sleep(1)
        assert 0 < signal.getitimer(signal.ITIMER_REAL)[0] < 2.0
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        while not rang:
            time.sleep(0.01)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)

    assert rang == [1]


def test_a_timer_of_computing_is_not_charged_for_sleep() -> None:
    signal.setitimer(signal.ITIMER_PROF, 0.5)
    try:
        with in_time("f", 0.1):
            time.sleep(0.6)
        assert signal.getitimer(signal.ITIMER_PROF)[0] > 0.3
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def test_a_formula_may_wait_for_a_busy_machine_but_not_forever() -> None:
    """The limit is of the process's own seconds; ten times as many may pass on the clock."""
    with in_time("f", 0.1):
        time.sleep(0.3)
    with in_time("f", 0.05), pytest.raises(FormulaError, match="formula f did not end within"):
        time.sleep(60)


FILE = """
from calibrant.formula import formula, namespace

def not_of_arrays(x: "n"):
    return 3
def unknown_operation(x: "n"):
    return namespace(x).fft(x)
def branching(x: "n"):
    return x if x[0] > 0 else -x
def narrowing(x: "n"):
    return namespace(x).astype(x, namespace(x).float32) * 1.5
def empty(x: "n"):
    return None
"""


def test_a_check_tells_each_formula_that_cannot_be_judged(tmp_path: Path) -> None:
    """`gradcheck` is a check of the function's gradient."""
    names = ("not_of_arrays", "unknown_operation", "branching", "narrowing", "empty")
    operations = {name + end: lambda x, *upstream: x for name in names for end in ("", "_vjp")}

    result = held(operations | {"dtypes": ["float64"]}, written(tmp_path, FILE), examples=1)

    told = {v.clause: f"{v.reason} {[f.text for f in v.failures]}" for v in result.verdicts if v.status == "error"}
    assert set(told) == {f"layers.{name.replace('_', '-')}{end}" for name in names for end in ("", ".gradient")}
    for clause, text in told.items():
        name = clause.split(".")[1].replace("-", "_")
        assert f"formula {name} " in text
        assert "; x is (" in text
