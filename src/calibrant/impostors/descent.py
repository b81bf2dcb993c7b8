"""Impostors of the chapter on descent: training loops, and the closed form of where they end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from calibrant.impostors import impostor
from calibrant.impostors.rights import join, narrow, overwrite, rounded

# The frame of a wrong loop


@dataclass
class Run:
    """A training loop under way, over either kind of numbers, before the step of an epoch."""

    right: Any
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
        return self.right.loss_fn(self.right.model(self.t_u, *self.params), self.t_c)

    def gradient(self) -> Any:
        """The gradient of the training data."""
        return self.right.grad_fn(self.t_u, self.t_c, self.right.model(self.t_u, *self.params), *self.params)

    def validation(self) -> Run:
        """The same with the validation data in the place of the training data."""
        return Run(self.right, self.rate, self.params, self.val_t_u, self.val_t_c)

    def step(self) -> Any:
        """The parameters after the right step."""
        return self.params - self.rate * self.gradient()

    def validation_loss(self) -> Any:
        """The loss of the validation data."""
        return self.validation().loss()


Hook = Callable[[Run], Any]


def loop(
    right: Any,
    n_epochs: int,
    optimizer: Any,
    params: Any,
    t_u: Any,
    t_c: Any,
    val_t_u: Any = None,
    val_t_c: Any = None,
    *,
    step: Hook = Run.step,
    loss: Hook = Run.loss,
    val_loss: Hook = Run.validation_loss,
) -> Any:
    """Plain descent with something else in the place of one of its parts: (params, losses, validation losses).

    Each part is asked once an epoch, of the run as it stands before the step: what is logged, and the parameters after the
    step. What is not plain descent is done rightly.
    """
    right(min(n_epochs, 0), optimizer, params, t_u, t_c, val_t_u, val_t_c)  # it refuses what must be refused
    if set(optimizer) - {"name", "lr"} or optimizer["name"] != "sgd":
        return right(n_epochs, optimizer, params, t_u, t_c, val_t_u, val_t_c)
    run = Run(right, rounded(optimizer["lr"], params), params, t_u, t_c, val_t_u, val_t_c)
    losses, val_losses = [], []
    for run.epoch in range(n_epochs):
        losses.append(loss(run))
        if val_t_u is not None:
            val_losses.append(val_loss(run))
        run.params = step(run)
    return run.params * 1, losses, val_losses


STEPS = "descent.step descent.trajectory descent.log"
ENDS = "descent.closed-form descent.raw-diverges descent.scaled-converges"


def loop_impostor(clauses: str, **about: Any) -> Callable[[Callable[..., Any]], Any]:
    """Register an impostor of the training loop, to be tried on the clauses of descent alone."""
    return impostor("training_loop", clauses, **{"chapters": ("descent",)} | about)


# Wrong steps


@loop_impostor(
    f"{STEPS} {ENDS} descent.converges descent.norris descent.fixed-point?",
    seen="PaddlePaddle/Paddle#4184 pytorch/pytorch#1871 Yorko/mlcourse.ai#640",
)
def uphill(*arguments: Any) -> Any:
    """The gradient is added, not subtracted."""
    return loop(*arguments, step=lambda run: run.params + run.rate * run.gradient())


@loop_impostor(f"{STEPS} {ENDS} descent.converges descent.norris descent.fixed-point")
def not_averaged(*arguments: Any) -> Any:
    """The gradient is that of the sum: it is not divided by n."""
    return loop(*arguments, step=lambda run: run.params - run.rate * (run.gradient() * run.t_u.size))


@loop_impostor(f"{STEPS} {ENDS} descent.diverges descent.norris@float64", seen="patrickloeber/MLfromscratch#18")
def factor_2_missing(*arguments: Any) -> Any:
    """The gradient is that of half the loss, but the loss that is logged is not halved."""
    return loop(*arguments, step=lambda run: run.params - run.rate * (run.gradient() / 2))


@loop_impostor(
    f"{STEPS} descent.closed-form descent.diverges descent.raw-diverges@float64 descent.scaled-converges@float64"
)
def bias_from_the_new_weight(*arguments: Any) -> Any:
    """The bias is moved along a gradient at the weight that has moved already."""

    def step(run: Run) -> Any:
        w = run.step()[0]
        return join(w, replace(run, params=join(w, run.params[1])).step()[1])

    return loop(*arguments, step=step)


@loop_impostor(f"{STEPS} {ENDS} descent.diverges descent.norris")
def bias_never_moved(*arguments: Any) -> Any:
    """Only the weight is moved: the bias stays where it was."""
    return loop(*arguments, step=lambda run: join(run.step()[0], run.params[1]))


@loop_impostor(f"{STEPS} {ENDS} descent.converges descent.diverges descent.norris")
def components_swapped(*arguments: Any) -> Any:
    """The weight is moved by the bias's derivative, and the bias by the weight's."""
    return loop(*arguments, step=lambda run: run.params - run.rate * run.gradient()[::-1])


@loop_impostor(
    f"descent.trajectory descent.log {ENDS} descent.converges descent.diverges? descent.norris",
    seen="tenstorrent/tt-blacksmith#711 meta-pytorch/torchforge#71 yastrebksv/TennisCourtDetector#7",
)
def gradients_accumulate(*arguments: Any) -> Any:
    """The gradient is added to those of the epochs before: nobody resets it."""

    def step(run: Run) -> Any:
        run.kept = run.kept + run.gradient()
        return run.params - run.rate * run.kept

    return loop(*arguments, step=step)


@loop_impostor(f"descent.trajectory descent.log {ENDS} descent.converges descent.diverges descent.norris")
def gradient_of_the_start(*arguments: Any) -> Any:
    """The gradient is computed once, at the start, and every step goes along it."""

    def step(run: Run) -> Any:
        run.kept = run.kept if run.epoch else run.gradient()
        return run.params - run.rate * run.kept

    return loop(*arguments, step=step)


@loop_impostor(
    f"{STEPS} descent.closed-form descent.converges descent.diverges descent.raw-diverges@float64"
    " descent.scaled-converges@float64 descent.norris"
)
def gradient_of_the_epoch_before(*arguments: Any) -> Any:
    """Every step goes along the gradient of the epoch before, and the first goes nowhere."""

    def step(run: Run) -> Any:
        before, run.kept = run.kept, run.gradient()
        return run.params - run.rate * before

    return loop(*arguments, step=step)


@loop_impostor(
    "descent.trajectory descent.log descent.closed-form descent.raw-diverges descent.scaled-converges@float64"
)
def momentum_unasked(*arguments: Any) -> Any:
    """Half of the last move is added to each, though no momentum was asked for."""

    def step(run: Run) -> Any:
        run.kept = run.kept / 2 + run.gradient()
        return run.params - run.rate * run.kept

    return loop(*arguments, step=step)


@loop_impostor(
    f"{STEPS} descent.closed-form descent.converges descent.fixed-point descent.raw-diverges@float64"
    " descent.scaled-converges descent.norris"
)
def decay_unasked(*arguments: Any) -> Any:
    """A 64th of the parameters is added to the gradient, though no weight decay was asked for."""
    return loop(*arguments, step=lambda run: run.params - run.rate * (run.gradient() + run.params / 64))


@loop_impostor(f"descent.trajectory descent.log {ENDS} descent.diverges descent.norris")
def rate_falls(*arguments: Any) -> Any:
    """The learning rate is divided by the number of the epoch."""
    return loop(*arguments, step=lambda run: run.params - run.rate / (run.epoch + 1) * run.gradient())


@loop_impostor(f"{STEPS} {ENDS} descent.converges descent.fixed-point descent.norris")
def a_step_for_each_half(*arguments: Any) -> Any:
    """A step is taken for each half of the samples, where one is due for all of them."""

    def step(run: Run) -> Any:
        middle = run.t_u.size // 2
        for part in (slice(middle), slice(middle, None)) if middle else (slice(None),):
            run.params = replace(run, t_u=run.t_u[part], t_c=run.t_c[part]).step()
        return run.params

    return loop(*arguments, step=step)


@loop_impostor(
    f"{STEPS} descent.closed-form descent.fixed-point descent.raw-diverges@float64 descent.scaled-converges"
    " descent.norris@float64 descent.converges? descent.diverges?"
)
def last_sample_dropped(*arguments: Any) -> Any:
    """The last sample has no part in the gradient."""

    def step(run: Run) -> Any:
        keep = max(run.t_u.size - 1, 1)
        return replace(run, t_u=run.t_u[:keep], t_c=run.t_c[:keep]).step()

    return loop(*arguments, step=step)


@loop_impostor(
    f"{STEPS} {ENDS} descent.converges descent.fixed-point descent.norris",
    seen="DrexelChatbotGroup/DrexelChatbot#15 mlcommons/GaNDLF#870 xudonmao/VMT#1",
)
def pairs_torn_apart(right: Any, n_epochs: int, optimizer: Any, params: Any, t_u: Any, t_c: Any, *val: Any) -> Any:
    """The temperatures are in another order than their readings."""
    return right(n_epochs, optimizer, params, t_u, t_c[::-1], *val)


@loop_impostor(f"{STEPS} {ENDS} descent.converges descent.diverges descent.fixed-point descent.norris")
def readings_scaled(right: Any, n_epochs: int, optimizer: Any, params: Any, t_u: Any, t_c: Any, *val: Any) -> Any:
    """It trains on a tenth of the readings, and returns the parameters of these."""
    return right(n_epochs, optimizer, params, t_u * rounded(0.1, t_u), t_c, *val)


@loop_impostor(
    f"{STEPS} descent.closed-form descent.diverges descent.raw-diverges",
    exactly=False,
    ugly="only gradients above 100 show it",
)
def gradient_clipped(*arguments: Any) -> Any:
    """The gradient is cut to a length of at most 100."""

    def step(run: Run) -> Any:
        gradient = run.gradient()
        length = np.sqrt(np.sum(gradient * gradient))
        return run.params - run.rate * (gradient * (100 / length) if length > 100 else gradient).astype(gradient.dtype)

    return loop(*arguments, step=step)


@loop_impostor(
    f"{STEPS} descent.closed-form descent.converges descent.diverges descent.fixed-point descent.zero-rate"
    " descent.raw-diverges descent.scaled-converges@float64 descent.norris",
    exactly=False,
)
def steps_of_one_length(*arguments: Any) -> Any:
    """The gradient is divided by its length, so that the rate alone says how far a step goes."""

    def step(run: Run) -> Any:
        gradient = run.gradient()
        return run.params - run.rate * (gradient / np.hypot(*gradient))

    return loop(*arguments, step=step)


@loop_impostor("descent.diverges descent.raw-diverges", exactly=False)
def nan_replaced(*arguments: Any) -> Any:
    """After each step NaN becomes zero, and infinity the largest number of the dtype."""
    return loop(*arguments, step=lambda run: np.nan_to_num(run.step()))


# Wrong numbers of steps


@loop_impostor(f"{STEPS} {ENDS} descent.zero-epochs")
def one_epoch_more(right: Any, n_epochs: int, *others: Any) -> Any:
    """It runs one epoch more than it is asked for."""
    right(n_epochs, *others)
    return right(n_epochs + 1, *others)


@loop_impostor(f"{STEPS} {ENDS}")
def one_epoch_less(right: Any, n_epochs: int, *others: Any) -> Any:
    """It runs one epoch less than it is asked for."""
    return right(n_epochs - (n_epochs > 0), *others)


@loop_impostor("descent.zero-epochs")
def one_epoch_at_least(right: Any, n_epochs: int, *others: Any) -> Any:
    """No epochs are one epoch: it stops after a step, not before it."""
    return right(n_epochs or 1, *others)


@loop_impostor(
    "descent.log descent.diverges descent.raw-diverges descent.trajectory? descent.closed-form?"
    " descent.scaled-converges?"
    " descent.norris?",
    exactly=False,
    ugly="with plain numbers a loss rises by rounding first",
)
def stops_when_the_loss_rises(right: Any, n_epochs: int, *others: Any) -> Any:
    """It stops as soon as the loss has risen."""
    losses = right(n_epochs, *others)[1]
    return right(next((k + 1 for k in range(1, n_epochs) if losses[k] > losses[k - 1]), n_epochs), *others)


@loop_impostor(
    "descent.log descent.closed-form descent.scaled-converges descent.norris? descent.trajectory?", exactly=False
)
def stops_when_the_loss_stays(right: Any, n_epochs: int, *others: Any) -> Any:
    """It stops as soon as the loss has fallen by less than 1e-6."""
    losses = right(n_epochs, *others)[1]
    stays = (k + 1 for k in range(1, n_epochs) if 0 <= losses[k - 1] - losses[k] < 1e-6)
    return right(next(stays, n_epochs), *others)


# Wrong answers of a right run


@loop_impostor(f"descent.step descent.trajectory {ENDS} descent.diverges descent.norris")
def start_returned(right: Any, n_epochs: int, optimizer: Any, params: Any, *others: Any) -> Any:
    """The parameters that it returns are those it was given: the trained ones have another name."""
    _, losses, val_losses = right(n_epochs, optimizer, params, *others)
    return params * 1, losses, val_losses


@loop_impostor(
    "descent.step descent.trajectory descent.closed-form descent.raw-diverges@float64 descent.scaled-converges@float64"
)
def params_of_the_last_loss(right: Any, n_epochs: int, *others: Any) -> Any:
    """The parameters that it returns are those before the last step, which the last loss belongs to."""
    _, losses, val_losses = right(n_epochs, *others)
    return right(max(n_epochs - 1, 0), *others)[0], losses, val_losses


@loop_impostor(
    "descent.step descent.trajectory descent.closed-form descent.diverges descent.raw-diverges"
    " descent.scaled-converges@float64 descent.scaled-converges@float32?",
    exactly=False,
)
def params_of_the_least_loss(right: Any, n_epochs: int, *others: Any) -> Any:
    """The parameters that it returns are those of the least loss in the log."""
    _, losses, val_losses = right(n_epochs, *others)
    best = min(range(n_epochs), key=lambda k: losses[k] if np.isfinite(losses[k]) else np.inf, default=0)
    return right(best, *others)[0], losses, val_losses


@loop_impostor(
    f"descent.step descent.trajectory {ENDS} descent.converges descent.fixed-point descent.zero-epochs"
    " descent.zero-rate descent.norris"
)
def bias_first(right: Any, *arguments: Any) -> Any:
    """The bias is returned first, and then the weight."""
    params, losses, val_losses = right(*arguments)
    return params[::-1], losses, val_losses


@loop_impostor("descent.log descent.scaled-converges@float64", seen="keras-team/keras#8578")
def logged_after_the_update(right: Any, n_epochs: int, *others: Any) -> Any:
    """The loss of an epoch is logged after its step."""
    params, _, val_losses = right(n_epochs, *others)
    return params, right(n_epochs + 1, *others)[1][1:], val_losses


@loop_impostor("descent.log descent.raw-diverges descent.scaled-converges")
def last_loss_missing(right: Any, *arguments: Any) -> Any:
    """The last loss is missing in the log."""
    params, losses, val_losses = right(*arguments)
    return params, losses[:-1], val_losses


@loop_impostor("descent.log descent.raw-diverges descent.scaled-converges")
def first_loss_missing(right: Any, *arguments: Any) -> Any:
    """The first loss is missing in the log: that of the start."""
    params, losses, val_losses = right(*arguments)
    return params, losses[1:], val_losses


@loop_impostor("descent.log descent.raw-diverges descent.scaled-converges")
def every_hundredth_logged(right: Any, *arguments: Any) -> Any:
    """Only the first of every hundred losses is logged."""
    params, losses, val_losses = right(*arguments)
    return params, losses[::100], val_losses


@loop_impostor("descent.log descent.raw-diverges descent.scaled-converges")
def logged_by_the_start(right: Any, *arguments: Any) -> Any:
    """Every epoch logs the loss of the start."""
    params, losses, val_losses = right(*arguments)
    return params, losses[:1] * len(losses), val_losses


@loop_impostor(
    "descent.log descent.scaled-converges",
    seen="ludwig-ai/ludwig#1659 JetBrains-Research/code2seq#112 keras-team/keras#22617",
)
def mean_loss_so_far(*arguments: Any) -> Any:
    """Every epoch logs the mean of all losses so far: the sum is never reset."""

    def mean(run: Run) -> Any:
        run.kept = run.kept + run.loss()
        return run.kept / (run.epoch + 1)

    return loop(*arguments, loss=mean)


@loop_impostor("descent.log descent.scaled-converges", name="sum-instead-of-mean")
def summed_loss_logged(*arguments: Any) -> Any:
    """The loss that is logged is the sum of the squared residuals, though the steps follow their mean."""
    return loop(*arguments, loss=lambda run: run.loss() * run.t_u.size)


@loop_impostor("descent.log descent.scaled-converges")
def half_the_loss_logged(*arguments: Any) -> Any:
    """The loss that is logged has a factor 1/2 in front, though the steps follow the whole of it."""
    return loop(*arguments, loss=lambda run: run.loss() / 2)


@loop_impostor("descent.log descent.scaled-converges", seen="keras-team/keras#464")
def penalty_logged(*arguments: Any) -> Any:
    """The loss that is logged contains a penalty on the weight, w² / 64."""
    return loop(*arguments, loss=lambda run: run.loss() + run.params[0] ** 2 / 64)


@loop_impostor("descent.log descent.scaled-converges", exactly=False)
def root_logged(*arguments: Any) -> Any:
    """The loss that is logged is the root of the mean squared error."""
    return loop(*arguments, loss=lambda run: np.sqrt(run.loss()))


@loop_impostor(
    "descent.log descent.scaled-converges@float64", exactly=False, ugly="only numbers with many digits show it"
)
def four_decimals_logged(*arguments: Any) -> Any:
    """The losses that are logged are rounded to four decimals."""
    return loop(*arguments, loss=lambda run: np.round(run.loss(), 4))


# Wrong hands on the arguments


@loop_impostor("descent.input-kept")
def in_place(right: Any, n_epochs: int, optimizer: Any, params: Any, *others: Any) -> Any:
    """It moves the caller's parameters."""
    answer = right(n_epochs, optimizer, params, *others)
    overwrite(params, answer[0])
    return answer


