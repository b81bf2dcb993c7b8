"""Impostors of the optimizers: each changes a part of the exact rule, or of the frame around it, in which it is walked."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from calibrant import exact
from calibrant.exact import Exact
from calibrant.exact.optimizers import RULES, Frame, Hyperparameters, State, fresh
from calibrant.exact.scalars import Number, complement, constant, maximum, minimum, mix, product, root
from calibrant.impostors import Impostor, add, impostor
from calibrant.impostors.battery import runs
from calibrant.impostors.rights import join, narrow
from calibrant.protocol.wire import is_array

Rule = Callable[[State, Hyperparameters, int, Number, Number, Number], Number]
"""A rule `rule(s, h, t, lr, p, g)` of `calibrant.exact.optimizers` in the variants that are meant."""

Settings = Callable[[Hyperparameters], Hyperparameters]

ALL = "sgd adam adamw rmsprop adagrad adadelta adamax nadam radam asgd rprop"
REMEMBERING = "sgd adam adamw rmsprop adagrad adadelta adamax nadam radam rprop"
SCHEDULED = "sgd adam adamw rmsprop adagrad adadelta adamax nadam radam"
COUPLED = "sgd adam rmsprop adagrad adadelta adamax nadam radam asgd"
DECAYING = "sgd adam adamw rmsprop adagrad adadelta adamax nadam radam asgd"
COUNTING = "adam adamw adagrad adamax nadam radam asgd"
AVERAGING = "adam adamw nadam radam adamax"
CORRECTED = "adam adamw nadam adamax"
STABILIZED = "adam adamw rmsprop adagrad adadelta adamax nadam radam"

SGD = "optimizer.sgd optimizer.sgd.momentum optimizer.sgd.dampening optimizer.sgd.nesterov optimizer.sgd.weight-decay"
ADAM = "optimizer.adam optimizer.adam.bias-correction optimizer.adam.epsilon optimizer.adam.amsgrad optimizer.adam.weight-decay"


def walked(
    right: Any,
    frame: Frame,
    name: str,
    hyperparameters: Mapping[str, Any],
    params: Any,
    grads: Any,
    refuses: bool = True,
) -> Any:
    """The parameters after each step, in a frame; what is to be refused is, and what is not finite is right."""
    if not any(isinstance(p, Exact) for p in params):
        answer = right(name, hyperparameters, params, grads) if refuses else None
        arrays = [x for x in itertools.chain(params, *grads) if is_array(x)]
        if not params or not all(np.isfinite(x).all() for x in arrays):
            return answer
    return exact.optimize(name, hyperparameters, params, grads, right.follow, frame)


def _framed(
    changed: Any, frame: Callable[[Any, str], Frame], applies_to: str, clauses: str, about: dict[str, Any]
) -> None:
    """Register what is walked in another frame, under the name of what is changed in it."""

    def wrong(right: Any, name: str, hyperparameters: Any, params: Any, grads: Any) -> Any:
        return walked(right, frame(right, name), name, hyperparameters, params, grads)

    wrong.__name__, wrong.__qualname__, wrong.__doc__ = changed.__name__, changed.__qualname__, changed.__doc__
    impostor("optimize", clauses, applies_to=tuple(applies_to.split()), **about)(wrong)


def rule(applies_to: str, clauses: str, **about: Any) -> Callable[[Callable[..., Number]], Callable[..., Number]]:
    """Register a function `changed(rule, s, h, t, lr, p, g)` in the place of the rule of some optimizers."""

    def register(changed: Callable[..., Number]) -> Callable[..., Number]:
        def frame(right: Any, name: str) -> Frame:
            def bound(s: State, h: Hyperparameters, t: int, lr: Number, p: Number, g: Number) -> Number:
                return RULES[name](s, h, t, lr, p, g, right.follow)

            return Frame(lambda s, h, t, lr, p, g, follow: changed(bound, s, h, t, lr, p, g))

        _framed(changed, frame, applies_to, clauses, about)
        return changed

    return register


def settings(applies_to: str, clauses: str, **about: Any) -> Callable[[Settings], Settings]:
    """Register a function that changes the hyperparameters, and what follows from them, before all steps of some optimizers."""

    def register(changed: Settings) -> Settings:
        _framed(changed, lambda right, name: Frame(RULES[name], changed), applies_to, clauses, about)
        return changed

    return register


def frame(applies_to: str, clauses: str, **about: Any) -> Callable[[type[Frame]], type[Frame]]:
    """Register another frame around the rule of some optimizers."""

    def register(changed: type[Frame]) -> type[Frame]:
        _framed(changed, lambda right, name: changed(RULES[name]), applies_to, clauses, about)
        return changed

    return register


def one(h: Hyperparameters) -> Number:
    """The number 1."""
    return constant(1.0, h.form)


def bare(h: Hyperparameters) -> Hyperparameters:
    """The hyperparameters without a decay."""
    return h.once("bare", lambda: h.but(weight_decay=0.0))


def move(rule: Rule, s: State, h: Hyperparameters, t: int, lr: Number, p: Number, g: Number) -> Number:
    """What a rule with a coupled decay adds to a parameter."""
    return rule(s, bare(h), t, lr, constant(0.0, p.form), g + h.weight_decay * p)


# The sign and the gradient


@rule(ALL, f"{SGD} optimizer.changing-rate")
def uphill(rule: Rule, s: State, h: Hyperparameters, t: int, lr: Number, p: Number, g: Number) -> Number:
    """Every step goes up the gradient."""
    return rule(s, h, t, lr, p, -g)


@rule(ALL, "optimizer.maximize optimizer.sgd", seen="kozistr/pytorch_optimizer#528")
def maximize_ignored(rule: Rule, s: State, h: Hyperparameters, t: int, lr: Number, p: Number, g: Number) -> Number:
    """What should be maximized is minimized: the gradient is never negated, or twice."""
    return rule(s, h, t, lr, p, -g if h["maximize"] else g)


@settings(COUPLED, "optimizer.maximize optimizer.sgd")
def decay_negated_too(h: Hyperparameters) -> Hyperparameters:
    """To maximize, the decay is negated with the gradient, and the parameters grow."""
    return h.but(weight_decay=-h.weight_decay) if h["maximize"] else h


@rule(
    "adam sgd adamw rmsprop adagrad adadelta adamax nadam radam asgd",
    f"{ADAM} optimizer.changing-rate optimizer.adam.scale-free?",
)
def gradients_clipped(rule: Rule, s: State, h: Hyperparameters, t: int, lr: Number, p: Number, g: Number) -> Number:
    """Every number of a gradient is clipped to between -1 and 1."""
    return rule(s, h, t, lr, p, maximum(minimum(g, one(h)), -one(h)))


@impostor(
    "optimize",
    "optimizer.own-state optimizer.sgd optimizer.sgd.momentum optimizer.sgd.dampening optimizer.sgd.weight-decay optimizer.sgd.nesterov? optimizer.changing-rate?",
    applies_to=tuple(ALL.split()),
)
def gradient_of_the_first(right: Any, name: str, hyperparameters: Any, params: Any, grads: Any) -> Any:
    """Every parameter of the shape of the first is moved along the gradient of the first."""
    if any(len(step) != len(params) for step in grads):
        return right(name, hyperparameters, params, grads)
    along = [
        [step[0] if p.shape == params[0].shape else g for p, g in zip(params, step, strict=True)] for step in grads
    ]
    return right(name, hyperparameters, params, along)


@frame(
    ALL,
    f"optimizer.own-state {SGD} optimizer.maximize optimizer.changing-rate",
    seen="apache/systemds#2330",
    name="along-its-own-value",
)
class _AlongItsOwnValue(Frame):
    """Every parameter but the first is moved along its own value, not along its gradient."""

    def step(self, place: Any, h: Any, t: int, lr: Number, p: Number, g: Number | None, follow: Any) -> Number:
        return super().step(place, h, t, lr, p, p if g is not None and place[0] else g, follow)


# Which parameters are moved, and how often


@impostor(
    "optimize",
    f"optimizer.own-state {SGD} optimizer.changing-rate",
    applies_to=tuple(ALL.split()),
    seen="nntrainer/nntrainer#219",
)
def only_the_first_moved(right: Any, name: str, hyperparameters: Any, params: Any, grads: Any) -> Any:
    """Only the first parameter is moved."""
    right(name, hyperparameters, params, grads)
    return right(name, hyperparameters, params, [[*step[:1], *(None for _ in step[1:])] for step in grads])


@frame(
    ALL, f"optimizer.own-state {SGD} optimizer.changing-rate", seen="nntrainer/nntrainer#219", name="others-moved-twice"
)
class _OthersMovedTwice(Frame):
    """Every parameter but the first is moved twice by each gradient."""

    def step(self, place: Any, h: Any, t: int, lr: Number, p: Number, g: Number | None, follow: Any) -> Number:
        if place[0] and g is not None:
            p = super().step(place, h, 2 * t - 1, lr, p, g, follow)
            t = 2 * t
        return super().step(place, h, t, lr, p, g, follow)


@frame(ALL, "optimizer.absent-gradient", seen="pytorch/pytorch#28294 pytorch/pytorch#42754", name="absent-as-zero")
class _AbsentAsZero(Frame):
    """A gradient that is absent counts as zero: momentum and decay go on."""

    def count(self, k: int, present: bool) -> int:
        return super().count(k, True)

    def step(self, place: Any, h: Any, t: int, lr: Number, p: Number, g: Number | None, follow: Any) -> Number:
        return super().step(place, h, t, lr, p, constant(0.0, p.form) if g is None else g, follow)


@frame(
    "adamw",
    "optimizer.absent-gradient",
    seen="KellerJordan/Muon#54",
    name="decay-though-absent",
)
class _DecayThoughAbsent(Frame):
    """The decay goes on where the gradient is absent."""

    def step(self, place: Any, h: Any, t: int, lr: Number, p: Number, g: Number | None, follow: Any) -> Number:
        return p - product([lr, h.weight_decay, p]) if g is None else super().step(place, h, t, lr, p, g, follow)


@frame(COUNTING, "optimizer.absent-gradient", name="absent-counts")
class _AbsentCounts(Frame):
    """A step without a gradient counts as a step."""

    def count(self, k: int, present: bool) -> int:
        return super().count(k, True)


@impostor("optimize", "optimizer.absent-gradient", applies_to=tuple(ALL.split()))
def absent_stops_all(right: Any, name: str, hyperparameters: Any, params: Any, grads: Any) -> Any:
    """Where one gradient is absent no parameter is moved."""
    right(name, hyperparameters, params, grads)
    whole = [[None for _ in step] if any(g is None for g in step) else step for step in grads]
    return right(name, hyperparameters, params, whole)


# Whose state it is


@frame(REMEMBERING, f"optimizer.own-state {SGD} optimizer.changing-rate optimizer.absent-gradient", name="state-shared")
class _StateShared(Frame):
    """All parameters share one state: the buffers of one are found by the next."""

    def state(self, k: int, i: int, form: Any) -> State:
        return super().state(0, i, form)


@frame(
    COUNTING,
    f"optimizer.own-state {ADAM} optimizer.adam.first-step optimizer.changing-rate optimizer.absent-gradient",
    seen="DiffSharp/DiffSharp#292 mlx-node/mlx-node#11 Shubham-cyber-prog/100-Days-Of-Web-Development-ECWoC26#1575",
    name="steps-count-parameters",
)
class _StepsCountParameters(Frame):
    """All parameters share one count of steps, which goes on with each of them."""

    def count(self, k: int, present: bool) -> int:
        return super().count(0, present)


@impostor(
    "optimize",
    f"optimizer.fresh {SGD} optimizer.changing-rate optimizer.own-state optimizer.absent-gradient",
    applies_to=tuple(REMEMBERING.split()),
    repeats=False,
)
def state_kept(right: Any, name: str, hyperparameters: Any, params: Any, grads: Any) -> Any:
    """A new optimizer goes on with the state of the one before."""
    return walked(right, right.memory.setdefault(name, Frame(RULES[name])), name, hyperparameters, params, grads)


@rule(
    SCHEDULED,
    "optimizer.changing-rate optimizer.sgd optimizer.sgd.momentum optimizer.sgd.dampening optimizer.sgd.nesterov optimizer.sgd.weight-decay",
)
def state_lost_with_the_rate(
    rule: Rule, s: State, h: Hyperparameters, t: int, lr: Number, p: Number, g: Number
) -> Number:
    """Where the learning rate changes, the state is lost: the buffers are empty and the steps counted anew."""
    if t > 1 and lr.fraction() == s.rate.fraction():
        since = s.since
    else:
        vars(s).update(vars(fresh(h.form)))
        since = t - 1
    s.rate, s.since = lr, since
    return rule(s, h, t - since, lr, p, g)


# The learning rate


def _with_rates(
    right: Any,
    change: Callable[[Sequence[float]], list[float]],
    name: str,
    hyperparameters: Any,
    params: Any,
    grads: Any,
) -> Any:
    rates = hyperparameters.get("lr")
    changed = {"lr": change(rates)} if isinstance(rates, (list, tuple)) and rates else {}
    return right(name, {**hyperparameters, **changed}, params, grads)


@impostor("optimize", f"optimizer.changing-rate {SGD} optimizer.absent-gradient", applies_to=tuple(SCHEDULED.split()))
def rate_frozen(right: Any, name: str, hyperparameters: Any, params: Any, grads: Any) -> Any:
    """All steps have the learning rate of the first."""
    return _with_rates(right, lambda rates: [rates[0] for _ in rates], name, hyperparameters, params, grads)


@impostor(
    "optimize",
    f"optimizer.changing-rate {SGD} optimizer.absent-gradient",
    applies_to=tuple(SCHEDULED.split()),
    seen="yueatsprograms/uda_release#3 jdonnelly36/Deformable-ProtoPNet#6",
)
def first_rate_skipped(right: Any, name: str, hyperparameters: Any, params: Any, grads: Any) -> Any:
    """Each step has the learning rate of the next: the schedule moves on before the optimizer does."""
    return _with_rates(right, lambda rates: [*rates[1:], rates[-1]], name, hyperparameters, params, grads)


@impostor("optimize", f"optimizer.changing-rate {SGD} optimizer.absent-gradient", applies_to=tuple(SCHEDULED.split()))
def rate_one_late(right: Any, name: str, hyperparameters: Any, params: Any, grads: Any) -> Any:
    """Each step but the first has the learning rate of the one before."""
    return _with_rates(right, lambda rates: [rates[0], *rates[:-1]], name, hyperparameters, params, grads)


@impostor(
    "optimize",
    f"optimizer.changing-rate {SGD} optimizer.absent-gradient",
    applies_to=tuple(SCHEDULED.split()),
    seen="google-research/bert#1293 EleutherAI/gpt-neox#1373 facebookresearch/barlowtwins#45",
)
def first_rate_zero(right: Any, name: str, hyperparameters: Any, params: Any, grads: Any) -> Any:
    """A schedule begins with a rate of zero, so that the first step does nothing and each other has the rate of the one before."""
    return _with_rates(right, lambda rates: [0.0, *rates[:-1]], name, hyperparameters, params, grads)


# What is returned


@impostor("optimize", f"{SGD} optimizer.changing-rate optimizer.absent-gradient", applies_to=tuple(ALL.split()))
def one_array_listed(right: Any, name: str, hyperparameters: Any, params: Any, grads: Any) -> Any:
    """Every step lists the same arrays, which the last step leaves as they are."""
    path = right(name, hyperparameters, params, grads)
    return [path[-1] for _ in path]


@impostor("optimize", f"{SGD} optimizer.changing-rate optimizer.absent-gradient", applies_to=tuple(ALL.split()))
def parameters_before_each_step(right: Any, name: str, hyperparameters: Any, params: Any, grads: Any) -> Any:
    """What is listed are the parameters before each step."""
    return [list(params), *right(name, hyperparameters, params, grads)][:-1]


@impostor(
    "optimize",
    f"{SGD} optimizer.maximize optimizer.changing-rate optimizer.own-state optimizer.absent-gradient optimizer.gradients-kept optimizer.fresh optimizer.zero-rate optimizer.dtype",
    applies_to=tuple(ALL.split()),
)
def last_step_alone(right: Any, name: str, hyperparameters: Any, params: Any, grads: Any) -> Any:
    """Only the parameters after the last step are listed."""
    return right(name, hyperparameters, params, grads)[-1:]


@impostor(
    "optimize",
    "optimizer.sgd optimizer.sgd.momentum optimizer.sgd.dampening optimizer.sgd.weight-decay optimizer.absent-gradient optimizer.sgd.nesterov? optimizer.changing-rate optimizer.maximize optimizer.zero-rate?",
    applies_to=tuple(ALL.split()),
    ugly="a table is needed",
)
def flattened(right: Any, name: str, hyperparameters: Any, params: Any, grads: Any) -> Any:
    """Every parameter is returned as one column."""
    return [[join(p) for p in step] for step in right(name, hyperparameters, params, grads)]


@impostor("optimize", "optimizer.gradients-kept", applies_to=tuple(ALL.split()))
def parameters_in_place(right: Any, name: str, hyperparameters: Any, params: Any, grads: Any) -> Any:
    """It moves the caller's parameters."""
    path = right(name, hyperparameters, params, grads)
    for p, after in zip(params, path[-1] if path else [], strict=False):
        if isinstance(p, np.ndarray):
            p[...] = after
    return path


