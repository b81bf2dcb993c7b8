"""The chapter on optimizers: the rule of each, and its options."""

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calibrant import exact, strategies
from calibrant.conformance.optimizer_walks import (
    CORE,
    MATRICES,
    OWN,
    SCHEDULE_FREE,
    SHOWN,
    WEIGHTS,
    WIDE,
    each_optimizer,
    follows_its_rule,
    keeps_its_rule,
    near,
    plain,
    truth,
    walk,
)
from calibrant.judge import agree, agree_lists, holds, shaped
from calibrant.strategies import Optimization, optimizations
from calibrant.strategies.drawing import widened
from calibrant.suite.property import clause
from calibrant.target.calling import Subject

# SGD


@clause("optimizer.sgd", fraction_of_examples=0.6)
@given(plain("sgd"))
def test_sgd_goes_against_the_gradient(target: Subject, run: Optimization) -> None:
    follows_its_rule(target, run)


@clause("optimizer.sgd.momentum", fraction_of_examples=0.4)
@given(optimizations("sgd", only=("momentum",), momentum=(0.5, 0.9, 0.99, 0.75), steps=(2, 8)))
def test_the_buffer_sums_up_gradients_that_fade(target: Subject, run: Optimization) -> None:
    """The buffer is no average and does not contain the learning rate, which a changing rate shows."""
    keeps_its_rule(target, run, momentum=0.0)


@clause("optimizer.sgd.dampening", fraction_of_examples=0.4)
@given(
    optimizations(
        "sgd", only=("momentum", "dampening"), momentum=(0.5, 0.9), dampening=(0.5, 0.25, 1.0, 0.1), steps=(1, 5)
    )
)
def test_dampening_spares_the_first_gradient(target: Subject, run: Optimization) -> None:
    keeps_its_rule(target, run, dampening=0.0)


@clause("optimizer.sgd.nesterov", fraction_of_examples=0.4)
@given(optimizations("sgd", only=("momentum", "nesterov"), momentum=(0.5, 0.9, 0.75), nesterov=(True,), steps=(2, 6)))
def test_nesterov_adds_the_new_buffer_to_the_gradient(target: Subject, run: Optimization) -> None:
    """The old buffer would give plain momentum."""
    if target.follow["sgd.nesterov"] == "look-ahead" and "training_loop" not in target.target.operations:
        pytest.skip("that gradients are taken at the point ahead shows in a training loop alone")
    keeps_its_rule(target, run, nesterov=False)


@clause("optimizer.sgd.weight-decay", fraction_of_examples=0.4)
@given(optimizations("sgd", maximize=(None,), momentum=(None, 0.5, 0.9), weight_decay=(0.25, 0.1, 0.5, 1e-2)))
def test_decay_is_part_of_the_gradient(target: Subject, run: Optimization) -> None:
    """The decay enters the buffer; without momentum it equals a decay of the parameter."""
    keeps_its_rule(target, run, weight_decay=0.0)


@clause("optimizer.maximize", fraction_of_examples=0.14)
@each_optimizer
@given(drawn=strategies.of_each(maximize=(True,), weight_decay=(None, 0.25, 0.1)))
def test_to_maximize_is_to_follow_the_gradient_upward(target: Subject, name: str, drawn: Any) -> None:
    """Only the gradient changes its sign: a decay still shrinks the parameters."""
    run = drawn(name)
    against = [[None if g is None else -g for g in step] for step in run.grads]
    down = Optimization(name, {**run.hyperparameters, "maximize": False}, run.params, against)

    others, up = walk(target, down), walk(target, run)

    agree_lists(up, near(others, truth(target, run)), due="where the negated gradients, without maximize, led to")


# Adam


@clause("optimizer.adam")
@given(plain("adam"))
def test_adam_follows_its_rule(target: Subject, run: Optimization) -> None:
    follows_its_rule(target, run)


