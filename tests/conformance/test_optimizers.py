"""The chapter on optimizers."""

import contextlib
import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calibrant import exact, strategies
from calibrant.exact import Exact
from calibrant.exact.measurements import T_C, T_U
from calibrant.judge import LINE, Disagreement, agree, agree_lists, holds, listed, shaped, tallying
from calibrant.strategies import Descent, Optimization, optimizations
from calibrant.strategies.drawing import widened
from calibrant.suite.claims import about, keeps_dtype, last_of_many
from calibrant.suite.property import clause
from calibrant.target.calling import Failure, Refused, Subject

NAMES = (
    "sgd", "adam", "adamw", "rmsprop", "adagrad", "adadelta", "adamax", "nadam", "radam", "asgd", "rprop", "lion", "adabelief",
    "lamb", "lars", "adafactor", "muon", "sgdschedulefree", "adamwschedulefree",
)  # fmt: skip
BY_NORM = ("lamb", "lars", "adafactor", "muon")
"""The optimizers in which the numbers of a parameter depend on each other."""
each_optimizer = pytest.mark.parametrize("name", NAMES)
SHOWN = (1e-2, 0.25, 0.1)
"""Epsilons large enough to show where they are added; 1e-8 is too small for float32."""
WIDE = (((2,),), ((2, 2),), ((3,), (2,)), ((1,),), ((2, 3), ()), ((4,), (2, 2)))
"""Shapes of parameters with norms that no single number has."""
MATRICES = (((2, 2),), ((1, 2),), ((2, 1),), ((2, 3),), ((3, 2),), ((2, 2), (3, 1)), ((3, 3),))
CORE = ("beta1", "beta2", "eps")
WEIGHTS = ("weight_decay", "r", "weight_lr_power", "warmup_steps")
SCHEDULE_FREE = ("sgdschedulefree", "adamwschedulefree")
OWN = {
    "sgd": (), "adam": CORE, "adamw": (*CORE, "weight_decay"), "rmsprop": ("alpha", "eps"), "adagrad": ("eps",),
    "adadelta": ("rho", "eps"), "adamax": CORE, "nadam": (*CORE, "momentum_decay"), "radam": CORE, "asgd": ("lambd", "alpha"),
    "rprop": ("etas", "step_sizes"), "lion": ("beta1", "beta2"), "adabelief": CORE, "lamb": (*CORE, "weight_decay"),
    "lars": ("momentum", "trust_coefficient", "weight_decay", "eps"), "adafactor": ("beta2_decay", "eps", "d", "weight_decay"),
    "muon": ("momentum", "nesterov", "ns_coefficients", "ns_steps", "eps", "adjust_lr_fn", "weight_decay"),
    "sgdschedulefree": ("momentum", "weight_decay"), "adamwschedulefree": (*CORE, "weight_decay"),
}  # fmt: skip
"""The hyperparameters beside the rate without which an optimizer has no rule; all others are options, with clauses of their own."""


def plain(name: str, **options: Any) -> st.SearchStrategy[Optimization]:
    """Runs of an optimizer by its plain rule, at a constant rate, which may be the default."""
    return optimizations(name, only=OWN[name], rates=(1.0,), lr=(0.5, 0.25, None, 1.0, 0.1, 1e-2, 0.3, 1e-5), **options)


def asked(run: Optimization) -> tuple[Any, ...]:
    """The run as arguments of the operation."""
    return run.name, run.hyperparameters, run.params, run.grads


def walk(target: Subject, run: Optimization) -> list[list[Any]]:
    """The parameters after each step; raise Disagreement unless all are there.

    A run with a zero where the default is none may be refused: it counts as not served.
    """
    try:
        return listed(target.optimize(*asked(run)), [len(step) for step in run.grads])
    except Failure as failure:
        zeros = [
            key for key, value in run.hyperparameters.items() if key != "lr" and zero_at_an_end(run.name, key, value)
        ]
        if failure.raised and zeros:
            raise Refused(f"{run.name} refuses zero for {', '.join(zeros)}") from None
        raise


