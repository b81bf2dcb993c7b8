"""Walks of a target's optimizers, and what the properties of chapter 9 ask of each step."""

import contextlib
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from calibrant import exact
from calibrant.exact import Exact
from calibrant.judge import Disagreement, agree, agree_lists, listed, shaped, tallying
from calibrant.strategies import Optimization, optimizations
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
    return optimizations(name, only=OWN[name], rates=(1.0,), lr=(0.5, None, 0.25, 1.0, None, 0.1, 0.3, 1e-5), **options)


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
    """The gradients with the coupled decay of the parameters along these steps; those of AdamW, Lion and AdaBelief have none.

    Without it where a parameter is not finite: no gradient is.
    """
    if not all(np.isfinite(p).all() for step in steps for p in step):
        return run.grads
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

    `others` is the truth of the other, if that is not the same. Of a number that is not finite nothing is expected: it breaks other clauses.
    """

    def expected(answer: Any, one: Exact, other: Exact) -> Exact:
        answer = shaped(answer, one.shape)
        finite = np.isfinite(answer)
        numbers = exact.of(np.where(finite, answer, 0.0).astype(np.float64), exact.UNROUNDED)
        return (numbers + (other.true() - one.true())).within(np.where(finite, one.err + other.err, np.inf), one.form)

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