@clause("optimizer.adam.bias-correction", fraction_of_examples=0.4)
@given(
    optimizations(
        "adam",
        only=("beta1", "beta2"),
        beta1=(0.5, 0.9, 0.75),
        beta2=(0.75, 0.5, 0.9),
        rates=(1.0,),
        courses=("constant",),
        steps=(1, 6),
    )
)
def test_averages_are_divided_by_the_sum_of_their_weights(target: Subject, run: Optimization) -> None:
    """The averages begin at zero, so that after t steps their weights sum to 1 - beta ** t: each average of equal gradients is one of them."""
    follows_its_rule(target, run)


@clause("optimizer.adam.epsilon", fraction_of_examples=0.4)
@given(optimizations("adam", only=CORE, beta2=(0.75, 0.5, 0.9), eps=SHOWN, steps=(2, 8)))
def test_epsilon_is_added_to_the_root_of_the_corrected_average(target: Subject, run: Optimization) -> None:
    keeps_its_rule(target, run, eps=0.0)


@clause("optimizer.adam.amsgrad", fraction_of_examples=0.2)
@pytest.mark.parametrize("name", ["adam", "adamw"])
@given(
    drawn=strategies.of_each(
        only=(*CORE, "amsgrad"),
        beta2=(0.5, 0.75, 0.0),
        amsgrad=(True,),
        courses=("shrinking", "ending"),
        steps=(2, 8),
    )
)
def test_amsgrad_divides_by_the_largest_average_so_far(target: Subject, name: str, drawn: Any) -> None:
    """It keeps the largest uncorrected average. Shrinking gradients show it; with growing ones it equals Adam."""
    keeps_its_rule(target, drawn(name), amsgrad=False)


@clause("optimizer.adam.weight-decay", fraction_of_examples=0.4)
@given(optimizations("adam", maximize=(None,), weight_decay=(0.25, 0.1, 0.5, 1e-2)))
def test_adams_decay_is_part_of_the_gradient(target: Subject, run: Optimization) -> None:
    keeps_its_rule(target, run, weight_decay=0.0)


@clause("optimizer.adam.first-step", fraction_of_examples=0.4)
@given(optimizations("adam", only=CORE, eps=(0.0, 0.25, 1e-2, 0.1), steps=(1, 1)))
def test_adams_first_step_is_as_long_as_the_rate(target: Subject, run: Optimization) -> None:
    """Without epsilon, neither the gradient's magnitude nor the betas matter: m and v hold one gradient and its square."""
    if target.follow["adam.correction"] == "none":
        pytest.skip("uncorrected averages are not those of one gradient")
    if target.follow["adam.epsilon"] != "outside":
        run.hyperparameters["eps"] = 0.0

    (step,) = walk(target, run)

    rate, eps = run.hyperparameters["lr"], Fraction(run.hyperparameters["eps"])
    rate = Fraction(rate[0] if isinstance(rate, list) else rate)
    for answer, p, g, bound in zip(step, run.params, run.grads[0], truth(target, run)[0], strict=True):
        lengths = [rate * slope / (abs(slope) + eps or 1) for slope in exact.of(g).fractions()]
        landing = exact.concatenate(
            *(
                exact.constant(x - length, bound.form)
                for x, length in zip(exact.of(p).fractions(), lengths, strict=True)
            )
        )
        agree(
            shaped(answer, bound.shape).reshape(-1),
            landing.within(bound.errors().reshape(-1), bound.form),
            "a parameter",
        )


@clause("optimizer.adam.scale-free", fraction_of_examples=0.4)
@given(
    run=optimizations("adam", only=("beta1", "beta2", "amsgrad"), steps=(2, 8)),
    scale=st.sampled_from((8.0, 0.25, 3.0, 0.1, 100.0, 2.0**-7)),
)
def test_scaled_gradients_lead_adam_the_same_way(target: Subject, run: Optimization, scale: float) -> None:
    """Epsilon is zero here. A scale that is no power of two rounds each gradient: the exact paths then differ by that alone."""
    run.hyperparameters["eps"] = 0.0
    grads = [[target.array(widened(g) * scale) for g in step] for step in run.grads]
    scaled = Optimization(run.name, run.hyperparameters, run.params, grads)

    steps, others = walk(target, run), walk(target, scaled)

    due = near(steps, truth(target, run), truth(target, scaled))
    agree_lists(others, due, due="where the gradients before they were scaled led to")