def zero_at_an_end(name: str, key: str, value: Any) -> bool:
    """Whether a number of a hyperparameter is zero, and the default is not."""
    default = exact.OPTIMIZERS[name][key]
    pairs = zip(value, default, strict=True) if isinstance(default, tuple) else [(value, default)]
    return any(x == 0 != usual for x, usual in pairs if not isinstance(usual, bool) and x is not None)


def truth(target: Subject, run: Optimization) -> list[list[Exact]]:
    """The exact parameters after each step of the rule that the target declares, within the errors of all paths that it may take."""
    right, *others = exact.paths(*asked(run), target.follow)
    for other in others:
        right = [
            [one.within(np.maximum(one.err, x.err), one.form) for one, x in zip(*xs, strict=True)]
            for xs in zip(right, other, strict=True)
        ]
    return right


def follows_its_rule(target: Subject, run: Optimization) -> None:
    """Raise Disagreement unless every step is within the bound of the rule that the target declares, on one of its paths."""
    steps, wrong = walk(target, run), []
    for path in exact.paths(*asked(run), target.follow):
        try:
            return agree_lists(steps, path)
        except Disagreement as disagreement:
            wrong.append(disagreement)
    raise wrong[0]


def keeps_its_rule(target: Subject, run: Optimization, **neutral: Any) -> None:
    """Raise Disagreement if a run leaves the rule of the target, and the same run with neutral hyperparameters does not.

    Where both leave it, another clause says what is wrong, and the numbers of the run count as not judged.
    """
    judged, worst, spread = target.tally.judged, target.tally.worst, [*target.tally.spread]
    try:
        follows_its_rule(target, run)
    except Disagreement:
        n_calls = len(target.calls)
        try:
            with contextlib.suppress(Refused), tallying(target.tally_anew()):
                grads = pulled(run, walk(target, run)) if neutral.get("weight_decay") == 0 else run.grads
                follows_its_rule(target, Optimization(run.name, run.hyperparameters | neutral, run.params, grads))
        except (Disagreement, Failure):
            target.tally.unjudged += target.tally.judged - judged
            target.tally.judged, target.tally.worst, target.tally.spread = judged, worst, spread
            return
        finally:
            del target.calls[n_calls:]
        raise


def pulled(run: Optimization, steps: list[list[Any]]) -> list[list[Any]]:
    """The gradients with the coupled decay of the parameters along these steps; those of AdamW, Lion and AdaBelief have none."""
    decay = 0.0 if run.name in ("adamw", "lion", "adabelief") else run.hyperparameters["weight_decay"]
    before = [run.params, *steps[:-1]]
    return [
        [None if g is None else (g + decay * shaped(p, g.shape)).astype(g.dtype) for g, p in zip(*both, strict=True)]
        for both in zip(run.grads, before, strict=True)
    ]


def near(
    steps: list[list[Any]], bounds: list[list[Exact]], others: list[list[Exact]] | None = None
) -> list[list[Exact]]:
    """One answer as the expected value of another: each may be off by its bound, so that they may differ by both.

    `others` is the truth of the other, if that is not the same.
    """

    def expected(answer: Any, one: Exact, other: Exact) -> Exact:
        answer = shaped(answer, one.shape)
        numbers = exact.of(np.where(np.isfinite(answer), answer, 0.0).astype(np.float64), exact.UNROUNDED)
        return (numbers + (other.true() - one.true())).within(one.err + other.err, one.form)

    return [[*map(expected, *of_step)] for of_step in zip(steps, bounds, others or bounds, strict=True)]


def stays(answer: Any, before: Any, bound: Exact, step: int) -> None:
    """Raise Disagreement unless an answer is what was before, bit for bit, wherever its rule claims anything."""
    before = shaped(before, bound.shape)
    claimed = np.isfinite(bound.errors()) & np.isfinite(before)
    due = exact.of(np.where(claimed, before, 0).astype(before.dtype))
    agree(answer, due.within(np.where(claimed, due.errors(), np.inf), due.form), after(step), due=BEFORE)


BEFORE = "where it had been"