@loop_impostor("descent.input-kept")
def readings_scaled_in_place(right: Any, n_epochs: int, optimizer: Any, params: Any, t_u: Any, *others: Any) -> Any:
    """It scales the caller's readings."""
    answer = right(n_epochs, optimizer, params, t_u, *others)
    overwrite(t_u, t_u * 2)
    return answer


@loop_impostor("descent.input-kept")
def options_used_up(right: Any, n_epochs: int, optimizer: Any, *others: Any) -> Any:
    """It takes the learning rate out of the caller's options."""
    answer = right(n_epochs, optimizer, *others)
    del optimizer["lr"]
    return answer


@loop_impostor("descent.negative-rate")
def negative_rate_climbs(right: Any, n_epochs: int, optimizer: Any, *others: Any) -> Any:
    """A negative learning rate is not refused, and leads uphill."""
    if not optimizer["lr"] < 0:
        return right(n_epochs, optimizer, *others)
    return uphill(right, n_epochs, {**optimizer, "lr": -optimizer["lr"]}, *others)


@loop_impostor("descent.negative-rate")
def rate_without_sign(right: Any, n_epochs: int, optimizer: Any, *others: Any) -> Any:
    """A negative learning rate is not refused: its sign is dropped."""
    return right(n_epochs, {**optimizer, "lr": abs(optimizer["lr"])}, *others)


