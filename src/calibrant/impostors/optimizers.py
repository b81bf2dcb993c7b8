"""Impostors of the optimizers: each changes a part of the exact rule, or of the frame around it, in which it is walked."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from calibrant import exact
from calibrant.exact import Exact
from calibrant.exact.optimizers import RULES, Frame, Hyperparameters, fresh
from calibrant.exact.scalars import Number, complement, constant, maximum, minimum, mix, product, root
from calibrant.impostors import kinds
from calibrant.impostors.battery import runs
from calibrant.impostors.kinds import Call, Change, Rows, impostors_of
from calibrant.impostors.rights import join, overwrite
from calibrant.protocol.wire import is_array

# The frame of a wrong walk

_STEP = ("h", "t", "lr", "p", "g", "follow")
_PARTS = {
    "rule": ("s", *_STEP),
    "step": ("place", *_STEP),
    "count": ("k", "present"),
    "state": ("k", "i", "form"),
    "settings": ("h",),
}
"""The parts of `exact.optimizers.Frame`, and what each is given."""


def walked(c: Call, frame: Frame, follow: Mapping[str, str] | None = None, refuses: bool = True) -> Any:
    """The parameters after each step, in a frame; it refuses what must be refused, and is right where numbers are not finite."""
    if not any(isinstance(p, Exact) for p in c.params):
        answer = c() if refuses else None
        arrays = [x for x in itertools.chain(c.params, *c.grads) if is_array(x)]
        if not c.params or not all(np.isfinite(x).all() for x in arrays):
            return answer
    return exact.optimize(*c.given.values(), follow or c.right.follow, frame)


def framed(**changes: Change) -> Change:
    """The walk with changed parts of its frame: `framed(rule=lambda c: c(g=-c.g))`, where `c()` is what the part does rightly."""

    def changed(c: Call) -> Any:
        frame = Frame(RULES[c.name])
        for part, change in changes.items():
            setattr(frame, part, _called(part, getattr(frame, part), change))
        return walked(c, frame)

    return changed


def _called(part: str, right: Any, change: Change) -> Callable[..., Any]:
    return lambda *arguments: change(Call(right, _PARTS[part], arguments))


def but(**changes: Any) -> Change:
    """The walk with changed hyperparameters, and what follows from them; a function is one of the right hyperparameters."""
    return framed(settings=lambda c: c.h.but(**{key: x(c.h) if callable(x) else x for key, x in changes.items()}))


def exchanged(*pairs: tuple[str, str]) -> Change:
    """The walk with pairs of hyperparameters that have changed places."""
    both = [*pairs, *(pair[::-1] for pair in pairs)]
    return framed(settings=lambda c: c.h.but(**{a: getattr(c.h, b) for a, b in both if hasattr(c.h, b)}))


def rates(change: Callable[[Any, Call], Any]) -> Change:
    """The right walk at other rates, a function of those that are listed and of the call."""

    def changed(c: Call) -> Any:
        lr = c.hyperparameters.get("lr")
        listed = isinstance(lr, (list, tuple)) and lr
        return c(hyperparameters={**c.hyperparameters, "lr": change(lr, c)}) if listed else c()

    return changed


def by_default(**given: Any) -> Change:
    """The right walk with other defaults; a function is one of the hyperparameters that are given."""
    defaults = {key: x if callable(x) else (lambda h, x=x: x) for key, x in given.items()}
    return lambda c: c(hyperparameters={key: f(c.hyperparameters) for key, f in defaults.items()} | c.hyperparameters)


def along(change: Callable[[Any, Call], Any]) -> Change:
    """The right walk along other gradients, a function of the gradients of one step and of the call."""
    return lambda c: c(grads=[change(step, c) for step in c.grads])


def gradients_written(values: Callable[[Any, Any, Call], Any]) -> Change:
    """The right walk, and the caller's gradients written over by a function of a parameter, its gradient and the call."""

    def write(c: Call, path: Any) -> None:
        for before, step in zip([c.params, *path], c.grads, strict=False):
            for p, g in zip(before, step, strict=True):
                if g is not None:
                    overwrite(g, values(p, g, c))

    return kinds.afterwards(write)


# Parts of a step


def one(h: Hyperparameters) -> Number:
    """The number 1."""
    return constant(1.0, h.form)


def zero(h: Hyperparameters) -> Number:
    """The number 0."""
    return constant(0.0, h.form)


def other(c: Call, **changes: Any) -> Any:
    """Other hyperparameters, made once for all steps."""
    return c.h.once(tuple(changes.items()), lambda: c.h.but(**changes))


def penalized(c: Call) -> Any:
    """The gradient with a coupled decay."""
    return c.g + c.h.weight_decay * c.p


def undecayed(c: Call, g: Any, **changes: Any) -> Any:
    """The step of a rule without its decay, along another gradient."""
    return c(h=other(c, weight_decay=0.0), g=g, **changes)


def move(c: Call) -> Any:
    """What a rule with a coupled decay adds to a parameter."""
    return undecayed(c, penalized(c), p=zero(c.h))


