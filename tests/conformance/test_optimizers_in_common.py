"""The chapter on optimizers: what holds of all of them, which arguments they refuse, and how they serve the loop."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given

from calibrant import exact, strategies
from calibrant.conformance.optimizer_walks import (
    BEFORE,
    BY_NORM,
    NAMES,
    SCHEDULE_FREE,
    after,
    each_optimizer,
    fitting,
    follows_its_rule,
    keeps_its_rule,
    near,
    stays,
    truth,
    walk,
    without_a_rate_in_the_buffer,
)
from calibrant.exact import Exact
from calibrant.exact.measurements import T_C, T_U
from calibrant.judge import LINE, agree, agree_lists, holds, shaped
from calibrant.strategies import Descent, Optimization
from calibrant.suite.claims import about, keeps_dtype, last_of_many
from calibrant.suite.property import clause
from calibrant.target.calling import Subject


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


@clause("optimizer.absent-gradient", fraction_of_examples=0.3)
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
    [
        *[("adm", {}), ("", {}), ("adam", {"beta": 0.5}), ("sgd", {"momentun": 0.5})],
        *[("adam", {"momentum": 0.5}), ("adam", {"momentum": 0.0}), ("sgd", {"amsgrad": False})],
    ],
)
def test_unknown_names_are_refused(target: Subject, name: str, given: dict[str, Any]) -> None:
    """Ignoring a hyperparameter that is misspelt, or another optimizer's, silently uses the default."""
    params, grads = [target.array([1.0])], [[target.array([1.0])]]

    refused = target.refuses("optimize", name, {"lr": 0.5, **given}, params, grads)

    unknown = f"{name} has no {', '.join(given)}" if given else f"there is no optimizer {name!r}"
    holds(refused, f"did not refuse it, though {unknown}")


# In the loop


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
    """The data need no scaling, because Adam scales each parameter's step by itself."""
    if target.form.precision < exact.FORMATS["float32"].precision:
        pytest.skip("a half format cannot hold the values of the book")
    data = map(target.array, ([1.0, 0.0], T_U, T_C))

    params, _, _ = target.training_loop(2000, {"name": "adam", "lr": 1e-1}, *data)

    w, b = (float(x) for x in shaped(params, (2,)))
    holds(f"{w:.4f} {b:.3f}" == "0.5367 -17.302", f"reached w = {w:.4f} and b = {b:.3f}, not 0.5367 and -17.302")
