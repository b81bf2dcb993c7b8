"""Impostors of the gradient: by differences, by hand and by automatic differentiation."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from calibrant.impostors import impostor
from calibrant.impostors.rights import join, narrow, overwrite

VALUE = "gradient.chain-rule gradient.symbolic gradient.thermometer"
SIZES = f"{VALUE} gradient.additive"

# The derivatives of the model


@impostor("dmodel_dw", "gradient.by-hand-w")
def the_weight(right: Any, t_u: Any, w: Any, b: Any) -> Any:
    """The derivative by the weight is the weight."""
    return w * 1


@impostor("dmodel_dw", "gradient.by-hand-w")
def squared(right: Any, t_u: Any, w: Any, b: Any) -> Any:
    """The readings are squared."""
    return right(t_u, w, b) ** 2


@impostor("dmodel_dw", "gradient.by-hand-w")
def not_differentiated(right: Any, t_u: Any, w: Any, b: Any) -> Any:
    """The weight is still there: w t_u, where t_u is due."""
    return right(t_u, w, b) * w


@impostor("dmodel_dw", "gradient.by-hand-w")
def mean_reading(right: Any, t_u: Any, w: Any, b: Any) -> Any:
    """The readings are averaged, where each sample has its own."""
    return right(t_u, w, b).mean()


@impostor("dmodel_dw", "gradient.by-hand-w")
def one(right: Any, t_u: Any, w: Any, b: Any) -> Any:
    """It is the derivative by the bias."""
    return right.dmodel_db(t_u, w, b)


@impostor("dmodel_dw", "gradient.by-hand-w")
def divided_by_n(right: Any, t_u: Any, w: Any, b: Any) -> Any:
    """The readings are divided by n, which the derivative of the loss does as well."""
    return right(t_u, w, b) / t_u.size


@impostor("dmodel_dw", "gradient.pure", name="in-place")
def derivative_by_the_weight_in_place(right: Any, t_u: Any, w: Any, b: Any) -> Any:
    """It writes the predictions over the readings."""
    derivative = right(t_u, w, b)
    overwrite(t_u, right.model(t_u, w, b))
    return derivative


@impostor("dmodel_db", "gradient.by-hand-b")
def the_bias(right: Any, t_u: Any, w: Any, b: Any) -> Any:
    """The derivative by the bias is the bias."""
    return b * 1


@impostor("dmodel_db", "gradient.by-hand-b")
def zero(right: Any, t_u: Any, w: Any, b: Any) -> Any:
    """The bias counts as a constant, so that its derivative is zero."""
    return right(t_u, w, b) * 0


@impostor("dmodel_db", "gradient.by-hand-b")
def the_readings(right: Any, t_u: Any, w: Any, b: Any) -> Any:
    """It is the derivative by the weight."""
    return right.dmodel_dw(t_u, w, b)


@impostor("dmodel_db", "gradient.by-hand-b", name="divided-by-n")
def bias_divided_by_n(right: Any, t_u: Any, w: Any, b: Any) -> Any:
    """It is 1/n, by which the derivative of the loss is divided as well."""
    return right(t_u, w, b) / t_u.size


@impostor("dmodel_db", "gradient.pure", name="in-place")
def derivative_by_the_bias_in_place(right: Any, t_u: Any, w: Any, b: Any) -> Any:
    """It writes ones over the readings."""
    derivative = right(t_u, w, b)
    overwrite(t_u, derivative)
    return derivative


# The gradient by hand


@impostor("grad_fn", VALUE, seen="patrickloeber/MLfromscratch#18")
def factor_2_missing(right: Any, t_u: Any, t_c: Any, t_p: Any, w: Any, b: Any) -> Any:
    """The factor 2 of the square's derivative is missing."""
    return right(t_u, t_c, t_p, w, b) / 2


@impostor("grad_fn", VALUE)
def sign_flipped(right: Any, t_u: Any, t_c: Any, t_p: Any, w: Any, b: Any) -> Any:
    """The residual is taken as t_c - t_p, so that the sign is flipped."""
    return -right(t_u, t_c, t_p, w, b)