def remembering(**values: Change) -> Change:
    """The step from a changed state."""

    def changed(c: Call) -> Any:
        vars(c.s).update({key: value(c) for key, value in values.items()})
        return c()

    return changed


# The rows

ALL = "sgd adam adamw rmsprop adagrad adadelta adamax nadam radam asgd rprop"
COUNTING = "adam adamw adagrad adamax nadam radam asgd"

CHANGING = "optimizer.changing-rate"
ABSENT = "optimizer.absent-gradient"
KEPT = "optimizer.gradients-kept"
SGD = "optimizer.sgd optimizer.sgd.momentum optimizer.sgd.dampening optimizer.sgd.nesterov optimizer.sgd.weight-decay"
EACH = f"{SGD} {CHANGING}"
OWN = f"optimizer.own-state {EACH}"
RATE = f"{CHANGING} {SGD} {ABSENT}"
DECAY = "optimizer.sgd.weight-decay optimizer.sgd"
MOMENTUM = f"optimizer.sgd.momentum {EACH}"
DAMPENING = "optimizer.sgd.dampening optimizer.sgd"
ADAM = "optimizer.adam optimizer.adam.bias-correction optimizer.adam.epsilon optimizer.adam.amsgrad optimizer.adam.weight-decay"
AVERAGES = f"{ADAM} {CHANGING} optimizer.adam.first-step"
CORRECTION = f"optimizer.adam.bias-correction {AVERAGES}"
DECOUPLED = f"optimizer.adamw.decoupled optimizer.adamw {CHANGING}"
RMSPROP = "optimizer.rmsprop optimizer.rmsprop.centered optimizer.rmsprop.momentum"
START, SLOWED = (
    "optimizer.adagrad.initial-accumulator optimizer.adagrad",
    "optimizer.adagrad.lr-decay optimizer.adagrad",
)
ADADELTA, ADAMAX, NADAM = (f"optimizer.{name} {CHANGING}" for name in ("adadelta", "adamax", "nadam"))
RADAM = f"optimizer.radam {CHANGING}?"


def of(names: str = ALL, without: str = "") -> Rows:
    """Begin rows for some optimizers; the first of them shows the clauses."""
    named = dict.fromkeys(names.split())
    return impostors_of("optimize", applies_to=tuple(name for name in named if name not in without.split()))


optimize = of()
decaying, coupled = of(without="rprop"), of(without="adamw rprop")
scheduled, remembers = of(without="asgd rprop"), of(without="asgd")
adams, adamw, sgd = of("adam adamw"), of("adamw"), of("sgd")

# The sign and the gradient

optimize("uphill", "every step goes up the gradient")(framed(rule=lambda c: c(g=-c.g)), EACH)
optimize("maximize-ignored", "it minimizes where it should maximize: the gradient is never negated, or twice")(
    framed(rule=lambda c: c(g=-c.g if c.h["maximize"] else c.g)),
    "optimizer.maximize optimizer.sgd",
    "kozistr/pytorch_optimizer#528",
)
coupled("decay-negated-too", "to maximize, it negates the decay with the gradient, and the parameters grow")(
    but(weight_decay=lambda h: -h.weight_decay if h["maximize"] else h.weight_decay), "optimizer.maximize optimizer.sgd"
)
of(f"adam {ALL}", without="rprop")("gradients-clipped", "every number of a gradient is clipped to between -1 and 1")(
    framed(rule=lambda c: c(g=maximum(minimum(c.g, one(c.h)), -one(c.h)))),
    f"{ADAM} {CHANGING} optimizer.adam.scale-free?",
)
optimize("gradient-of-the-first", "every parameter of the shape of the first moves along the gradient of the first")(
    along(
        lambda step, c: [step[0] if p.shape == c.params[0].shape else g for p, g in zip(c.params, step, strict=True)]
    ),
    f"optimizer.own-state {SGD.replace('nesterov', 'nesterov?')} {CHANGING}?",
)
optimize("along-its-own-value", "every parameter but the first moves along its own value, not along its gradient")(
    framed(step=lambda c: c(g=c.p if c.g is not None and c.place[0] else c.g)),
    f"{OWN} optimizer.maximize",
    "apache/systemds#2330",
)

# Which parameters are moved, and how often


def _moved_twice(c: Call) -> Any:
    return c.but(t=2 * c.t)(p=c(t=2 * c.t - 1)) if c.place[0] and c.g is not None else c()


optimize("only-the-first-moved", "only the first parameter is moved")(
    kinds.checked(along(lambda step, c: [*step[:1], *(None for _ in step[1:])])), OWN, "nntrainer/nntrainer#219"
)
optimize("others-moved-twice", "every parameter but the first is moved twice by each gradient")(
    framed(step=_moved_twice), OWN, "nntrainer/nntrainer#219"
)
optimize("absent-as-zero", "an absent gradient counts as zero: momentum and decay go on")(
    framed(count=lambda c: c(present=True), step=lambda c: c(g=zero(c.h) if c.g is None else c.g)),
    ABSENT,
    "pytorch/pytorch#28294 pytorch/pytorch#42754",
)
adamw("decay-though-absent", "the decay goes on where the gradient is absent")(
    framed(step=lambda c: c.p - product([c.lr, c.h.weight_decay, c.p]) if c.g is None else c()),
    ABSENT,
    "KellerJordan/Muon#54",
)
of(COUNTING)("absent-counts", "a step without a gradient counts as a step")(
    framed(count=lambda c: c(present=True)), ABSENT
)
optimize("absent-stops-all", "where one gradient is absent, no parameter is moved")(
    kinds.checked(along(lambda step, c: [None for _ in step] if any(g is None for g in step) else step)), ABSENT
)