@loop_impostor("descent.negative-rate")
def rate_of_nan_is_zero(right: Any, n_epochs: int, optimizer: Any, *others: Any) -> Any:
    """A learning rate that is NaN counts as zero."""
    return right(n_epochs, {**optimizer, "lr": 0.0 if np.isnan(optimizer["lr"]) else optimizer["lr"]}, *others)


@loop_impostor("descent.negative-rate")
def negative_epochs_are_none(right: Any, n_epochs: int, *others: Any) -> Any:
    """A negative number of epochs is not refused: nothing is done."""
    return right(max(n_epochs, 0), *others)


@loop_impostor("descent.zero-rate")
def rate_of_zero_is_the_default(right: Any, n_epochs: int, optimizer: Any, *others: Any) -> Any:
    """A learning rate of zero counts as none given, and is replaced by a default."""
    return right(n_epochs, {**optimizer, "lr": optimizer["lr"] or 0.0078125}, *others)


@loop_impostor("descent.dtype@float32 descent.diverges@float32", keeps_dtype=False)
def returned_in_float64(right: Any, n_epochs: int, optimizer: Any, *data: Any) -> Any:
    """It is computed and returned in float64, whatever the dtype of the arguments."""
    return right(n_epochs, optimizer, *(x if x is None else narrow(x, "float64") for x in data))