def after(step: int) -> str:
    """What a message calls a parameter after a step, counted from 0."""
    return f"a parameter after step {step + 1},"


def without_a_rate_in_the_buffer(target: Subject, run: Optimization) -> Optimization:
    """The run, without momentum where the target declares a buffer that holds the rates of earlier steps."""
    if target.follow.get(f"{run.name}.buffer") == "with-lr":
        for key in ("momentum", "dampening", "nesterov"):
            run.hyperparameters.pop(key, None)
        if exact.OPTIMIZERS[run.name]["momentum"]:
            run.hyperparameters["momentum"] = 0.0
    return run


def fitting(name: str, numbers: list[float]) -> Any:
    """Numbers in the shape of a parameter that an optimizer takes: Muon takes matrices."""
    return [numbers] if name == "muon" else numbers


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
@given(plain("adamw"))
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
@given(plain("rprop"))
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
@given(plain("lamb", shapes=WIDE))
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


# All of them


@clause("optimizer.coupled-decay", fraction_of_examples=0.14)
@pytest.mark.parametrize("name", ["rmsprop", "adagrad", "adadelta", "adamax", "nadam", "radam", "asgd"])
@given(drawn=strategies.of_each(maximize=(None,), weight_decay=(0.25, 0.1, 0.5, 1e-2)))
def test_the_decay_of_others_is_part_of_the_gradient(target: Subject, name: str, drawn: Any) -> None:
    keeps_its_rule(target, drawn(name), weight_decay=0.0)


@clause("optimizer.changing-rate", fraction_of_examples=0.14)
@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("asgd", "rprop")])
@given(drawn=strategies.of_each(only=("momentum",), rates=(0.5, 0.1, 2.0), steps=(2, 8)))
def test_each_step_has_its_own_rate(target: Subject, name: str, drawn: Any) -> None:
    run = without_a_rate_in_the_buffer(target, drawn(name))
    keeps_its_rule(target, run, lr=run.hyperparameters["lr"][0])


@clause("optimizer.own-state", fraction_of_examples=0.14)
@each_optimizer
@given(drawn=strategies.of_each(only=("momentum",), alike=True, steps=(2, 8)))
def test_parameters_do_not_share_state(target: Subject, name: str, drawn: Any) -> None:
    """Each moves as it moves alone; a shared buffer or count of steps shows in the second parameter."""
    run = drawn(name)
    last = len(run.params) - 1
    alone = Optimization(name, run.hyperparameters, run.params[-1:], [step[-1:] for step in run.grads])

    together, apart = walk(target, run), walk(target, alone)

    due = near([step[last:] for step in together], truth(target, alone))
    agree_lists(apart, due, due="where it went, among others, to")