# Whose state it is


def _state_lost(c: Call) -> Any:
    if c.t == 1 or c.lr.fraction() != c.s.rate.fraction():
        vars(c.s).update(vars(fresh(c.h.form)), since=c.t - 1)
    c.s.rate = c.lr
    return c(t=c.t - c.s.since)


remembers("state-shared", "all parameters share one state: each finds the buffers of the one before")(
    framed(state=lambda c: c(k=0)), f"{OWN} {ABSENT}"
)
of(COUNTING)("steps-count-parameters", "all parameters share one count of steps, which goes on with each of them")(
    framed(count=lambda c: c(k=0)),
    f"optimizer.own-state {AVERAGES} {ABSENT}",
    "DiffSharp/DiffSharp#292 mlx-node/mlx-node#11 Shubham-cyber-prog/100-Days-Of-Web-Development-ECWoC26#1575",
)
remembers("state-kept", "a new optimizer goes on with the state of the one before", repeats=False)(
    lambda c: walked(c, c.right.memory.setdefault(c.name, Frame(RULES[c.name]))), f"optimizer.fresh {OWN} {ABSENT}"
)
scheduled("state-lost-with-the-rate", "a new learning rate empties the buffers and restarts the count of steps")(
    framed(rule=_state_lost), f"{CHANGING} {SGD}"
)

# The learning rate

scheduled("rate-frozen", "all steps have the learning rate of the first")(rates(lambda lr, c: [lr[0]] * len(lr)), RATE)
scheduled("first-rate-skipped", "each step has the rate of the next: the schedule moves before the optimizer does")(
    rates(lambda lr, c: [*lr[1:], lr[-1]]), RATE, "yueatsprograms/uda_release#3 jdonnelly36/Deformable-ProtoPNet#6"
)
scheduled("rate-one-late", "each step but the first has the learning rate of the one before")(
    rates(lambda lr, c: [lr[0], *lr[:-1]]), RATE
)
scheduled("first-rate-zero", "the rate of the first step is zero, and each other step has the rate of the one before")(
    rates(lambda lr, c: [0.0, *lr[:-1]]),
    RATE,
    "google-research/bert#1293 EleutherAI/gpt-neox#1373 facebookresearch/barlowtwins#45",
)

# What is returned

optimize("one-array-listed", "every step lists the same arrays, which hold the parameters after the last step")(
    kinds.answer(lambda path: [path[-1] for _ in path]), f"{EACH} {ABSENT}"
)
optimize("parameters-before-each-step", "it lists the parameters before each step")(
    lambda c: [list(c.params), *c()][:-1], f"{EACH} {ABSENT}"
)
optimize("last-step-alone", "it lists only the parameters after the last step")(
    kinds.answer(lambda path: path[-1:]),
    f"{OWN} {ABSENT} {KEPT} optimizer.maximize optimizer.fresh optimizer.zero-rate optimizer.dtype".replace(
        OWN, f"{EACH} optimizer.own-state"
    ),
)
optimize("flattened", "every parameter is returned as one column", ugly="a table is needed")(
    kinds.answer(lambda path: [[join(p) for p in step] for step in path]),
    f"{SGD.replace('nesterov', 'nesterov?')} {CHANGING} {ABSENT} optimizer.maximize optimizer.zero-rate?",
)
optimize("parameters-in-place", "it moves the caller's parameters")(
    kinds.afterwards(lambda c, path: [*map(overwrite, c.params, path[-1] if path else [])]), KEPT
)
optimize("gradients-negated-in-place", "to maximize, it turns the sign of the caller's gradients")(
    gradients_written(lambda p, g, c: -g if c.hyperparameters.get("maximize") else g), KEPT
)
coupled("decay-added-in-place", "it adds the decay to the caller's gradients")(
    gradients_written(lambda p, g, c: g + p * c.hyperparameters.get("weight_decay", 0.0)), KEPT
)
optimize.in_dtype("float32", f"{EACH} {ABSENT} optimizer.zero-rate")
optimize.in_dtype("float16", f"{EACH} optimizer.maximize optimizer.own-state {ABSENT} optimizer.zero-rate")
optimize.in_dtype("float64", "optimizer.dtype")

# What is refused

of(f"adam {ALL}")("unknown-hyperparameters-ignored", "a hyperparameter that the optimizer does not have is ignored")(
    lambda c: c(hyperparameters={key: x for key, x in c.hyperparameters.items() if key in exact.OPTIMIZERS[c.name]}),
    "optimizer.unknown",
)
of("adm")("unknown-is-sgd", "an optimizer of an unknown name is SGD")(lambda c: c(name="sgd"), "optimizer.unknown")
optimize("values-unchecked", "it takes hyperparameters that mean nothing")(
    lambda c: walked(c, Frame(RULES[c.name]), refuses=False), "optimizer.invalid"
)
scheduled("last-rate-goes-on", "where there are fewer learning rates than steps, the last goes on")(
    rates(lambda lr, c: [*lr, *[lr[-1]] * (len(c.grads) - len(lr))]), "optimizer.invalid"
)

