"""The chapter on autograd."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given

from calibrant import exact, strategies
from calibrant.exact import Exact
from calibrant.judge import LINE, Disagreement, agree, as_exact, holds
from calibrant.protocol.straight_line import Written
from calibrant.strategies import Approach, Descent, Fit, Program, Programs, Smooth, of_steps, squared_distance
from calibrant.suite.claims import about, keeps_dtype, leaves_arguments_alone
from calibrant.suite.property import clause
from calibrant.target.calling import Subject

WAYS = ("never", "to-none", "to-zero")


def present(answer: Any, what: str = "") -> Any:
    """The part of an answer, which must not be None."""
    if answer is None:
        raise Disagreement(f"returned None{what and ' for ' + what} where a gradient is due")
    return answer


def agree_present(answer: Any, due: Any, what: str) -> None:
    """Raise Disagreement unless a part of an answer is there, and agrees with what is due."""
    agree(present(answer, what), due, what)


def left_by(number: int) -> str:
    """What a message calls the gradient that one of the passes leaves."""
    return f"the gradient after pass {number + 1}"


def found_by(number: int) -> str:
    """What a message calls the gradient that one of the passes finds."""
    return f"the gradient before pass {number + 1}"


def listed(answer: list[Any], *lengths: int) -> list[Any]:
    """The answer, a list of so many elements, each of which is a list of as many as the next length says, and so on."""
    holds(len(answer) == lengths[0], f"returned {len(answer)} elements where {lengths[0]} are due")
    if lengths[1:]:
        for part in answer:
            listed(part, *lengths[1:])
    return answer


def truth(loss: Written, params: Any) -> tuple[Exact, Exact]:
    """The value and the gradient of a program."""
    assert loss.straight_line is not None
    return exact.derivatives(**loss.straight_line, params=exact.of(params))


def gradients(sample: Programs) -> list[Any]:
    """The gradient of each program, without error."""
    return [truth(loss, sample.params)[1].true() for loss in sample.losses]


def passes(target: Subject, sample: Programs, zero_grad: str) -> list[Any]:
    """What each pass found, and what it left."""
    return listed(target.backward(sample.losses, sample.params, zero_grad), len(sample.losses), 2)


@clause("autograd.composition")
@given(strategies.programs())
def test_the_gradient_of_any_program_follows_the_chain_rule(target: Subject, sample: Programs) -> None:
    """A value that is used several times counts each time, with a minus sign where it is subtracted."""
    value, gradient = target.automatic_gradient(sample.losses[0], sample.params)

    true_value, true_gradient = truth(sample.losses[0], sample.params)
    agree(value, true_value.nearest(), "the value")
    agree(gradient, true_gradient.nearest(), "the gradient")


COLUMNS = {
    "params.sum()": (8, [1, 1]),
    "(params ** 2).sum()": (34, [6, 10]),
    "(params * params).sum()": (34, [6, 10]),
    "params[1] ** 2": (25, [0, 10]),
    "(2.0 * params).sum()": (16, [2, 2]),
    "(1.0 + params).sum()": (10, [1, 1]),
    "(1.0 - params).sum()": (-6, [-1, -1]),
    "2.0 * params[0] - params[1]": (1, [2, -1]),
    "1.0 + params[0]": (4, [1, 0]),
    "4.0 - params[1]": (-1, [0, -1]),
    "params.sum() ** 2": (64, [16, 16]),
    "params.sum() * (1.0 - params)[1]": (-32, [-4, -12]),
    "(params + params - 1.0).sum()": (14, [2, 2]),
    "(params * params[0]).sum()": (24, [11, 3]),
    "(params[1] - params).sum()": (2, [-1, 1]),
    "(params + params[0]).sum()": (14, [3, 1]),
}
"""Programs of params = [3, 5], each with its value and its gradient."""


@clause("autograd.composition")
@pytest.mark.parametrize("program", COLUMNS)
def test_the_gradient_of_squares_and_sums_of_columns_follows_the_chain_rule(target: Subject, program: str) -> None:
    """A square, a sum of a whole column, a constant on the left, a number that meets a column: engines have a rule for each."""
    due_value, due_gradient = COLUMNS[program]

    value, gradient = target.automatic_gradient(Written(f"lambda params: {program}"), target.array([3.0, 5.0]))

    agree(value, np.array(float(due_value)), "the value")
    agree(gradient, np.array(due_gradient, dtype=np.float64), "the gradient")


QUOTIENTS = (
    "params[0] / params[1]", "2.0 / params[0]", "params[0] / 4.0", "(params / 3.0).sum()", "(1.0 / params).sum()",
    "params[0] ** 3", "params[0] ** -1", "params[0] ** 0.5", "2.0 ** params[0]", "params[0] ** params[1]",
    "params.mean()", "(params ** 2).mean()", "(params * params.mean()).sum()",
)  # fmt: skip
ELEMENTARY = (
    "params[0].exp()", "params.exp().sum()", "params[0].log()", "params.log().mean()",
    "params[0].tanh()", "(params * 0.5).tanh().sum()", "(params[0] * params[1]).log().exp()",
    "params[0].maximum(params[1])", "params[1].maximum(params[0]) * params[0]",
)  # fmt: skip


def judge_rounding(target: Subject, loss: Written, params: Any) -> None:
    """Hold the value and the gradient of a program that rounds against the truth."""
    value, gradient = target.automatic_gradient(loss, params)

    true_value, true_gradient = truth(loss, params)
    agree(value, true_value)
    agree(gradient, true_gradient)


@clause("autograd.quotients", fraction_of_examples=0.4)
@given(strategies.quotients())
def test_the_gradient_of_any_program_with_quotients_follows_the_chain_rule(target: Subject, sample: Smooth) -> None:
    """A power has two derivatives, one by its base and one by its exponent, and so has a quotient."""
    judge_rounding(target, sample.loss, sample.params)


@clause("autograd.quotients")
@pytest.mark.parametrize("program", QUOTIENTS)
def test_each_quotient_power_and_mean_has_its_derivative(target: Subject, program: str) -> None:
    judge_rounding(target, Written(f"lambda params: {program}"), target.array([2.0, 3.0]))


@clause("autograd.elementary", fraction_of_examples=0.4)
@given(strategies.elementary())
def test_the_gradient_of_any_program_with_functions_follows_the_chain_rule(target: Subject, sample: Smooth) -> None:
    judge_rounding(target, sample.loss, sample.params)


@clause("autograd.elementary")
@pytest.mark.parametrize("program", ELEMENTARY)
def test_each_function_has_its_derivative(target: Subject, program: str) -> None:
    judge_rounding(target, Written(f"lambda params: {program}"), target.array([2.0, 3.0]))


@clause("autograd.long-chain")
@pytest.mark.parametrize("length", [100, 500])
def test_a_chain_of_a_thousand_values_is_walked(target: Subject, length: int) -> None:
    """A walk that calls itself for each value needs as much stack. An even number of turns 1 - x leads back to x."""
    chain = Written(
        f"lambda params: __import__('functools').reduce(lambda x, k: x * -1.0 + 1.0, range({length}), params[0])"
    )

    value, gradient = target.automatic_gradient(chain, target.array([3.0]))

    agree(value, np.array(3.0))
    agree(gradient, np.array([1.0]))


@clause("autograd.shared-graph", fraction_of_examples=0.5)
@pytest.mark.parametrize("order", [[0, 1], [1, 0], [0, 0], [0, 1, 0]], ids=str)
@given(sample=strategies.programs())
def test_passes_over_one_graph_add_their_gradients(target: Subject, order: list[int], sample: Programs) -> None:
    """One loss is a value that the other uses. What a pass leaves in such a value is no part of the next pass."""
    first, other = gradients(sample)[0], gradients(sample)[-1]

    answer = target.backward_shared(both_losses(sample), sample.params, order)

    due = [(first, first - other)[k] for k in order]
    for k, left in enumerate(listed(answer, len(order))):
        agree(present(left), sum(due[: k + 1]).nearest())


def both_losses(sample: Programs) -> Written:
    """The first loss, and its difference from the last one, as one function."""
    first, other = sample.losses[0].source, sample.losses[-1].source
    return Written(f"lambda params: [x := ({first})(params), [x, x - ({other})(params)]][1]")


@clause("autograd.shared-node")
@pytest.mark.parametrize("depth", [1, 2, 10, 100])
def test_a_value_is_walked_once_however_many_paths_lead_to_it(target: Subject, depth: int) -> None:
    """A walk along each of the 2**depth paths never ends, and a value may pass its gradient on only after all its uses."""
    step = "lambda x, k: (x - x * 3.0) * -0.5 if k % 2 else x * 2.0 - x"  # over a short way and a long one
    diamonds = Written(f"lambda params: __import__('functools').reduce({step}, range({depth}), params[0])")

    value, gradient = target.automatic_gradient(diamonds, target.array([3.0]))

    agree(value, np.array(3.0), "the value")
    agree(gradient, np.array([1.0]), "the gradient")


@clause("autograd.shared-node")
@pytest.mark.parametrize("factors", [1, 2, 3, 7])
def test_every_use_of_a_parameter_contributes(target: Subject, factors: int) -> None:
    """x x x has three uses of x, each of which contributes x x."""
    power = Written("lambda params: " + " * ".join(["params[0]"] * factors))

    _, gradient = target.automatic_gradient(power, target.array([2.0]))

    agree(gradient, np.array([factors * 2.0 ** (factors - 1)]), "the gradient")


@clause("autograd.shared-node")
def test_the_operands_of_a_sum_keep_separate_gradients(target: Subject) -> None:
    """In x x (x + y), a gradient that both operands of the sum share would add the other uses of x to y."""
    program = of_steps(2, ("*", 0, 0), ("+", 0, 1), ("*", 2, 3))

    _, gradient = target.automatic_gradient(program, target.array([2.0, 3.0]))

    agree(gradient, np.array([24.0, 4.0]), "the gradient")


@clause("autograd.none-before", fraction_of_examples=0.15)
@pytest.mark.parametrize("zero_grad", WAYS)
@given(sample=strategies.programs())
def test_there_is_no_gradient_before_the_first_pass(target: Subject, zero_grad: str, sample: Programs) -> None:
    """The gradient is None, not zero, and nothing is left of earlier calls with the same numbers."""
    answer = passes(target, sample, zero_grad)

    holds(answer[0][0] is None, f"found {answer[0][0]} before the first pass")


@clause("autograd.accumulates")
@given(strategies.programs())
def test_each_pass_adds_its_gradient_to_the_one_that_it_finds(target: Subject, sample: Programs) -> None:
    """A pass that overwrites would leave its own gradient alone."""
    answer = passes(target, sample, "never")

    true_gradients = gradients(sample)
    for k, (found, left) in enumerate(answer):
        if k:
            before = present(answer[k - 1][1], left_by(k - 1))
            agree(present(found, found_by(k)), before, found_by(k), due="where the pass before had left")
        agree_present(left, sum(true_gradients[: k + 1]).nearest(), left_by(k))


THREE = [Written(f"lambda params: (params * {i}).sum()") for i in (1, 2, 3)]


@clause("autograd.three-batches")
def test_three_batches_leave_the_gradients_of_the_book(target: Subject) -> None:
    answer = listed(target.backward(THREE, target.array([1.0, 2.0]), "never"), 3, 2)

    for k, ((_, left), due) in enumerate(zip(answer, (1.0, 3.0, 6.0), strict=True)):
        agree_present(left, np.array([due, due]), left_by(k))


@clause("autograd.three-batches")
def test_a_step_after_three_batches_is_a_step_on_their_sum(target: Subject) -> None:
    """The step leads from [1, 2] along a tenth of [6, 6]."""
    total = Written("lambda params: " + " + ".join(f"({loss.source})(params)" for loss in THREE))

    ((loss, gradient, params),) = listed(target.descend(total, target.array([1.0, 2.0]), 0.1, 1, True), 1, 3)

    rate = exact.hyperparameter(0.1, target.form)
    agree_present(loss, np.array(18.0), "the loss")
    agree_present(gradient, np.array([6.0, 6.0]), "the gradient")
    due = exact.of(target.array([1.0, 2.0])) - rate * exact.of(target.array([6.0, 6.0]))
    agree_present(params, due, "the parameters after the step")


@clause("autograd.reset", fraction_of_examples=0.5)
@pytest.mark.parametrize("zero_grad", WAYS[1:])
@given(sample=strategies.programs())
def test_after_zeroing_a_pass_finds_nothing_and_leaves_its_own_gradient(
    target: Subject, zero_grad: str, sample: Programs
) -> None:
    """An optimizer skips a parameter without a gradient, but momentum moves one whose gradient is zero."""
    answer = passes(target, sample, zero_grad)

    for k, ((found, left), true_gradient) in enumerate(zip(answer, gradients(sample), strict=True)):
        if k and zero_grad == "to-zero":
            agree_present(found, np.zeros(sample.params.shape), found_by(k))
        elif k:
            holds(found is None, f"returned {found_by(k)} {found} where None is due")
        agree_present(left, true_gradient.nearest(), left_by(k))


@clause("autograd.no-grad-update")
@given(strategies.approaches())
def test_every_step_goes_against_the_gradient_at_its_own_parameters(target: Subject, sample: Approach) -> None:
    """A recorded step would turn the parameters into a result, in which the next pass leaves no gradient."""
    answer = target.descend(sample.loss, sample.params, sample.learning_rate, sample.n_steps, True)

    place = exact.constant(sample.place, target.form)
    rate = exact.hyperparameter(sample.learning_rate, target.form)
    params = exact.of(sample.params)
    for number, (loss, gradient, after) in enumerate(listed(answer, sample.n_steps, 3), start=1):
        distance = params - place
        agree_present(loss, (distance**2).sum(), f"the loss in step {number}")
        agree_present(gradient, 2 * distance, f"the gradient in step {number}")
        if not np.isfinite(gradient).all():
            break
        due = params - rate * standing(gradient, target)
        agree_present(after, due, f"the parameters after step {number}")
        if not np.isfinite(after).all():
            break
        params = standing(after, target)


def standing(answer: Any, target: Subject) -> Exact:
    """An answer as the number that a next step starts from: itself, or the wider one that was rounded to it."""
    numbers = as_exact(answer, answer.shape)
    return numbers.within(target.form.u * numbers.magnitude() + target.form.tiny, target.form)


@clause("autograd.recorded-update", fraction_of_examples=0.2)
@given(strategies.approaches())
def test_a_step_in_place_that_would_be_recorded_is_refused(target: Subject, sample: Approach) -> None:
    refused = target.refuses("descend", sample.loss, sample.params, sample.learning_rate, sample.n_steps, False)

    holds(refused, "took a step in place, outside of no_grad, on a leaf that requires grad")


@clause("autograd.loop", fraction_of_examples=0.4)
@given(strategies.descents())
def test_the_loop_follows_the_recurrence(target: Subject, sample: Descent) -> None:
    """Gradients that are never reset, or recorded steps, show from the second epoch on."""
    data = sample.params, sample.t_u, sample.t_c
    params, losses = target.manual_training_loop(sample.n_epochs, sample.learning_rate, *data)

    true_params, true_losses = exact.trajectory(sample.n_epochs, sample.learning_rate, *map(exact.of, data))
    agree(params, true_params, "the parameters", names=LINE)
    agree(losses, exact.concatenate(*true_losses), "the losses")


def judge_recorded(answer: Any, due: Any, due_gradient: Any, is_train: bool) -> None:
    """Hold a value against what is due, and its gradient against that or None."""
    value, gradient = listed(answer, 2)
    agree_present(value, due, "the value")
    if is_train:
        agree_present(gradient, due_gradient, "the gradient")
    else:
        holds(gradient is None, f"recorded: it has the gradient {gradient}")


def judge_evaluation(answer: Any, sample: Programs, is_train: bool) -> None:
    """Hold the evaluation of the first program, which rounds nothing, against the truth."""
    value, gradient = truth(sample.losses[0], sample.params)
    judge_recorded(answer, value.nearest(), gradient.nearest(), is_train)


@clause("autograd.set-grad-enabled", fraction_of_examples=0.5)
@pytest.mark.parametrize("is_train", [True, False])
@given(sample=strategies.fits())
def test_the_forward_pass_is_recorded_in_training_alone(target: Subject, is_train: bool, sample: Fit) -> None:
    """The loss is the same in both modes."""
    answer = target.calc_forward(sample.params, sample.t_u, sample.t_c, is_train)

    t_u, t_c, w, b = map(exact.of, (sample.t_u, sample.t_c, sample.w, sample.b))
    judge_recorded(answer, exact.loss_fn(exact.model(t_u, w, b), t_c), exact.gradient(t_u, t_c, w, b), is_train)


@clause("autograd.set-grad-enabled", fraction_of_examples=0.3)
@pytest.mark.parametrize("is_train", [True, False])
@given(sample=strategies.programs())
def test_any_loss_is_recorded_in_training_alone(target: Subject, is_train: bool, sample: Programs) -> None:
    judge_evaluation(target.evaluate(sample.losses[0], sample.params, is_train), sample, is_train)


INTERRUPTED = Written("lambda params: 1 / 0")


@dataclass
class Nesting:
    """A loss that first has another one evaluated, recorded or not, and then goes on."""

    target: Subject
    inner: Any
    inner_is_train: bool
    loss: Program
    params: Any
    inner_answers: list[Any] = field(default_factory=list)

    def __call__(self, params: Any) -> Any:
        if self.inner is INTERRUPTED:
            self.target.refuses("evaluate", self.inner, self.params, self.inner_is_train)
        else:
            self.inner_answers.append(self.target.evaluate(self.inner, self.params, self.inner_is_train))
        return self.loss(params)

    @property
    def source(self) -> str:
        inside = f"target.evaluate({self.inner.source}, params, {self.inner_is_train})"
        return f"lambda params: [{inside}, ({self.loss.source})(params)][1]"


RECORDED = pytest.mark.parametrize("is_train", [True, False], ids=["recorded", "not recorded"])


@clause("autograd.mode-restored", fraction_of_examples=0.2)
@pytest.mark.parametrize("interrupted", [False, True], ids=["inner returns", "inner raises"])
@pytest.mark.parametrize("inner_is_train", [True, False], ids=["inner recorded", "inner not recorded"])
@RECORDED
@given(sample=strategies.programs())
def test_an_evaluation_restores_the_mode(
    target: Subject, is_train: bool, inner_is_train: bool, interrupted: bool, sample: Programs
) -> None:
    """The mode afterwards is the previous one, not always on: one evaluation may lie inside another.

    An exception skips a line that restores the mode unless `finally` runs it.
    """
    inner = INTERRUPTED if interrupted else sample.losses[0]
    nesting = Nesting(target, inner, inner_is_train, sample.losses[0], sample.params)

    answer = target.evaluate(nesting, sample.params, is_train)
    about(target, 0)
    judge_evaluation(answer, sample, is_train)
    for inner_answer in nesting.inner_answers:
        about(target, 0)
        judge_evaluation(inner_answer, sample, inner_is_train)


@clause("autograd.mode-restored", fraction_of_examples=0.2)
@RECORDED
@given(sample=strategies.programs())
def test_evaluations_three_deep_restore_the_mode(target: Subject, is_train: bool, sample: Programs) -> None:
    """One variable for the previous mode is overwritten by a nested evaluation, so that the third level loses it."""
    loss, params = sample.losses[0], sample.params
    nesting = Nesting(target, Nesting(target, loss, is_train, loss, params), not is_train, loss, params)

    answer = target.evaluate(nesting, params, is_train)
    about(target, 0)
    judge_evaluation(answer, sample, is_train)


@dataclass
class Beside:
    """A loss that first has a forward pass of the model made, which may raise, and then goes on."""

    target: Subject
    forward: str
    arguments: tuple[Any, ...]
    loss: Program

    def __call__(self, params: Any) -> Any:
        self.target.refuses(self.forward, *self.arguments)
        return self.loss(params)

    @property
    def source(self) -> str:
        return f"lambda params: [target.{self.forward}(...), ({self.loss.source})(params)][1]"


@clause("autograd.mode-restored", fraction_of_examples=0.2)
@pytest.mark.parametrize("shorter", [False, True], ids=["it returns", "it may raise"])
@pytest.mark.parametrize("forward", ["calc_forward", "validation_loss"])
@RECORDED
@given(sample=strategies.programs(), fit=strategies.simple_fits())
def test_a_forward_pass_of_the_model_restores_the_mode(
    target: Subject, is_train: bool, forward: str, shorter: bool, sample: Programs, fit: Fit
) -> None:
    """It was made in the other mode, or of columns of two lengths, inside an evaluation that goes on in its own."""
    arguments = fit.params, fit.t_u, fit.t_c[: len(fit.t_c) - shorter]
    arguments += (not is_train,) if forward == "calc_forward" else ()
    target.refuses(forward, *arguments)  # if it is absent, so is this claim
    target.calls.clear()

    answer = target.evaluate(Beside(target, forward, arguments, sample.losses[0]), sample.params, is_train)

    about(target, 0)
    judge_evaluation(answer, sample, is_train)


@clause("autograd.separate-graphs", fraction_of_examples=0.5)
@given(strategies.programs())
def test_a_loss_that_is_not_walked_backward_leaves_no_gradient(target: Subject, sample: Programs) -> None:
    """It is recorded, from the same parameters, between the training loss and its backward pass."""
    train, val = sample.losses[0].source, sample.losses[-1].source
    beside = Written(f"lambda params: [({train})(params), ({val})(params)][0]")

    ((_, left),) = listed(target.backward([beside], sample.params, "never"), 1, 2)

    agree_present(left, gradients(sample)[0].nearest(), left_by(0))


@clause("autograd.separate-graphs", fraction_of_examples=0.5)
@given(strategies.programs())
def test_a_validation_loss_that_is_walked_backward_trains(target: Subject, sample: Programs) -> None:
    """Its gradient is added to the gradient of the training loss."""
    both = Programs(sample.params, [sample.losses[0], sample.losses[-1]])

    agree_present(passes(target, both, "never")[1][1], sum(gradients(both)).nearest(), left_by(1))


OPERATIONS: tuple[tuple[str, Callable[[Programs, Fit], tuple[Any, ...]]], ...] = (
    ("automatic_gradient", lambda programs, fit: (programs.losses[0], programs.params)),
    ("backward", lambda programs, fit: (programs.losses, programs.params, "never")),
    ("backward_shared", lambda programs, fit: (both_losses(programs), programs.params, [0, 1])),
    ("descend", lambda programs, fit: (squared_distance(0.5), programs.params, 0.125, 2, True)),
    ("manual_training_loop", lambda programs, fit: (2, 0.125, fit.params, fit.t_u, fit.t_c)),
    ("evaluate", lambda programs, fit: (programs.losses[0], programs.params, True)),
    ("calc_forward", lambda programs, fit: (fit.params, fit.t_u, fit.t_c, True)),
)
EACH = pytest.mark.parametrize(("operation", "arguments"), OPERATIONS, ids=[name for name, _ in OPERATIONS])


@clause("autograd.dtype", fraction_of_examples=0.1)
@EACH
@given(programs=strategies.programs(), fit=strategies.simple_fits())
def test_every_answer_has_the_dtype_of_the_parameters(
    target: Subject, operation: str, arguments: Any, programs: Programs, fit: Fit
) -> None:
    keeps_dtype(target, target.call(operation, arguments(programs, fit)))


@clause("autograd.pure", fraction_of_examples=0.1)
@EACH
@given(programs=strategies.programs(), fit=strategies.simple_fits())
def test_autograd_leaves_its_arguments_alone(
    target: Subject, operation: str, arguments: Any, programs: Programs, fit: Fit
) -> None:
    """A step in place works on a copy."""
    leaves_arguments_alone(target, operation, *arguments(programs, fit))
