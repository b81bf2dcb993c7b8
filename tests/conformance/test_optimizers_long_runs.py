"""The chapter on optimizers: long runs, steady gradients, and tensors of any size."""

import contextlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calibrant import exact, strategies
from calibrant.conformance.optimizer_walks import (
    BY_NORM,
    NAMES,
    asked,
    each_optimizer,
    fitting,
    follows_its_rule,
    near,
    truth,
    walk,
)
from calibrant.exact import Exact
from calibrant.judge import Disagreement, agree_lists, holds, tallying
from calibrant.strategies import Optimization, optimizations
from calibrant.suite.property import clause
from calibrant.target.calling import Subject

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
    # Adafactor's average of equal squares is one of them, whatever share of it is new: a smaller one shows the share.
    last = [target.array([0.25])] if name == "adafactor" else grads
    ends = 0.25 if name == "asgd" else [0.25] * FEW
    first = Optimization(name, {"lr": ends, **hyperparameters}, params, [last] * FEW)
    try:
        with tallying(target.tally_anew()):
            follows_its_rule(target, first)
    except Disagreement:
        return  # other clauses say what is wrong with its first steps
    finally:
        target.calls.clear()

    rates = ends if isinstance(ends, float) else [0.0] * MANY + ends
    whole = Optimization(name, {"lr": rates, **hyperparameters}, params, [grads] * MANY + [last] * FEW)
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
        "rmsprop", only=("alpha", "eps", "centered"), courses=("constant",), centered=(True,), alpha=(0.3, 0.1, 0.3, 0.2, 0.5),
        shapes=(((1,),), ((32,),), ((32,),)), **SMALL,
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
    holds(finite or beyond(target, run, steps), "returned numbers that are not finite, where all that it computes fits")


def beyond(target: Subject, run: Optimization, steps: list[list[Any]]) -> bool:
    """Whether the parameters on the exact path, or their squares, come near the end of the range: the target's, where the exact ones are not known.

    Where nothing is known of an optimizer by norms, the ratio of two of them may leave the range.
    """

    def size(answer: Any, due: Exact) -> float:
        own = np.where(np.isfinite(answer), np.abs(answer), 0.0).reshape(due.shape)
        unknown = np.inf if run.name in BY_NORM else own
        return float(np.where(np.isfinite(due.err), due.magnitude(), unknown).max(initial=0.0))

    paths = zip(steps, truth(target, run), strict=True)
    largest = max(size(x, due) for answers, dues in paths for x, due in zip(answers, dues, strict=True))
    squared = run.name in BY_NORM or run.hyperparameters.get("weight_decay")  # of gradients that grow with parameters
    return (largest**2 if squared else largest) > target.form.largest / 64


SIZES = (1, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129, 255, 256, 257)
"""Sizes of tensors around which implementations cut them into blocks, and treat the last block by itself."""


@clause("optimizer.sizes", fraction_of_examples=0.5)
@pytest.mark.parametrize("name", [name for name in NAMES if name not in BY_NORM])
@given(
    drawn=strategies.of_each(shapes=(((3,),),), steps=(2, 4), momentum=(0.5, 0.9, 0.75)),
    size=st.sampled_from(SIZES),
)
def test_every_number_of_a_tensor_moves_alike(target: Subject, name: str, drawn: Any, size: int) -> None:
    """Two numbers take turns, and the last is a third, so that a fault shows in the blocks as well as behind them."""
    run = drawn(name)
    places = np.array([*(i % 2 for i in range(size - 1)), 2])
    params = [p[places] for p in run.params]
    spread = Optimization(name, run.hyperparameters, params, [[g[places] for g in step] for step in run.grads])

    alone, together = walk(target, run), walk(target, spread)

    due = [[one[places] for one in step] for step in near(alone, truth(target, run))]
    agree_lists(together, due, due="where its numbers, in a tensor of three, went to")


@clause("optimizer.sizes", fraction_of_examples=0.14)
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