@impostor("grad_fn", SIZES, seen="pytorch/pytorch#28993 kakaobrain/trident#66")
def not_averaged(right: Any, t_u: Any, t_c: Any, t_p: Any, w: Any, b: Any) -> Any:
    """It is the gradient of the sum: it is not divided by n."""
    return right(t_u, t_c, t_p, w, b) * t_p.size


@impostor("grad_fn", SIZES)
def over_n_minus_1(right: Any, t_u: Any, t_c: Any, t_p: Any, w: Any, b: Any) -> Any:
    """It is divided by n - 1, as the estimate of a variance is."""
    return right(t_u, t_c, t_p, w, b) * t_p.size / max(t_p.size - 1, 1)


@impostor("grad_fn", SIZES)
def averaged_twice(right: Any, t_u: Any, t_c: Any, t_p: Any, w: Any, b: Any) -> Any:
    """The terms, which are divided by n already, are averaged and not summed."""
    return right(t_u, t_c, t_p, w, b) / t_p.size


@impostor("grad_fn", SIZES, seen="purushottamkar/ml19-20a#5")
def bias_not_averaged(right: Any, t_u: Any, t_c: Any, t_p: Any, w: Any, b: Any) -> Any:
    """The derivative by the bias is not divided by n."""
    by_w, by_b = right(t_u, t_c, t_p, w, b)
    return join(by_w, by_b * t_p.size)


@impostor("grad_fn", SIZES, seen="purushottamkar/ml19-20a#5")
def weight_not_averaged(right: Any, t_u: Any, t_c: Any, t_p: Any, w: Any, b: Any) -> Any:
    """The derivative by the weight is not divided by n."""
    by_w, by_b = right(t_u, t_c, t_p, w, b)
    return join(by_w * t_p.size, by_b)


@impostor("grad_fn", SIZES, seen="kvfrans/notes#5")
def bias_averaged_twice(right: Any, t_u: Any, t_c: Any, t_p: Any, w: Any, b: Any) -> Any:
    """The terms of the bias, which are divided by n already, are averaged and not summed."""
    by_w, by_b = right(t_u, t_c, t_p, w, b)
    return join(by_w, by_b / t_p.size)


@impostor("grad_fn", f"{VALUE} gradient.agree", beside=("finite_difference",))
def bias_halved(right: Any, t_u: Any, t_c: Any, t_p: Any, w: Any, b: Any) -> Any:
    """The factor 2 is missing in the derivative by the bias."""
    by_w, by_b = right(t_u, t_c, t_p, w, b)
    return join(by_w, by_b / 2)


@impostor("grad_fn", VALUE)
def bias_zero(right: Any, t_u: Any, t_c: Any, t_p: Any, w: Any, b: Any) -> Any:
    """The bias has no gradient: it is zero."""
    by_w, by_b = right(t_u, t_c, t_p, w, b)
    return join(by_w, by_b * 0)


@impostor("grad_fn", SIZES)
def bias_over_n_minus_1(right: Any, t_u: Any, t_c: Any, t_p: Any, w: Any, b: Any) -> Any:
    """The derivative by the bias is divided by n - 1."""
    by_w, by_b = right(t_u, t_c, t_p, w, b)
    return join(by_w, by_b * t_p.size / max(t_p.size - 1, 1))


@impostor("grad_fn", f"{VALUE} gradient.additive?")
def bias_as_the_weight(right: Any, t_u: Any, t_c: Any, t_p: Any, w: Any, b: Any) -> Any:
    """Both components are the derivative by the weight."""
    by_w, _ = right(t_u, t_c, t_p, w, b)
    return join(by_w, by_w)


@impostor("grad_fn", f"{VALUE} gradient.additive?")
def bias_first(right: Any, t_u: Any, t_c: Any, t_p: Any, w: Any, b: Any) -> Any:
    """The derivative by the bias comes first, and then that by the weight."""
    by_w, by_b = right(t_u, t_c, t_p, w, b)
    return join(by_b, by_w)