@impostor("optimize", "optimizer.gradients-kept", applies_to=tuple(ALL.split()))
def gradients_negated_in_place(right: Any, name: str, hyperparameters: Any, params: Any, grads: Any) -> Any:
    """To maximize, it turns the sign of the caller's gradients."""
    path = right(name, hyperparameters, params, grads)
    for g in itertools.chain(*grads) if hyperparameters.get("maximize") else ():
        if isinstance(g, np.ndarray):
            g *= -1
    return path


@impostor("optimize", "optimizer.gradients-kept", applies_to=tuple(COUPLED.split()))
def decay_added_in_place(right: Any, name: str, hyperparameters: Any, params: Any, grads: Any) -> Any:
    """It adds the decay to the caller's gradients."""
    path = right(name, hyperparameters, params, grads)
    for before, step in zip([params, *path], grads, strict=False):
        for p, g in zip(before, step, strict=True):
            if isinstance(g, np.ndarray):
                g += p * hyperparameters.get("weight_decay", 0.0)
    return path


def _each(change: Callable[[Any], Any], params: Any, grads: Any) -> tuple[Any, Any]:
    """Parameters and gradients, each array changed."""
    return [change(p) for p in params], [[None if g is None else change(g) for g in step] for step in grads]


@impostor(
    "optimize",
    "optimizer.sgd@float64 optimizer.sgd.momentum@float64 optimizer.sgd.dampening@float64 optimizer.sgd.nesterov@float64 optimizer.sgd.weight-decay@float64 optimizer.changing-rate@float64 optimizer.absent-gradient@float64 optimizer.zero-rate@float64",
    applies_to=tuple(ALL.split()),
    ugly="only numbers with many digits show it",
)
def in_float32(right: Any, name: str, hyperparameters: Any, params: Any, grads: Any) -> Any:
    """It is computed in float32, whatever the dtype of the arguments."""
    return right(name, hyperparameters, *_each(lambda x: narrow(x, "float32"), params, grads))