# Weight decay


def _only_tables_decay(c: Call) -> Any:
    bare = {**c.hyperparameters, "weight_decay": 0.0}
    each = [
        c(hyperparameters=c.hyperparameters if len(p.shape) > 1 else bare, params=[p], grads=[[x[k]] for x in c.grads])
        for k, p in enumerate(c.params)
    ]
    return [[path[t][0] for path in each] for t in range(len(c.grads))]


decaying("decay-grows", "the decay has the wrong sign, and parameters grow")(
    but(weight_decay=lambda h: -h.weight_decay), DECAY, "chainer/chainer#261 andersbll/deeppy#17"
)
decaying("decay-ignored", "the decay is ignored")(but(weight_decay=0.0), DECAY)
coupled("decay-constant", "the decay itself is added to the gradient, not its product with the parameter")(
    framed(rule=lambda c: undecayed(c, c.g + c.h.weight_decay)),
    DECAY,
    "jettify/pytorch-optimizer#454 jettify/pytorch-optimizer#433",
)
coupled("decay-of-the-sign", "the decay multiplies the sign of the parameter, as in an L1 penalty")(
    framed(rule=lambda c: undecayed(c, c.g + c.h.weight_decay * float(c.p.sign() or 0))),
    DECAY,
    "OverLordGoldDragon/keras-adamw#39",
)
decaying("only-tables-decay", "only parameters of two dimensions decay")(kinds.checked(_only_tables_decay), DECAY)
adamw("decay-coupled", "the decay is part of the gradient, and enters the averages")(
    framed(rule=lambda c: undecayed(c, penalized(c))),
    DECOUPLED,
    "pytorch/pytorch#48793 mapbox/robosat#166 google-deepmind/optax#417",
)
adamw("no-decay-by-default", "where no decay is given there is none")(
    by_default(weight_decay=0.0), f"optimizer.adamw {DECOUPLED}"
)

# SGD

pushed = partial(kinds.where, lambda c: c.h["momentum"])
of("sgd rmsprop")("momentum-ignored", "the momentum is ignored")(but(momentum=0.0), MOMENTUM)
sgd("momentum-on-the-gradient", "the momentum multiplies the new gradient and not the buffer, which never fades")(
    framed(rule=pushed(lambda c: c(h=other(c, momentum=1.0, weight_decay=0.0), g=c.h.momentum * penalized(c)))),
    MOMENTUM,
    "ooples/AiDotNet#2008",
)
sgd("dampening-ignored", "no gradient is dampened")(
    but(dampening=0.0), DAMPENING, "open-lm-engine/accelerated-model-architectures#436"
)
sgd("dampening-for-its-rest", "gradients are multiplied by the dampening, not by 1 - dampening")(
    but(dampening=lambda h: complement(h.dampening)), DAMPENING
)
sgd("dampened-by-default", "where no dampening is given it is the momentum, as in Lua's torch")(
    by_default(dampening=lambda h: 0.0 if h.get("nesterov") else h.get("momentum", 0.0)),
    f"optimizer.sgd.momentum {DECAY} {CHANGING}",
    "torch/optim#163 intel/analytics-zoo#1038",
)
sgd("buffer-one-late", "the step takes the buffer before the gradient is added to it")(
    framed(rule=pushed(lambda c: (c.p - c.lr * c.s.buffer, c())[0])), MOMENTUM
)
sgd("nesterov-without-its-factor", "Nesterov adds the whole buffer to the gradient, not its product with the momentum")(
    framed(rule=kinds.where(lambda c: c.h["nesterov"], lambda c: c(h=other(c, nesterov=False)) - c.lr * penalized(c))),
    "optimizer.sgd.nesterov optimizer.sgd",
)

# Averages and their correction