@clause("optimizer.absent-gradient", fraction_of_examples=0.14)
@each_optimizer
@given(drawn=strategies.of_each(steps=(2, 8), absent=(True,)))
def test_a_step_without_a_gradient_does_not_count(target: Subject, name: str, drawn: Any) -> None:
    """The parameter and its buffers stay; a gradient of zero would let momentum and decay move it."""
    run = drawn(name)
    if all(step[0] is not None for step in run.grads):
        run.grads[len(run.grads) // 2][0] = None
    if target.follow["gradients.absent"] == "zero":
        follows_its_rule(target, run)
        return
    steps = walk(target, run)

    present = [t for t, step in enumerate(run.grads) if step[0] is not None]
    for t, step in enumerate(run.grads):
        if step[0] is None:
            agree(steps[t][0], steps[t - 1][0] if t else run.params[0], after(t), due=BEFORE)
    rates = run.hyperparameters["lr"]
    rates = [rates[t] for t in present] if isinstance(rates, list) else rates
    shorter = Optimization(
        name, {**run.hyperparameters, "lr": rates}, run.params[:1], [run.grads[t][:1] for t in present]
    )
    if present:
        due = near([steps[t][:1] for t in present], truth(target, shorter))
        agree_lists(walk(target, shorter), due, due="where, with steps without a gradient in between, it went to")


@clause("optimizer.gradients-kept", fraction_of_examples=0.14)
@each_optimizer
@given(drawn=strategies.of_each(maximize=(True, None)))
def test_optimizers_leave_their_arguments_alone(target: Subject, name: str, drawn: Any) -> None:
    """A negation or a decay in place would stay in the caller's gradients."""
    walk(target, drawn(name))

    changed = target.changed()
    holds(not changed, f"changed its {changed}")


@clause("optimizer.fresh", fraction_of_examples=0.08)
@each_optimizer
@given(drawn=strategies.of_each())
def test_a_fresh_optimizer_remembers_nothing(target: Subject, name: str, drawn: Any) -> None:
    """Bit for bit, where no sum could be taken in another order."""
    run = drawn(name)
    first = walk(target, run)

    if name in BY_NORM:
        agree_lists(walk(target, run), near(first, truth(target, run)), due="where it had gone before, to")
    else:
        holds(target.repeats(), "returned something else when it was called again")


@clause("optimizer.fresh")
def test_the_last_of_many_optimizers_steps_as_the_first(target: Subject) -> None:
    run = "sgd", {"lr": 0.5}, [target.array([1.0, 2.0])], [[target.array([0.5, -1.0])]]

    ((moved,),) = last_of_many(target, "optimize", *run)

    agree(moved, target.array([0.75, 2.5]))


@clause("optimizer.dtype", fraction_of_examples=0.08)
@each_optimizer
@given(drawn=strategies.of_each())
def test_parameters_keep_their_dtype(target: Subject, name: str, drawn: Any) -> None:
    keeps_dtype(target, walk(target, drawn(name)))


def stops_at_zero(target: Subject, name: str) -> None:
    """Skip the property if the target declares a convention by which this optimizer moves whatever its rate."""
    if target.follow.get("adadelta.rate" if name == "adadelta" else f"{name}.decay") in ("without", "without-lr"):
        pytest.skip(f"{name} moves whatever its rate")


@clause("optimizer.zero-rate", fraction_of_examples=0.08)
@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("rprop", *SCHEDULE_FREE)])
@given(drawn=strategies.of_each(only=("momentum", "weight_decay"), lr=(0.0,), rates=(1.0,)))
def test_a_rate_of_zero_leaves_every_parameter(target: Subject, name: str, drawn: Any) -> None:
    stops_at_zero(target, name)
    run = drawn(name)

    for t, (answers, bounds) in enumerate(zip(walk(target, run), truth(target, run), strict=True)):
        for answer, param, bound in zip(answers, run.params, bounds, strict=True):
            stays(answer, param, bound, t)


@clause("optimizer.zero-rate", fraction_of_examples=0.08)
@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("asgd", "rprop", *SCHEDULE_FREE)])
@given(drawn=strategies.of_each(only=("momentum", "weight_decay"), lr=(0.5, 0.25, 0.1), rates=(0.0,), steps=(2, 6)))
def test_a_rate_that_falls_to_zero_stops_every_parameter(target: Subject, name: str, drawn: Any) -> None:
    """A buffer that holds the rate would roll on."""
    stops_at_zero(target, name)
    run = without_a_rate_in_the_buffer(target, drawn(name))
    steps, bounds = walk(target, run), truth(target, run)

    for t, rate in enumerate(run.hyperparameters["lr"]):
        for k in range(len(run.params) if t and not rate else 0):
            stays(steps[t][k], steps[t - 1][k], bounds[t][k], t)


MAY_BE_NEGATIVE = {("sgd", "dampening"), ("asgd", "alpha"), ("adafactor", "beta2_decay"), ("muon", "ns_coefficients")}
NUMBERS = [
    (name, key, default)
    for name in NAMES
    for key, default in exact.OPTIMIZERS[name].items()
    if not isinstance(default, bool) and key not in ("t0", "adjust_lr_fn")
]
"""The hyperparameters that are numbers, or pairs of them, with their defaults."""