@impostor(
    "optimize",
    f"{SGD} optimizer.maximize optimizer.changing-rate optimizer.own-state optimizer.absent-gradient optimizer.zero-rate",
    applies_to=tuple(ALL.split()),
    ugly="only numbers with many digits show it",
)
def in_float16(right: Any, name: str, hyperparameters: Any, params: Any, grads: Any) -> Any:
    """It is computed in float16, whatever the dtype of the arguments."""
    return right(name, hyperparameters, *_each(lambda x: narrow(x, "float16"), params, grads))


@impostor("optimize", "optimizer.dtype@float32", applies_to=tuple(ALL.split()), keeps_dtype=False)
def returned_in_float64(right: Any, name: str, hyperparameters: Any, params: Any, grads: Any) -> Any:
    """It is computed and returned in float64, whatever the dtype of the arguments."""
    return right(name, hyperparameters, *_each(lambda x: narrow(x, "float64"), params, grads))


# What is refused


@impostor("optimize", "optimizer.unknown", applies_to=("adam", *(name for name in ALL.split() if name != "adam")))
def unknown_hyperparameters_ignored(right: Any, name: str, hyperparameters: Any, params: Any, grads: Any) -> Any:
    """A hyperparameter that the optimizer does not have is ignored."""
    known = {key: value for key, value in hyperparameters.items() if key in exact.OPTIMIZERS[name]}
    return right(name, known, params, grads)


@impostor("optimize", "optimizer.unknown", applies_to=("adm",))
def unknown_is_sgd(right: Any, name: str, hyperparameters: Any, params: Any, grads: Any) -> Any:
    """An optimizer of an unknown name is SGD."""
    return right("sgd", hyperparameters, params, grads)


@impostor("optimize", "optimizer.invalid", applies_to=tuple(ALL.split()))
def values_unchecked(right: Any, name: str, hyperparameters: Any, params: Any, grads: Any) -> Any:
    """Hyperparameters that mean nothing are taken."""
    return walked(right, Frame(RULES[name]), name, hyperparameters, params, grads, refuses=False)


@impostor("optimize", "optimizer.invalid", applies_to=tuple(SCHEDULED.split()))
def last_rate_goes_on(right: Any, name: str, hyperparameters: Any, params: Any, grads: Any) -> Any:
    """Where there are fewer learning rates than steps, the last goes on."""
    missing = len(grads) - len(hyperparameters["lr"]) if isinstance(hyperparameters.get("lr"), list) else 0
    return _with_rates(right, lambda rates: [*rates, *[rates[-1]] * missing], name, hyperparameters, params, grads)


