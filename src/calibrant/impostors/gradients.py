"""Impostors of the gradient: by differences, by hand and by automatic differentiation."""

import math
from typing import Any

import numpy as np

from calibrant.impostors import kinds
from calibrant.impostors.correct import join, overwrite
from calibrant.impostors.kinds import Call, answer, factor, impostors_of, n, overwritten, part
from calibrant.protocol.operations import OPERATIONS

VALUE = "gradient.chain-rule gradient.symbolic gradient.thermometer"
SIZES = f"{VALUE} gradient.additive"
ALL = f"{SIZES} gradient.optimum"
CENTRAL = "gradient.central gradient.thermometer"
STEP = f"{CENTRAL} gradient.optimum"
REPORTED = "gradient.of-the-reported-loss gradient.descent-lemma"
GIVEN = f"gradient.automatic gradient.thermometer {REPORTED}"
LOSS = "gradient.value"
CONSISTENT = f"gradient.automatic gradient.thermometer gradient.descent-lemma {LOSS}"
BY_W, BY_B = "gradient.by-hand-w", "gradient.by-hand-b"
PURE, WIDE = "gradient.pure", "gradient.dtype"

# The derivatives of the model

by_w = impostors_of("dmodel_dw")
by_w("the-weight", "it returns the weight itself")(lambda c: c.w * 1, BY_W)
by_w("squared", "it returns the squares of the readings")(answer(lambda t_u: t_u**2), BY_W)
by_w("not-differentiated", "it returns w t_u instead of t_u, as if w were still there")(factor(lambda c: c.w), BY_W)
by_w("mean-reading", "it returns the mean of the readings, not all of them")(answer(lambda t_u: t_u.mean()), BY_W)
by_w("one", "it returns ones, which are the derivative by the bias")(kinds.other("dmodel_db"), BY_W)
by_w("divided-by-n", "the readings are divided by n, as the derivative of the loss is already")(
    lambda c: c() / c.n, BY_W
)
by_w.in_dtype("float64", WIDE)
by_w("in-place", "it writes the predictions over the readings")(overwritten("t_u", lambda c, _: c.ask("model")), PURE)

by_b = impostors_of("dmodel_db")
by_b("the-bias", "it returns the bias itself")(lambda c: c.b * 1, BY_B)
by_b("zero", "the bias counts as a constant, so that its derivative is zero")(factor(0), BY_B)
by_b("the-readings", "it returns the readings, which are the derivative by the weight")(kinds.other("dmodel_dw"), BY_B)
by_b("divided-by-n", "it returns 1/n, although the loss's derivative is divided by n already")(
    lambda c: c() / c.n, BY_B
)
by_b("in-place", "it writes ones over the readings")(overwritten("t_u", lambda c, right: right), PURE)

# The gradient by hand

hand = impostors_of("grad_fn")
hand("factor-2-missing", "the factor 2 of the square's derivative is missing")(
    lambda c: c() / 2, VALUE, "patrickloeber/MLfromscratch#18"
)
hand("sign-flipped", "the residual is taken as t_c - t_p, so that the sign is flipped")(kinds.factor(-1), VALUE)
hand("not-averaged", "it is the gradient of the sum: it is not divided by n")(
    factor(n), SIZES, "pytorch/pytorch#28993 kakaobrain/trident#66"
)
hand("over-n-minus-1", "the sum is divided by n - 1, as for the estimate of a variance")(kinds.over_n_minus_1, SIZES)
hand("averaged-twice", "the terms are divided by n already, and are then averaged instead of summed")(
    lambda c: c() / c.n, SIZES
)
hand("bias-not-averaged", "the derivative by the bias is not divided by n")(
    part(1, lambda by_b, c: by_b * c.n), SIZES, "purushottamkar/ml19-20a#5"
)
hand("weight-not-averaged", "the derivative by the weight is not divided by n")(
    part(0, lambda by_w, c: by_w * c.n), SIZES, "purushottamkar/ml19-20a#5"
)
hand("bias-averaged-twice", "the terms of the bias are divided by n already, and are then averaged instead of summed")(
    part(1, lambda by_b, c: by_b / c.n), SIZES, "kvfrans/notes#5"
)
hand("bias-halved", "the factor 2 is missing in the derivative by the bias", beside=("finite_difference",))(
    part(1, lambda by_b, c: by_b / 2), f"{VALUE} gradient.agree"
)
hand("bias-zero", "the derivative by the bias is zero, as of a constant")(part(1, lambda by_b, c: by_b * 0), VALUE)
hand("bias-as-the-weight", "both components are the derivative by the weight")(
    part(1, lambda by_b, c: c()[0]), f"{VALUE} gradient.additive?"
)
hand("bias-first", "the derivative by the bias comes first, then the derivative by the weight")(
    answer(lambda gradient: gradient[::-1]), f"{VALUE} gradient.additive?"
)
hand("readings-centred", "the residuals are multiplied by centred readings, but the model is not centred")(
    lambda c: c(t_u=c.t_u - c.t_u.mean()), SIZES
)
hand("bias-not-predicted", "the residuals are computed without the bias")(
    lambda c: c(t_p=c.t_p - c.b), "gradient.chain-rule gradient.symbolic gradient.optimum gradient.additive"
)
hand("weight-penalized", "the gradient of a penalty on the weight, w / 32, is added")(
    part(0, lambda by_w, c: by_w + c.w / 32), f"{VALUE} gradient.additive? gradient.optimum"
)
hand("last-sample-dropped", "the last sample is left out")(
    kinds.checked(kinds.shortened("t_u", "t_c", "t_p")), f"{ALL} gradient.nan?"
)
hand("clipped", "each component is cut to at most 100", exactly=False)(
    answer(lambda gradient: np.clip(gradient, -100, 100)), f"{SIZES} gradient.nan"
)
hand("of-the-root", "it is the gradient of the root mean square error", exactly=False)(
    lambda c: c() / (2 * np.sqrt(c.ask("loss_fn"))), ALL
)
hand("of-the-absolute-loss", "it is the gradient of the mean absolute error", exactly=False)(
    kinds.checked(lambda c: c(t_p=c.t_c + np.sign(c.t_p - c.t_c)) / 2), f"{VALUE} gradient.nan gradient.additive?"
)
hand("of-length-one", "the gradient is divided by its length, so that only its direction is left", exactly=False)(
    answer(lambda gradient: gradient / np.hypot(*gradient)), ALL
)
hand("not-summed", "the terms of the samples are not summed: the gradient has a column for each sample", exactly=False)(
    lambda c: np.stack([(terms := c.ask("dloss_fn")) * c.t_u, terms]), f"{ALL} gradient.nan"
)
hand.in_dtype("float32", ALL)
hand("in-place", "it writes the residuals over the predictions")(kinds.residuals_written, PURE)
hand.in_dtype("float64", WIDE)
hand.nan_replaced("gradient.nan")