def invalid(name: str, key: str, default: Any) -> list[tuple[Any, str]]:
    """Values of a hyperparameter that mean nothing, each with the reason: not finite, or outside of its range."""
    numbers = default if isinstance(default, tuple) else (default,)
    wrong = {math.nan: "not finite", math.inf: "not finite"}
    wrong |= {} if (name, key) in MAY_BE_NEGATIVE else {-0.5: "negative"}
    wrong |= {"betas": {1.0: "1, where less is due"}, "rho": {1.5: "above 1"}, "d": {0.5: "below 1"}}.get(key, {})
    wrong |= {0.5: "positive"} if key == "beta2_decay" else {}
    wrong |= {0.5: "no whole number"} if key in ("ns_steps", "warmup_steps") else {}
    values = [
        (
            (*numbers[:place], x, *numbers[place + 1 :]),
            f"{x:g} in {key} is {why}" if len(numbers) > 1 else f"{key} is {why}",
        )
        for place in range(len(numbers))
        for x, why in wrong.items()
    ]
    if key == "etas":
        values += [(pair, f"{pair} are not one number between 0 and 1, and one above") for pair in UNFIT_ETAS]
    return values if isinstance(default, tuple) else [(x, why) for (x,), why in values]


UNFIT_ETAS = (0.5, 0.75), (1.5, 2.0), (0.0, 2.0)


@clause("optimizer.invalid")
@pytest.mark.parametrize(("name", "key", "default"), NUMBERS)
def test_invalid_hyperparameters_are_refused(target: Subject, name: str, key: str, default: Any) -> None:
    """A negative rate climbs, a beta of 1 divides by zero at the first correction, and what is not finite spreads."""
    for value, why in invalid(name, key, default):
        refuses_settings(target, name, {"lr": 0.5, key: value}, why)


@clause("optimizer.invalid")
@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"lr": [0.5]}, "there is one rate for two steps"),
        ({"lr": [0.5] * 3}, "there are three rates for two steps"),
        ({"nesterov": True}, "Nesterov's momentum has no momentum"),
        ({"nesterov": True, "momentum": 0.5, "dampening": 0.5}, "Nesterov's momentum is dampened"),
    ],
)
def test_settings_that_do_not_fit_together_are_refused(target: Subject, wrong: dict[str, Any], why: str) -> None:
    refuses_settings(target, "sgd", {"lr": 0.5, **wrong}, why)


@clause("optimizer.invalid")
@pytest.mark.parametrize("shape", [(2,), (), (1, 2, 2)])
def test_muon_moves_matrices_alone(target: Subject, shape: tuple[int, ...]) -> None:
    param = target.array(np.ones(shape))
    refused = target.refuses("optimize", "muon", {"lr": 0.5}, [param], [[param]])
    holds(refused, f"moved a parameter of shape {shape}, which is no matrix, by muon")


@clause("optimizer.invalid")
def test_muon_knows_two_scales(target: Subject) -> None:
    refuses_settings(target, "muon", {"lr": 0.5, "adjust_lr_fn": "match_rms_adam"}, "there is no such scale")


def refuses_settings(target: Subject, name: str, settings: dict[str, Any], why: str) -> None:
    """Raise Disagreement if the target takes these hyperparameters for two steps of one number."""
    one = target.array(fitting(name, [1.0]))
    params, grads = [one], [[one]] * 2
    holds(target.refuses("optimize", name, settings, params, grads), f"took {settings} for {name}, though {why}")


@clause("optimizer.unknown")
@pytest.mark.parametrize(
    ("name", "given"),
    [("adm", {}), ("", {}), ("adam", {"beta": 0.5}), ("sgd", {"momentun": 0.5}), ("adam", {"momentum": 0.5})],
)
def test_unknown_names_are_refused(target: Subject, name: str, given: dict[str, Any]) -> None:
    """Ignoring a hyperparameter that is misspelt, or another optimizer's, silently uses the default."""
    params, grads = [target.array([1.0])], [[target.array([1.0])]]

    refused = target.refuses("optimize", name, {"lr": 0.5, **given}, params, grads)

    unknown = f"{name} has no {', '.join(given)}" if given else f"there is no optimizer {name!r}"
    holds(refused, f"did not refuse it, though {unknown}")


# Long runs, steady gradients, and tensors of any size


