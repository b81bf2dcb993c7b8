"""The two properties of each formula that a check is about: its value, and its gradient."""

from collections.abc import Callable
from typing import Any

from hypothesis import given

from calibrant.book.clauses import OF_GRADIENT, VALUE
from calibrant.formula.declaring import Declared, formulas_of
from calibrant.judge.formulas import agree_with_formula
from calibrant.protocol.operations import GRADIENT, checked_formulas
from calibrant.strategies.formulas import Arguments, arguments
from calibrant.suite.property import clause
from calibrant.target.calling import Subject


def value_of(one: Declared) -> Callable[..., None]:
    def the_value_is_that_of_the_formula(target: Subject, drawn: Arguments) -> None:
        answer = target.call(one.name, drawn.inputs)

        agree_with_formula(answer, one, drawn.inputs, target.form.name)

    return the_value_is_that_of_the_formula


def gradient_of(one: Declared) -> Callable[..., None]:
    def the_gradient_is_that_of_the_formula(target: Subject, drawn: Arguments) -> None:
        answer = target.call(one.name + GRADIENT, (*drawn.inputs, drawn.upstream))

        agree_with_formula(answer, one, drawn.inputs, target.form.name, drawn.upstream)

    return the_gradient_is_that_of_the_formula


def properties_of(one: Declared) -> dict[str, Any]:
    made = {}
    for begin, end, make in ((VALUE, "", value_of), (OF_GRADIENT, ".gradient", gradient_of)):
        function = make(one)
        function.__name__ = begin + one.name
        made[function.__name__] = clause(one.clause + end)(given(drawn=arguments(one)())(function))
    return made


if said := checked_formulas():
    for formula in formulas_of(said["source"], said["shapes"]).values():
        globals().update(properties_of(formula))
