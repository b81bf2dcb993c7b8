"""Impostors of Muon, and of Schedule-Free SGD and AdamW, in rows like those of `optimizers`."""

from typing import Any

import numpy as np

from calibrant.exact import muon as matrices
from calibrant.exact.numbers import to_float
from calibrant.exact.scalars import constant, maximum, mix, product, root
from calibrant.exact.tensors import Tensor, each, norm
from calibrant.impostors import kinds
from calibrant.impostors.frames import but, exchanged, rule
from calibrant.impostors.kinds import Call
from calibrant.impostors.optimizer_variants import variant
from calibrant.impostors.optimizers import of

MUON, NEAR, FREE, FREE_ADAM, MEAN = (
    f"optimizer.{name}"
    for name in ("muon", "muon.orthogonal", "sgdschedulefree", "adamwschedulefree", "schedule-free.average")
)
muon, free, free_sgd, free_adamw = map(
    of, ("muon", "sgdschedulefree adamwschedulefree", "sgdschedulefree", "adamwschedulefree")
)


def along(direction: Any) -> kinds.Change:
    """Muon's step along another matrix, a function of the call and of its momentum."""

    def changed(c: Call) -> Tensor:
        o = direction(c, matrices.momentum(c.s, c.h, c.t, c.g, c.follow))
        return matrices.along(o, c.h, c.lr, c.p, c.follow)

    return rule(changed)


def flat(c: Call, b: Tensor) -> Tensor:
    """Each row of the momentum over its own norm."""
    rows, columns = b.shape
    parts = [Tensor(b.numbers[i * columns : (i + 1) * columns], (1, columns)) for i in range(rows)]
    return Tensor([x for part in parts for x in matrices.orthogonalized(part, c.h, c.follow).numbers], b.shape)


def of_the_gradient(c: Call) -> Tensor:
    """The step along the average of orthogonalized gradients."""
    o = matrices.orthogonalized(c.g, c.h, c.follow)
    c.s.buffer = each(mix, c.s.buffer, o, c.h.momentum, c.h.part)
    ahead = each(mix, c.s.buffer, o, c.h.momentum, c.h.part) if c.h["nesterov"] else c.s.buffer
    return matrices.along(ahead, c.h, c.lr, c.p, c.follow)


def overwriting(c: Call, b: Tensor) -> Tensor:
    """The orthogonalized momentum; what is divided by its norm, where there is no copy, is the momentum itself."""
    if not c.h["nesterov"]:
        length = maximum(norm(b), c.h.eps)
        c.s.buffer = each(lambda x: product([x], [length]), b)
    return matrices.orthogonalized(b, c.h, c.follow)


def scaled(factor: Any) -> kinds.Change:
    """Muon's step and its decay at rates of their own: functions of the call and of the factor that follows from the shape."""

    def changed(c: Call) -> Tensor:
        size = matrices.scale(c.h, c.p.shape, c.follow)
        lr, rate = factor(c, size)
        moved: Tensor = c(h=c.h.once("apart", lambda: c.h.but(weight_decay=0.0)), lr=lr)
        pull: Tensor = c.p * (rate * c.h.weight_decay)
        return moved - pull

    return rule(changed)


def smaller(c: Call, size: Any) -> Any:
    """The rates with the root of the smaller of rows and columns in the place of the larger's."""
    short, long = (root(constant(float(x), c.h.form)) for x in sorted(c.p.shape))
    return product([c.lr, short], [long]), c.lr


def halved(x: Any) -> Any:
    """Numbers of float32, rounded to bfloat16."""
    bits = np.asarray(x, dtype=np.float32).view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000).astype(np.uint32).view(np.float32)


def in_halves(c: Call, b: Tensor) -> Tensor:
    """The orthogonalized momentum, computed in bfloat16."""
    a_b_c = [float(halved(x)) for x in c.h["ns_coefficients"]]
    x = halved(np.reshape([to_float(one.fraction()) for one in b.numbers], b.shape))
    length, eps = np.linalg.norm(x), float(c.h["eps"])
    x = halved(x / halved(length + eps if c.follow["muon.epsilon"] == "added" else max(length, eps)))
    for _ in range(c.h["ns_steps"]):
        square = halved(x @ x.T)
        inner = halved(a_b_c[1] * square + a_b_c[2] * (square @ square))
        x = halved(a_b_c[0] * x + inner @ x)
    return Tensor([constant(float(y), c.h.form) for y in np.nan_to_num(x).reshape(-1)], b.shape)


def first_rate(c: Call) -> Any:
    """The rate of the first step, if one is given."""
    rate = c.hyperparameters.get("lr")
    return rate[0] if isinstance(rate, (list, tuple)) and rate else rate


