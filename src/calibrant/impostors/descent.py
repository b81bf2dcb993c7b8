"""Impostors of the chapter on descent: training loops, and the closed form of where they end."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from calibrant.impostors import kinds
from calibrant.impostors.correct import in_dtype, join, rounded
from calibrant.impostors.kinds import Call, Change, checked, impostors_of, overwritten, part

# The frame of a wrong loop


@dataclass
class Run:
    """A training loop under way, over either kind of numbers, before the step of an epoch."""

    correct: Any
    rate: Any
    params: Any
    t_u: Any
    t_c: Any
    val_t_u: Any = None
    val_t_c: Any = None
    epoch: int = 0
    kept: Any = 0
    """What a wrong step carries from one epoch to the next; zero before the first."""

    def loss(self) -> Any:
        """The loss of the training data."""
        return self.correct.loss_fn(self.correct.model(self.t_u, *self.params), self.t_c)

    def gradient(self) -> Any:
        """The gradient of the training data."""
        return self.correct.grad_fn(self.t_u, self.t_c, self.correct.model(self.t_u, *self.params), *self.params)

    def step(self) -> Any:
        """The parameters after the right step."""
        return self.params - self.rate * self.gradient()

    def validation(self) -> Self:
        """The same with the validation data in the place of the training data."""
        return replace(self, t_u=self.val_t_u, t_c=self.val_t_c)

    def of(self, rows: slice) -> Self:
        """The same with some of the training data."""
        return replace(self, t_u=self.t_u[rows], t_c=self.t_c[rows])

    def keep(self, new: Any) -> Any:
        """Carry this to the next epoch."""
        self.kept = new
        return new


Hook = Callable[[Run], Any]


def loop(
    *, step: Hook = Run.step, loss: Hook = Run.loss, val_loss: Hook = lambda run: run.validation().loss()
) -> Change:
    """Plain descent with something else in the place of one of its parts.

    Each part is asked once an epoch, of the run before the step: the losses that are logged, and the parameters after the step.
    Other optimizers answer rightly. A loop by hand has a learning rate in the optimizer's place, and no validation data.
    """

    def changed(c: Call) -> Any:
        c(n_epochs=min(c.n_epochs, 0))  # it refuses what must be refused
        by_hand = "learning_rate" in c.names
        optimizer = {"name": "sgd", "lr": c.learning_rate} if by_hand else c.optimizer
        if set(optimizer) - {"name", "lr"} or optimizer["name"] != "sgd":
            return c()
        validation = () if by_hand else (c.val_t_u, c.val_t_c)
        run = Run(c.correct, rounded(optimizer["lr"], c.params), c.params, c.t_u, c.t_c, *validation)
        losses, val_losses = [], []
        for run.epoch in range(c.n_epochs):
            losses.append(loss(run))
            if run.val_t_u is not None:
                val_losses.append(val_loss(run))
            run.params = step(run)
        return (run.params * 1, losses) if by_hand else (run.params * 1, losses, val_losses)

    return changed


def along(gradient: Hook) -> Change:
    """A loop that goes against something else in the place of the gradient."""
    return loop(step=lambda run: run.params - run.rate * gradient(run))


def of_rate(change: Callable[[float], float], of: Change = Call.__call__) -> Change:
    """A loop, the right one or another, with another learning rate."""
    return lambda c: of(c.but(optimizer={**c.optimizer, "lr": change(c.optimizer["lr"])}))


def eased(c: Call) -> Any:
    """The right loop, at nine tenths of the limit instead of a rate that is less than a tenth above it."""
    u = in_dtype(c.t_u, "float64")
    limit = 2 / float(np.linalg.eigvalsh([[2 * np.mean(u * u), 2 * np.mean(u)], [2 * np.mean(u), 2.0]])[-1])
    return of_rate(lambda lr: 0.9 * limit if limit < lr < 1.1 * limit else lr)(c)


def of_the_least(log: int) -> Change:
    """The right answer, but the parameters of the least loss in one of its logs."""

    def least(params: Any, c: Call) -> Any:
        losses = [x if np.isfinite(x := float(in_dtype(loss, "float64"))) else np.inf for loss in c()[log]]
        return c(n_epochs=min(range(len(losses)), key=losses.__getitem__, default=c.n_epochs))[0]

    return part(0, least)


STEPS, FORM = "descent.step descent.trajectory descent.log", "descent.closed-form"
ENDS = f"{FORM} descent.raw-diverges descent.scaled-converges"
FAR = "descent.converges descent.norris"
SCALED = "descent.log descent.scaled-converges"
SHORT = "descent.log descent.raw-diverges descent.scaled-converges"
ANSWER = "descent.step descent.trajectory"
ALL = f"{STEPS} {ENDS} {FAR} descent.fixed-point"
LATER, BY_LOG = "descent.trajectory descent.log", "descent.log descent.scaled-converges@float64"
NEGATIVE, KEPT = "descent.negative-rate", "descent.input-kept"
BY_64 = "descent.raw-diverges@float64 descent.scaled-converges@float64"

descent = impostors_of("training_loop", chapters=("descent",))

# Wrong steps

descent("uphill", "the gradient is added, not subtracted")(
    along(lambda run: -run.gradient()), f"{ALL}?", "PaddlePaddle/Paddle#4184 pytorch/pytorch#1871 Yorko/mlcourse.ai#640"
)
descent("not-averaged", "the gradient is not divided by n")(along(lambda run: run.gradient() * run.t_u.size), f"{ALL}?")
descent("factor-2-missing", "the steps follow the gradient of half the loss, but the whole loss is logged")(
    along(lambda run: run.gradient() / 2),
    f"{STEPS} {ENDS} descent.diverges descent.norris@float64",
    "patrickloeber/MLfromscratch#18",
)
descent(
    "bias-from-the-new-weight", "the weight is moved first, and the bias then follows a gradient at the new weight"
)(
    loop(step=lambda run: join(w := run.step()[0], replace(run, params=join(w, run.params[1])).step()[1])),
    f"{STEPS} {FORM} descent.diverges? {BY_64}",
)
descent("bias-never-moved", "only the weight is moved: the bias stays where it was")(
    loop(step=lambda run: join(run.step()[0], run.params[1])), f"{STEPS} {ENDS} descent.diverges descent.norris"
)
descent("bias-moved-twice", "the bias is moved twice by each gradient")(
    along(lambda run: join((g := run.gradient())[0], g[1] * 2)),
    f"{STEPS} {ENDS}@float64 {FAR}",  # after 5000 epochs it is within the bound of float32
    "trekhleb/homemade-machine-learning#63",
)
descent("components-swapped", "the weight and the bias are moved by each other's derivatives")(
    along(lambda run: run.gradient()[::-1]), f"{STEPS} {ENDS} {FAR} descent.diverges"
)
descent("gradients-accumulate", "gradients are never reset, so that each epoch follows the sum of all so far")(
    along(lambda run: run.keep(run.kept + run.gradient())),
    f"{LATER} {ENDS} {FAR} descent.diverges?",
    "tenstorrent/tt-blacksmith#711 meta-pytorch/torchforge#71 yastrebksv/TennisCourtDetector#7",
)
descent("gradient-of-the-start", "the gradient is computed once, at the start, and every step goes along it")(
    along(lambda run: run.keep(run.kept if run.epoch else run.gradient())), f"{LATER} {ENDS} {FAR} descent.diverges"
)
descent("momentum-unasked", "each step adds half of the previous one, although no momentum was asked for")(
    along(lambda run: run.keep(run.kept / 2 + run.gradient())),
    f"{LATER} {FORM} descent.raw-diverges descent.scaled-converges@float64 descent.diverges?",
)
descent("decay-unasked", "a 64th of the parameters is added to the gradient, although no weight decay was asked for")(
    along(lambda run: run.gradient() + run.params / 64),
    f"{STEPS} {FORM} {FAR} descent.fixed-point descent.raw-diverges@float64 descent.scaled-converges",
)
descent("last-sample-dropped", "the last sample has no part in the gradient")(
    along(lambda run: run.of(slice(max(run.t_u.size - 1, 1))).gradient()),
    f"{STEPS} {FORM} descent.fixed-point descent.raw-diverges@float64 descent.scaled-converges"
    " descent.norris@float64 descent.converges? descent.diverges?",
)
descent("pairs-torn-apart", "the temperatures are in reverse order, so that they do not match their readings")(
    lambda c: c(t_c=c.t_c[::-1]), ALL, "DrexelChatbotGroup/DrexelChatbot#15 mlcommons/GaNDLF#870 xudonmao/VMT#1"
)
descent("readings-scaled", "it divides the readings by ten, and returns the parameters for the divided readings")(
    lambda c: c(t_u=c.t_u * rounded(0.1, c.t_u)), f"{ALL} descent.diverges"
)
descent(
    "nan-replaced", "after each step NaN becomes zero, and infinity the largest number of the dtype", exactly=False
)(loop(step=lambda run: np.nan_to_num(run.step())), "descent.diverges descent.raw-diverges")
descent("barely-steep-rate-eased", "a rate less than a tenth above the limit is lowered below it", exactly=False)(
    eased, "descent.diverges"
)

# Wrong numbers of steps

descent("one-epoch-more", "it runs one epoch more than it is asked for")(
    checked(lambda c: c(n_epochs=c.n_epochs + 1)), f"{STEPS} {ENDS} descent.zero-epochs"
)
descent("one-epoch-less", "it runs one epoch less than it is asked for")(
    lambda c: c(n_epochs=c.n_epochs - (c.n_epochs > 0)), f"{STEPS} {ENDS}"
)
descent("one-epoch-at-least", "zero epochs run as one, because the loop decides to stop only after a step")(
    lambda c: c(n_epochs=c.n_epochs or 1), "descent.zero-epochs"
)
descent("stops-when-the-loss-stays", "it stops as soon as the loss has fallen by less than 1e-6", exactly=False)(
    lambda c: c(n_epochs=next((k for k, fall in enumerate(-np.diff(c()[1]), 2) if 0 <= fall < 1e-6), c.n_epochs)),
    f"descent.log {FORM} descent.scaled-converges descent.norris? descent.trajectory?",
)

# Wrong answers of a right run

descent("start-returned", "it returns the parameters that it was given, not the trained ones")(
    part(0, lambda params, c: c.params * 1), f"{ANSWER} {ENDS} descent.diverges descent.norris"
)
descent(
    "params-of-the-last-loss", "it returns the parameters before the last step, for which the last loss was computed"
)(part(0, lambda params, c: c(n_epochs=max(c.n_epochs - 1, 0))[0]), f"{ANSWER} {FORM} {BY_64}")
descent("params-of-the-least-loss", "it returns the parameters of the lowest loss, not the last ones", exactly=False)(
    of_the_least(1),
    f"{ANSWER} {FORM} descent.diverges descent.raw-diverges"
    " descent.scaled-converges@float64 descent.scaled-converges@float32?",
)
descent("bias-first", "the bias is returned first, and then the weight")(
    part(0, lambda x, c: x[::-1]), f"{ANSWER} {ENDS} {FAR} descent.fixed-point descent.zero-epochs descent.zero-rate"
)
descent("logged-after-the-update", "the loss of an epoch is logged after its step")(
    part(1, lambda x, c: c(n_epochs=c.n_epochs + 1)[1][1:]), BY_LOG, "keras-team/keras#8578"
)
descent("last-loss-missing", "the last loss is missing in the log")(part(1, lambda x, c: x[:-1]), SHORT)
descent("first-loss-missing", "the first loss is missing in the log")(part(1, lambda x, c: x[1:]), SHORT)
descent("every-hundredth-logged", "only every hundredth loss is logged")(part(1, lambda x, c: x[::100]), SHORT)
descent("logged-by-the-start", "every epoch logs the first epoch's loss")(part(1, lambda x, c: x[:1] * len(x)), SHORT)
descent("mean-loss-so-far", "every epoch logs the mean of all losses so far: the sum is never reset")(
    loop(loss=lambda run: run.keep(run.kept + run.loss()) / (run.epoch + 1)),
    SCALED,
    "ludwig-ai/ludwig#1659 JetBrains-Research/code2seq#112 keras-team/keras#22617",
)
descent("sum-instead-of-mean", "it logs the sum of the squared residuals, though the steps follow their mean")(
    loop(loss=lambda run: run.loss() * run.t_u.size), SCALED
)
descent("half-the-loss-logged", "it logs half of the loss whose gradient it follows")(
    loop(loss=lambda run: run.loss() / 2), SCALED
)
descent("penalty-logged", "the logged loss contains a penalty on the weight, w² / 64")(
    loop(loss=lambda run: run.loss() + run.params[0] ** 2 / 64), SCALED, "keras-team/keras#464"
)
descent("root-logged", "it logs the square root of the loss", exactly=False)(
    loop(loss=lambda run: np.sqrt(run.loss())), SCALED
)
descent("four-decimals-logged", "it logs losses rounded to four decimals", exactly=False)(
    loop(loss=lambda run: np.round(run.loss(), 4)), BY_LOG
)

# Wrong hands on the arguments

descent("in-place", "it moves the parameters of the caller")(overwritten("params", lambda c, right: right[0]), KEPT)
descent("options-used-up", "it removes the learning rate from the caller's options")(
    kinds.afterwards(lambda c, right: c.optimizer.pop("lr")), KEPT
)
descent("negative-rate-climbs", "learning rates that mean nothing are accepted, and a negative one leads uphill")(
    kinds.unrefused(of_rate(lambda lr: -lr, along(lambda run: -run.gradient()))), NEGATIVE
)
descent("rate-without-sign", "a negative learning rate is accepted, and its sign is dropped")(of_rate(abs), NEGATIVE)
descent("rate-of-nan-is-zero", "a learning rate of NaN is accepted, and counts as zero")(
    of_rate(lambda lr: 0.0 if np.isnan(lr) else lr), NEGATIVE
)
descent("negative-epochs-are-none", "a negative number of epochs is accepted, and counts as zero")(
    lambda c: c(n_epochs=max(c.n_epochs, 0)), NEGATIVE
)
descent("rate-of-zero-is-the-default", "a learning rate of zero counts as missing, and is replaced by a default")(
    of_rate(lambda lr: lr or 0.0078125), "descent.zero-rate"
)
descent.in_dtype("float64", "descent.dtype descent.diverges")
descent.in_dtype("float32", f"{STEPS} {FORM} {FAR} descent.zero-epochs descent.zero-rate {BY_64}")

# The closed form

closed = impostors_of("closed_form")
closed("one-step-more", "the matrix is raised to the power n + 1, not n")(
    checked(lambda c: c(n_epochs=c.n_epochs + 1)), FORM
)
closed("one-step-less", "the power of the matrix is n - 1, not n")(
    checked(lambda c: c(n_epochs=max(c.n_epochs - 1, 0))), FORM
)
closed(
    "last-bit-lost", "the power by squaring loses the last bit of n, so that an odd number of steps counts one less"
)(lambda c: c(n_epochs=c.n_epochs - c.n_epochs % 2), FORM)
for rows in closed, impostors_of("manual_training_loop", chapters=("descent",)):
    rows(
        "any-schedule",
        "rates and numbers of epochs that mean nothing are taken: without a sign, and infinity and NaN as 1",
    )(
        lambda c: c(
            n_epochs=abs(c.n_epochs), learning_rate=abs(c.learning_rate) if math.isfinite(c.learning_rate) else 1.0
        ),
        NEGATIVE,
    )
closed("hessian-halved", "the factor 2 is missing in the Hessian")(lambda c: c(learning_rate=c.learning_rate / 2), FORM)
closed("hessian-not-averaged", "the Hessian is not divided by n")(
    lambda c: c(learning_rate=c.learning_rate * c.n), FORM
)
closed("towards-zero", "the power multiplies the parameters themselves, not their distance from the optimum")(
    kinds.dropped("t_c"), FORM
)
closed("from-zero", "the initial parameters are taken to be zero")(kinds.dropped("params"), FORM)
closed("away-from-the-optimum", "the distance from the optimum is subtracted from it, and not added")(
    lambda c: 2 * c.ask("least_squares") - c(), FORM
)
closed("optimum-returned", "it returns the optimum, whatever the number of epochs")(
    checked(kinds.other("least_squares")), FORM
)

closed.in_dtype("float32", FORM)
closed.in_dtype("float64", "descent.dtype")
closed("in-place", "it writes the parameters at the end over those of the start")(
    overwritten("params", lambda c, right: right), KEPT
)

_PLAIN = np.array([1.0, -2.0]), np.array([2.0, 0.5]), np.array([1.0, -3.0])
_DIGITS = np.array([0.7, -1.3]), np.array([0.1, 2.3, -1.7, 4.9, 0.3]), np.array([0.7, -1.1, 3.3, 0.2, 0.9])
_STEEP = np.array([4.0, 0.0]), np.array([16.0, 8.0]), np.array([2.0, -8.0])
_SHAPES = (
    (np.array([1.0, 3.0]), np.array([[0.0], [4.0]])),
    (np.array([[1.0], [3.0]]), np.array([[0.0], [4.0]])),
    (np.array([1.0, 3.0]), np.array([0.0, 4.0, 1.0])),
    (np.array([1.0, 3.0, 4.0]), np.array([0.0, 4.0])),
)

QUESTIONS = {
    "training_loop": tuple(
        (n_epochs, {"name": "sgd", "lr": rate}, *columns)
        for columns, asked in (
            # The first question is the cheapest, because all are asked it. Then losses that rise, and that fall by very little.
            (_PLAIN, ((1, 0.125), (3, 0.125), (3, 1.0), (3, 2.0**-30))),
            (_DIGITS, ((3, 0.01),)),
            # Gradients above 100, and parameters that overflow; no epochs, no rate, and what means nothing.
            (_STEEP, ((1, 2.0**-8),)),
            (_PLAIN, ((4, 2.0**500), (0, 0.125), (1, 0.0), (1, -0.125), (1, np.nan), (-1, 0.125))),
            # A rate just above the limit of 1/4.
            ((np.zeros(2), np.array([-2.0, 2.0]), np.array([-1.0, 3.0])), ((2, 0.265625),)),
            *(((np.array([1.0, 0.0]), t_u, t_c), ((1, 0.125),)) for t_u, t_c in _SHAPES),
        )
        for n_epochs, rate in asked
    ),
    "closed_form": (
        *((2, 0.125, *_PLAIN), (3, 0.25, *_PLAIN), (5, 0.01, *_DIGITS)),
        *((1, -0.125, *_PLAIN), (1, math.nan, *_PLAIN), (-1, 0.125, *_PLAIN)),
        *((1, 0.125, np.array([1.0, 0.0]), t_u, t_c) for t_u, t_c in _SHAPES),
    ),
}