of("adam adamw nadam radam adamax")("betas-swapped", "the two betas are exchanged")(
    exchanged(("beta1", "beta2"), ("part1", "part2")), f"{ADAM} {CHANGING}"
)
squares = of("adam adamw nadam radam rmsprop adadelta")
squares("shares-swapped", "averages keep 1 - beta of the past and take beta of the new")(
    exchanged(("beta1", "part1"), ("beta2", "part2"), ("alpha", "part"), ("rho", "part")), AVERAGES
)
squares("squares-summed", "squares are added to their average whole, without the factor 1 - beta")(
    but(part=one, part2=one, rectification=lambda h: h.rectification),
    AVERAGES,
    "fastai/fastbook#342 Devinterview-io/gradient-descent-interview-questions#1",
)
of("adam adamw adamax nadam radam")("gradients-summed", "gradients are added to their average without 1 - beta")(
    but(part1=one), AVERAGES, "PennyLaneAI/pennylane#1928"
)
corrected = of("adam adamw nadam adamax")
corrected("correction-one-late", "steps are counted from 2: the correction divides by 1 - beta ** (t + 1)")(
    framed(rule=lambda c: c(t=c.t + 1)), CORRECTION
)
corrected("correction-without-power", "the correction divides by 1 - beta at every step, without the power of t")(
    but(correction1=lambda h: lambda t: h.correction1(1), correction2=lambda h: lambda t: h.correction2(1)),
    f"optimizer.adam.bias-correction {ADAM} {CHANGING}",
    "eriklindernoren/ML-From-Scratch#35 ufal/npfl114#79",
)
of("adam adamw radam")("gradients-uncorrected", "only the average of the squares is corrected")(
    but(correction1=lambda h: lambda t: one(h)), CORRECTION
)
of("adam adamw nadam")("squares-uncorrected", "only the average of the gradients is corrected")(
    but(correction2=lambda h: lambda t: one(h)), CORRECTION
)
adams("corrections-swapped", "each of the two averages is corrected by the beta of the other")(
    exchanged(("correction1", "correction2")), CORRECTION
)
adams("correction-multiplied", "the averages are multiplied by their corrections, not divided")(
    but(
        correction1=lambda h: lambda t: product([one(h)], [h.correction1(t)]),
        correction2=lambda h: lambda t: product([one(h)], [h.correction2(t)]),
    ),
    CORRECTION,
    "karpathy/convnetjs#70 karpathy/convnetjs#107",
)
adams("maximum-forgotten", "AMSGrad is Adam: its largest average is not kept from step to step")(
    but(amsgrad=False), "optimizer.adam.amsgrad optimizer.adam", "pytorch/pytorch#4034"
)
adams("always-amsgrad", "the average of the squares never falls, as in AMSGrad, whether that is asked for or not")(
    but(amsgrad=True), f"{ADAM.replace('optimizer.adam.amsgrad ', '')} {CHANGING}?"
)
of(ALL, without="sgd adadelta asgd rprop")("epsilon-ignored", "there is no epsilon")(
    but(eps=0.0), f"optimizer.adam.epsilon {ADAM} {CHANGING}?", "davharris/mistnet#94"
)
of(ALL, without="sgd radam asgd rprop")(
    "zero-epsilon-replaced",
    "the default replaces an epsilon of zero",
    ugly="only small gradients show it",
)(
    but(eps=lambda h: h.eps if h["eps"] else constant(1e-8, h.form)),
    "optimizer.adam.scale-free optimizer.adam? optimizer.adam.amsgrad? optimizer.adam.first-step? optimizer.adam.weight-decay?",
)

# RMSprop, Adagrad, Adadelta


def _corrected(c: Call) -> Any:
    seen = 1.0 - c.h.power(c.h.alpha, c.t)
    keep = product([c.h.alpha, 1.0 - c.h.power(c.h.alpha, c.t - 1)], [seen])
    return c(h=c.h.but(alpha=keep, part=product([c.h.part], [seen])))


def _epsilon_outside(c: Call) -> Any:
    x, g = c.s.x, penalized(c)
    undecayed(c, g)
    d = product([root(x + c.h.eps), g], [root(c.s.v) + root(c.h.eps)])
    c.s.x = mix(x, d * d, c.h.rho, c.h.part)
    return c.p - c.lr * d


def _steps_with_the_rate(c: Call) -> Any:
    x, moved = c.s.x, move(c)
    c.s.x = mix(x, moved * moved, c.h.rho, c.h.part)
    return c.p + moved


rmsprop, adagrad, adadelta = of("rmsprop"), of("adagrad"), of("adadelta")
rmsprop("centered-ignored", "the average of the gradients is never subtracted")(
    but(centered=False), "optimizer.rmsprop.centered optimizer.rmsprop"
)
rmsprop("corrected-as-in-adam", "averages are divided by what they have seen, 1 - alpha ** t, as in Adam")(
    framed(rule=_corrected), f"{RMSPROP} {CHANGING}"
)
adagrad("sum-from-zero", "the sum of squares begins at zero, whatever is given")(
    but(initial_accumulator_value=0.0), START
)
adagrad("sum-from-one", "the sum of squares begins at one, whatever is given")(
    but(initial_accumulator_value=1.0), f"{START} {SLOWED} {CHANGING}", "deeplearning4j/deeplearning4j#953"
)
adagrad("sum-from-a-tenth-by-default", "where no initial sum of squares is given, it is 0.1")(
    by_default(initial_accumulator_value=0.1),
    f"optimizer.adagrad.lr-decay {CHANGING} optimizer.adagrad?",
    "pytorch/pytorch#6616 tensorflow/tensorflow#37819",
)
adagrad("sum-forgotten", "the sum of squares contains the last gradient alone")(
    framed(rule=remembering(v=lambda c: c.h.initial_accumulator_value)),
    f"optimizer.adagrad {START} {SLOWED} {CHANGING}",
)
adagrad("rate-decay-ignored", "the decay of the learning rate is ignored")(
    but(lr_decay=0.0), SLOWED, "eaplatanios/tensorflow_scala#55"
)
adagrad("rate-decays-at-once", "the learning rate decays from the first step on")(
    framed(rule=lambda c: c(t=c.t + 1)), SLOWED
)
adagrad("rate-grows", "the learning rate is multiplied by 1 + (t - 1) lr_decay, not divided")(
    framed(rule=lambda c: c(lr=c.lr * (grown := 1.0 + c.h.lr_decay * (c.t - 1)) * grown)), SLOWED
)
adadelta("epsilon-outside", "the roots of epsilon and of the average of squares are added, not the root of their sum")(
    framed(rule=_epsilon_outside), ADADELTA
)
adadelta("nothing-to-begin-with", "there is no epsilon in the numerator, so that no step is ever made")(
    framed(rule=lambda c: c.p), ADADELTA
)
adadelta("steps-forgotten", "the squares of the steps are not averaged: the numerator stays what it was at the first")(
    framed(rule=remembering(x=lambda c: zero(c.h))), ADADELTA
)
adadelta("steps-with-the-rate", "it averages the squares of the steps times the learning rate")(
    framed(rule=_steps_with_the_rate), ADADELTA
)