# The difference quotient


def _forward(c: Call) -> Any:
    def loss(**moved: Any) -> Any:
        return c.ask("loss_fn", t_p=c.ask("model", **moved))

    return join((loss(w=c.w + c.delta) - loss()) / c.delta, (loss(b=c.b + c.delta) - loss()) / c.delta)


difference = impostors_of("finite_difference")
difference("forward", "it is the forward difference, (loss(p + delta) - loss(p)) / delta")(
    _forward, STEP, "apache/mxnet#3693"
)
difference("backward", "it is the backward difference, (loss(p) - loss(p - delta)) / delta")(
    lambda c: _forward(c.but(delta=-c.delta)), STEP
)
difference("over-delta", "the central difference is divided by delta instead of 2 delta")(
    factor(2), CENTRAL, "drizopoulos/JMbayes2#9"
)
difference("not-divided", "the difference is not divided by the step")(factor(lambda c: 2 * c.delta), CENTRAL)
difference("sign-flipped", "the loss at p + delta is subtracted from the loss at p - delta")(
    lambda c: c(delta=-c.delta) * -1, CENTRAL
)
difference("bias-first", "the derivative by the bias comes first, then the derivative by the weight")(
    answer(lambda gradient: gradient[::-1]), CENTRAL
)
difference("not-averaged", "it is the gradient of the sum of the squares, not of their mean")(factor(n), CENTRAL)
difference(
    "step-too-small",
    "the step is 1e-8 whatever delta is, so that the difference is mostly rounding error",
    exactly=False,
)(
    lambda c: c(delta=c.delta.dtype.type(1e-8)),
    f"{CENTRAL} gradient.optimum?",
    "PaddlePaddle/Paddle#4283 pytorch/pytorch#5351",
)
difference("step-relative", "the step is delta times the parameter, so that it is zero at a parameter of zero")(
    lambda c: join(c(delta=c.delta * abs(c.w))[0], c(delta=c.delta * abs(c.b))[1]), STEP
)
difference.in_dtype("float32", f"{CENTRAL} gradient.optimum?")
difference.in_dtype("float64", WIDE)
difference("moved-in-place", "it moves the caller's weight and bias in place, and does not move them back")(
    kinds.afterwards(lambda c, right: [*map(overwrite, (c.w, c.b), (c.w + c.delta, c.b + c.delta))]), PURE
)
difference.nan_replaced("gradient.nan")

of_any = impostors_of("difference_gradient")
of_any("returned-in-float64", "it is returned in float64, whatever the dtype of the arguments", keeps_dtype=False)(
    answer(lambda gradient: gradient.astype(np.float64)), f"{WIDE}@float32"
)
of_any("moved-in-place", "it moves the caller's parameters in place, and does not move them back")(
    overwritten("params", lambda c, right: c.params + c.delta), PURE
)

# The loss and its gradient