@impostor("grad_fn", SIZES)
def means_multiplied(right: Any, t_u: Any, t_c: Any, t_p: Any, w: Any, b: Any) -> Any:
    """The mean of the products is taken for the product of the means."""
    _, by_b = right(t_u, t_c, t_p, w, b)
    return join(t_u.mean() * by_b, by_b)


@impostor("grad_fn", SIZES)
def readings_centred(right: Any, t_u: Any, t_c: Any, t_p: Any, w: Any, b: Any) -> Any:
    """The mean of the readings is subtracted from them, and not from those of the predictions."""
    return right(t_u - t_u.mean(), t_c, t_p, w, b)


@impostor("grad_fn", "gradient.chain-rule gradient.symbolic gradient.additive")
def times_predictions(right: Any, t_u: Any, t_c: Any, t_p: Any, w: Any, b: Any) -> Any:
    """The residuals are multiplied by the predictions, where the readings are due."""
    return right(t_p, t_c, t_p, w, b)


@impostor("grad_fn", "gradient.chain-rule gradient.symbolic gradient.optimum")
def bias_not_predicted(right: Any, t_u: Any, t_c: Any, t_p: Any, w: Any, b: Any) -> Any:
    """The residuals are those of the weight alone, without the bias."""
    return right(t_u, t_c, t_p - b, w, b)


@impostor("grad_fn", f"{VALUE} gradient.optimum gradient.additive")
def weight_penalized(right: Any, t_u: Any, t_c: Any, t_p: Any, w: Any, b: Any) -> Any:
    """The gradient of a penalty on the weight is added, w / 32."""
    by_w, by_b = right(t_u, t_c, t_p, w, b)
    return join(by_w + w / 32, by_b)


@impostor("grad_fn", f"{SIZES} gradient.optimum gradient.nan?")
def last_sample_dropped(right: Any, t_u: Any, t_c: Any, t_p: Any, w: Any, b: Any) -> Any:
    """The last sample is left out."""
    keep = max(t_p.size - 1, 1)
    return right(t_u[:keep], t_c[:keep], t_p[:keep], w, b)


@impostor("grad_fn", f"{SIZES} gradient.nan", exactly=False, ugly="only gradients above 100 show it")
def clipped(right: Any, t_u: Any, t_c: Any, t_p: Any, w: Any, b: Any) -> Any:
    """Each component is cut to at most 100."""
    return np.clip(right(t_u, t_c, t_p, w, b), -100, 100)


@impostor("grad_fn", f"{SIZES} gradient.optimum", exactly=False)
def of_the_root(right: Any, t_u: Any, t_c: Any, t_p: Any, w: Any, b: Any) -> Any:
    """It is the gradient of the root mean square error."""
    return right(t_u, t_c, t_p, w, b) / (2 * np.sqrt(right.loss_fn(t_p, t_c)))


@impostor("grad_fn", f"{VALUE} gradient.nan gradient.additive?", exactly=False)
def of_the_absolute_loss(right: Any, t_u: Any, t_c: Any, t_p: Any, w: Any, b: Any) -> Any:
    """It is the gradient of the mean absolute error."""
    return right(t_u, t_c, t_c + np.sign(t_p - t_c), w, b) / 2


@impostor("grad_fn", f"{SIZES} gradient.optimum", exactly=False)
def of_length_one(right: Any, t_u: Any, t_c: Any, t_p: Any, w: Any, b: Any) -> Any:
    """It is divided by its length."""
    gradient = right(t_u, t_c, t_p, w, b)
    return gradient / np.hypot(*gradient)


@impostor("grad_fn", f"{SIZES} gradient.optimum gradient.nan", exactly=False)
def not_summed(right: Any, t_u: Any, t_c: Any, t_p: Any, w: Any, b: Any) -> Any:
    """The terms of the samples are not summed: it has a column for each sample."""
    terms = right.dloss_fn(t_p, t_c)
    return np.stack([terms * t_u, terms])