@loop_impostor(
    "descent.step@float64 descent.trajectory@float64 descent.log@float64 descent.closed-form@float64"
    " descent.converges@float64 descent.zero-epochs@float64 descent.zero-rate@float64"
    " descent.raw-diverges@float64 descent.scaled-converges@float64 descent.norris@float64",
    ugly="only numbers with many digits show it",
)
def in_float32(right: Any, n_epochs: int, optimizer: Any, *data: Any) -> Any:
    """It is computed in float32, whatever the dtype of the arguments."""
    return right(n_epochs, optimizer, *(x if x is None else narrow(x, "float32") for x in data))


@loop_impostor("data.shapes", chapters=("data",))
def flattened(right: Any, n_epochs: int, optimizer: Any, params: Any, t_u: Any, t_c: Any, *val: Any) -> Any:
    """Arrays of any shape are flattened first."""
    return right(n_epochs, optimizer, params, join(t_u), join(t_c), *val)


@loop_impostor("data.shapes", chapters=("data",))
def broadcasting(right: Any, n_epochs: int, optimizer: Any, params: Any, t_u: Any, t_c: Any, *val: Any) -> Any:
    """(n,) against (n, 1) is broadcast to n² pairs, and the parameters are trained on them."""
    return right(n_epochs, optimizer, params, join(t_u + t_c * 0), join(t_c + t_u * 0), *val)


