"""Impostors of the optimizers: each changes a part of the exact rule, or of the frame around it."""

import math
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np

from calibrant import exact
from calibrant.exact import FORMATS
from calibrant.exact.optimizers import RULES, Frame, Hyperparameters
from calibrant.exact.scalars import Number, complement, constant, maximum, minimum, product
from calibrant.impostors import kinds
from calibrant.impostors.correct import join, overwrite
from calibrant.impostors.frames import (
    along,
    at,
    bare,
    but,
    exchanged,
    framed,
    given,
    l2,
    momenta,
    move,
    number,
    one,
    rule,
    walked,
    zero,
)
from calibrant.impostors.kinds import Call, Rows, impostors_of
from calibrant.protocol.wire import is_array


def in_blocks_of_eight(c: Call) -> Any:
    """The walk in which the full blocks of 8 numbers of a tensor are moved without momentum."""
    whole = [p.size // 8 * 8 for p in c.params]

    def step(c: Call) -> Any:
        return c(h=c.h.once("still", lambda: c.h.but(momentum=0.0))) if c.place[1] < whole[c.place[0]] else c()

    return framed(step=step)(c)


def along_zeros(c: Call) -> Any:
    """The right walk along zeros where a gradient is absent."""
    return c(grads=[[p * 0 if g is None else g for p, g in zip(c.params, step, strict=True)] for step in c.grads])


def below_zero(c: Call, path: Any) -> None:
    """Make NaN of each number whose centered mean square rounded below zero, from then on."""
    h = exact.OPTIMIZERS[c.name] | c.hyperparameters
    for k, p in enumerate(c.params if h["centered"] else ()):
        v, m, lost = np.zeros_like(p), np.zeros_like(p), np.zeros(p.shape, dtype=bool)
        for t, step in enumerate(c.grads):
            if step[k] is not None:
                g = step[k] * (-1 if h["maximize"] else 1) + p * h["weight_decay"]
                v, m = h["alpha"] * v + (1 - h["alpha"]) * g * g, h["alpha"] * m + (1 - h["alpha"]) * g
                lost = lost | (v - m * m < 0)
            p = np.asarray(path[t][k])
            path[t][k] = np.where(lost, np.nan, p).astype(p.dtype)


def pulled_by_its_index(c: Call) -> Any:
    """The step with the number of the parameter in the place of its value in the decay."""
    pull = c.h.weight_decay * constant(c.place[0] + 1.0, c.h.form)
    return c(h=c.h.once("bare", lambda: c.h.but(weight_decay=0.0)), g=c.g - pull if c.h["maximize"] else c.g + pull)


def spoiled(x: Any) -> bool:
    """Whether a hyperparameter is a number that is not finite, or has one; None and words are no numbers."""
    parts = x if isinstance(x, (list, tuple)) else [x]
    return any(isinstance(part, float) and not math.isfinite(part) for part in parts)


def decay_added(c: Call, path: Any) -> None:
    """Add the decay of each parameter to its gradient, in the caller's arrays."""
    decay = c.hyperparameters.get("weight_decay", 0.0)
    for before, step in zip([c.params, *path], c.grads, strict=False):
        for p, g in zip(before, step, strict=True):
            if is_array(g):
                overwrite(g, g + decay * p)


def _cut(part: str, h: Hyperparameters) -> Number:
    """A beta as bfloat16 holds it, or 1 minus it."""
    beta = exact.round_to(Fraction(h["betas"][part.endswith("2")]), FORMATS["bfloat16"])
    return constant(float(beta if part.startswith("beta") else 1 - beta), h.form)


def late(c: Call) -> Any:
    """The step of Rprop that was due one step before."""
    due, _ = c.s.x, c()
    c.s.x = -c.s.size * c.s.before.sign() if c.s.before.sign() else zero(c.h)
    return c.p + due


maximized = partial(kinds.where, lambda c: c.hyperparameters.get("maximize"))
pushed = partial(kinds.where, lambda c: c.h["momentum"])
turning = partial(kinds.where, lambda c: (c.g * c.s.before).sign() == -1)
remembered = kinds.afterwards(lambda c, after: vars(c.s).update(before=c.g))

# The rows

RATE, ABSENT, KEPT = "optimizer.changing-rate", "optimizer.absent-gradient", "optimizer.gradients-kept"
LATER = f"optimizer.sgd {ABSENT}"
OWN, LR = "optimizer.own-state optimizer.sgd", f"{RATE} {ABSENT} optimizer.zero-rate optimizer.sgd.momentum?"
PUSH, DAMP, AHEAD = (f"optimizer.sgd.{name}" for name in ("momentum", "dampening", "nesterov"))
OPTIONS = f"{PUSH}? {DAMP}? {AHEAD}? optimizer.sgd.weight-decay? {RATE}?"
COUPLED = "optimizer.coupled-decay"
WD = f"optimizer.sgd.weight-decay {COUPLED}?"
MAYBE = f"optimizer.adam.epsilon? optimizer.adam.amsgrad? optimizer.adam.weight-decay? {RATE}?"
ADAM, AMS = f"optimizer.adam {MAYBE}", "optimizer.adam.amsgrad"
POWER = f"optimizer.adam.bias-correction {ADAM}"
BIAS = SUMS = f"{POWER} optimizer.adam.first-step"
EPS = f"optimizer.adam.epsilon optimizer.adam.bias-correction? optimizer.adam.first-step {ADAM}"
BESIDE, ADAMW = "optimizer.adamw.decoupled optimizer.adamw", "optimizer.adamw optimizer.adamw.decoupled"
RMSPROP = "optimizer.rmsprop optimizer.rmsprop.centered? optimizer.rmsprop.momentum?"
START, SLOWED = "optimizer.adagrad.initial-accumulator", "optimizer.adagrad.lr-decay"
ADAGRAD, DELTA, MAX, NADAM, RADAM, ASGD, RPROP = (
    f"optimizer.{name}" for name in ("adagrad", "adadelta", "adamax", "nadam", "radam", "asgd", "rprop")
)

LONG, MANY = "optimizer.long-run", "many steps are needed"

_ANY_KEY = {key for known in exact.OPTIMIZERS.values() for key in known}
"""The hyperparameters that any optimizer has."""

ALL = "sgd adam adamw rmsprop adagrad adadelta adamax nadam radam asgd rprop lion adabelief lamb lars adafactor"
NEWEST = "muon sgdschedulefree adamwschedulefree"
ALL = f"{ALL} {NEWEST}"


def of(names: str = ALL, without: str = "") -> Rows:
    """Begin rows for some optimizers; the first of them shows the clauses."""
    named = dict.fromkeys(names.split())
    return impostors_of("optimize", applies_to=tuple(name for name in named if name not in without.split()))


optimize, decaying, coupled = (
    of(),
    of(without="rprop"),
    of(without=f"adamw rprop lion adabelief lamb lars adafactor {NEWEST}"),
)
scheduled, remembers = of(without="asgd rprop"), of(without="asgd")
counting = of("adam adamw adagrad adamax nadam radam asgd adabelief lamb")
sgd, adams, adamw, rmsprop, adagrad = map(of, ("sgd", "adam adamw", "adamw", "rmsprop", "adagrad"))
adadelta, adamax, nadam, radam, asgd, rprop = map(of, ("adadelta", "adamax", "nadam", "radam", "asgd", "rprop"))

optimize("uphill", "every step moves along the gradient, uphill")(rule(lambda c: c(g=-c.g)), "optimizer.sgd")
optimize("maximize-ignored", "it minimizes where it should maximize: the gradient is not negated, or negated twice")(
    but(maximize=False), "optimizer.maximize", "kozistr/pytorch_optimizer#528"
)
of(f"adam {ALL}", without="rprop lamb lars adafactor muon")(
    "gradients-clipped", "all gradients are clipped to between -1 and 1"
)(
    rule(lambda c: c(g=maximum(minimum(c.g, one(c.h)), -one(c.h)))),
    f"{ADAM} optimizer.adam.first-step optimizer.adam.bias-correction? optimizer.adam.scale-free?",
)
optimize("along-its-own-value", "every parameter but the first moves along its own value, not along its gradient")(
    framed(step=lambda c: c(g=c.g and (c.p if c.place[0] else c.g))),
    f"{OWN} optimizer.maximize",
    "apache/systemds#2330",
)
optimize("only-the-first-moved", "only the first parameter is moved")(
    along(lambda k, step: None if k else step[0]), OWN, "nntrainer/nntrainer#219"
)
optimize("others-moved-twice", "every parameter but the first is moved twice by each gradient")(
    framed(step=lambda c: c.but(t=2 * c.t)(p=c(t=2 * c.t - 1)) if c.place[0] else c()),
    OWN,
    "nntrainer/nntrainer#219 torch/torch7#716 jparkerholder/ASEBO#1",
)
optimize("absent-as-zero", "an absent gradient counts as zero, so that momentum and decay still move the parameter")(
    kinds.finite(along_zeros),
    ABSENT,
    "pytorch/pytorch#28294 pytorch/pytorch#42754 ahrefs/ocannl#673",
)
of("adamw muon")("decay-though-absent", "weight decay still shrinks a parameter whose gradient is absent")(
    framed(step=lambda c: c() if c.g else c.p - c.p * (c.lr * c.h.weight_decay)), ABSENT, "KellerJordan/Muon#54"
)
counting("absent-counts", "a step without a gradient still counts")(framed(count=lambda c: c(present=True)), ABSENT)
optimize("absent-stops-all", "where one gradient is absent, no parameter is moved")(
    along(lambda k, step: None if any(g is None for g in step) else step[k]), ABSENT
)
remembers("state-shared", "all parameters share one state")(
    framed(state=lambda c: c(k=0)), f"optimizer.own-state {PUSH} {ABSENT} {OPTIONS}"
)
counting("steps-count-parameters", "all parameters share one count of steps, which each of them advances")(
    framed(count=lambda c: c(k=0)),
    f"optimizer.own-state {SUMS} {ABSENT}",
    "DiffSharp/DiffSharp#292 mlx-node/mlx-node#11 Shubham-cyber-prog/100-Days-Of-Web-Development-ECWoC26#1575",
)
remembers("state-kept", "a new optimizer continues with the state of the previous one", repeats=False)(
    lambda c: walked(c, c.correct.memory.setdefault(c.name, Frame(RULES[c.name]))),
    f"optimizer.fresh optimizer.sizes optimizer.own-state {PUSH} {ABSENT} {OPTIONS}",
)
scheduled("rate-frozen", "all steps use the learning rate of the first one")(at(lambda lr: [lr[0]] * len(lr)), LR)
scheduled("first-rate-skipped", "each step uses the rate of the next one: the schedule advances before the optimizer")(
    at(lambda lr: [*lr[1:], lr[-1]]), LR, "yueatsprograms/uda_release#3 jdonnelly36/Deformable-ProtoPNet#6"
)
scheduled("rate-one-late", "each step but the first uses the last one's rate")(at(lambda lr: [lr[0], *lr[:-1]]), LR)
scheduled("first-rate-zero", "the first rate is zero, and each later step uses the rate of the previous one")(
    at(lambda x: [0, *x[:-1]]), LR, "google-research/bert#1293 EleutherAI/gpt-neox#1373 facebookresearch/barlowtwins#45"
)
optimize("one-array-listed", "every step lists the same arrays, which show the parameters after the last step")(
    kinds.answer(lambda x: [x[-1] for _ in x]), f"{LATER} {PUSH}?"
)
optimize("parameters-before-each-step", "it lists the parameters before each step, not after it")(
    lambda c: [c.params, *c()][:-1], f"{LATER} optimizer.zero-rate"
)
optimize("flattened", "every parameter is returned as one column")(
    kinds.answer(lambda path: [[join(p) for p in step] for step in path]),
    f"{LATER} optimizer.maximize optimizer.zero-rate?",
)
optimize("parameters-in-place", "it changes the caller's parameters in place")(kinds.last_step_written, KEPT)
optimize("rate-taken-out", "the rate is taken out of the caller's hyperparameters, as by `pop`")(
    kinds.taken_out("lr"), KEPT
)
optimize("gradients-negated-in-place", "to maximize, it negates the caller's gradients in place")(
    maximized(kinds.afterwards(lambda c, _: [np.negative(g, g) for x in c.grads for g in x if is_array(g)])), KEPT
)
optimize.in_dtype("float32", f"{LATER} optimizer.zero-rate {OPTIONS}")
optimize.in_dtype(
    "float16",
    f"{LATER} optimizer.own-state? optimizer.zero-rate optimizer.sizes? optimizer.finite? {OPTIONS}",
)
optimize.in_dtype("float64", "optimizer.dtype")
of(f"adam {ALL}")("unknown-hyperparameters-ignored", "a hyperparameter that the optimizer does not have is ignored")(
    lambda c: given(lambda h: {key: h[key] for key in h if key in exact.OPTIMIZERS[c.name]})(c), "optimizer.unknown"
)
of("sgd")("another-rate-by-default", "where no rate is given, it is a tenth")(
    given(lambda h: {"lr": 0.1, **h}), "optimizer.sgd"
)
of("adam")("hyperparameters-of-others-ignored", "a hyperparameter that only other optimizers have is ignored")(
    lambda c: given(lambda h: {key: h[key] for key in h if key in exact.OPTIMIZERS[c.name] or key not in _ANY_KEY})(c),
    "optimizer.unknown",
)
of("adm")("unknown-is-sgd", "an unknown optimizer is taken for SGD")(lambda c: c(name="sgd"), "optimizer.unknown")
optimize("not-finite-taken", "it takes hyperparameters that are infinite or NaN, and uses their defaults")(
    lambda c: c(
        hyperparameters={
            key: exact.OPTIMIZERS[c.name][key] if spoiled(x) else x for key, x in c.hyperparameters.items()
        }
    ),
    "optimizer.invalid",
)
optimize("values-unchecked", "it accepts hyperparameters with invalid values, such as a negative learning rate")(
    kinds.unrefused(lambda c: c.given_to(exact.optimize, c.correct.follow)),
    "optimizer.invalid",
    "tinygrad/tinygrad#15725",
)
scheduled("last-rate-goes-on", "with fewer learning rates than steps, the last rate is used again, not refused")(
    lambda c: at(lambda lr: [*lr, *[lr[-1]] * (len(c.grads) - len(lr))])(c), "optimizer.invalid"
)
decaying("decay-grows", "weight decay has the wrong sign, so that parameters grow")(
    but(weight_decay=lambda h: -h.weight_decay), WD, "chainer/chainer#261 andersbll/deeppy#17"
)
decaying("decay-ignored", "weight decay is ignored")(but(weight_decay=0.0), WD)
coupled("decay-constant", "the decay itself is added to the gradient, not its product with the parameter")(
    rule(lambda c: bare(c, c.g + c.h.weight_decay)), WD, "jettify/pytorch-optimizer#454 jettify/pytorch-optimizer#433"
)
coupled("decay-of-the-sign", "the decay multiplies the sign of the parameter, as in an L1 penalty")(
    rule(lambda c: bare(c, c.g + c.h.weight_decay * (c.p.sign() or 0.0))), WD, "OverLordGoldDragon/keras-adamw#39"
)
adamw("decay-coupled", "weight decay is added to the gradient, so that it enters the averages")(
    rule(lambda c: bare(c, l2(c))), BESIDE, "pytorch/pytorch#48793 mapbox/robosat#166 google-deepmind/optax#417"
)
of("adam")("decay-of-the-index", "the decay multiplies the number of the parameter in its list, not the parameter")(
    framed(step=kinds.where(lambda c: c.g, pulled_by_its_index)), "optimizer.adam.weight-decay", "mlverse/torch#821"
)
coupled("decay-in-place", "it adds the decay to the caller's gradients in place")(kinds.afterwards(decay_added), KEPT)
adamw("still-without-decay", "without weight decay no parameter moves")(
    rule(lambda c: c() if c.h["weight_decay"] else c.p), "optimizer.adamw", "PaddlePaddle/PaddleCustomDevice#1202"
)
adamw("no-decay-by-default", "the default weight decay is zero")(given(lambda h: {"weight_decay": 0.0} | h), ADAMW)
of("sgd rmsprop")("momentum-ignored", "the momentum is ignored")(but(momentum=0.0), PUSH)
sgd("momentum-on-the-gradient", "the momentum multiplies the new gradient and not the buffer, which never fades")(
    rule(pushed(lambda c: bare(c, c.h.momentum * l2(c), momentum=1.0))), PUSH, "ooples/AiDotNet#2008"
)
sgd("dampening-ignored", "dampening is ignored: the buffer adds the whole gradient")(
    but(dampening=0.0), DAMP, "open-lm-engine/accelerated-model-architectures#436"
)
sgd("dampening-for-its-rest", "the buffer adds dampening * g instead of (1 - dampening) * g")(
    but(dampening=lambda h: complement(h.dampening)), DAMP
)
sgd("dampened-by-default", "the default dampening equals the momentum, as in Lua's torch")(
    given(lambda h: {"dampening": 0.0 if h.get("nesterov") else h.get("momentum", 0.0)} | h),
    PUSH,
    "torch/optim#163 intel/analytics-zoo#1038",
)
sgd("buffer-one-late", "the step uses the momentum buffer before the new gradient is added to it")(
    rule(pushed(lambda c: (c.p - c.lr * c.s.buffer, c())[0])), PUSH
)
sgd("nesterov-without-its-factor", "Nesterov adds the whole buffer to the gradient, not its product with the momentum")(
    rule(kinds.where(lambda c: c.h["nesterov"], lambda c: c(h=c.h.but(nesterov=False)) - c.lr * l2(c))), AHEAD
)
of("adam adamw nadam radam adamax")(
    "betas-swapped", "the two betas are swapped: each average decays with the other's rate"
)(exchanged("beta1 beta2", "part1 part2"), ADAM)
of("adam adamw rmsprop adadelta nadam radam")(
    "shares-swapped", "the averages multiply the old value by 1 - beta and the new one by beta"
)(
    exchanged("beta1 part1", "beta2 part2", "alpha part", "rho part"),
    f"{ADAM} optimizer.adam.first-step optimizer.adam.bias-correction?",
)
of("adam adamw nadam radam rmsprop adadelta")(
    "squares-summed", "the average of the squares adds each square without its factor 1 - beta"
)(
    but(part=one, part2=one, rectification=lambda h: h.rectification),
    SUMS,
    "fastai/fastbook#342 Devinterview-io/gradient-descent-interview-questions#1",
)
of("adam adamw adamax nadam radam")(
    "gradients-summed", "the average of the gradients adds each gradient without its factor 1 - beta"
)(but(part1=one), SUMS, "PennyLaneAI/pennylane#1928")
corrected = of("adam adamw nadam adamax")
corrected("correction-one-late", "the correction divides by 1 - beta ** (t + 1)")(rule(lambda c: c(t=c.t + 1)), BIAS)
corrected("correction-without-power", "the correction divides by 1 - beta at every step, without the power of t")(
    but(correction1=lambda h: lambda t: h.correction1(1), correction2=lambda h: lambda t: h.correction2(1)),
    POWER,
    "eriklindernoren/ML-From-Scratch#35 ufal/npfl114#79 allenai/OLMo-core#309",
)
adams("counts-every-other-step", "the averages are shared by two workers, and each counts its own steps alone")(
    framed(count=lambda c: -(-c() // 2)), f"{POWER} {LONG}?", "ikostrikov/pytorch-a3c#12 MorvanZhou/pytorch-A3C#2"
)
adams("betas-in-bfloat16", "the averages use betas that are cut to bfloat16, and the corrections the exact ones")(
    but(**{part: partial(_cut, part) for part in ("beta1", "part1", "beta2", "part2")}),
    f"{ADAM} optimizer.adam.first-step optimizer.adam.bias-correction?",
    "tenstorrent/tt-metal#55935",
)
of("adam adamw nadam radam")(
    "count-stops-at-256", "the count of steps stops at 256, as a number of bfloat16 does", why_not_small=MANY
)(framed(count=lambda c: min(c(), 256)), LONG, "pytorch/ao#4915 deepspeedai/DeepSpeed#8496")
of("adam adamw nadam adamax lamb adabelief adagrad asgd adafactor radam")(
    "count-stops-at-2048",
    "the count of steps stops at 2,048, as a number of float16 does",
    soon=False,
)(framed(count=lambda c: min(c(), 2048)), LONG, "pytorch/ao#4915 deepspeedai/DeepSpeed#8496")
of("adam adamw nadam radam")("count-stops-at-8", "the count of steps stops at 8")(
    framed(count=lambda c: min(c(), 8)), LONG
)
of("adam adamw nadam")("squares-uncorrected", "only the average of the gradients is corrected")(
    but(correction2=lambda h: lambda t: one(h)), BIAS
)
adams("corrections-swapped", "each average takes the other's correction")(exchanged("correction1 correction2"), BIAS)
adams("correction-multiplied", "the averages are multiplied by their corrections, not divided")(
    but(
        correction1=lambda h: lambda t: product([one(h)], [h.correction1(t)]),
        correction2=lambda h: lambda t: product([one(h)], [h.correction2(t)]),
    ),
    BIAS,
    "karpathy/convnetjs#70 karpathy/convnetjs#107",
)
adams("maximum-forgotten", "`amsgrad` is ignored: no maximum is kept")(but(amsgrad=False), AMS, "pytorch/pytorch#4034")
adams("always-amsgrad", "the average of the squares never falls, as in AMSGrad")(but(amsgrad=True), f"{ADAM} {LONG}?")
of(without="sgd adadelta adamax asgd rprop lion lars adafactor muon sgdschedulefree")(
    "epsilon-ignored", "epsilon is ignored, as if it were zero"
)(but(eps=0.0), EPS, "davharris/mistnet#94")
small = of(without=f"sgd radam asgd rprop lion adabelief lamb lars adafactor {NEWEST}")
small("zero-epsilon-replaced", "the default replaces an epsilon of zero", why_not_small="only small gradients show it")(
    but(eps=lambda h: h["eps"] or 1e-8),
    "optimizer.adam.scale-free@float64 optimizer.adam.scale-free@float32? optimizer.adam? optimizer.adam.amsgrad? optimizer.adam.first-step? optimizer.adam.weight-decay?",
)
rmsprop("centered-ignored", "`centered` is ignored: the average of the gradients is never subtracted")(
    but(centered=False), "optimizer.rmsprop.centered"
)
rmsprop(
    "variance-below-zero",
    "the variance of centered RMSprop may round below zero, and its root is then NaN",
    exactly=False,
    why_not_small="only numbers that round show it",
)(kinds.afterwards(below_zero), "optimizer.finite")
sgd(
    "blocks-without-momentum",
    "the full blocks of 8 numbers of a tensor are moved without momentum",
    why_not_small="eight numbers are needed",
)(in_blocks_of_eight, "optimizer.sizes")
adagrad("sum-from-zero", "the sum of squares always begins at zero")(but(initial_accumulator_value=0.0), START)
adagrad("sum-from-one", "the sum of squares always begins at one")(
    but(initial_accumulator_value=1.0), f"{START} {ADAGRAD}", "deeplearning4j/deeplearning4j#953"
)
adagrad("sum-from-a-tenth-by-default", "where no initial sum of squares is given, it is 0.1")(
    given(lambda h: {"initial_accumulator_value": 0.1} | h),
    f"{ADAGRAD} {START}",
    "pytorch/pytorch#6616 tensorflow/tensorflow#37819",
)
adagrad("sum-forgotten", "the sum of squares contains the square of the last gradient alone")(
    rule(lambda c: (c.s.__dict__.update(v=c.h.initial_accumulator_value), c())[1]), f"{ADAGRAD} {SLOWED}?"
)
adagrad("rate-decay-ignored", "`lr_decay` is ignored: the learning rate stays constant")(
    but(lr_decay=0.0), SLOWED, "eaplatanios/tensorflow_scala#55"
)
adagrad("rate-decays-at-once", "the learning rate decays from the first step on")(
    rule(lambda c: (c.t == 1 and c.s.__dict__.update(v=c.h.initial_accumulator_value), c(t=c.t + 1))[1]), SLOWED
)
adadelta("nothing-to-begin-with", "the numerator has no epsilon: no step is ever made")(rule(lambda c: c.p), DELTA)
adadelta("steps-forgotten", "the squares of the steps are not averaged, so that the numerator keeps its first value")(
    rule(lambda c: (c.s.__dict__.update(x=zero(c.h)), c())[1]), DELTA
)
adamax("maximum-never-fades", "the largest gradient so far never decays")(but(beta2=one), MAX)
adamax("last-gradient-for-the-largest", "the last gradient counts, not the largest so far")(but(beta2=zero), MAX)
adamax("maximum-corrected", "the maximum is bias-corrected")(rule(lambda c: c(lr=c.lr * c.h.correction2(c.t))), MAX)
nadam("no-look-ahead", "the average is multiplied by the momentum of this step, not of the next")(
    momenta(lambda now, ahead: (now, (1.0 - now[0], 1.0 - (1.0 - now[1]) * (1.0 - now[0])))), NADAM
)
nadam("gradient-left-out", "the step follows the average alone, without the gradient's own part")(
    momenta(lambda now, ahead: ((constant(0.0, now[1].form), now[1]), ahead)), NADAM
)
radam("not-rectified", "the adaptive step is not multiplied by the rectification")(
    but(rectification=lambda h: lambda t, enough: h.rectification(t, enough=enough) and one(h)), RADAM
)
radam("never-adaptive", "the step is never divided by the root of the average of the squares")(
    but(rectification=lambda h: lambda t, enough: None), RADAM
)
radam("always-adaptive", "every step is adaptive, also where the rectification is undefined")(
    but(rectification=lambda h: lambda t, enough: h.rectification(t, enough=enough) or one(h)), RADAM
)
radam("lost-at-the-sixth-step", "the sixth step sets every number to 1000")(
    rule(lambda c: number(1000.0)(c.h) if c.t == 6 else c()), f"{RADAM} optimizer.zero-rate"
)
asgd("rate-constant", "the learning rate stays constant instead of falling")(rule(lambda c: c(t=1)), ASGD)
asgd("rate-falls-at-once", "the learning rate falls from the first step on")(rule(lambda c: c(t=c.t + 1)), ASGD)
asgd("power-ignored", "the learning rate falls as 1 / (1 + lambd lr t), without alpha")(but(alpha=1.0), ASGD)
asgd("not-pulled", "the parameters are not pulled towards zero")(rule(lambda c: c.p + move(c)), ASGD)
asgd("pulled-without-the-rate", "the pull towards zero is not multiplied by the learning rate")(
    rule(lambda c: c.p - c.h.lambd * c.p + move(c)), f"{ASGD} optimizer.zero-rate"
)
rprop("largest-step-ignored", "step sizes grow beyond the largest allowed size")(but(largest=number(2.0**1000)), RPROP)
rprop("smallest-step-ignored", "step sizes shrink below the smallest allowed size")(
    but(smallest=zero), f"{RPROP} {LONG}?"
)
rprop("etas-swapped", "step sizes shrink where the sign of the gradient stays, and grow where it changes")(
    exchanged("up down"), RPROP
)
rprop("step-after-a-turn", "after a change of sign the step is still made, with the smaller size")(
    rule(turning(lambda c: (remembered(c), c.p - c.s.size if c.g.sign() == 1 else c.p + c.s.size)[1])), RPROP
)
rprop("turn-remembered", "a gradient that changed its sign is compared with the next one, instead of being forgotten")(
    rule(turning(remembered)), RPROP
)
rprop("times-the-gradient", "the step is the step size times the gradient, not times its sign")(
    rule(lambda c: (c(), c.p - c.s.size * c.s.before)[1]), RPROP
)

rprop("one-step-late", "each step is the one that was due before, and the first is zero")(
    rule(late), RPROP, "google-deepmind/optax#1725"
)