@impostor(
    "grad_fn",
    "gradient.chain-rule@float64 gradient.symbolic@float64 gradient.thermometer@float64 gradient.additive@float64"
    " gradient.optimum@float64",
    ugly="only numbers with many digits show it",
)
def in_float32(right: Any, t_u: Any, t_c: Any, t_p: Any, w: Any, b: Any) -> Any:
    """It is computed in float32, whatever the dtype of the arguments."""
    return right(*(narrow(x, "float32") for x in (t_u, t_c, t_p, w, b)))


@impostor("grad_fn", "gradient.pure")
def in_place(right: Any, t_u: Any, t_c: Any, t_p: Any, w: Any, b: Any) -> Any:
    """It writes the residuals over the predictions."""
    gradient = right(t_u, t_c, t_p, w, b)
    t_p -= t_c
    return gradient


@impostor("grad_fn", "gradient.dtype@float32", keeps_dtype=False)
def returned_in_float64(right: Any, t_u: Any, t_c: Any, t_p: Any, w: Any, b: Any) -> Any:
    """It is computed and returned in float64, whatever the dtype of the arguments."""
    return right(*(narrow(x, "float64") for x in (t_u, t_c, t_p, w, b)))


@impostor("grad_fn", "gradient.nan", exactly=False)
def nan_replaced(right: Any, t_u: Any, t_c: Any, t_p: Any, w: Any, b: Any) -> Any:
    """NaN becomes zero and infinity the largest number of the dtype."""
    return np.nan_to_num(right(t_u, t_c, t_p, w, b))


# The difference quotient


def _loss(right: Any, t_u: Any, t_c: Any, w: Any, b: Any) -> Any:
    return right.loss_fn(right.model(t_u, w, b), t_c)


@impostor("finite_difference", "gradient.central gradient.optimum gradient.thermometer", seen="apache/mxnet#3693")
def forward(right: Any, t_u: Any, t_c: Any, w: Any, b: Any, delta: Any) -> Any:
    """It is the forward difference, (loss(p + delta) - loss(p)) / delta."""
    here = _loss(right, t_u, t_c, w, b)
    return join(
        (_loss(right, t_u, t_c, w + delta, b) - here) / delta, (_loss(right, t_u, t_c, w, b + delta) - here) / delta
    )


@impostor("finite_difference", "gradient.central gradient.optimum gradient.thermometer")
def backward(right: Any, t_u: Any, t_c: Any, w: Any, b: Any, delta: Any) -> Any:
    """It is the backward difference, (loss(p) - loss(p - delta)) / delta."""
    return forward(right, t_u, t_c, w, b, -delta)


@impostor("finite_difference", "gradient.central gradient.thermometer", seen="drizopoulos/JMbayes2#9")
def over_delta(right: Any, t_u: Any, t_c: Any, w: Any, b: Any, delta: Any) -> Any:
    """The central difference is divided by delta, where 2 delta is due."""
    return right(t_u, t_c, w, b, delta) * 2


@impostor("finite_difference", "gradient.central gradient.thermometer")
def times_delta(right: Any, t_u: Any, t_c: Any, w: Any, b: Any, delta: Any) -> Any:
    """Parentheses are missing: it is divided by 2 and multiplied by delta."""
    return right(t_u, t_c, w, b, delta) * delta * delta


@impostor("finite_difference", "gradient.central gradient.thermometer")
def not_divided(right: Any, t_u: Any, t_c: Any, w: Any, b: Any, delta: Any) -> Any:
    """The difference is not divided by the step."""
    return right(t_u, t_c, w, b, delta) * (2 * delta)


@impostor("finite_difference", "gradient.central gradient.thermometer", name="sign-flipped")
def down_less_up(right: Any, t_u: Any, t_c: Any, w: Any, b: Any, delta: Any) -> Any:
    """The loss above is subtracted from the loss below."""
    return right(t_u, t_c, w, b, -delta) * -1


@impostor("finite_difference", "gradient.central gradient.optimum gradient.thermometer")
def not_restored(right: Any, t_u: Any, t_c: Any, w: Any, b: Any, delta: Any) -> Any:
    """The weight still stands where it was moved to when it is the bias's turn."""
    return join(right(t_u, t_c, w, b, delta)[0], right(t_u, t_c, w - delta, b, delta)[1])


