"""Impostors of the model."""

import numpy as np

from calibrant.impostors import kinds
from calibrant.impostors.kinds import impostors_of, overwritten

LINE = "model.linear model.identity"
EACH = f"{LINE} model.per-sample"

model = impostors_of("model")
model("bias-missing", "the bias is not added")(kinds.dropped("b"), "model.linear")
model("bias-subtracted", "the bias is subtracted")(lambda c: c(b=-c.b), "model.linear")
model("bias-added-first", "the bias is added to the readings before they are multiplied: w (t_u + b)")(
    lambda c: c(t_u=c.t_u + c.b, b=c.b * 0), "model.linear"
)
model("parameters-swapped", "the weight and the bias are exchanged")(kinds.swapped("w", "b"), LINE)
model("size-of-the-weight", "the weight is replaced by its absolute value")(lambda c: c(w=abs(c.w)), "model.linear")
model("normalized-over-the-batch", "the readings are centred")(lambda c: c(t_u=c.t_u - c.t_u.mean()), EACH)
model("sorted-first", "the readings are sorted first", exactly=False)(lambda c: c(t_u=np.sort(c.t_u)), EACH)
model("reversed", "the predictions come in the reverse order")(lambda c: c(t_u=c.t_u[::-1]), EACH)
model("negative-predictions-cut", "a rectifier at the output clamps negative predictions to zero", exactly=False)(
    kinds.answer(lambda t_p: np.maximum(t_p, 0)), LINE
)
model.in_dtype("float32", f"{EACH}?")
model.in_dtype("float16", f"{EACH}?")
model.in_dtype("float64", "model.dtype")
model("column", "it returns (n, 1) for (n,)")(kinds.answer(lambda t_p: t_p[:, None]), f"model.shape {EACH}")
model("squeezed", "the axis of a single sample is dropped: a column of one becomes a scalar")(
    lambda c: c()[0] if c.n == 1 else c(), "model.shape"
)
model("in-place", "it writes the predictions over the readings")(overwritten("t_u", lambda c, t_p: t_p), "model.pure")

QUESTIONS = {
    "model": (
        (np.array([1.0, -2.0, 6.0, 0.0]), np.array(2.0), np.array(-3.0)),
        (np.array([4.0, -1.0]), np.array(-0.5), np.array(1.0)),
        (np.array([3.0]), np.array(2.0), np.array(1.0)),
        # Numbers with many digits, alone and in a product.
        (np.array([0.1, 2.3, -1.7, 4.9, 0.3, 3.3, 0.9, 3.1]), np.array(1.0), np.array(0.0)),
        (np.array([0.1, 2.3, -1.7, 4.9, 0.3]), np.array(0.7), np.array(-1.3)),
    )
}