@loop_impostor("data.shapes", chapters=("data",))
def longer_column_cut(right: Any, n_epochs: int, optimizer: Any, params: Any, t_u: Any, t_c: Any, *val: Any) -> Any:
    """The longer column is cut to the length of the shorter one."""
    n = min(t_u.size, t_c.size)
    if t_u.shape and t_c.shape:
        t_u, t_c = t_u[:n], t_c[:n]
    return right(n_epochs, optimizer, params, t_u, t_c, *val)


# The closed form


@impostor("closed_form", "descent.closed-form")
def one_step_more(right: Any, n_epochs: int, *others: Any) -> Any:
    """The power is n + 1, where it is n."""
    return right(n_epochs + 1, *others)


@impostor("closed_form", "descent.closed-form")
def one_step_less(right: Any, n_epochs: int, *others: Any) -> Any:
    """The power is n - 1, where it is n."""
    return right(max(n_epochs - 1, 0), *others)


@impostor("closed_form", "descent.closed-form")
def hessian_halved(right: Any, n_epochs: int, learning_rate: float, *others: Any) -> Any:
    """The factor 2 is missing in the Hessian."""
    return right(n_epochs, learning_rate / 2, *others)


@impostor("closed_form", "descent.closed-form")
def hessian_not_averaged(right: Any, n_epochs: int, learning_rate: float, params: Any, t_u: Any, t_c: Any) -> Any:
    """The Hessian is that of the sum: it is not divided by n."""
    return right(n_epochs, learning_rate * t_u.size, params, t_u, t_c)