# Weight decay


@settings(
    "sgd adam adamw rmsprop adagrad adadelta adamax nadam radam asgd",
    "optimizer.sgd.weight-decay optimizer.sgd",
    seen="chainer/chainer#261 andersbll/deeppy#17",
)
def decay_grows(h: Hyperparameters) -> Hyperparameters:
    """The decay has the wrong sign, and parameters grow."""
    return h.but(weight_decay=-h.weight_decay)


@settings(DECAYING, "optimizer.sgd.weight-decay optimizer.sgd")
def decay_ignored(h: Hyperparameters) -> Hyperparameters:
    """The decay is ignored."""
    return h.but(weight_decay=0.0)


@rule(
    COUPLED,
    "optimizer.sgd.weight-decay optimizer.sgd",
    seen="jettify/pytorch-optimizer#454 jettify/pytorch-optimizer#433",
)
def decay_constant(rule: Rule, s: State, h: Hyperparameters, t: int, lr: Number, p: Number, g: Number) -> Number:
    """The decay itself is added to the gradient, not its product with the parameter."""
    return rule(s, bare(h), t, lr, p, g + h.weight_decay)


@rule(COUPLED, "optimizer.sgd.weight-decay optimizer.sgd", seen="OverLordGoldDragon/keras-adamw#39")
def decay_of_the_sign(rule: Rule, s: State, h: Hyperparameters, t: int, lr: Number, p: Number, g: Number) -> Number:
    """The decay is that of an L1 penalty: it is multiplied by the sign of the parameter."""
    sign = p.sign() or 0
    return rule(s, bare(h), t, lr, p, g + h.weight_decay * float(sign))


@impostor("optimize", "optimizer.sgd.weight-decay optimizer.sgd", applies_to=tuple(DECAYING.split()))
def only_tables_decay(right: Any, name: str, hyperparameters: Any, params: Any, grads: Any) -> Any:
    """Scalars and columns do not decay: only parameters of two dimensions do."""
    right(name, hyperparameters, params, grads)
    bare = {**hyperparameters, "weight_decay": 0.0}
    apart = [
        right(name, hyperparameters if len(p.shape) > 1 else bare, [p], [[step[k]] for step in grads])
        for k, p in enumerate(params)
    ]
    return [[path[t][0] for path in apart] for t in range(len(grads))]


@rule(
    "adamw",
    "optimizer.adamw.decoupled optimizer.adamw optimizer.changing-rate",
    seen="pytorch/pytorch#48793 mapbox/robosat#166 google-deepmind/optax#417",
)
def decay_coupled(rule: Rule, s: State, h: Hyperparameters, t: int, lr: Number, p: Number, g: Number) -> Number:
    """The decay is part of the gradient, and enters the averages."""
    return rule(s, bare(h), t, lr, p, g + h.weight_decay * p)


@impostor("optimize", "optimizer.adamw optimizer.adamw.decoupled optimizer.changing-rate", applies_to=("adamw",))
def no_decay_by_default(right: Any, name: str, hyperparameters: Any, params: Any, grads: Any) -> Any:
    """Where no decay is given there is none."""
    return right(name, {"weight_decay": 0.0, **hyperparameters}, params, grads)


# SGD


@settings("sgd rmsprop", f"optimizer.sgd.momentum {SGD} optimizer.changing-rate")
def momentum_ignored(h: Hyperparameters) -> Hyperparameters:
    """The momentum is ignored."""
    return h.but(momentum=0.0)


@rule("sgd", f"optimizer.sgd.momentum {SGD} optimizer.changing-rate", seen="ooples/AiDotNet#2008")
def momentum_on_the_gradient(
    rule: Rule, s: State, h: Hyperparameters, t: int, lr: Number, p: Number, g: Number
) -> Number:
    """The momentum multiplies the new gradient and not the buffer, which never fades."""
    if not h["momentum"]:
        return rule(s, h, t, lr, p, g)
    unfading = h.once("unfading", lambda: h.but(momentum=1.0, weight_decay=0.0))
    return rule(s, unfading, t, lr, p, h.momentum * (g + h.weight_decay * p))


@settings("sgd", "optimizer.sgd.dampening optimizer.sgd", seen="open-lm-engine/accelerated-model-architectures#436")
def dampening_ignored(h: Hyperparameters) -> Hyperparameters:
    """No gradient is dampened."""
    return h.but(dampening=0.0)


@settings("sgd", "optimizer.sgd.dampening optimizer.sgd")
def dampening_for_its_rest(h: Hyperparameters) -> Hyperparameters:
    """Gradients are multiplied by the dampening, not by 1 less it."""
    return h.but(dampening=complement(h.dampening))


@impostor(
    "optimize",
    "optimizer.sgd.momentum optimizer.sgd optimizer.sgd.weight-decay optimizer.changing-rate",
    applies_to=("sgd",),
    seen="torch/optim#163 intel/analytics-zoo#1038",
)
def dampened_by_default(right: Any, name: str, hyperparameters: Any, params: Any, grads: Any) -> Any:
    """Where no dampening is given it is the momentum, as in Lua's torch."""
    momentum = 0.0 if hyperparameters.get("nesterov") else hyperparameters.get("momentum", 0.0)
    return right(name, {"dampening": momentum, **hyperparameters}, params, grads)


@rule("sgd", f"optimizer.sgd.momentum {SGD} optimizer.changing-rate")
def buffer_one_late(rule: Rule, s: State, h: Hyperparameters, t: int, lr: Number, p: Number, g: Number) -> Number:
    """The step is that of the buffer before the gradient is added."""
    before = s.buffer
    after = rule(s, h, t, lr, p, g)
    return p - lr * before if h["momentum"] else after


@rule("sgd", "optimizer.sgd.nesterov optimizer.sgd")
def nesterov_without_its_factor(
    rule: Rule, s: State, h: Hyperparameters, t: int, lr: Number, p: Number, g: Number
) -> Number:
    """Nesterov adds the whole buffer to the gradient, not its product with the momentum."""
    if not h["nesterov"]:
        return rule(s, h, t, lr, p, g)
    plain = h.once("plain", lambda: h.but(nesterov=False))
    return rule(s, plain, t, lr, p, g) - lr * (g + h.weight_decay * p)


# Averages and their correction


def _exchanged(h: Hyperparameters, *pairs: tuple[str, str]) -> Hyperparameters:
    """With pairs of numbers that have changed places."""
    changed = {a: getattr(h, b) for pair in pairs for a, b in (pair, pair[::-1]) if hasattr(h, b)}
    return h.but(**changed)


@settings("adam adamw nadam radam adamax", f"{ADAM} optimizer.changing-rate")
def betas_swapped(h: Hyperparameters) -> Hyperparameters:
    """The two betas have changed places."""
    return _exchanged(h, ("beta1", "beta2"), ("part1", "part2"))


@settings("adam adamw rmsprop adadelta nadam radam", f"{ADAM} optimizer.changing-rate optimizer.adam.first-step")
def shares_swapped(h: Hyperparameters) -> Hyperparameters:
    """Averages keep 1 - beta of the past and take beta of the new."""
    return _exchanged(h, ("beta1", "part1"), ("beta2", "part2"), ("alpha", "part"), ("rho", "part"))