@clause("optimizer.adamw")
@given(plain("adamw", weight_decay=(None, 0.0, 0.25, 0.0, 0.1, 0.0)))
def test_adamw_follows_its_rule(target: Subject, run: Optimization) -> None:
    follows_its_rule(target, run)


@clause("optimizer.adamw.decoupled", fraction_of_examples=0.4)
@given(optimizations("adamw", only=(*CORE, "weight_decay"), weight_decay=(0.25, None, 0.1, 0.5)))
def test_decoupled_decay_never_enters_the_averages(target: Subject, run: Optimization) -> None:
    """The parameter shrinks by the factor 1 - lr wd before the step."""
    keeps_its_rule(target, run, weight_decay=0.0)


# The others


@clause("optimizer.rmsprop", fraction_of_examples=0.9)
@given(plain("rmsprop"))
def test_rmsprop_follows_its_rule(target: Subject, run: Optimization) -> None:
    follows_its_rule(target, run)


@clause("optimizer.rmsprop.centered", fraction_of_examples=0.4)
@given(optimizations("rmsprop", only=("alpha", "eps", "centered"), alpha=(0.5, 0.75, 0.9), centered=(True,)))
def test_centered_rmsprop_divides_by_the_deviation(target: Subject, run: Optimization) -> None:
    keeps_its_rule(target, run, centered=False)


@clause("optimizer.rmsprop.momentum", fraction_of_examples=0.4)
@given(optimizations("rmsprop", only=("alpha", "eps", "momentum", "centered"), momentum=(0.5, 0.9), steps=(2, 8)))
def test_rmsprop_momentum_gathers_steps_without_the_rate(target: Subject, run: Optimization) -> None:
    keeps_its_rule(target, run, momentum=0.0)


@clause("optimizer.adagrad", fraction_of_examples=0.9)
@given(plain("adagrad"))
def test_adagrad_follows_its_rule(target: Subject, run: Optimization) -> None:
    follows_its_rule(target, run)


@clause("optimizer.adagrad.lr-decay", fraction_of_examples=0.4)
@given(
    optimizations(
        "adagrad", only=("lr_decay", "initial_accumulator_value", "eps"), lr_decay=(0.5, 0.1, 1.0, 0.25), steps=(1, 6)
    )
)
def test_adagrads_rate_decays_from_the_second_step_on(target: Subject, run: Optimization) -> None:
    keeps_its_rule(target, run, lr_decay=0.0)


@clause("optimizer.adagrad.initial-accumulator", fraction_of_examples=0.4)
@given(
    optimizations(
        "adagrad",
        only=("initial_accumulator_value", "eps"),
        initial_accumulator_value=(0.25, None, 1.0, 0.1, 1e-4),
        steps=(1, 1),
    )
)
def test_adagrads_sum_begins_at_the_initial_accumulator(target: Subject, run: Optimization) -> None:
    follows_its_rule(target, run)


@clause("optimizer.adadelta", fraction_of_examples=0.9)
@given(plain("adadelta"))
def test_adadelta_follows_its_rule(target: Subject, run: Optimization) -> None:
    follows_its_rule(target, run)


@clause("optimizer.adamax", fraction_of_examples=0.9)
@given(plain("adamax"))
def test_adamax_follows_its_rule(target: Subject, run: Optimization) -> None:
    follows_its_rule(target, run)


@clause("optimizer.nadam", fraction_of_examples=0.9)
@given(plain("nadam"))
def test_nadam_follows_its_rule(target: Subject, run: Optimization) -> None:
    follows_its_rule(target, run)


@clause("optimizer.radam", fraction_of_examples=0.9)
@given(plain("radam", steps=(1, 12)))
def test_radam_follows_its_rule(target: Subject, run: Optimization) -> None:
    """The step is rectified once more than five gradients count: from the sixth step on, where beta2 is near 1."""
    follows_its_rule(target, run)


@clause("optimizer.asgd", fraction_of_examples=0.9)
@given(plain("asgd"))
def test_asgd_follows_its_rule(target: Subject, run: Optimization) -> None:
    follows_its_rule(target, run)