@impostor("closed_form", "descent.closed-form")
def towards_zero(right: Any, n_epochs: int, learning_rate: float, params: Any, t_u: Any, t_c: Any) -> Any:
    """The optimum is forgotten: the power is applied to the parameters themselves."""
    return right(n_epochs, learning_rate, params, t_u, t_c * 0)


@impostor("closed_form", "descent.closed-form")
def from_zero(right: Any, n_epochs: int, learning_rate: float, params: Any, t_u: Any, t_c: Any) -> Any:
    """The start is taken to be zero."""
    return right(n_epochs, learning_rate, params * 0, t_u, t_c)


@impostor("closed_form", "descent.closed-form")
def away_from_the_optimum(right: Any, n_epochs: int, learning_rate: float, params: Any, t_u: Any, t_c: Any) -> Any:
    """The distance from the optimum is subtracted from it, and not added."""
    return 2 * right.least_squares(t_u, t_c) - right(n_epochs, learning_rate, params, t_u, t_c)


@impostor("closed_form", "descent.closed-form")
def optimum_returned(right: Any, n_epochs: int, learning_rate: float, params: Any, t_u: Any, t_c: Any) -> Any:
    """It is the optimum, as after epochs without end."""
    return right.least_squares(t_u, t_c)


@impostor("closed_form", "descent.closed-form", exactly=False)
def power_by_element(right: Any, n_epochs: int, learning_rate: float, params: Any, t_u: Any, t_c: Any) -> Any:
    """Each element of the matrix is raised to the power, and not the matrix."""
    optimum = right.least_squares(t_u, t_c)
    columns = [right(1, learning_rate, optimum + unit.astype(t_u.dtype), t_u, t_c) - optimum for unit in np.eye(2)]
    return optimum + np.stack(columns, axis=1) ** n_epochs @ (params - optimum)


