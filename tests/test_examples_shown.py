"""The example that a report shows is the call that was judged, and its sentence says which part of the answer is wrong."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from support import bare, subject

from calibrant.adapters import numpy_target as right
from calibrant.checks.outcomes import outcome_of
from calibrant.judge import Disagreement, tallying
from calibrant.strategies import Batched, Descent, Fit, Losses, Operands, Optimization, Programs, of_steps


def array(*numbers: float) -> Any:
    return np.array(numbers)


def shown(name: str, target: Any, *arguments: Any) -> str:
    """The text of a report on a property that fails on these arguments."""
    with pytest.raises(Disagreement) as caught:
        bare(name)(target, *arguments)
    outcome = outcome_of("loss.mean-square", name, "float64", target, caught.value)
    assert outcome.failure is not None
    return outcome.failure.text.strip()


LINE = array(1.0, 2.0), array(0.0, 1.0), np.array(1.0), np.array(0.5)
FIT = Fit(*LINE)
WHOLE = Batched(array(1.0, 2.0, 4.0), array(0.0, 1.0, 1.0), np.array(1.0), np.array(0.5), [1, 2])
WALK = Optimization("sgd", {"lr": 0.5}, [array(1.0)], [[array(2.0)], [array(1.0)]])
SQUARE = Programs(array(3.0), [of_steps(1, ("*", 0, 0))])


def of_two(t_u: Any, *others: Any) -> Any:
    """A gradient that is right for two samples alone."""
    return right.grad_fn(t_u, *others) * t_u.size / 2


def doubled(params: Any, t_u: Any, t_c: Any) -> Any:
    t_p = right.model(t_u, *params)
    return right.loss_fn(t_p, t_c), 2 * right.grad_fn(t_u, t_c, t_p, *params)


def minimizing(name: str, options: dict[str, Any], *others: Any) -> Any:
    return right.optimize(name, options | {"maximize": False}, *others)


def too_far(n_epochs: int, *others: Any) -> Any:
    """Run of three epochs where one is due; the others are right."""
    return right.training_loop(3 if n_epochs == 1 else n_epochs, *others)


class Recording:
    """An engine that records whatever it is told, except within another evaluation."""

    deep = 0

    def __call__(self, loss: Any, params: Any, is_train: bool) -> Any:
        self.deep += 1
        value = loss(params)
        self.deep -= 1
        return value, None if self.deep else 2 * params


JUDGED: dict[str, tuple[dict[str, Any], tuple[Any, ...], list[str]]] = {
    "test_the_gradient_is_the_slope_of_the_reported_loss": (
        {"value_and_grad": doubled}, (FIT,),
        ["value_and_grad([1.0, 0.5], [1.0, 2.0], [0.0, 1.0]) returned the gradient [9.0, 6.0], where the losses that it reports"
         " at w ± 1 and b ± 1 have the slopes [4.5, 3.0]: off by 3 (in b)"],
    ),
    "test_gradients_of_parts_combine_by_their_sizes": (
        {"grad_fn": of_two}, ("grad_fn", WHOLE),
        ["grad_fn([1.0, 2.0, 4.0], ", "where its gradients of the two parts, by their sizes, make", "(in b)"],
    ),
    "test_two_ways_to_the_gradient_agree": (
        {"grad_fn": right.grad_fn, "value_and_grad": doubled}, ("grad_fn", "value_and_grad", type("Probe", (Fit,), {})(*LINE)),
        ["value_and_grad(", "returned the gradient [9.0, 6.0], where grad_fn returned the gradient [4.5, 3.0]"],
    ),
    "test_the_order_of_the_samples_does_not_matter": (
        {"loss_fn": lambda t_p, t_c: t_p[0]}, ("loss_fn", (FIT, [1, 0])),
        ["loss_fn([1.5, 2.5], [0.0, 1.0]) returned 1.5; loss_fn([2.5, 1.5], [1.0, 0.0]) returned 2.5, where the call before gave 1.5"],
    ),
    "test_to_maximize_is_to_follow_the_gradient_upward": (
        {"optimize": minimizing}, ("sgd", lambda name: Optimization(name, {"lr": 0.5, "maximize": True}, WALK.params, WALK.grads)),
        ["'maximize': True}, [[1.0]], [[[2.0]], [[1.0]]]) after step 1 is [0.0], where the negated gradients, without maximize,"
         " led to [2.0]"],
    ),
    "test_any_optimizer_in_the_loop_follows_its_rule": (
        {"training_loop": too_far}, ("sgd", Descent(*LINE, 0.125, 3)),
        ["training_loop(1, {'name': 'sgd', 'lr': 0.25}, ", "returned the parameters ", ", exactly ", "(in w)"],
    ),
    "test_an_evaluation_restores_the_mode": (
        {"evaluate": Recording()}, (False, True, False, SQUARE),
        ["evaluate(lambda params: [target.evaluate(", "False) recorded: it has the gradient [6.]"],
    ),
    "test_training_stops_when_patience_is_exhausted": (
        {"early_stopping": lambda losses, patience: (0, 0)}, (Losses(array(2.0, 1.0, 3.0), 1),),
        ["returned the last epoch 0.0 where 2 is due, exactly"],
    ),
    "test_best_epoch_is_the_first_of_the_lowest_until_the_stop": (
        {"early_stopping": lambda losses, patience: (2, 0)}, (Losses(array(2.0, 1.0, 3.0), 1),),
        ["returned the best epoch 0.0 where 1 is due, exactly"],
    ),
    "test_the_loop_follows_the_recurrence": (
        {"manual_training_loop": lambda n, lr, *data: (right.training_loop(n, {"name": "sgd", "lr": lr}, *data)[0], array(0.0, 0.0))},
        (Descent(*LINE, 0.125, 2),), ["returned the losses [0.0, 0.0], exactly "],
    ),
    "test_each_pass_adds_its_gradient_to_the_one_that_it_finds": (
        {"backward": lambda losses, params, zero_grad: [(None, 2 * params), (2 * params, 2 * params)]},
        (Programs(array(3.0), SQUARE.losses * 2),), ["returned the gradient after pass 2 [6.0] where [12.0] is due, exactly"],
    ),
    "test_gradients_have_the_dtype_of_the_operands": (
        {"multiply_grad": lambda x, y, upstream: (upstream * y, (upstream * x).astype(np.float32))},
        (Operands(array(1.0), array(2.0), array(1.0)),),
        ["returned grad_y in float32 where float64 is due"],
    ),
    "test_invalid_schedules_are_refused": (
        {"training_loop": lambda *arguments: (0.0, 0.0, [])}, ("training_loop", -np.inf, 1),
        ["did not refuse a learning rate of -inf, which is not finite"],
    ),
    "test_invalid_hyperparameters_are_refused": (
        {"optimize": lambda name, options, *others: 1 / 0 if options.get("betas", (0, 0))[1] != 1 else 0.0},
        ("adam", "betas", (0.9, 0.999)), ["took {'lr': 0.5, 'betas': (0.9, 1.0)} for adam, though 1 in betas is 1, where less is due"],
    ),
}  # fmt: skip
"""For a property: a target that breaks it, the arguments, and what the text says, in order."""


@pytest.mark.parametrize(("name", "case"), JUDGED.items(), ids=JUDGED)
def test_the_shown_example_is_the_call_that_was_judged(name: str, case: Any) -> None:
    operations, arguments, said = case
    target = subject(**operations)

    text = shown(name, target, *arguments)

    rest = text
    for part in said:
        assert part in rest, text
        rest = rest[rest.index(part) + len(part) :]
    assert ("exactly" in text) == ("exactly" in "".join(said))


HALF = np.float16
STEEP = Descent(np.full(13, 60.2, HALF), np.full(13, 72.06, HALF), HALF(-7.777), HALF(-4.39), 0.5, 1)
GROWING = {"alpha": 0.0, "eps": 0.01, "weight_decay": 0.25, "centered": True, "lr": 0.25}


@pytest.mark.filterwarnings("ignore:overflow", "ignore:invalid", "ignore:divide")
@pytest.mark.parametrize(
    ("operation", "name", "sample", "unjudged"),
    [
        ("training_loop", "test_a_rate_of_zero_leaves_the_parameters", STEEP, 1),  # the gradient, times zero
        ("training_loop", "test_a_rate_of_zero_leaves_the_parameters", replace(STEEP, n_epochs=2), 2),  # then the other
        (
            "optimize",  # the squares of gradients that grow with the parameters
            "test_the_variance_of_steady_gradients_is_not_negative",
            Optimization("rmsprop", GROWING, [np.zeros(2, HALF)], [[np.array([0, 1], HALF)]] * 8),
            0,
        ),
        (
            "optimize",  # the ratio of two norms
            "test_the_variance_of_steady_gradients_is_not_negative",
            Optimization("lamb", {"eps": 0.1, "lr": 0.25}, [HALF([-3, 0])], [[HALF([2.36e-5, 0])]] * 9),
            0,
        ),
    ],
)
def test_no_claim_is_made_where_a_number_on_the_way_may_overflow(
    operation: str, name: str, sample: Any, unjudged: int
) -> None:
    target = subject("float16", **{operation: getattr(right, operation)})

    with tallying(target.tally):
        bare(name)(target, sample)

    assert target.tally.unjudged == unjudged
    assert not all(np.isfinite(x).all() for x in target.calls[-1].answer[-1 if operation == "optimize" else 0])