@impostor("finite_difference", "gradient.central gradient.thermometer")
def both_moved(right: Any, t_u: Any, t_c: Any, w: Any, b: Any, delta: Any) -> Any:
    """Both parameters are moved at once: each component is the sum of the two derivatives."""
    up, down = (_loss(right, t_u, t_c, w + step, b + step) for step in (delta, -delta))
    return join((up - down) / (2 * delta), (up - down) / (2 * delta))


@impostor("finite_difference", "gradient.central gradient.thermometer", name="bias-first")
def bias_moved_first(right: Any, t_u: Any, t_c: Any, w: Any, b: Any, delta: Any) -> Any:
    """The derivative by the bias comes first, and then that by the weight."""
    return bias_first(right, t_u, t_c, w, b, delta)


@impostor("finite_difference", "gradient.central gradient.thermometer", name="not-averaged")
def of_the_sum(right: Any, t_u: Any, t_c: Any, w: Any, b: Any, delta: Any) -> Any:
    """It is the gradient of the sum of the squared residuals, not of their mean."""
    return right(t_u, t_c, w, b, delta) * t_u.size


@impostor(
    "finite_difference",
    "gradient.central gradient.thermometer gradient.optimum?",
    exactly=False,
    seen="PaddlePaddle/Paddle#4283 pytorch/pytorch#5351",
    ugly="only rounding shows it",
)
def step_too_small(right: Any, t_u: Any, t_c: Any, w: Any, b: Any, delta: Any) -> Any:
    """The step is 1e-8, whatever delta is: what is left of the difference is rounding."""
    return right(t_u, t_c, w, b, delta.dtype.type(1e-8))


@impostor("finite_difference", "gradient.central gradient.optimum gradient.thermometer")
def step_relative(right: Any, t_u: Any, t_c: Any, w: Any, b: Any, delta: Any) -> Any:
    """The step is delta times the parameter, which is nothing at zero."""
    return join(right(t_u, t_c, w, b, delta * abs(w))[0], right(t_u, t_c, w, b, delta * abs(b))[1])


@impostor(
    "finite_difference",
    "gradient.central@float64 gradient.thermometer@float64 gradient.optimum@float64?",
    name="in-float32",
    ugly="only numbers with many digits show it",
)
def differences_in_float32(right: Any, t_u: Any, t_c: Any, w: Any, b: Any, delta: Any) -> Any:
    """It is computed in float32, whatever the dtype of the arguments."""
    return in_float32(right, t_u, t_c, w, b, delta)


@impostor("finite_difference", "gradient.dtype@float32", keeps_dtype=False, name="returned-in-float64")
def differences_in_float64(right: Any, t_u: Any, t_c: Any, w: Any, b: Any, delta: Any) -> Any:
    """It is computed and returned in float64, whatever the dtype of the arguments."""
    return returned_in_float64(right, t_u, t_c, w, b, delta)


@impostor("finite_difference", "gradient.pure")
def moved_in_place(right: Any, t_u: Any, t_c: Any, w: Any, b: Any, delta: Any) -> Any:
    """The caller's weight and bias are moved, and not moved back."""
    gradient = right(t_u, t_c, w, b, delta)
    overwrite(w, w + delta)
    overwrite(b, b + delta)
    return gradient


@impostor("finite_difference", "gradient.nan", exactly=False, name="nan-replaced")
def differences_without_nan(right: Any, t_u: Any, t_c: Any, w: Any, b: Any, delta: Any) -> Any:
    """NaN becomes zero and infinity the largest number of the dtype."""
    return nan_replaced(right, t_u, t_c, w, b, delta)


# The loss and its gradient

GIVEN = "gradient.automatic gradient.of-the-reported-loss gradient.descent-lemma gradient.thermometer"


@impostor("value_and_grad", GIVEN, seen="davisking/dlib#1169 patrickloeber/MLfromscratch#18")
def gradient_of_half_the_loss(right: Any, params: Any, t_u: Any, t_c: Any) -> Any:
    """The gradient is that of half the loss, but the loss is not halved."""
    loss, gradient = right(params, t_u, t_c)
    return loss, gradient / 2