@clause("optimizer.rprop")
@given(
    plain(
        "rprop",
        step_sizes=((0.25, 0.5), None, (0.5, 1.0), (1e-3, 0.6)),
        courses=("free", "alternating", "ending", "alternating", "shrinking", "constant"),
    )
)
def test_rprop_follows_its_rule(target: Subject, run: Optimization) -> None:
    follows_its_rule(target, run)


@clause("optimizer.lion", fraction_of_examples=0.9)
@given(plain("lion"))
def test_lion_follows_its_rule(target: Subject, run: Optimization) -> None:
    """The average whose sign it takes is not the one that it remembers."""
    follows_its_rule(target, run)


@clause("optimizer.adabelief", fraction_of_examples=0.9)
@given(plain("adabelief"))
def test_adabelief_follows_its_rule(target: Subject, run: Optimization) -> None:
    follows_its_rule(target, run)


@clause("optimizer.lamb", fraction_of_examples=0.9)
@given(plain("lamb", shapes=WIDE, weight_decay=(None, 0.25, 0.0, 0.1, None)))
def test_lamb_follows_its_rule(target: Subject, run: Optimization) -> None:
    """The norms are those of one parameter."""
    follows_its_rule(target, run)


@clause("optimizer.lars", fraction_of_examples=0.9)
@given(optimizations("lars", only=OWN["lars"], shapes=WIDE))
def test_lars_follows_its_rule(target: Subject, run: Optimization) -> None:
    """A changing rate shows whether the buffer contains it."""
    follows_its_rule(target, run)


@clause("optimizer.adafactor", fraction_of_examples=0.9)
@given(optimizations("adafactor", only=OWN["adafactor"], shapes=WIDE))
def test_adafactor_follows_its_rule(target: Subject, run: Optimization) -> None:
    """A matrix has an average for each row and for each column, a vector one for each number."""
    follows_its_rule(target, run)


@clause("optimizer.adafactor")
def test_a_small_parameter_moves_by_little(target: Subject) -> None:
    params = [target.array([0.25, -0.125]), target.array([[0.5, 0.25]])]
    grads = [target.array([1.0, -2.0]), target.array([[2.0, 3.0]])]

    follows_its_rule(target, Optimization("adafactor", {"lr": 0.5}, params, [grads, grads]))


@clause("optimizer.trust-ratio", fraction_of_examples=0.2)
@pytest.mark.parametrize("name", ["lamb", "lars"])
@given(
    drawn=strategies.of_each(shapes=WIDE, eps=(1e-2, 0.25), steps=(1, 1)),
    which=st.sampled_from(("parameter", "gradient")),
)
def test_a_norm_of_zero_makes_a_trust_ratio_of_one(target: Subject, name: str, drawn: Any, which: str) -> None:
    """A parameter that begins at zero, as a bias does, would else never move."""
    run = drawn(name)
    run.hyperparameters["weight_decay"] = 0.0
    if which == "parameter":
        run.params = [np.zeros_like(p) for p in run.params]
    else:
        run.grads = [[np.zeros_like(g) for g in step] for step in run.grads]
    follows_its_rule(target, run)


@clause("optimizer.decoupled-decay", fraction_of_examples=0.3)
@pytest.mark.parametrize("name", ["lion", "adabelief"])
@given(drawn=strategies.of_each(maximize=(None,), eps=(0.25, 1e-2), weight_decay=(0.25, 0.1, 0.5, 1e-2)))
def test_the_decay_of_lion_and_adabelief_is_beside_the_step(target: Subject, name: str, drawn: Any) -> None:
    keeps_its_rule(target, drawn(name), weight_decay=0.0)


@clause("optimizer.muon", fraction_of_examples=0.9)
@given(optimizations("muon", only=OWN["muon"], shapes=MATRICES, steps=(1, 4)))
def test_muon_follows_its_rule(target: Subject, run: Optimization) -> None:
    """The bound on a matrix grows with each iteration; where it exceeds the matrix, nothing is claimed."""
    follows_its_rule(target, run)