FEW = 8
"""The steps at which other clauses look."""


@clause("optimizer.long-run")
@each_optimizer
def test_a_rule_that_holds_for_a_few_steps_holds_for_hundreds(target: Subject, name: str) -> None:
    """A count of steps that is kept in eight bits, or in bfloat16, stops at 256."""
    some: dict[str, Any] = {
        "betas": (0.99, 0.999),
        "momentum": 0.9,
        "weight_decay": 1e-2,
        "lr_decay": 0.5,
        "lambd": 0.25,
    }
    hyperparameters = {"lr": 1e-2} | {key: x for key, x in some.items() if key in exact.OPTIMIZERS[name]}
    grads = [[target.array(fitting(name, [(1.0, 0.5, -0.25)[t % 3]]))] for t in range(300)]
    run = Optimization(name, hyperparameters, [target.array(fitting(name, [0.5]))], grads)

    steps = walk(target, run)

    for path in exact.paths(*asked(run), target.follow):
        with contextlib.suppress(Disagreement), tallying(target.tally_anew()):
            agree_lists(steps[:FEW], path[:FEW])
            break
    else:
        return  # other clauses say what is wrong with its first steps
    agree_lists(steps, path)


MANY = 2500
"""A number of steps that neither bfloat16 nor float16 can count."""
AVERAGING = ("adam", "adamw", "nadam", "radam", "lamb")
"""The optimizers whose state is two averages."""


@clause("optimizer.long-run")
@pytest.mark.parametrize("name", [*AVERAGING, "adagrad", "adamax", "asgd", "adabelief", "adafactor"])
def test_a_count_of_steps_goes_beyond_what_a_half_format_can_count(target: Subject, name: str) -> None:
    """The rate is zero but for the last steps, where the parameter then stands exactly; ASGD, whose rate does not change, walks all the way.

    The half formats themselves round too much.
    """
    if target.form.precision < exact.FORMATS["float32"].precision:
        pytest.skip("a half format rounds too much to tell how far a count goes")
    some: dict[str, Any] = {
        "betas": (0.999, 0.999),
        "eps": 0.25,
        "weight_decay": 0.25,
        "lr_decay": 0.5,
        "lambd": 0.25,
        "alpha": 1.0,
    }
    hyperparameters = {key: x for key, x in some.items() if key in exact.OPTIMIZERS[name] and (key, name) not in UNUSED}
    if name == "adafactor":
        hyperparameters |= {"beta2_decay": -0.25, "eps": (1e-3, 1e-3)}
    two = name == "lamb"  # the norms of one number hide the length of its update
    params, grads = [target.array([0.5, -1.0][: 1 + two])], [target.array([1.0, 0.5][: 1 + two])]
    ends = 0.25 if name == "asgd" else [0.25] * FEW
    first = Optimization(name, {"lr": ends, **hyperparameters}, params, [grads] * FEW)
    try:
        with tallying(target.tally_anew()):
            follows_its_rule(target, first)
    except Disagreement:
        return  # other clauses say what is wrong with its first steps
    finally:
        target.calls.clear()

    rates = ends if isinstance(ends, float) else [0.0] * MANY + ends
    whole = Optimization(name, {"lr": rates, **hyperparameters}, params, [grads] * (MANY + FEW))
    steps = walk(target, whole)

    if name in AVERAGING:
        frame = exact.steady(name, hyperparameters, MANY, grads, target.follow)
        due = exact.optimize(*asked(first), target.follow, frame)
    else:
        due = exact.optimize(*asked(whole), target.follow)[MANY:]
    agree_lists(steps[MANY:], due)


UNUSED = {(key, name) for key in ("weight_decay",) for name in ("adam", "nadam", "radam", "adagrad", "adamax", "asgd")}
"""Options that their clauses judge."""


SMALL: dict[str, Any] = {"steps": (3, 50), "lr": (0.25, 0.1, 1e-2), "rates": (1.0,), "eps": (0.25, 0.1, 1e-2)}
"""Runs in which nothing grows beyond the range of a dtype."""