@impostor("value_and_grad", "gradient.of-the-reported-loss gradient.descent-lemma")
def half_the_loss(right: Any, params: Any, t_u: Any, t_c: Any) -> Any:
    """The loss is halved, but the gradient is not that of half the loss."""
    loss, gradient = right(params, t_u, t_c)
    return loss / 2, gradient


@impostor("value_and_grad", GIVEN, seen="42-AI/bootcamp_machine-learning#116 Open-Deep-ML/DML-OpenProblem#97")
def half(right: Any, params: Any, t_u: Any, t_c: Any) -> Any:
    """The loss has a factor 1/2 in front, and the gradient with it."""
    loss, gradient = right(params, t_u, t_c)
    return loss / 2, gradient / 2


@impostor("value_and_grad", f"{GIVEN} gradient.additive")
def sum_instead_of_mean(right: Any, params: Any, t_u: Any, t_c: Any) -> Any:
    """The squared residuals are summed, not averaged, and the gradient is that of the sum."""
    loss, gradient = right(params, t_u, t_c)
    return loss * t_u.size, gradient * t_u.size


@impostor(
    "value_and_grad",
    f"{GIVEN} gradient.additive",
    name="not-averaged",
    seen="pytorch/pytorch#28993 kakaobrain/trident#66",
)
def gradient_of_the_sum(right: Any, params: Any, t_u: Any, t_c: Any) -> Any:
    """The loss is the mean, but the gradient that of the sum: it is not divided by n."""
    loss, gradient = right(params, t_u, t_c)
    return loss, gradient * t_u.size


@impostor("value_and_grad", GIVEN, name="sign-flipped")
def gradient_downhill(right: Any, params: Any, t_u: Any, t_c: Any) -> Any:
    """The gradient points downhill: its sign is flipped."""
    loss, gradient = right(params, t_u, t_c)
    return loss, -gradient


@impostor("value_and_grad", GIVEN, seen="paiml/aprender#3034")
def cut_from_the_graph(right: Any, params: Any, t_u: Any, t_c: Any) -> Any:
    """The loss is cut off from the parameters, so that the gradient is zero."""
    loss, gradient = right(params, t_u, t_c)
    return loss, gradient * 0


@impostor("value_and_grad", GIVEN)
def bias_cut_off(right: Any, params: Any, t_u: Any, t_c: Any) -> Any:
    """The bias is cut off from the loss, so that its gradient is zero."""
    loss, (by_w, by_b) = right(params, t_u, t_c)
    return loss, join(by_w, by_b * 0)


@impostor("value_and_grad", "gradient.of-the-reported-loss gradient.descent-lemma")
def penalized_without_gradient(right: Any, params: Any, t_u: Any, t_c: Any) -> Any:
    """The square of the weight is added to the loss, and not to the gradient."""
    loss, gradient = right(params, t_u, t_c)
    return loss + params[0] ** 2, gradient


@impostor("value_and_grad", f"{GIVEN} gradient.optimum gradient.additive?")
def penalized(right: Any, params: Any, t_u: Any, t_c: Any) -> Any:
    """The square of the weight is added to the loss, and the gradient is that of both."""
    loss, (by_w, by_b) = right(params, t_u, t_c)
    return loss + params[0] ** 2, join(by_w + 2 * params[0], by_b)


@impostor("value_and_grad", "gradient.of-the-reported-loss gradient.descent-lemma")
def last_loss_sample_dropped(right: Any, params: Any, t_u: Any, t_c: Any) -> Any:
    """The last sample is missing in the loss, and not in the gradient."""
    keep = max(t_u.size - 1, 1)
    return right(params, t_u[:keep], t_c[:keep])[0], right(params, t_u, t_c)[1]


@impostor(
    "value_and_grad",
    "gradient.automatic gradient.of-the-reported-loss gradient.descent-lemma gradient.additive gradient.optimum",
    repeats=False,
)
def accumulating(right: Any, params: Any, t_u: Any, t_c: Any) -> Any:
    """The gradient is added to those of the calls before, as to a `.grad` that nobody resets."""
    loss, gradient = right(params, t_u, t_c)
    total = gradient + right.memory.get(gradient.dtype, 0)
    right.memory[gradient.dtype] = total if np.isfinite(total).all() else 0
    return loss, total