@settings(
    "adam adamw nadam radam rmsprop adadelta",
    f"{ADAM} optimizer.adam.first-step optimizer.changing-rate",
    seen="fastai/fastbook#342 Devinterview-io/gradient-descent-interview-questions#1",
)
def squares_summed(h: Hyperparameters) -> Hyperparameters:
    """Squares are added to their average whole, without the factor 1 - beta."""
    return h.but(**{"part2" if hasattr(h, "part2") else "part": one(h)}, rectification=h.rectification)


@settings(
    "adam adamw adamax nadam radam",
    f"{ADAM} optimizer.adam.first-step optimizer.changing-rate",
    seen="PennyLaneAI/pennylane#1928",
)
def gradients_summed(h: Hyperparameters) -> Hyperparameters:
    """Gradients are added to their average whole, without the factor 1 - beta."""
    return h.but(part1=one(h))


@rule(
    "adam adamw nadam adamax",
    f"optimizer.adam.bias-correction {ADAM} optimizer.adam.first-step optimizer.changing-rate",
)
def correction_one_late(rule: Rule, s: State, h: Hyperparameters, t: int, lr: Number, p: Number, g: Number) -> Number:
    """Steps are counted from 2: the correction divides by 1 - beta ** (t + 1)."""
    return rule(s, h, t + 1, lr, p, g)


@settings(
    "adam adamw nadam adamax",
    f"optimizer.adam.bias-correction {ADAM} optimizer.changing-rate",
    seen="eriklindernoren/ML-From-Scratch#35 ufal/npfl114#79",
)
def correction_without_power(h: Hyperparameters) -> Hyperparameters:
    """The correction divides by 1 - beta at every step, without the power of t."""
    return h.but(correction1=lambda t: h.correction1(1), correction2=lambda t: h.correction2(1))


@settings(
    "adam adamw radam", f"optimizer.adam.bias-correction {ADAM} optimizer.adam.first-step optimizer.changing-rate"
)
def gradients_uncorrected(h: Hyperparameters) -> Hyperparameters:
    """The average of the gradients is not corrected; that of their squares is."""
    return h.but(correction1=lambda t: one(h))


@settings(
    "adam adamw nadam", f"optimizer.adam.bias-correction {ADAM} optimizer.adam.first-step optimizer.changing-rate"
)
def squares_uncorrected(h: Hyperparameters) -> Hyperparameters:
    """The average of the squares is not corrected; that of the gradients is."""
    return h.but(correction2=lambda t: one(h))


@settings("adam adamw", f"optimizer.adam.bias-correction {ADAM} optimizer.adam.first-step optimizer.changing-rate")
def corrections_swapped(h: Hyperparameters) -> Hyperparameters:
    """Each of the two averages is corrected by the beta of the other."""
    return h.but(correction1=h.correction2, correction2=h.correction1)


@settings(
    "adam adamw",
    f"optimizer.adam.bias-correction {ADAM} optimizer.adam.first-step optimizer.changing-rate",
    seen="karpathy/convnetjs#70 karpathy/convnetjs#107",
)
def correction_multiplied(h: Hyperparameters) -> Hyperparameters:
    """The averages are multiplied by their corrections, not divided."""
    return h.but(
        correction1=lambda t: product([one(h)], [h.correction1(t)]),
        correction2=lambda t: product([one(h)], [h.correction2(t)]),
    )


@settings("adam adamw", "optimizer.adam.amsgrad optimizer.adam", seen="pytorch/pytorch#4034")
def maximum_forgotten(h: Hyperparameters) -> Hyperparameters:
    """AMSGrad is Adam: its largest average is not kept from step to step."""
    return h.but(amsgrad=False)


@settings(
    "adam adamw",
    "optimizer.adam optimizer.adam.bias-correction optimizer.adam.epsilon optimizer.adam.weight-decay optimizer.changing-rate?",
)
def always_amsgrad(h: Hyperparameters) -> Hyperparameters:
    """The average of the squares never falls, as in AMSGrad, whether that is asked for or not."""
    return h.but(amsgrad=True)


@settings(
    STABILIZED.replace("adadelta ", ""),
    f"optimizer.adam.epsilon {ADAM} optimizer.changing-rate?",
    seen="davharris/mistnet#94",
)
def epsilon_ignored(h: Hyperparameters) -> Hyperparameters:
    """There is no epsilon."""
    return h.but(eps=0.0)


@settings(
    STABILIZED.replace(" radam", ""),
    "optimizer.adam.scale-free optimizer.adam? optimizer.adam.amsgrad? optimizer.adam.first-step? optimizer.adam.weight-decay?",
    ugly="only small gradients show it",
)
def zero_epsilon_replaced(h: Hyperparameters) -> Hyperparameters:
    """An epsilon of zero is taken for none, and the default put in its place."""
    return h if h["eps"] else h.but(eps=1e-8)


# RMSprop, Adagrad, Adadelta


@settings("rmsprop", "optimizer.rmsprop.centered optimizer.rmsprop")
def centered_ignored(h: Hyperparameters) -> Hyperparameters:
    """The average of the gradients is never subtracted."""
    return h.but(centered=False)


@rule("rmsprop", "optimizer.rmsprop optimizer.rmsprop.centered optimizer.rmsprop.momentum optimizer.changing-rate")
def corrected_as_in_adam(rule: Rule, s: State, h: Hyperparameters, t: int, lr: Number, p: Number, g: Number) -> Number:
    """Averages are divided by what they have seen, 1 - alpha ** t, as in Adam."""
    seen = 1.0 - h.power(h.alpha, t)
    keep = product([h.alpha, 1.0 - h.power(h.alpha, t - 1)], [seen])
    return rule(s, h.but(alpha=keep, part=product([h.part], [seen])), t, lr, p, g)


@settings("adagrad", "optimizer.adagrad.initial-accumulator optimizer.adagrad")
def sum_from_zero(h: Hyperparameters) -> Hyperparameters:
    """The sum of squares begins at zero, whatever it should."""
    return h.but(initial_accumulator_value=0.0)


@settings(
    "adagrad",
    "optimizer.adagrad.initial-accumulator optimizer.adagrad optimizer.adagrad.lr-decay optimizer.changing-rate",
    seen="deeplearning4j/deeplearning4j#953",
)
def sum_from_one(h: Hyperparameters) -> Hyperparameters:
    """The sum of squares begins at one, whatever it should."""
    return h.but(initial_accumulator_value=1.0)


@impostor(
    "optimize",
    "optimizer.adagrad.lr-decay optimizer.changing-rate optimizer.adagrad?",
    applies_to=("adagrad",),
    seen="pytorch/pytorch#6616 tensorflow/tensorflow#37819",
)
def sum_from_a_tenth_by_default(right: Any, name: str, hyperparameters: Any, params: Any, grads: Any) -> Any:
    """Where it is not said at what the sum of squares begins, it begins at 0.1."""
    return right(name, {"initial_accumulator_value": 0.1, **hyperparameters}, params, grads)


@rule(
    "adagrad",
    "optimizer.adagrad optimizer.adagrad.lr-decay optimizer.adagrad.initial-accumulator optimizer.changing-rate",
)
def sum_forgotten(rule: Rule, s: State, h: Hyperparameters, t: int, lr: Number, p: Number, g: Number) -> Number:
    """The sum of squares is that of the last gradient alone."""
    s.v = h.initial_accumulator_value
    return rule(s, h, t, lr, p, g)