@clause("optimizer.finite", fraction_of_examples=0.04)
@each_optimizer
@given(drawn=strategies.of_each(courses=("constant", "free", "alternating", "ending"), **SMALL))
def test_finite_arguments_never_give_nan(target: Subject, name: str, drawn: Any) -> None:
    stays_finite(target, drawn(name))


@clause("optimizer.finite", fraction_of_examples=0.3)
@given(
    optimizations(
        "rmsprop", courses=("constant",), centered=(True,), alpha=(0.3, 0.1, 0.5, 0.2, 0.6, 0.0, 0.9, None),
        shapes=(((1,),), ((8,),)), **SMALL,
    )
)  # fmt: skip
def test_the_variance_of_steady_gradients_is_not_negative(target: Subject, run: Optimization) -> None:
    """It is the difference of two numbers that are nearly the same, and may round to less than zero."""
    stays_finite(target, run)


def stays_finite(target: Subject, run: Optimization) -> None:
    """Raise Disagreement if a parameter becomes NaN or infinite, unless the exact path leaves the range as well."""
    small = target.array(8.0)
    if run.name == "adafactor" and run.hyperparameters.get("eps", (1.0,))[0] ** 2 < target.form.tiny:
        del run.hyperparameters["eps"]  # the square of the first is the least that it divides by
    run.params = [np.clip(p, -small, small) for p in run.params]
    run.grads = [[np.clip(g, -small, small) for g in step] for step in run.grads]

    steps = walk(target, run)

    finite = all(np.isfinite(x).all() for step in steps for x in step)
    largest = 0.0 if finite else max(float(x.magnitude().max()) for step in truth(target, run) for x in step)
    beyond = (largest**2 if run.name in BY_NORM else largest) > target.form.largest / 64
    holds(finite or beyond, "returned numbers that are not finite, where all that it computes fits")


SIZES = (1, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129, 255, 256, 257)
"""Sizes of tensors around which implementations cut them into blocks, and treat the last block by itself."""


@clause("optimizer.sizes", fraction_of_examples=0.08)
@pytest.mark.parametrize("name", [name for name in NAMES if name not in BY_NORM])
@given(drawn=strategies.of_each(shapes=(((3,),),), steps=(1, 4)), size=st.sampled_from(SIZES))
def test_every_number_of_a_tensor_moves_alike(target: Subject, name: str, drawn: Any, size: int) -> None:
    """Two numbers take turns, and the last is a third, so that a fault shows in the blocks as well as behind them."""
    run = drawn(name)
    places = np.array([*(i % 2 for i in range(size - 1)), 2])
    params = [p[places] for p in run.params]
    spread = Optimization(name, run.hyperparameters, params, [[g[places] for g in step] for step in run.grads])

    alone, together = walk(target, run), walk(target, spread)

    due = [[one[places] for one in step] for step in near(alone, truth(target, run))]
    agree_lists(together, due, due="where its numbers, in a tensor of three, went to")


@clause("optimizer.sizes", fraction_of_examples=0.04)
@pytest.mark.parametrize("name", ["lamb", "lars", "adafactor"])
@given(drawn=strategies.of_each(shapes=(((3,),),), steps=(1, 2)), size=st.sampled_from((9, 17, 33, 65, 129)))
def test_every_number_of_a_tensor_counts_in_its_norm(target: Subject, name: str, drawn: Any, size: int) -> None:
    """Two numbers take turns, and the last is a third."""
    run = drawn(name)
    places = np.array([*(i % 2 for i in range(size - 1)), 2])
    grads = [[g[places] for g in step] for step in run.grads]
    try:
        with tallying(target.tally_anew()):
            follows_its_rule(target, run)
    except Disagreement:
        return  # the clause of its rule says what is wrong
    target.calls.clear()

    follows_its_rule(target, Optimization(name, run.hyperparameters, [p[places] for p in run.params], grads))


# In the loop