@impostor(
    "value_and_grad", f"{GIVEN} gradient.additive gradient.nan", repeats=False, ugly="it depends on the call before"
)
def of_the_call_before(right: Any, params: Any, t_u: Any, t_c: Any) -> Any:
    """The gradient is that of the call before."""
    loss, gradient = right(params, t_u, t_c)
    last, right.memory["last"] = right.memory.get("last", gradient * 0), gradient
    return loss, last


@impostor("value_and_grad", "gradient.pure", name="in-place")
def readings_overwritten(right: Any, params: Any, t_u: Any, t_c: Any) -> Any:
    """It writes the predictions over the readings."""
    answer = right(params, t_u, t_c)
    overwrite(t_u, right.model(t_u, *params))
    return answer


@impostor("value_and_grad", "gradient.dtype@float32", keeps_dtype=False, name="returned-in-float64")
def both_in_float64(right: Any, params: Any, t_u: Any, t_c: Any) -> Any:
    """It is computed and returned in float64, whatever the dtype of the arguments."""
    return right(*(narrow(x, "float64") for x in (params, t_u, t_c)))


@impostor(
    "value_and_grad",
    "gradient.automatic@float64 gradient.of-the-reported-loss@float64 gradient.thermometer@float64"
    " gradient.additive@float64 gradient.optimum@float64 gradient.descent-lemma@float64?",
    name="in-float32",
    ugly="only numbers with many digits show it",
)
def both_in_float32(right: Any, params: Any, t_u: Any, t_c: Any) -> Any:
    """It is computed in float32, whatever the dtype of the arguments."""
    return right(*(narrow(x, "float32") for x in (params, t_u, t_c)))


@impostor("value_and_grad", "gradient.nan", exactly=False, name="nan-replaced")
def gradient_without_nan(right: Any, params: Any, t_u: Any, t_c: Any) -> Any:
    """NaN becomes zero in the gradient, and infinity the largest number of the dtype."""
    loss, gradient = right(params, t_u, t_c)
    return loss, np.nan_to_num(gradient)


_FITS = (
    # Small whole numbers, samples as many as a power of two, no parameter zero: nothing rounds.
    (np.array([1.0, -2.0, 4.0, 3.0]), np.array([0.0, 2.0, -2.0, 1.0]), np.array(2.0), np.array(-1.0)),
    (np.array([2.0]), np.array([6.0]), np.array(1.0), np.array(1.0)),
    # Gradients of some hundreds.
    (np.array([32.0, 16.0]), np.array([8.0, -4.0]), np.array(1.0), np.array(2.0)),
    # Five samples, numbers with many digits.
    (
        np.array([0.1, 2.3, -1.7, 4.9, 0.3]),
        np.array([0.7, -1.1, 3.3, 0.2, 0.9]),
        np.array(0.7),
        np.array(-1.3),
    ),
    # What is no number.
    (np.array([1.0, np.nan]), np.array([1.0, 3.0]), np.array(1.0), np.array(0.0)),
    (np.array([1.0, 2.0]), np.array([math.inf, 3.0]), np.array(1.0), np.array(0.0)),
)
QUESTIONS = {
    "dmodel_dw": tuple((t_u, w, b) for t_u, _, w, b in _FITS),
    "dmodel_db": tuple((t_u, w, b) for t_u, _, w, b in _FITS),
    "grad_fn": tuple((t_u, t_c, w * t_u + b, w, b) for t_u, t_c, w, b in _FITS),
    "finite_difference": (
        *((*fit, np.array(0.25)) for fit in _FITS),
        (np.array([1.0, 3.0]), np.array([4.0, 2.0]), np.array(0.0), np.array(0.0), np.array(0.5)),
    ),
    "value_and_grad": tuple((np.array([w, b]), t_u, t_c) for t_u, t_c, w, b in _FITS),
}