@settings("adagrad", "optimizer.adagrad.lr-decay optimizer.adagrad", seen="eaplatanios/tensorflow_scala#55")
def rate_decay_ignored(h: Hyperparameters) -> Hyperparameters:
    """The decay of the learning rate is ignored."""
    return h.but(lr_decay=0.0)


@rule("adagrad", "optimizer.adagrad.lr-decay optimizer.adagrad")
def rate_decays_at_once(rule: Rule, s: State, h: Hyperparameters, t: int, lr: Number, p: Number, g: Number) -> Number:
    """The learning rate decays from the first step on."""
    s.v = h.initial_accumulator_value if t == 1 else s.v
    return rule(s, h, t + 1, lr, p, g)


@rule("adagrad", "optimizer.adagrad.lr-decay optimizer.adagrad")
def rate_grows(rule: Rule, s: State, h: Hyperparameters, t: int, lr: Number, p: Number, g: Number) -> Number:
    """The learning rate is multiplied by 1 + (t - 1) lr_decay, not divided."""
    grown = 1.0 + h.lr_decay * (t - 1)
    return rule(s, h, t, lr * grown * grown, p, g)


@rule("adadelta", "optimizer.adadelta optimizer.changing-rate")
def epsilon_outside(rule: Rule, s: State, h: Hyperparameters, t: int, lr: Number, p: Number, g: Number) -> Number:
    """The root of epsilon is added to the root of the average of squares, not epsilon inside it."""
    x, g = s.x, g + h.weight_decay * p
    rule(s, bare(h), t, lr, p, g)
    d = product([root(x + h.eps), g], [root(s.v) + root(h.eps)])
    s.x = mix(x, d * d, h.rho, h.part)
    return p - lr * d


@rule("adadelta", "optimizer.adadelta optimizer.changing-rate")
def nothing_to_begin_with(rule: Rule, s: State, h: Hyperparameters, t: int, lr: Number, p: Number, g: Number) -> Number:
    """There is no epsilon in the numerator, so that no step is ever made."""
    return p


@rule("adadelta", "optimizer.adadelta optimizer.changing-rate")
def steps_forgotten(rule: Rule, s: State, h: Hyperparameters, t: int, lr: Number, p: Number, g: Number) -> Number:
    """The squares of the steps are not averaged: the numerator stays what it was at the first."""
    s.x = constant(0.0, p.form)
    return rule(s, h, t, lr, p, g)


@rule("adadelta", "optimizer.adadelta optimizer.changing-rate")
def steps_with_the_rate(rule: Rule, s: State, h: Hyperparameters, t: int, lr: Number, p: Number, g: Number) -> Number:
    """What is averaged are the squares of the steps times the learning rate."""
    x = s.x
    moved = move(rule, s, h, t, lr, p, g)
    s.x = mix(x, moved * moved, h.rho, h.part)
    return p + moved


# Adamax, NAdam, RAdam


@settings("adamax", "optimizer.adamax optimizer.changing-rate")
def maximum_never_fades(h: Hyperparameters) -> Hyperparameters:
    """The largest gradient does not fade."""
    return h.but(beta2=one(h))


@settings("adamax", "optimizer.adamax optimizer.changing-rate")
def last_gradient_for_the_largest(h: Hyperparameters) -> Hyperparameters:
    """The average is divided by the magnitude of the last gradient, not by the largest."""
    return h.but(beta2=constant(0.0, h.form))


@rule("adamax", "optimizer.adamax optimizer.changing-rate")
def sum_for_the_maximum(rule: Rule, s: State, h: Hyperparameters, t: int, lr: Number, p: Number, g: Number) -> Number:
    """Fading magnitudes are summed up where the largest of them is due."""
    return rule(s, h.but(beta2=constant(0.0, h.form), eps=h.eps + h.beta2 * s.u), t, lr, p, g)


@rule("adamax", "optimizer.adamax optimizer.changing-rate")
def maximum_corrected(rule: Rule, s: State, h: Hyperparameters, t: int, lr: Number, p: Number, g: Number) -> Number:
    """The largest gradient is divided by 1 - beta2 ** t, as if it were an average."""
    return rule(s, h, t, lr * h.correction2(t), p, g)


@settings("nadam", "optimizer.nadam optimizer.changing-rate?")
def no_look_ahead(h: Hyperparameters) -> Hyperparameters:
    """The average is multiplied by the momentum of this step, not by that of the next."""

    def momenta(t: int, schedule: str) -> Any:
        now, _ = h.momenta(t, schedule)
        mu, together = 1.0 - now[0], 1.0 - now[1]
        return now, (mu, 1.0 - together * mu)

    return h.but(momenta=momenta)


@settings("nadam", "optimizer.nadam optimizer.changing-rate")
def momenta_not_multiplied(h: Hyperparameters) -> Hyperparameters:
    """The correction divides by 1 less the momentum of the step alone, not less the product of all."""

    def momenta(t: int, schedule: str) -> Any:
        now, ahead = h.momenta(t, schedule)
        return (now[0], now[0]), (ahead[0], 1.0 - ahead[0])

    return h.but(momenta=momenta)


@settings("nadam", "optimizer.nadam optimizer.changing-rate")
def gradient_left_out(h: Hyperparameters) -> Hyperparameters:
    """The step is along the average alone, without the gradient's own part."""

    def momenta(t: int, schedule: str) -> Any:
        now, ahead = h.momenta(t, schedule)
        return (constant(0.0, h.form), now[1]), ahead

    return h.but(momenta=momenta)


@settings("radam", "optimizer.radam optimizer.changing-rate?")
def threshold_four(h: Hyperparameters) -> Hyperparameters:
    """The step is rectified where more than four gradients count, not five."""
    return h.but(rectification=lambda t: h.rectification(t, enough=4.0))


@settings("radam", "optimizer.radam optimizer.changing-rate?")
def not_rectified(h: Hyperparameters) -> Hyperparameters:
    """The factor of the rectification is left out."""
    return h.but(rectification=lambda t: None if h.rectification(t) is None else one(h))


@settings("radam", "optimizer.radam optimizer.changing-rate?")
def rectification_without_its_root(h: Hyperparameters) -> Hyperparameters:
    """The root of the rectification is left out."""

    def rectification(t: int) -> Number | None:
        factor = h.rectification(t)
        return None if factor is None else factor * factor

    return h.but(rectification=rectification)


@settings("radam", "optimizer.radam optimizer.changing-rate?")
def never_adaptive(h: Hyperparameters) -> Hyperparameters:
    """The step is never adaptive: it is that of momentum alone."""
    return h.but(rectification=lambda t: None)


@settings("radam", "optimizer.radam optimizer.changing-rate")
def always_adaptive(h: Hyperparameters) -> Hyperparameters:
    """The step is adaptive from the first on, rectified or not."""
    return h.but(rectification=lambda t: h.rectification(t) or one(h))


# ASGD


@rule("asgd", "optimizer.asgd")
def rate_constant(rule: Rule, s: State, h: Hyperparameters, t: int, lr: Number, p: Number, g: Number) -> Number:
    """The learning rate does not fall."""
    return rule(s, h, 1, lr, p, g)