# Adamax, NAdam, RAdam


def momenta(change: Callable[[Any, Any], Any]) -> Change:
    """NAdam with other momenta, a function of (1 - mu, 1 - product) of this step and of (mu, 1 - product) of the next."""
    return but(momenta=lambda h: lambda t, schedule: change(*h.momenta(t, schedule)))


def rectified(change: Callable[[Any], Any]) -> Change:
    """RAdam with another rectification, a function of the right one."""
    return but(rectification=lambda h: lambda t: change(h.rectification(t)))


adamax, nadam, radam = of("adamax"), of("nadam"), of("radam")
adamax("maximum-never-fades", "the largest gradient does not fade")(but(beta2=one), ADAMAX)
adamax("last-gradient-for-the-largest", "the magnitude of the last gradient stands for the largest")(
    but(beta2=zero), ADAMAX
)
adamax("sum-for-the-maximum", "the fading magnitudes are summed, and the largest is not taken")(
    framed(rule=lambda c: c(h=c.h.but(beta2=zero(c.h), eps=c.h.eps + c.h.beta2 * c.s.u))), ADAMAX
)
adamax("maximum-corrected", "the largest gradient is divided by 1 - beta2 ** t, as if it were an average")(
    framed(rule=lambda c: c(lr=c.lr * c.h.correction2(c.t))), ADAMAX
)
nadam("no-look-ahead", "the average is multiplied by the momentum of this step, not of the next")(
    momenta(lambda now, ahead: (now, (1.0 - now[0], 1.0 - (1.0 - now[1]) * (1.0 - now[0])))), f"{NADAM}?"
)
nadam("momenta-not-multiplied", "the correction divides by 1 - mu of the step alone, not of the product of all")(
    momenta(lambda now, ahead: ((now[0], now[0]), (ahead[0], 1.0 - ahead[0]))), NADAM
)
nadam("gradient-left-out", "the step goes along the average alone, without the gradient's own part")(
    momenta(lambda now, ahead: ((constant(0.0, now[1].form), now[1]), ahead)), NADAM
)
radam("threshold-four", "the step is rectified where more than four gradients count, not five")(
    but(rectification=lambda h: partial(h.rectification, enough=4.0)), RADAM
)
radam("not-rectified", "the factor of the rectification is left out")(
    rectified(lambda factor: factor and constant(1.0, factor.form)), RADAM
)
radam("rectification-without-its-root", "the root of the rectification is left out")(
    rectified(lambda factor: factor and factor * factor), RADAM
)
radam("never-adaptive", "the step is never adaptive: it is the step of momentum alone")(
    rectified(lambda factor: None), RADAM
)
radam("always-adaptive", "the step is adaptive from the first on, rectified or not")(
    but(rectification=lambda h: lambda t: h.rectification(t) or one(h)), RADAM.rstrip("?")
)

# ASGD


def _means(c: Call) -> Any:
    means: list[Any] = []
    for t, step in enumerate(c()):
        means.append([m + (p - m) / (t + 1) for m, p in zip(means[-1] if means else step, step, strict=True)])
    return means


asgd = of("asgd")
asgd("rate-constant", "the learning rate does not fall")(framed(rule=lambda c: c(t=1)), "optimizer.asgd")
asgd("rate-falls-at-once", "the learning rate falls from the first step on")(
    framed(rule=lambda c: c(t=c.t + 1)), "optimizer.asgd"
)
asgd("power-ignored", "the learning rate falls as 1 / (1 + lambd lr t), without the power alpha")(
    but(alpha=1.0), "optimizer.asgd"
)
asgd("not-pulled", "the parameters are not pulled to zero")(framed(rule=lambda c: c.p + move(c)), "optimizer.asgd")
asgd("pulled-without-the-rate", "the pull to zero is not multiplied by the learning rate")(
    framed(rule=lambda c: c.p - c.h.lambd * c.p + move(c)), "optimizer.asgd optimizer.zero-rate"
)
asgd("mean-returned", "it lists the mean of the parameters after all steps so far, whatever `t0`")(
    _means, f"optimizer.asgd {ABSENT}"
)