def first_read(part: str, value: Any) -> kinds.Change:
    """A Schedule-Free step before which a part of the state is another one, a function of the state and of the format."""
    return rule(lambda c: (c.t > 1 and vars(c.s).update({part: value(c.s, c.h.form)}), c())[1])


muon("muon-scale-left-out", "the step is as long for a tall matrix as for a square one")(
    scaled(lambda c, size: (product([c.lr], [size]), c.lr)), MUON, "google-deepmind/optax#1249"
)
muon("decay-at-the-scaled-rate", "the decay is multiplied by the scale of the step, too")(
    scaled(lambda c, size: (c.lr, c.lr * size)), MUON
)
muon("never-orthogonalized", "the step follows the momentum over its norm, without an iteration")(
    but(ns_steps=0), f"{MUON} {NEAR}"
)
muon("one-iteration-less", "the last step of the iteration is left out")(
    but(ns_steps=lambda h: max(h["ns_steps"] - 1, 0)), MUON
)
muon("coefficients-ignored", "the iteration has the published coefficients, whatever is given")(
    but(ns_coefficients=(3.4445, -4.775, 2.0315)), MUON
)
muon("row-by-row", "each row of the momentum is orthogonalized alone, as if the others were not there")(
    along(flat), f"{MUON} {NEAR}"
)
muon(
    "momentum-of-orthogonal-matrices", "each gradient is orthogonalized, and the momentum averages what comes of them"
)(rule(of_the_gradient), MUON)
muon(
    "momentum-over-its-norm", "without Nesterov's, the momentum itself is divided by its norm, and goes on from there"
)(along(overwriting), MUON)
muon("nesterov-ignored", "`nesterov` is ignored: the momentum is not averaged with the gradient once more")(
    but(nesterov=False), MUON
)
muon(
    "rms-of-the-smaller-side",
    "`match_rms_adamw` takes the root of the smaller number of rows and columns, not of the larger",
)(kinds.where(lambda c: c.hyperparameters.get("adjust_lr_fn") == "match_rms_adamw", scaled(smaller)), MUON)
variant(
    "muon.scale",
    "columns",
    "the step is longer for a wide matrix, whose columns are the outputs, and not for a tall one",
)(MUON)
variant(
    "muon.correction", "both", "momentum and gradient are corrected as Nadam does it, which shifts the share of each"
)(MUON)
variant("muon.epsilon", "added", "epsilon is added to the norm, and is no floor")(MUON)
muon(
    "muon-precision-bfloat16",
    "the iteration is computed in bfloat16, whatever the dtype",
    kind="variant",
    convention=("muon.precision", "bfloat16"),
)(along(in_halves), MUON)

free("steps-returned", "the next gradient is taken at z, where the steps lead, without the average")(
    rule(lambda c: c() if c.h["averaged"] else (c(), c.s.buffer)[1]), FREE
)
free("average-and-step-exchanged", "y is near z where it should be near x")(
    exchanged("momentum part", "beta1 part1"), FREE
)
free("each-step-weighs-the-same", "the average gives each step the same weight, whatever the rates")(
    but(weight_lr_power=0.0), f"{MEAN} {FREE}?"
)
free("weighed-by-its-own-rate", "a step weighs as its own rate says, not as the largest so far")(
    first_read("most", lambda s, form: constant(0.0, form)), f"{FREE} {MEAN}?"
)
free("late-steps-weigh-the-same", "`r` is ignored: late steps weigh no more than early ones")(but(r=0.0), MEAN)
free("averaged-ignored", "the parameters for training are returned where the average is asked for")(
    but(averaged=False), MEAN, "kohya-ss/sd-scripts#1250 facebookresearch/schedule_free#15"
)
free("schedule-free-warm-up-left-out", "`warmup_steps` is ignored")(but(warmup_steps=0), MEAN)
free("zero-over-zero", "a first step without a rate is refused: its weight is divided by a sum of zero")(
    kinds.refused(lambda c: c.hyperparameters.get("weight_lr_power", 2.0) and first_rate(c) == 0),
    MEAN,
    "facebookresearch/schedule_free#5",
)
free("decay-of-z", "the decay pulls towards zero from z, and not from y")(
    first_read("m", lambda s, form: s.buffer), f"{FREE} {MEAN}?"
)
for _name in ("sgdschedulefree", "adamwschedulefree"):
    variant(
        f"{_name}.warm-up", "apart", "in the warm-up a step has the rate of the step before, and the weight of its own"
    )(MEAN, "google-deepmind/optax#1744")
variant(
    "adamwschedulefree.correction",
    "rate",
    "the root of the correction is a factor of the rate, and so of the weights and the decay",
)(f"{FREE_ADAM} {MEAN}")