@impostor("closed_form", "descent.closed-form@float64", ugly="only numbers with many digits show it", name="in-float32")
def closed_form_in_float32(right: Any, n_epochs: int, learning_rate: float, *data: Any) -> Any:
    """It is computed in float32, whatever the dtype of the arguments."""
    return right(n_epochs, learning_rate, *(narrow(x, "float32") for x in data))


_PLAIN = np.array([1.0, -2.0]), np.array([2.0, 0.5]), np.array([1.0, -3.0])
_DIGITS = np.array([0.7, -1.3]), np.array([0.1, 2.3, -1.7, 4.9, 0.3]), np.array([0.7, -1.1, 3.3, 0.2, 0.9])
_SHAPES = (
    (np.array([1.0, 3.0]), np.array([[0.0], [4.0]])),
    (np.array([[1.0], [3.0]]), np.array([[0.0], [4.0]])),
    (np.array([1.0, 3.0]), np.array([0.0, 4.0, 1.0])),
)


def _descents() -> Any:
    # The first question is the cheapest, because all are asked it.
    yield 1, {"name": "sgd", "lr": 0.125}, *_PLAIN
    yield 3, {"name": "sgd", "lr": 0.125}, *_PLAIN
    # A loss that rises at once, and one that falls by very little.
    yield 3, {"name": "sgd", "lr": 1.0}, *_PLAIN
    yield 3, {"name": "sgd", "lr": 2.0**-30}, *_PLAIN
    yield 3, {"name": "sgd", "lr": 0.01}, *_DIGITS
    # Gradients above 100, and parameters that overflow.
    yield 1, {"name": "sgd", "lr": 2.0**-8}, np.array([4.0, 0.0]), np.array([16.0, 8.0]), np.array([2.0, -8.0])
    yield 4, {"name": "sgd", "lr": 2.0**500}, *_PLAIN
    # No epochs, no rate, and what means nothing.
    yield 0, {"name": "sgd", "lr": 0.125}, *_PLAIN
    yield 1, {"name": "sgd", "lr": 0.0}, *_PLAIN
    yield 1, {"name": "sgd", "lr": -0.125}, *_PLAIN
    yield 1, {"name": "sgd", "lr": float("nan")}, *_PLAIN
    yield -1, {"name": "sgd", "lr": 0.125}, *_PLAIN
    for t_u, t_c in _SHAPES:
        yield 1, {"name": "sgd", "lr": 0.125}, np.array([1.0, 0.0]), t_u, t_c


QUESTIONS = {
    "training_loop": tuple(_descents()),
    "closed_form": ((2, 0.125, *_PLAIN), (3, 0.25, *_PLAIN), (5, 0.01, *_DIGITS)),
}