@rule("asgd", "optimizer.asgd")
def rate_falls_at_once(rule: Rule, s: State, h: Hyperparameters, t: int, lr: Number, p: Number, g: Number) -> Number:
    """The learning rate falls from the first step on."""
    return rule(s, h, t + 1, lr, p, g)


@settings("asgd", "optimizer.asgd")
def power_ignored(h: Hyperparameters) -> Hyperparameters:
    """The learning rate falls as 1 / (1 + lambd lr t), without the power alpha."""
    return h.but(alpha=1.0)


@rule("asgd", "optimizer.asgd")
def not_pulled(rule: Rule, s: State, h: Hyperparameters, t: int, lr: Number, p: Number, g: Number) -> Number:
    """The parameters are not pulled to zero."""
    return p + move(rule, s, h, t, lr, p, g)


@rule("asgd", "optimizer.asgd optimizer.zero-rate")
def pulled_without_the_rate(
    rule: Rule, s: State, h: Hyperparameters, t: int, lr: Number, p: Number, g: Number
) -> Number:
    """The pull to zero is not multiplied by the learning rate."""
    return p - h.lambd * p + move(rule, s, h, t, lr, p, g)


@impostor("optimize", "optimizer.asgd optimizer.absent-gradient", applies_to=("asgd",))
def mean_returned(right: Any, name: str, hyperparameters: Any, params: Any, grads: Any) -> Any:
    """The mean of the parameters after all steps so far is listed, whatever `t0`."""
    means: list[Any] = []
    for t, step in enumerate(right(name, hyperparameters, params, grads)):
        means.append([m + (p - m) / (t + 1) for m, p in zip(means[-1] if means else step, step, strict=True)])
    return means


# Rprop


def _turns(s: State, g: Number) -> bool:
    return bool((g * s.before).sign() == -1)


def _stepped(p: Number, g: Number, size: Number) -> Number:
    return p - size if g.sign() == 1 else p + size


@settings("rprop", "optimizer.rprop")
def largest_step_ignored(h: Hyperparameters) -> Hyperparameters:
    """Steps grow beyond the largest size."""
    return h.but(largest=constant(2.0**1000, h.form))


@settings("rprop", "optimizer.rprop")
def smallest_step_ignored(h: Hyperparameters) -> Hyperparameters:
    """Steps shrink below the smallest size."""
    return h.but(smallest=constant(0.0, h.form))


@settings("rprop", "optimizer.rprop")
def etas_swapped(h: Hyperparameters) -> Hyperparameters:
    """Steps shrink where the sign stays, and grow where it turns."""
    return _exchanged(h, ("up", "down"))


@rule("rprop", "optimizer.rprop")
def step_after_a_turn(rule: Rule, s: State, h: Hyperparameters, t: int, lr: Number, p: Number, g: Number) -> Number:
    """A turn of the sign costs no step: it is made, with the smaller size."""
    turns = _turns(s, g)
    after = rule(s, h, t, lr, p, g)
    if not turns:
        return after
    s.before = g
    return _stepped(p, g, s.size)


@rule("rprop", "optimizer.rprop")
def turn_remembered(rule: Rule, s: State, h: Hyperparameters, t: int, lr: Number, p: Number, g: Number) -> Number:
    """After a turn the next gradient is compared with the one that turned, and the size changes again."""
    turns = _turns(s, g)
    after = rule(s, h, t, lr, p, g)
    s.before = g if turns else s.before
    return after


@rule("rprop", "optimizer.rprop")
def turn_takes_back(rule: Rule, s: State, h: Hyperparameters, t: int, lr: Number, p: Number, g: Number) -> Number:
    """After a turn the last step is taken back, as in the first form of Rprop."""
    turns, last = _turns(s, g), s.x
    after = rule(s, h, t, lr, p, g)
    s.x = constant(0.0, p.form) if s.before.known_zero() else _stepped(constant(0.0, p.form), g, s.size)
    return p - last if turns else after


@rule("rprop", "optimizer.rprop")
def times_the_gradient(rule: Rule, s: State, h: Hyperparameters, t: int, lr: Number, p: Number, g: Number) -> Number:
    """The size is multiplied by the gradient, not by its sign."""
    rule(s, h, t, lr, p, g)
    step: Number = s.size * s.before
    return p - step


# Legitimate variants


_VARIANTS = {
    ("sgd.buffer", "with-lr"): ("the learning rate is inside the momentum buffer: a new rate does not reach what is in it", "optimizer.sgd.momentum optimizer.sgd optimizer.sgd.dampening optimizer.sgd.nesterov optimizer.changing-rate optimizer.sgd.weight-decay", "apache/mxnet#15533 paiml/aprender#2190 pytorch/pytorch#1099"),
    ("sgd.buffer", "average"): ("the momentum buffer averages gradients, with the factor 1 - momentum", f"optimizer.sgd.momentum {SGD} optimizer.changing-rate", "HIPS/autograd#289 PaddlePaddle/Paddle#1002"),
    ("sgd.dampening", "always"): ("the first gradient is dampened too", "optimizer.sgd.dampening optimizer.sgd", "pytorch/pytorch#152833 ml-explore/mlx#473"),
    ("sgd.nesterov", "look-ahead"): ("Nesterov's step is the buffer alone: right for gradients taken at the point ahead, else plain momentum", "optimizer.sgd.nesterov optimizer.sgd", "chainer/chainer#4274 keras-team/keras#966"),
    ("sgd.decay", "decoupled"): ("the decay shrinks the parameters beside the buffer, and is no part of the gradient", "optimizer.sgd.weight-decay optimizer.sgd", ""),
    ("adam.epsilon", "inside"): ("epsilon is inside the root", f"optimizer.adam.epsilon {ADAM} optimizer.changing-rate?", "sail-sg/Adan#8 d2l-ai/d2l-zh#502"),
    ("adam.epsilon", "hat"): ("epsilon is added before the average of the squares is corrected", "optimizer.adam.epsilon optimizer.adam optimizer.adam.bias-correction optimizer.adam.weight-decay optimizer.adam.amsgrad? optimizer.changing-rate?", "tensorflow/tensorflow#9047 pytorch/pytorch#22628 karpathy/nanochat#304"),
    ("adam.correction", "none"): ("the averages are not corrected", f"optimizer.adam.bias-correction {ADAM} optimizer.adam.first-step optimizer.changing-rate", "ml-explore/mlx#1640 oxiglade/mlx-rs#301"),
    ("adam.amsgrad", "corrected"): ("AMSGrad takes the largest of the corrected averages", "optimizer.adam.amsgrad optimizer.adam", "google-deepmind/optax#1389 pytorch/pytorch#142323"),
    ("adam.decay", "decoupled"): ("the decay shrinks the parameters beside the step, as AdamW's does", "optimizer.adam.weight-decay optimizer.adam", ""),
    ("adamw.decay", "after"): ("the parameters decay after the step", "optimizer.adamw optimizer.adamw.decoupled optimizer.changing-rate", ""),
    ("adamw.decay", "without-lr"): ("the decay is not multiplied by the learning rate", "optimizer.adamw.decoupled optimizer.adamw optimizer.changing-rate optimizer.zero-rate", "tensorflow/addons#2282 google-deepmind/optax#292 modern-fortran/neural-fortran#152 tensorflow/tensorflow#22763"),
    ("rmsprop.epsilon", "inside"): ("epsilon is inside the root", "optimizer.rmsprop optimizer.rmsprop.centered optimizer.rmsprop.momentum optimizer.changing-rate?", "pytorch/pytorch#23796 chainer/chainer#4754 apache/mxnet#4493 jax-ml/jax#1427"),
    ("rmsprop.start", "one"): ("the average of the squares begins at one", "optimizer.rmsprop optimizer.rmsprop.centered optimizer.rmsprop.momentum optimizer.changing-rate", "google-deepmind/optax#49"),
    ("rmsprop.buffer", "with-lr"): ("the learning rate is inside the momentum buffer", "optimizer.rmsprop.momentum optimizer.rmsprop optimizer.changing-rate?", "pytorch/pytorch#32545"),
    ("adagrad.epsilon", "inside"): ("epsilon is inside the root", "optimizer.adagrad optimizer.adagrad.lr-decay optimizer.adagrad.initial-accumulator optimizer.changing-rate?", "keras-team/keras#17391"),
    ("adadelta.rate", "without"): ("there is no learning rate", "optimizer.adadelta optimizer.changing-rate optimizer.zero-rate", ""),
    ("adamax.epsilon", "outside"): ("epsilon is added to the largest gradient, not to each before it", "optimizer.adamax optimizer.changing-rate?", ""),
    ("adamax.correction", "none"): ("the average is not corrected", "optimizer.adamax optimizer.changing-rate", ""),
    ("nadam.schedule", "fast"): ("the momenta rise as if momentum_decay were 1", "optimizer.nadam optimizer.changing-rate", ""),
    ("nadam.schedule", "constant"): ("the momentum is beta1 at every step", "optimizer.nadam optimizer.changing-rate", ""),
    ("radam.epsilon", "outside"): ("epsilon is added to the root of the corrected average", "optimizer.radam optimizer.changing-rate?", ""),
}  # fmt: skip
"""What each does, what it breaks in a target that does not declare it, and where it was seen."""