# Rprop


def _turns(c: Call) -> bool:
    return bool((c.g * c.s.before).sign() == -1)


def _stepped(p: Number, c: Call) -> Number:
    return p - c.s.size if c.g.sign() == 1 else p + c.s.size


def _takes_back(c: Call) -> Any:
    turns, last, after = _turns(c), c.s.x, c()
    c.s.x = zero(c.h) if c.s.before.known_zero() else _stepped(zero(c.h), c)
    return c.p - last if turns else after


remembered = kinds.afterwards(lambda c, after: vars(c.s).update(before=c.g))
rprop = of("rprop")
rprop("largest-step-ignored", "steps grow beyond the largest size")(
    but(largest=lambda h: constant(2.0**1000, h.form)), "optimizer.rprop"
)
rprop("smallest-step-ignored", "steps shrink below the smallest size")(but(smallest=zero), "optimizer.rprop")
rprop("etas-swapped", "steps shrink where the sign stays, and grow where it turns")(
    exchanged(("up", "down")), "optimizer.rprop"
)
rprop("step-after-a-turn", "a turn of the sign costs no step: it is made, with the smaller size")(
    framed(rule=kinds.where(_turns, lambda c: (remembered(c), _stepped(c.p, c))[1])), "optimizer.rprop"
)
rprop("turn-remembered", "the next gradient is compared with the one that turned, and the size changes again")(
    framed(rule=kinds.where(_turns, remembered)), "optimizer.rprop"
)
rprop("turn-takes-back", "after a turn the last step is taken back, as in the first form of Rprop")(
    framed(rule=_takes_back), "optimizer.rprop"
)
rprop("times-the-gradient", "the size is multiplied by the gradient, not by its sign")(
    framed(rule=lambda c: (c(), c.p - c.s.size * c.s.before)[1]), "optimizer.rprop"
)

# Legitimate variants


def variant(convention: str, value: str, sentence: str) -> Callable[..., None]:
    """Begin the row of a variant that is legitimate once it is declared: the clauses that it breaks follow, and where it was seen."""
    optimizer = convention.partition(".")[0]
    both = optimizer == "adam" and convention != "adam.decay"
    rows = impostors_of(
        "optimize",
        kind="variant",
        applies_to=("adam", "adamw") if both else (optimizer,),
        convention=(convention, value),
    )
    return partial(
        rows(f"{convention.replace('.', '-')}-{value}", sentence),
        lambda c: walked(c, Frame(RULES[c.name]), {**c.right.follow, convention: value}),
    )


variant(
    "sgd.buffer", "with-lr", "the momentum buffer contains the learning rate: a new rate does not reach what is in it"
)(MOMENTUM, "apache/mxnet#15533 paiml/aprender#2190 pytorch/pytorch#1099")
variant("sgd.buffer", "average", "the momentum buffer averages gradients, with the factor 1 - momentum")(
    MOMENTUM, "HIPS/autograd#289 PaddlePaddle/Paddle#1002"
)
variant("sgd.dampening", "always", "the first gradient is dampened too")(
    DAMPENING, "pytorch/pytorch#152833 ml-explore/mlx#473"
)
variant("sgd.nesterov", "look-ahead", "Nesterov's step is the buffer alone, for gradients taken at the point ahead")(
    "optimizer.sgd.nesterov optimizer.sgd", "chainer/chainer#4274 keras-team/keras#966"
)
variant("sgd.decay", "decoupled", "the decay shrinks the parameters beside the buffer, and is no part of the gradient")(
    DECAY
)
variant("adam.epsilon", "inside", "epsilon is inside the root")(
    f"optimizer.adam.epsilon {ADAM} {CHANGING}?", "sail-sg/Adan#8 d2l-ai/d2l-zh#502"
)
variant("adam.epsilon", "hat", "epsilon is added before the average of the squares is corrected")(
    f"optimizer.adam.epsilon {ADAM.replace('amsgrad', 'amsgrad?')} {CHANGING}?",
    "tensorflow/tensorflow#9047 pytorch/pytorch#22628 karpathy/nanochat#304",
)
variant("adam.correction", "none", "the averages are not corrected")(
    CORRECTION, "ml-explore/mlx#1640 oxiglade/mlx-rs#301"
)
variant("adam.amsgrad", "corrected", "AMSGrad takes the largest of the corrected averages")(
    "optimizer.adam.amsgrad optimizer.adam", "google-deepmind/optax#1389 pytorch/pytorch#142323"
)
variant("adam.decay", "decoupled", "the decay shrinks the parameters beside the step, as AdamW's does")(
    "optimizer.adam.weight-decay optimizer.adam"
)
variant("adamw.decay", "after", "the parameters decay after the step")(f"optimizer.adamw {DECOUPLED}")
variant("adamw.decay", "without-lr", "the decay is not multiplied by the learning rate")(
    f"{DECOUPLED} optimizer.zero-rate",
    "tensorflow/addons#2282 google-deepmind/optax#292 modern-fortran/neural-fortran#152 tensorflow/tensorflow#22763",
)
variant("rmsprop.epsilon", "inside", "epsilon is inside the root")(
    f"{RMSPROP} {CHANGING}?", "pytorch/pytorch#23796 chainer/chainer#4754 apache/mxnet#4493 jax-ml/jax#1427"
)
variant("rmsprop.start", "one", "the average of the squares begins at one")(
    f"{RMSPROP} {CHANGING}", "google-deepmind/optax#49"
)
variant("rmsprop.buffer", "with-lr", "the momentum buffer contains the learning rate")(
    f"optimizer.rmsprop.momentum optimizer.rmsprop {CHANGING}?", "pytorch/pytorch#32545"
)
variant("adagrad.epsilon", "inside", "epsilon is inside the root")(
    f"optimizer.adagrad {START} {SLOWED} {CHANGING}?", "keras-team/keras#17391"
)
variant("adadelta.rate", "without", "there is no learning rate")(f"{ADADELTA} optimizer.zero-rate")
variant("adamax.epsilon", "outside", "epsilon is added to the largest gradient, not to each before it")(f"{ADAMAX}?")
variant("adamax.correction", "none", "the average is not corrected")(ADAMAX)
variant("nadam.schedule", "fast", "the momenta rise as if momentum_decay were 1")(NADAM)
variant("nadam.schedule", "constant", "the momentum is beta1 at every step")(NADAM)
variant("radam.epsilon", "outside", "epsilon is added to the root of the corrected average")(RADAM)

