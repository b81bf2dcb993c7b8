"""Impostors of the clauses on the validation loss, alone and in a training loop."""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from calibrant.impostors import kinds
from calibrant.impostors.correct import join
from calibrant.impostors.descent import Run, loop, of_the_least
from calibrant.impostors.kinds import Call, impostors_of, part, unrefused

BATCHES = "catalyst-team/catalyst#799 dnouri/nolearn#247 Lightning-AI/pytorch-lightning#2924"


def of_twos(loss: Callable[[slice], Any], n: int) -> Any:
    """The mean of the losses of batches of two, as if all were equally large."""
    return join(*(loss(slice(k, k + 2)) for k in range(0, n, 2))).mean()


# The loss of the validation data

RECORDED, VALUE = "validation.not-recorded", "validation.value"

single = impostors_of("validation_loss")
single("recorded", "the graph is recorded, as if to train on the loss")(part(1, lambda recorded, c: 1), RECORDED)
single("half", "the loss has a factor 1/2 in front")(part(0, lambda loss, c: loss / 2), VALUE)
single("sum-instead-of-mean", "the squares are summed, not averaged")(part(0, lambda loss, c: loss * c.n), VALUE)
single("mean-of-batches", "the means of batches of two are averaged as if they were equally large")(
    part(0, lambda _, c: of_twos(lambda k: c(t_u=c.t_u[k], t_c=c.t_c[k])[0], c.n)), VALUE, BATCHES
)
single("averaged-again", "the mean over all samples is divided by the number of batches of two")(
    part(0, lambda loss, c: loss / max(-(-c.n // 2), 1)), VALUE, "pytorch/torchtitan#2366"
)
single("plus-the-penalty", "a penalty of 0.01 w² is added, as to the training loss")(
    part(0, lambda loss, c: loss + 0.01 * (c.params[0] * c.params[0])), VALUE
)
single("in-place", "it writes the predictions over the readings")(
    kinds.overwritten("t_u", lambda c, right: c.correct.model(c.t_u, *c.params)), "validation.pure"
)
impostors_of("validation_loss", chapters=("loss",))(
    "broadcasting", "(n,) against (n, 1) is broadcast to n² pairs, and their mean returned"
)(kinds.stretched("t_u", "t_c"), "loss.same-shape")
single("root", "it is the root of the mean square", exactly=False)(part(0, lambda loss, c: np.sqrt(loss)), VALUE)

# Training loops with validation data

INTERFERES = "validation.non-interference"
LOGGED = "validation.logged"
STRAYS = f"{INTERFERES} {LOGGED}"

given = partial(kinds.where, lambda c: c.val_t_u is not None and c.val_t_c is not None)
trained = impostors_of("training_loop", chapters=("validation",))


def _validated_ahead(c: Call) -> Any:
    if not c.optimizer.get("nesterov"):
        return c()
    path = [c(n_epochs=k)[0] for k in range(c.n_epochs)]
    ahead = [now + (now - before) * c.optimizer["momentum"] for before, now in zip(path[:1] + path, path, strict=False)]
    return part(
        2, lambda losses, c: [c.ask("validation_loss", params=x, t_u=c.val_t_u, t_c=c.val_t_c)[0] for x in ahead]
    )(c)


trained("validated-after-the-update", "the validation loss of an epoch is that of the parameters after its step")(
    loop(val_loss=lambda run: replace(run, params=run.step()).validation().loss()), LOGGED, "keras-team/keras#8578"
)
trained(
    "validated-ahead", "with Nesterov's momentum, the validation loss is that of the point ahead of the parameters"
)(given(_validated_ahead), LOGGED)
trained("trained-on-both", "the steps follow the gradient of the training and the validation loss together")(
    given(loop(step=lambda run: run.step() - run.rate * run.validation().gradient())), STRAYS, "NifTK/NiftyNet#28"
)
trained("steps-on-validation-data", "each epoch takes another step, on the validation data")(
    given(loop(step=lambda run: replace(run.validation(), params=run.step()).step())),
    STRAYS,
    "SKrisanski/FSCT#12 princeton-vl/pose-ae-train#11 r9y9/deepvoice3_pytorch#122",
)
trained("best-params-returned", "the parameters of the lowest validation loss are returned, not the last ones")(
    of_the_least(2), f"{STRAYS}?"
)
trained(
    "ends-where-validation-is-nan", "the training ends at the first validation loss that is not finite", exactly=False
)(lambda c: c(n_epochs=next((k + 1 for k, x in enumerate(c()[2]) if not np.isfinite(x)), c.n_epochs)), INTERFERES)
trained("losses-of-the-training-data", "it logs the training losses in their place")(loop(val_loss=Run.loss), LOGGED)
trained("last-loss-of-every-epoch", "the validation loss is computed once, at the end, and logged for every epoch")(
    part(2, lambda losses, c: c(n_epochs=c.n_epochs + 1)[2][-1:] * c.n_epochs), LOGGED
)
trained("every-other-epoch", "only every other epoch is validated")(part(2, lambda losses, c: losses[::2]), LOGGED)
trained("running-mean-of-validation", "it logs the mean of all validation losses so far: the sum is never reset")(
    part(2, lambda losses, c: [join(*losses[: k + 1]).mean() for k in range(len(losses))]),
    LOGGED,
    "ludwig-ai/ludwig#1659 JetBrains-Research/code2seq#112",
)
trained("validation-losses-summed", "the validation losses are sums of squared residuals, not means")(
    loop(val_loss=lambda run: run.validation().loss() * run.val_t_u.size), LOGGED
)
trained("mean-of-validation-batches", "the means of batches of two are averaged as if they were equally large")(
    loop(val_loss=lambda run: of_twos(lambda k: run.validation().of(k).loss(), run.val_t_u.size)), LOGGED, BATCHES
)
trained("last-validation-batch-dropped", "validation batches hold two samples, and a last batch of one is dropped")(
    loop(val_loss=lambda run: run.validation().of(slice(run.val_t_u.size // 2 * 2 or 1)).loss()),
    LOGGED,
    "NervanaSystems/neon#9",
)
trained(
    "readings-against-readings", "it takes the columns as t_u, val_t_u, t_c, val_t_c, and trains on readings alone"
)(given(lambda c: c(t_c=c.val_t_u, val_t_u=c.t_c)), f"{STRAYS} validation.pure")
trained(
    "training-losses-without-validation", "without validation data, the training losses are logged as validation losses"
)(lambda c: c(val_t_u=c.t_u, val_t_c=c.t_c) if c.val_t_u is c.val_t_c is None else c(), "validation.none")
trained("any-validation-shape", "validation columns of different shapes are broadcast to pairs, not refused")(
    given(unrefused(kinds.stretched("val_t_u", "val_t_c"))), "validation.shapes validation.columns"
)
trained("longer-validation-readings-cut", "validation readings beyond the last temperature are left out")(
    given(
        lambda c: c(val_t_u=c.val_t_u[: c.val_t_c.size]) if len(c.val_t_u.shape) == len(c.val_t_c.shape) == 1 else c()
    ),
    "validation.shapes",
)
trained("empty-is-none", "validation data without rows are ignored, not refused")(
    lambda c: c(val_t_u=None, val_t_c=None) if np.size(c.val_t_u) == 0 else c(), "validation.columns"
)
trained("validation-scaled-in-place", "the caller's validation readings are scaled in place")(
    given(kinds.overwritten("val_t_u", lambda c, right: c.val_t_u / 2)), "validation.pure"
)

# What all of them are asked

_ONE, _NAN = np.array([1.0, 0.0]), np.array([math.nan, 1.0])
_PLAIN = np.array([1.0, -2.0, 6.0, 0.0]), np.array([0.0, 2.0, -2.0, 1.0])
_LONG = np.array([0.1, 2.3, -1.7, 4.9, 0.3]), np.array([0.7, -1.1, 3.3, 0.2, 0.9])
_START = {"name": "sgd", "lr": 0.125}, np.array([1.0, -1.0]), np.array([-2.0, 2.0]), np.array([-1.0, 3.0])

QUESTIONS: dict[str, Any] = {
    "training_loop": (
        # Validation losses that fall, and then rise; with many digits; and what is not finite.
        (4, *_START, np.array([4.0, 1.0, 2.0]), np.array([4.0, 1.0, 3.5])),
        (3, {"name": "sgd", "lr": 0.01}, np.array([0.7, -1.3]), *_LONG, *_LONG[::-1]),
        (3, *_START, np.array([1.0, 2.0]), _NAN),
        # With a point ahead of the parameters.
        (3, {**_START[0], "momentum": 0.5, "nesterov": True}, *_START[1:], np.array([1.0, 2.0]), np.array([1.0, 3.0])),
        # None, no rows, and what must be refused.
        (2, *_START),
        *((1, *_START, np.ones(u), np.ones(c)) for u, c in ((0, 0), (3, (3, 1)), (3, 1), (3, 2))),
    ),
    "validation_loss": (
        *((np.array([2.0, -1.0]), *_PLAIN), (_ONE, np.array([4.0]), np.array([0.0])), (np.array([0.3, -1.9]), *_LONG)),
        *((_ONE, u, c) for u, c in ((np.zeros(0), np.zeros(0)), (np.ones(2), np.ones((2, 1))), (_NAN, np.ones(2)))),
    ),
}