def _variant(convention: str, value: str, told: str, clauses: str, seen: str) -> Impostor:
    def wrong(right: Any, name: str, hyperparameters: Any, params: Any, grads: Any) -> Any:
        as_declared = SimpleNamespace(follow={**right.follow, convention: value})
        if not any(isinstance(p, Exact) for p in params):
            right(name, hyperparameters, params, grads)
        return walked(as_declared, Frame(RULES[name]), name, hyperparameters, params, grads, refuses=False)

    optimizer = convention.split(".")[0]
    return Impostor(
        f"{convention.replace('.', '-')}-{value}",
        "optimize",
        wrong,
        told,
        tuple(dict.fromkeys(clauses.split())),
        kind="variant",
        seen=tuple(seen.split()),
        applies_to=("adam", "adamw") if optimizer == "adam" and convention != "adam.decay" else (optimizer,),
        convention=(convention, value),
    )


for (_convention, _value), _about in _VARIANTS.items():
    add(_variant(_convention, _value, *_about))


# Questions

_SHOWN: dict[str, dict[str, Any]] = {
    "sgd": {"momentum": 0.5, "weight_decay": 0.25},
    "adam": {"betas": (0.5, 0.75), "eps": 0.1, "weight_decay": 0.25},
    "adamw": {"betas": (0.5, 0.75), "eps": 0.1, "weight_decay": 0.25},
    "rmsprop": {"alpha": 0.75, "eps": 0.1, "weight_decay": 0.25, "momentum": 0.5},
    "adagrad": {"lr_decay": 0.5, "eps": 0.1, "weight_decay": 0.25, "initial_accumulator_value": 0.5},
    "adadelta": {"rho": 0.75, "eps": 0.1, "weight_decay": 0.25},
    "adamax": {"betas": (0.5, 0.75), "eps": 0.1, "weight_decay": 0.25},
    "nadam": {"betas": (0.5, 0.75), "eps": 0.1, "weight_decay": 0.25, "momentum_decay": 0.25},
    "radam": {"betas": (0.25, 0.9), "eps": 0.1, "weight_decay": 0.25},
    "asgd": {"lambd": 0.25, "alpha": 0.5, "weight_decay": 0.5},
    "rprop": {"etas": (0.5, 1.5), "step_sizes": (0.4, 0.6)},
}
"""Hyperparameters with which much shows."""

_MORE: dict[str, tuple[dict[str, Any], ...]] = {
    "sgd": ({"momentum": 0.5, "dampening": 0.25},),
    "rmsprop": ({"alpha": 0.75, "eps": 0.1, "centered": True},),
    "adam": ({},),
    "adamw": ({},),
    "adagrad": ({},),
}
"""Others with which some things show that do not there: defaults, for instance."""


@impostor(
    "training_loop", "optimizer.swap optimizer.thermometer-adam", chapters=("optimizers",), ugly="any data show it"
)
def always_sgd(right: Any, n_epochs: int, optimizer: Any, *data: Any) -> Any:
    """The optimizer is gradient descent, whatever its name."""
    return right(n_epochs, {"name": "sgd", "lr": optimizer["lr"]}, *data)


_RATES = [0.5, 0.5, 0.25, 1.0]
_GRADS = [
    (2.0, -1.5, 0.3, 1.0),
    (1.0, -0.5, 0.6, 0.5),
    (-0.25, -0.7, 1.2, 0.25),
    (0.125, 0.25, -0.4, 3.0),
]


def _question(name: str, given: dict[str, Any], absent: bool = False) -> tuple[Any, ...]:
    """Four steps of two numbers and a table, at rates that change where they may."""
    params = [np.array([0.7]), np.array([-1.5]), np.array([[0.25, -3.1]])]
    grads: list[list[Any]] = [[np.array([a]), np.array([b]), np.array([[c, d]])] for a, b, c, d in _GRADS]
    if absent:
        grads[0][1] = grads[2][0] = grads[3][2] = None
    return name, {"lr": _RATES if name in SCHEDULED.split() else 0.5, **given}, params, grads


def _quick(name: str, given: dict[str, Any], unit: float = 1.0) -> tuple[Any, ...]:
    """Three steps of one number, in which most impostors already differ."""
    grads = [[None if g is None else np.array([g * unit])] for g in (2.0, None, -0.5, 0.75)]
    return name, {"lr": _RATES if name in SCHEDULED.split() else 0.5, **given}, [np.array([0.7])], grads


def _asked(name: str) -> list[tuple[Any, ...]]:
    shown = _SHOWN[name]
    return [
        _quick(name, {**shown, "maximize": True}),
        _question(name, shown),
        _question(name, shown, absent=True),
        *runs(name),
        *(_question(name, given) for given in _MORE.get(name, ())),
        *([_quick(name, {"eps": 0.0, "weight_decay": 0.0}, unit=2.0**-20)] if "eps" in shown else []),
        _quick(name, {**shown, "beta": 0.5}),
        _quick(name, {**shown, "lr": -0.5}),
        _quick(name, {**shown, "lr": [0.5, 0.25]}),
    ]


QUESTIONS = {
    "optimize": (
        *itertools.chain.from_iterable(map(_asked, RULES)),
        ("adm", {"lr": 0.5}, [np.array([1.0])], [[np.array([1.0])]]),
    ),
    "training_loop": (
        (
            2,
            {"name": "adam", "lr": 0.5, "eps": 0.25},
            np.array([1.0, -2.0]),
            np.array([2.0, 0.5]),
            np.array([1.0, -3.0]),
        ),
    ),
}