training = impostors_of("training_loop", chapters=("optimizers",), ugly="any data show it")
training("always-sgd", "the optimizer is gradient descent, whatever its name")(
    lambda c: c(optimizer={"name": "sgd", "lr": c.optimizer["lr"]}), "optimizer.swap optimizer.thermometer-adam"
)

# Questions

_BETAS = {"betas": (0.5, 0.75), "eps": 0.1, "weight_decay": 0.25}
_SHOWN: dict[str, dict[str, Any]] = {
    "sgd": {"momentum": 0.5, "weight_decay": 0.25},
    "adam": _BETAS,
    "adamw": _BETAS,
    "rmsprop": {"alpha": 0.75, "eps": 0.1, "weight_decay": 0.25, "momentum": 0.5},
    "adagrad": {"lr_decay": 0.5, "eps": 0.1, "weight_decay": 0.25, "initial_accumulator_value": 0.5},
    "adadelta": {"rho": 0.75, "eps": 0.1, "weight_decay": 0.25},
    "adamax": _BETAS,
    "nadam": {**_BETAS, "momentum_decay": 0.25},
    "radam": {**_BETAS, "betas": (0.25, 0.9)},
    "asgd": {"lambd": 0.25, "alpha": 0.5, "weight_decay": 0.5},
    "rprop": {"etas": (0.5, 1.5), "step_sizes": (0.4, 0.6)},
}
"""Hyperparameters with which much shows."""

_MORE: dict[str, tuple[dict[str, Any], ...]] = {
    "sgd": ({"momentum": 0.5, "dampening": 0.25},),
    "rmsprop": ({"alpha": 0.75, "eps": 0.1, "centered": True},),
    **dict.fromkeys(("adam", "adamw", "adagrad"), ({},)),
}
"""Others with which some things show that do not there: defaults, for instance."""

_RATES = [0.5, 0.5, 0.25, 1.0]
_GRADS = [(2.0, -1.5, 0.3, 1.0), (1.0, -0.5, 0.6, 0.5), (-0.25, -0.7, 1.2, 0.25), (0.125, 0.25, -0.4, 3.0)]


def _given(name: str, given: dict[str, Any]) -> dict[str, Any]:
    return {"lr": 0.5 if name in ("asgd", "rprop") else _RATES, **given}


def _question(name: str, given: dict[str, Any], absent: bool = False) -> tuple[Any, ...]:
    """Four steps of two numbers and a table, at rates that change where they may."""
    params = [np.array([0.7]), np.array([-1.5]), np.array([[0.25, -3.1]])]
    grads: list[list[Any]] = [[np.array([a]), np.array([b]), np.array([[c, d]])] for a, b, c, d in _GRADS]
    if absent:
        grads[0][1] = grads[2][0] = grads[3][2] = None
    return name, _given(name, given), params, grads


def _quick(name: str, given: dict[str, Any], unit: float = 1.0) -> tuple[Any, ...]:
    """Three steps of one number, in which most impostors already differ."""
    grads = [[None if g is None else np.array([g * unit])] for g in (2.0, None, -0.5, 0.75)]
    return name, _given(name, given), [np.array([0.7])], grads


def _asked(name: str, shown: dict[str, Any]) -> list[tuple[Any, ...]]:
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


_ADAM = {"name": "adam", "lr": 0.5, "eps": 0.25}
QUESTIONS = {
    "optimize": (
        *itertools.chain.from_iterable(itertools.starmap(_asked, _SHOWN.items())),
        ("adm", {"lr": 0.5}, [np.array([1.0])], [[np.array([1.0])]]),
    ),
    "training_loop": ((2, _ADAM, np.array([1.0, -2.0]), np.array([2.0, 0.5]), np.array([1.0, -3.0])),),
}