@clause("optimizer.swap", fraction_of_examples=0.4)
@given(strategies.descents())
def test_sgd_in_the_loop_is_the_recurrence_by_hand(target: Subject, sample: Descent) -> None:
    rate, data = sample.learning_rate, (sample.params, sample.t_u, sample.t_c)

    params, _, _ = target.training_loop(sample.n_epochs, {"name": "sgd", "lr": rate}, *data)

    agree(params, exact.trajectory(sample.n_epochs, rate, *map(exact.of, data))[0], "the parameters", names=LINE)


@clause("optimizer.swap", fraction_of_examples=0.14)
@pytest.mark.parametrize("name", [name for name in NAMES if name != "muon"])
@given(sample=strategies.descents())
def test_any_optimizer_in_the_loop_follows_its_rule(target: Subject, name: str, sample: Descent) -> None:
    """The loop gives it the gradients at the parameters before each of its steps."""
    hyperparameters = {"lr": 0.25} | ({"eps": 0.25} if isinstance(exact.OPTIMIZERS[name].get("eps"), float) else {})
    optimizer = {"name": name, **hyperparameters}
    t_u, t_c = exact.of(sample.t_u), exact.of(sample.t_c)
    path, grads = [sample.params], []
    for epoch in range(min(sample.n_epochs, 3)):
        w, b = exact.of(path[-1], target.form)
        grads.append([exact.gradient(t_u, t_c, w, b)])
        path.append(shaped(target.training_loop(epoch + 1, optimizer, sample.params, sample.t_u, sample.t_c)[0], (2,)))
        if not np.isfinite(path[-1]).all():
            return

    due = exact.optimize(name, hyperparameters, [exact.of(sample.params)], grads, target.follow)
    ends_at(target, path[1:], due)


@clause("optimizer.swap", fraction_of_examples=0.14)
@given(sample=strategies.descents())
def test_nesterovs_momentum_in_the_loop_takes_its_gradients_where_its_form_says(
    target: Subject, sample: Descent
) -> None:
    """Ahead, where the parameters are not stored there: then plain momentum at the parameters is no Nesterov's."""
    momentum = {"lr": sample.learning_rate, "momentum": 0.5, "nesterov": True}
    data = sample.t_u, sample.t_c
    path, grads = [sample.params], []
    for epoch in range(min(sample.n_epochs, 4)):
        ahead = exact.of(path[-1], target.form)
        if target.follow["sgd.nesterov"] == "look-ahead" and epoch:
            # The step that the target remembers is the difference of its parameters, but for the roundings that led from one to the other.
            step = ahead - exact.of(path[-2], target.form)
            ahead = ahead + 0.5 * step.within(
                step.err + 2 * target.form.u * (step.magnitude() + ahead.magnitude()), target.form
            )
        grads.append([exact.gradient(*map(exact.of, data), *ahead)])
        params, _, _ = target.training_loop(epoch + 1, {"name": "sgd", **momentum}, sample.params, *data)
        path.append(shaped(params, (2,)))
        if not np.isfinite(path[-1]).all():
            return

    due = exact.optimize("sgd", momentum, [exact.of(sample.params)], grads, target.follow)
    ends_at(target, path[1:], due)


def ends_at(target: Subject, path: list[Any], due: list[list[Exact]]) -> None:
    """Raise Disagreement unless runs of one epoch, of two and so on, which were the only calls, end where it is due."""
    for params, (truth_,) in zip(path, due, strict=True):
        about(target, 0)
        agree(params, truth_, "the parameters", names=LINE)


@clause("optimizer.thermometer-adam")
def test_adam_on_raw_readings_reaches_the_values_of_the_book(target: Subject) -> None:
    """The data need no scaling, because Adam scales each parameter's step by itself. A half format cannot hold the values."""
    if target.form.precision < exact.FORMATS["float32"].precision:
        return
    data = map(target.array, ([1.0, 0.0], T_U, T_C))

    params, _, _ = target.training_loop(2000, {"name": "adam", "lr": 1e-1}, *data)

    w, b = (float(x) for x in shaped(params, (2,)))
    holds(f"{w:.4f} {b:.3f}" == "0.5367 -17.302", f"reached w = {w:.4f} and b = {b:.3f}, not 0.5367 and -17.302")