@clause("optimizer.muon")
@pytest.mark.parametrize("nesterov", [True, False])
def test_the_momentum_of_a_matrix_goes_on_from_what_it_was(target: Subject, nesterov: bool) -> None:
    """The sides of the matrix differ, and so do its gradients."""
    matrices = [target.array([[x], [y], [z]]) for x, y, z in ((1.0, -2.0, 1.0), (4.0, 0.5, 2.0))]
    given = {"lr": 0.5, "momentum": 0.5, "nesterov": nesterov, "ns_steps": 1, "adjust_lr_fn": "match_rms_adamw"}

    follows_its_rule(target, Optimization("muon", given, matrices[:1], [[m] for m in (*matrices, matrices[0])]))


@clause("optimizer.muon.orthogonal", fraction_of_examples=0.4)
@given(
    optimizations("muon", only=(), shapes=tuple(some[:1] for some in MATRICES), steps=(1, 1), lr=(1.0,), rates=(1.0,))
)
def test_muons_step_has_the_singular_vectors_of_its_momentum_and_singular_values_near_one(
    target: Subject, run: Optimization
) -> None:
    """In any precision: half a format is enough to keep them within a half of 1, which the exact iteration keeps within a third."""
    gradient = widened(run.grads[0][0])
    gradient = gradient * 2.0 ** -math.frexp(float(np.abs(gradient).max()))[1]
    (rows, columns), size = gradient.shape, float(np.linalg.norm(gradient))
    given = target.array(gradient)
    start = Optimization("muon", run.hyperparameters, [np.zeros_like(given)], [[given]])

    ((step,),) = walk(target, start)

    tall = rows / columns if target.follow["muon.scale"] == "rows" else columns / rows
    moved = -widened(shaped(step, (rows, columns))) / math.sqrt(max(1.0, tall))
    holds(
        bool(np.isfinite(moved).all()) and np.linalg.norm(moved, 2) <= 1.5 * (size > 0), "is longer than one and a half"
    )
    left, sizes, right = np.linalg.svd(widened(given))
    for u, s, v in zip(left.T, sizes, right, strict=False):
        if s >= 0.1 * size > 0:
            along = float(u @ moved @ v)
            holds(0.5 <= along <= 1.5, f"moves by {along:.3g} along a pair of singular vectors, and not by about 1")


@clause("optimizer.sgdschedulefree", fraction_of_examples=0.9)
@given(optimizations("sgdschedulefree", only=OWN["sgdschedulefree"]))
def test_schedule_free_sgd_follows_its_rule(target: Subject, run: Optimization) -> None:
    """A changing rate shows that the largest rate so far weighs a step."""
    follows_its_rule(target, run)


@clause("optimizer.adamwschedulefree", fraction_of_examples=0.9)
@given(optimizations("adamwschedulefree", only=OWN["adamwschedulefree"]))
def test_schedule_free_adamw_follows_its_rule(target: Subject, run: Optimization) -> None:
    follows_its_rule(target, run)


@clause("optimizer.schedule-free.average", fraction_of_examples=0.3)
@pytest.mark.parametrize("name", SCHEDULE_FREE)
@given(
    drawn=strategies.of_each(only=("momentum", *CORE, *WEIGHTS, "averaged"), eps=SHOWN, averaged=(True,), steps=(2, 8))
)
def test_an_average_weighs_each_step(target: Subject, name: str, drawn: Any) -> None:
    keeps_its_rule(target, drawn(name), averaged=False, r=0.0, weight_lr_power=2.0, warmup_steps=0)


@clause("optimizer.schedule-free.average", fraction_of_examples=0.3)
@pytest.mark.parametrize("name", SCHEDULE_FREE)
@given(drawn=strategies.of_each(only=("momentum", *CORE), eps=SHOWN, rates=(2.0,), steps=(2, 8)))
def test_steps_without_a_rate_weigh_nothing(target: Subject, name: str, drawn: Any) -> None:
    """A warm-up may begin at zero: then the weight of a step and the sum of all weights are both zero."""
    run = drawn(name)
    run.hyperparameters["lr"][0] = 0.0
    follows_its_rule(target, run)
