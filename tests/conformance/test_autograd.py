"""The chapter on autograd."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given

from calibrant import exact, strategies
from calibrant.exact import Exact
from calibrant.judge import Disagreement, agree, as_exact, holds, shaped
from calibrant.suite.claims import keeps_dtype, leaves_arguments_alone
from calibrant.suite.property import clause
from calibrant.target.calling import Subject

WAYS = ("never", "to-none", "to-zero")
PASSES = pytest.mark.parametrize("zero_grad", WAYS)


def present(answer: Any) -> Any:
    """The answer, which must not be None."""
    if answer is None:
        raise Disagreement("returned None where a gradient is due")
    return answer


def listed(answer: list[Any], *lengths: int) -> list[Any]:
    """The answer, a list of so many elements, each of which is a list of as many as the next length says, and so on."""
    holds(len(answer) == lengths[0], f"returned {len(answer)} elements where {lengths[0]} are due")
    if lengths[1:]:
        for part in answer:
            listed(part, *lengths[1:])
    return answer


def gradients(sample: strategies.Programs) -> list[Exact]:
    """The gradient of each program, without error."""
    return [exact.differentiate(loss, exact.of(sample.params))[1] for loss in sample.losses]


def added(columns: list[Exact]) -> Exact:
    """The sum of several columns, without error."""
    total = columns[0].true()
    for column in columns[1:]:
        total = total + column.true()
    return total


def passes(target: Subject, sample: strategies.Programs, zero_grad: str) -> list[Any]:
    """What each pass found, and what it left."""
    return listed(target.backward(sample.losses, sample.params, zero_grad), len(sample.losses), 2)


@clause("autograd.composition")
@given(strategies.programs())
def test_the_gradient_of_any_program_follows_the_chain_rule(target: Subject, sample: strategies.Programs) -> None:
    """A value that is used several times counts each time, with a minus sign where it is subtracted."""
    value, gradient = target.automatic_gradient(sample.losses[0], sample.params)

    true_value, true_gradient = exact.differentiate(sample.losses[0], exact.of(sample.params))
    agree(value, true_value.nearest())
    agree(gradient, true_gradient.nearest())


@dataclass(frozen=True)
class Diamonds:
    """A parameter that is computed from itself, again and again: each value is used twice, over a short way and a long one."""

    depth: int

    def __call__(self, params: Any) -> Any:
        value = params[0]
        for k in range(self.depth):
            value = (value - value * 3.0) * -0.5 if k % 2 else value * 2.0 - value
        return value

    @property
    def source(self) -> str:
        step = "lambda x, k: (x - x * 3.0) * -0.5 if k % 2 else x * 2.0 - x"
        return f"lambda params: __import__('functools').reduce({step}, range({self.depth}), params[0])"


@clause("autograd.shared-node")
@pytest.mark.parametrize("depth", [1, 2, 10, 100])
def test_a_value_is_walked_once_however_many_paths_lead_to_it(target: Subject, depth: int) -> None:
    """A walk along each of the 2**depth paths never ends, and a value may pass its gradient on only after all its uses."""
    value, gradient = target.automatic_gradient(Diamonds(depth), target.array([3.0]))

    agree(value, np.array(3.0))
    agree(gradient, np.array([1.0]))


@dataclass(frozen=True)
class Power:
    """A parameter times itself, so many times in a row."""

    factors: int

    def __call__(self, params: Any) -> Any:
        value = params[0]
        for _ in range(self.factors - 1):
            value = value * params[0]
        return value

    @property
    def source(self) -> str:
        return "lambda params: " + " * ".join(["params[0]"] * self.factors)


@clause("autograd.shared-node")
@pytest.mark.parametrize("factors", [1, 2, 3, 7])
def test_every_use_of_a_parameter_contributes(target: Subject, factors: int) -> None:
    """x x x has three uses of x, each of which contributes x x."""
    _, gradient = target.automatic_gradient(Power(factors), target.array([2.0]))

    agree(gradient, np.array([factors * 2.0 ** (factors - 1)]))


@clause("autograd.shared-node")
def test_the_operands_of_a_sum_keep_separate_gradients(target: Subject) -> None:
    """In x x (x + y), a gradient that both operands of the sum share would add the other uses of x to y."""
    program = strategies.Program(2, (("*", 0, 0), ("+", 0, 1), ("*", 2, 3)))

    _, gradient = target.automatic_gradient(program, target.array([2.0, 3.0]))

    agree(gradient, np.array([24.0, 4.0]))


@clause("autograd.none-before", fraction_of_examples=0.15)
@PASSES
@given(sample=strategies.programs())
def test_there_is_no_gradient_before_the_first_pass(
    target: Subject, zero_grad: str, sample: strategies.Programs
) -> None:
    """The gradient is None, not zero, and nothing is left of earlier calls with the same numbers."""
    answer = passes(target, sample, zero_grad)

    holds(answer[0][0] is None, f"found {answer[0][0]} before the first pass")


@clause("autograd.accumulates")
@given(strategies.programs())
def test_each_pass_adds_its_gradient(target: Subject, sample: strategies.Programs) -> None:
    """A pass that overwrites would leave its own gradient alone."""
    answer = passes(target, sample, "never")

    true_gradients = gradients(sample)
    for k, (_, left) in enumerate(answer, start=1):
        agree(present(left), added(true_gradients[:k]).nearest())


@clause("autograd.accumulates", fraction_of_examples=0.3)
@given(strategies.programs())
def test_a_pass_finds_what_the_pass_before_it_left(target: Subject, sample: strategies.Programs) -> None:
    answer = passes(target, sample, "never")

    holds(len(answer) > 0, "returned nothing")
    for (_, left), (found, _) in itertools.pairwise(answer):
        agree(present(found), present(left))


@dataclass(frozen=True)
class Multiple:
    """The sum of the parameters, so many times."""

    factor: int

    def __call__(self, params: Any) -> Any:
        return (params * self.factor).sum()

    @property
    def source(self) -> str:
        return f"lambda params: (params * {self.factor}).sum()"


@dataclass(frozen=True)
class Sum:
    """The sum of several losses."""

    losses: tuple[Any, ...]

    def __call__(self, params: Any) -> Any:
        total = self.losses[0](params)
        for loss in self.losses[1:]:
            total = total + loss(params)
        return total

    @property
    def source(self) -> str:
        return "lambda params: " + " + ".join(f"({loss.source})(params)" for loss in self.losses)


THREE = tuple(Multiple(i + 1) for i in range(3))


@clause("autograd.three-batches")
def test_three_batches_leave_the_gradients_of_the_book(target: Subject) -> None:
    answer = listed(target.backward(list(THREE), target.array([1.0, 2.0]), "never"), 3, 2)

    for (_, left), due in zip(answer, (1.0, 3.0, 6.0), strict=True):
        agree(present(left), np.array([due, due]))


@clause("autograd.three-batches")
def test_a_step_after_three_batches_is_a_step_on_their_sum(target: Subject) -> None:
    """The step leads from [1, 2] along a tenth of [6, 6]."""
    ((loss, gradient, params),) = listed(target.descend(Sum(THREE), target.array([1.0, 2.0]), 0.1, 1, True), 1, 3)

    rate = exact.hyperparameter(0.1, target.form)
    agree(present(loss), np.array(18.0))
    agree(present(gradient), np.array([6.0, 6.0]))
    agree(present(params), exact.of(target.array([1.0, 2.0])) - rate * exact.of(target.array([6.0, 6.0])))


@clause("autograd.reset", fraction_of_examples=0.5)
@pytest.mark.parametrize("zero_grad", WAYS[1:])
@given(sample=strategies.programs())
def test_after_zeroing_a_pass_leaves_its_own_gradient(
    target: Subject, zero_grad: str, sample: strategies.Programs
) -> None:
    answer = passes(target, sample, zero_grad)

    for (_, left), true_gradient in zip(answer, gradients(sample), strict=True):
        agree(present(left), true_gradient.nearest())


@clause("autograd.reset", fraction_of_examples=0.3)
@given(sample=strategies.programs())
def test_zeroing_to_none_forgets_the_gradient(target: Subject, sample: strategies.Programs) -> None:
    """An optimizer skips a parameter without a gradient, but momentum moves one whose gradient is zero."""
    answer = passes(target, sample, "to-none")

    holds(all(found is None for found, _ in answer), f"found {[found for found, _ in answer]}, not None each time")


@clause("autograd.reset", fraction_of_examples=0.3)
@given(sample=strategies.programs())
def test_zeroing_to_zero_leaves_zeros(target: Subject, sample: strategies.Programs) -> None:
    answer = passes(target, sample, "to-zero")

    holds(len(answer) > 0, "returned nothing")
    for found, _ in answer[1:]:
        agree(present(found), np.zeros(sample.params.shape))


@clause("autograd.no-grad-update", fraction_of_examples=0.6)
@given(strategies.approaches())
def test_every_step_uses_the_gradient_at_its_own_parameters(target: Subject, sample: strategies.Approach) -> None:
    """A recorded step would turn the parameters into a result, in which the next pass leaves no gradient."""
    answer = target.descend(sample.loss, sample.params, sample.learning_rate, sample.n_steps, True)

    place = exact.constant(sample.loss.place, target.form)
    params = exact.of(sample.params)
    for loss, gradient, after in listed(answer, sample.n_steps, 3):
        distance = params - place
        agree(present(loss), (distance**2).sum())
        agree(present(gradient), 2 * distance)
        if not np.isfinite(shaped(present(after), params.shape)).all():
            break
        params = standing(after, target)


@clause("autograd.no-grad-update", fraction_of_examples=0.6)
@given(strategies.approaches())
def test_every_step_goes_against_its_gradient(target: Subject, sample: strategies.Approach) -> None:
    answer = target.descend(sample.loss, sample.params, sample.learning_rate, sample.n_steps, True)

    rate = exact.hyperparameter(sample.learning_rate, target.form)
    params = exact.of(sample.params)
    for _, gradient, after in listed(answer, sample.n_steps, 3):
        if not np.isfinite(shaped(present(gradient), params.shape)).all():
            break
        agree(present(after), params - rate * standing(gradient, target))
        if not np.isfinite(shaped(after, params.shape)).all():
            break
        params = standing(after, target)


def standing(answer: Any, target: Subject) -> Exact:
    """An answer as the numbers of the dtype that a next step starts from."""
    return as_exact(answer, answer.shape).within(0.0, target.form)


@clause("autograd.recorded-update", fraction_of_examples=0.2)
@given(strategies.approaches())
def test_a_step_in_place_that_would_be_recorded_is_refused(target: Subject, sample: strategies.Approach) -> None:
    refused = target.refuses("descend", sample.loss, sample.params, sample.learning_rate, sample.n_steps, False)

    holds(refused, "took a step in place, outside of no_grad, on a leaf that requires grad")


@clause("autograd.loop", fraction_of_examples=0.4)
@given(strategies.descents())
def test_the_loop_follows_the_recurrence(target: Subject, sample: strategies.Descent) -> None:
    """Gradients that are never reset, or recorded steps, show from the second epoch on."""
    params, losses = target.manual_training_loop(
        sample.n_epochs, sample.learning_rate, sample.params, sample.t_u, sample.t_c
    )

    true_params, true_losses = trajectory(sample)
    agree(params, true_params)
    agree(losses, exact.concatenate(*true_losses))


def trajectory(sample: strategies.Descent) -> tuple[Exact, list[Exact]]:
    """The true path, with the error of walking it."""
    return exact.trajectory(
        sample.n_epochs, sample.learning_rate, *map(exact.of, (sample.params, sample.t_u, sample.t_c))
    )


@clause("autograd.loop", fraction_of_examples=0.2)
@given(strategies.descents())
def test_both_loops_follow_the_same_path(target: Subject, sample: strategies.Descent) -> None:
    err = trajectory(sample)[0].err
    if not np.isfinite(err).all():
        return
    by_hand, _, _ = target.training_loop(
        sample.n_epochs, {"name": "sgd", "lr": sample.learning_rate}, sample.params, sample.t_u, sample.t_c
    )

    params, _ = target.manual_training_loop(
        sample.n_epochs, sample.learning_rate, sample.params, sample.t_u, sample.t_c
    )

    agree(params, as_exact(by_hand, (2,)).within(2 * err, target.form))


@clause("autograd.set-grad-enabled", fraction_of_examples=0.5)
@pytest.mark.parametrize("is_train", [True, False])
@given(sample=strategies.fits())
def test_the_forward_pass_is_recorded_in_training_alone(
    target: Subject, is_train: bool, sample: strategies.Fit
) -> None:
    """The loss is the same in both modes."""
    loss, gradient = listed(target.calc_forward(sample.params, sample.t_u, sample.t_c, is_train), 2)

    t_u, t_c, w, b = map(exact.of, (sample.t_u, sample.t_c, sample.w, sample.b))
    agree(present(loss), exact.loss_fn(exact.model(t_u, w, b), t_c))
    if is_train:
        agree(present(gradient), exact.gradient(t_u, t_c, w, b))
    else:
        holds(gradient is None, f"recorded: it has the gradient {gradient}")


@clause("autograd.set-grad-enabled", fraction_of_examples=0.3)
@pytest.mark.parametrize("is_train", [True, False])
@given(sample=strategies.programs())
def test_any_loss_is_recorded_in_training_alone(target: Subject, is_train: bool, sample: strategies.Programs) -> None:
    value, gradient = listed(target.evaluate(sample.losses[0], sample.params, is_train), 2)

    judge_evaluation(value, gradient, sample, is_train)


def judge_evaluation(value: Any, gradient: Any, sample: strategies.Programs, is_train: bool) -> None:
    """Hold the value against the truth, and the gradient against that or None."""
    true_value, true_gradient = exact.differentiate(sample.losses[0], exact.of(sample.params))
    agree(present(value), true_value.nearest())
    if is_train:
        agree(present(gradient), true_gradient.nearest())
    else:
        holds(gradient is None, f"recorded: it has the gradient {gradient}")


class Interrupted(Exception):
    """What a loss raises that cannot be computed."""


@dataclass
class Interrupting:
    """A loss that raises."""

    source: str = "lambda params: 1 / 0"

    def __call__(self, params: Any) -> Any:
        raise Interrupted


@dataclass
class Nesting:
    """A loss that first has another one evaluated, recorded or not, and then goes on."""

    target: Subject
    inner: Any
    inner_is_train: bool
    loss: strategies.Program
    params: Any
    inner_answers: list[Any] = field(default_factory=list)

    def __call__(self, params: Any) -> Any:
        if isinstance(self.inner, Interrupting):
            self.target.refuses("evaluate", self.inner, self.params, self.inner_is_train)
        else:
            self.inner_answers.append(self.target.evaluate(self.inner, self.params, self.inner_is_train))
        return self.loss(params)

    @property
    def source(self) -> str:
        inside = f"target.evaluate({self.inner.source}, params, {self.inner_is_train})"
        return f"lambda params: [{inside}, ({self.loss.source})(params)][1]"


@clause("autograd.mode-restored", fraction_of_examples=0.2)
@pytest.mark.parametrize("inner_is_train", [True, False], ids=["inner recorded", "inner not recorded"])
@pytest.mark.parametrize("is_train", [True, False], ids=["recorded", "not recorded"])
@given(sample=strategies.programs())
def test_an_evaluation_restores_the_mode(
    target: Subject, is_train: bool, inner_is_train: bool, sample: strategies.Programs
) -> None:
    """The mode afterwards is the previous one, not always on: one evaluation may lie inside another."""
    nesting = Nesting(target, sample.losses[0], inner_is_train, sample.losses[0], sample.params)
    value, gradient = listed(target.evaluate(nesting, sample.params, is_train), 2)

    judge_evaluation(value, gradient, sample, is_train)
    for answer in nesting.inner_answers:
        judge_evaluation(*listed(answer, 2), sample, inner_is_train)


@clause("autograd.mode-restored", fraction_of_examples=0.2)
@pytest.mark.parametrize("inner_is_train", [True, False], ids=["inner recorded", "inner not recorded"])
@pytest.mark.parametrize("is_train", [True, False], ids=["recorded", "not recorded"])
@given(sample=strategies.programs())
def test_an_exception_restores_the_mode(
    target: Subject, is_train: bool, inner_is_train: bool, sample: strategies.Programs
) -> None:
    """An exception skips a line that restores the mode unless `finally` runs it."""
    nesting = Nesting(target, Interrupting(), inner_is_train, sample.losses[0], sample.params)
    value, gradient = listed(target.evaluate(nesting, sample.params, is_train), 2)

    judge_evaluation(value, gradient, sample, is_train)


@clause("autograd.mode-restored", fraction_of_examples=0.2)
@pytest.mark.parametrize("is_train", [True, False], ids=["recorded", "not recorded"])
@given(sample=strategies.programs())
def test_evaluations_three_deep_restore_the_mode(target: Subject, is_train: bool, sample: strategies.Programs) -> None:
    """One variable for the previous mode is overwritten by a nested evaluation, so that the third level loses it."""
    loss, params = sample.losses[0], sample.params
    nesting = Nesting(target, Nesting(target, loss, is_train, loss, params), not is_train, loss, params)
    value, gradient = listed(target.evaluate(nesting, params, is_train), 2)

    judge_evaluation(value, gradient, sample, is_train)


@dataclass(frozen=True)
class Beside:
    """A training loss, computed beside a validation loss that nothing is done with."""

    train: strategies.Program
    val: strategies.Program

    def __call__(self, params: Any) -> Any:
        train = self.train(params)
        self.val(params)
        return train

    @property
    def source(self) -> str:
        return f"lambda params: [({self.train.source})(params), ({self.val.source})(params)][0]"


@clause("autograd.separate-graphs", fraction_of_examples=0.5)
@given(strategies.programs())
def test_a_loss_that_is_not_walked_backward_leaves_no_gradient(target: Subject, sample: strategies.Programs) -> None:
    """It is recorded, from the same parameters, between the training loss and its backward pass."""
    train, val = sample.losses[0], sample.losses[-1]

    ((_, left),) = listed(target.backward([Beside(train, val)], sample.params, "never"), 1, 2)

    agree(present(left), gradients(sample)[0].nearest())


@clause("autograd.separate-graphs", fraction_of_examples=0.5)
@given(strategies.programs())
def test_a_validation_loss_that_is_walked_backward_trains(target: Subject, sample: strategies.Programs) -> None:
    """Its gradient is added to the gradient of the training loss."""
    both = strategies.Programs(sample.params, [sample.losses[0], sample.losses[-1]])

    answer = passes(target, both, "never")

    agree(present(answer[1][1]), added(gradients(both)).nearest())


OPERATIONS: tuple[tuple[str, Callable[[strategies.Programs, strategies.Fit], tuple[Any, ...]]], ...] = (
    ("backward", lambda programs, fit: (programs.losses, programs.params, "never")),
    ("descend", lambda programs, fit: (strategies.SquaredDistance(0.5), programs.params, 0.125, 2, True)),
    ("manual_training_loop", lambda programs, fit: (2, 0.125, fit.params, fit.t_u, fit.t_c)),
    ("evaluate", lambda programs, fit: (programs.losses[0], programs.params, True)),
    ("calc_forward", lambda programs, fit: (fit.params, fit.t_u, fit.t_c, True)),
)
EACH = pytest.mark.parametrize(("operation", "arguments"), OPERATIONS, ids=[name for name, _ in OPERATIONS])


def flat(answer: Any) -> list[Any]:
    """The arrays of an answer, however deep."""
    if isinstance(answer, (list, tuple)):
        return [x for part in answer for x in flat(part)]
    return [] if answer is None else [answer]


@clause("autograd.dtype", fraction_of_examples=0.1)
@EACH
@given(programs=strategies.programs(), fit=strategies.simple_fits())
def test_every_answer_has_the_dtype_of_the_parameters(
    target: Subject, operation: str, arguments: Any, programs: strategies.Programs, fit: strategies.Fit
) -> None:
    answer = flat(target.call(operation, arguments(programs, fit)))

    keeps_dtype(target, *answer)


@clause("autograd.pure", fraction_of_examples=0.1)
@EACH
@given(programs=strategies.programs(), fit=strategies.simple_fits())
def test_autograd_leaves_its_arguments_alone(
    target: Subject, operation: str, arguments: Any, programs: strategies.Programs, fit: strategies.Fit
) -> None:
    """A step in place works on a copy."""
    target.call(operation, arguments(programs, fit))

    leaves_arguments_alone(target)