both = impostors_of("value_and_grad")
both("gradient-of-half-the-loss", "the gradient belongs to half the loss, but the loss is not halved")(
    part(1, lambda gradient, c: gradient / 2), GIVEN, "davisking/dlib#1169 patrickloeber/MLfromscratch#18"
)
both("half-the-loss", "the loss is halved, but its gradient is not")(
    part(0, lambda loss, c: loss / 2), f"{REPORTED} {LOSS}"
)
both("half", "the loss has a factor 1/2 in front, and the gradient with it")(
    lambda c: tuple(x / 2 for x in c()),
    CONSISTENT,
    "42-AI/bootcamp_machine-learning#116 Open-Deep-ML/DML-OpenProblem#97",
)
both("sum-instead-of-mean", "the squared residuals are summed, not averaged, and the gradient belongs to the sum")(
    lambda c: tuple(x * c.n for x in c()), f"{CONSISTENT} gradient.additive"
)
both("not-averaged", "the loss is the mean, but the gradient is not divided by n")(
    part(1, lambda gradient, c: gradient * c.n),
    f"{GIVEN} gradient.additive",
    "pytorch/pytorch#28993 kakaobrain/trident#66",
)
both("sign-flipped", "the gradient points downhill: its sign is flipped")(part(1, lambda gradient, c: -gradient), GIVEN)
both("cut-from-the-graph", "the loss is cut off from the graph of the parameters, so that the gradient is zero")(
    part(1, lambda gradient, c: gradient * 0), GIVEN, "paiml/aprender#3034"
)
both("penalized-without-gradient", "the square of the weight is added to the loss, but not to its gradient")(
    part(0, lambda loss, c: loss + c.params[0] ** 2), f"{REPORTED} {LOSS}"
)
both("penalized", "the square of the weight is added to the loss, and its derivative to the gradient")(
    lambda c: (c()[0] + c.params[0] ** 2, join(c()[1][0] + 2 * c.params[0], c()[1][1])),
    f"{CONSISTENT} gradient.optimum gradient.additive?",
)
both(
    "accumulating", "the gradient is added to the gradients of earlier calls, as if nobody reset `.grad`", repeats=False
)(part(1, kinds.piled_up), f"gradient.automatic {REPORTED} gradient.additive gradient.optimum?")
both("in-place", "it writes the predictions over the readings")(
    overwritten("t_u", lambda c, right: c.correct.model(c.t_u, *c.params)), PURE
)
both.in_dtype("float64", WIDE)
both.in_dtype("float32", f"{GIVEN.replace('loss ', 'loss? ')}? {LOSS} gradient.additive gradient.optimum")
both("nan-replaced", "NaN becomes zero in the gradient, and infinity the largest number of the dtype", exactly=False)(
    part(1, lambda gradient, c: np.nan_to_num(gradient)), "gradient.nan"
)

for operation in ("grad_fn", "finite_difference", "value_and_grad"):
    impostors_of(operation, chapters=("loss",))(
        "broadcasting", "(n,) against (n, 1) is broadcast to n² pairs, and it is the gradient of their mean"
    )(
        kinds.stretched(*(name for name in ("t_u", "t_c", "t_p") if name in OPERATIONS[operation].parameters)),
        "loss.same-shape",
    )

_FITS = (
    # Small whole numbers, samples as many as a power of two, no parameter zero: nothing rounds.
    (np.array([1.0, -2.0, 4.0, 3.0]), np.array([0.0, 2.0, -2.0, 1.0]), np.array(2.0), np.array(-1.0)),
    (np.array([2.0]), np.array([6.0]), np.array(1.0), np.array(1.0)),
    # Gradients of some hundreds.
    (np.array([32.0, 16.0]), np.array([8.0, -4.0]), np.array(1.0), np.array(2.0)),
    # Five samples, numbers with many digits.
    (np.array([0.1, 2.3, -1.7, 4.9, 0.3]), np.array([0.7, -1.1, 3.3, 0.2, 0.9]), np.array(0.7), np.array(-1.3)),
    # Shapes.
    (np.array([1.0, 3.0]), np.array([[0.0], [4.0]]), np.array(1.0), np.array(0.0)),
    # What is no number.
    (np.array([1.0, np.nan]), np.array([1.0, 3.0]), np.array(1.0), np.array(0.0)),
    (np.array([1.0, 2.0]), np.array([math.inf, 3.0]), np.array(1.0), np.array(0.0)),
)
QUESTIONS = {
    **dict.fromkeys(("dmodel_dw", "dmodel_db"), tuple((t_u, w, b) for t_u, _, w, b in _FITS)),
    "grad_fn": tuple((t_u, t_c, w * t_u + b, w, b) for t_u, t_c, w, b in _FITS),
    "finite_difference": (
        *((*fit, np.array(0.25)) for fit in _FITS),
        (np.array([1.0, 3.0]), np.array([4.0, 2.0]), np.array(0.0), np.array(0.0), np.array(0.5)),
    ),
    "value_and_grad": tuple((np.array([w, b]), t_u, t_c) for t_u, t_c, w, b in _FITS),
}
