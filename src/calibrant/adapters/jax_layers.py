"""The losses, activations and layers of JAX and Optax, by the names of the formulas that ship; jax.vjp gives their gradients.

Where neither has a function, one line of jax.numpy is written as their users write it. The triplet loss is absent: Optax's puts epsilon elsewhere. Without Optax its
losses are absent. `calibrant check calibrant.adapters.jax_layers --formulas` holds them against the formulas.
"""

from __future__ import annotations

import functools
from importlib.util import find_spec
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
from jax import Array
from jax.scipy.special import logsumexp

if TYPE_CHECKING or find_spec("optax"):
    import optax

jax.config.update("jax_enable_x64", True)

name = "jax"
version = jax.__version__
autodiff = "jax"

_NARROW = "dot_product_attention takes the softmax in float32, whatever the dtype of its arguments"
_IN_16 = "JAX rounds the steps in between to 16 bits, where PyTorch computes in float32; in float16 squares and cubes overflow, too"
_LOG1P = "XLA's log1p in float64 errs by up to 128 units in the last place, around -0.4"
_OF_LOG1P = ("binary-cross-entropy", "binary-cross-entropy-with-logits", "log-sigmoid", "softplus", "mish")
deviations = {
    **{f"layers.{name}{part}[float64]": _LOG1P for name in _OF_LOG1P for part in ("", ".gradient")},
    **dict.fromkeys(
        ("layers.huber.gradient", "layers.smooth-l1.gradient"),
        "optax.huber_loss differentiates delta (|r| - q) + q² / 2: for a small residual that is delta - delta + q, which cancels",
    ),
    "layers.binary-cross-entropy-with-logits.gradient": "optax's gradient for a label, log σ(-x) - log σ(x), cancels for a small x",
    **dict.fromkeys(
        [f"layers.cross-entropy{of}" for of in ("", "-sum", "-each", "-weighted", "-ignoring")],
        "optax subtracts a logit from log Σ exp(x): where logits are large, that cancels (pytorch/pytorch#11752 mended the same)",
    ),
    **{
        f"layers.{name}[{dtype}]": _IN_16
        for name in ("gelu-tanh", "gelu-tanh.gradient", "elu.gradient")
        for dtype in ("float16", "bfloat16")
    },
    "layers.rms-norm.gradient[bfloat16]": "two terms that nearly cancel are rounded to 16 bits before they are added",
    "layers.layer-norm[bfloat16]": "jax.nn.standardize rounds the mean to 16 bits before it is subtracted",
    **{
        f"layers.{name}[float16]": _IN_16
        for name in (
            "silu",
            "silu.gradient",
            "mish.gradient",
            *(f"{norm}-norm{part}" for norm in ("layer", "rms") for part in ("", ".gradient")),
        )
    },
    **{
        f"layers.{kind}attention{part}[float64]": _NARROW
        for kind in ("", "causal-", "masked-")
        for part in ("", ".gradient")
    },
}

sigmoid = jax.nn.sigmoid
log_sigmoid = jax.nn.log_sigmoid
tanh = jnp.tanh
relu = jax.nn.relu
leaky_relu = jax.nn.leaky_relu
elu = jax.nn.elu
silu = jax.nn.silu
mish = jax.nn.mish
hard_swish = jax.nn.hard_swish
soft_sign = jax.nn.soft_sign
gated_linear = jax.nn.glu
softmax = jax.nn.softmax
log_softmax = jax.nn.log_softmax
matrix_product = jnp.matmul
log_sum_exp = functools.partial(logsumexp, axis=-1)
gelu = functools.partial(jax.nn.gelu, approximate=False)
gelu_tanh = functools.partial(jax.nn.gelu, approximate=True)
embedding = functools.partial(jnp.take, axis=0)


def convolution_1d(x: Array, w: Array, b: Array, stride: int, padding: int) -> Array:
    """jax.lax.conv_general_dilated, and the bias."""
    return jax.lax.conv_general_dilated(x, w, (stride,), [(padding, padding)]) + b[:, None]


def convolution_2d(x: Array, w: Array, b: Array, stride: int, padding: int) -> Array:
    """jax.lax.conv_general_dilated, and the bias."""
    made = jax.lax.conv_general_dilated(x, w, (stride, stride), [(padding, padding)] * 2)
    return made + b[:, None, None]


def max_pool_2d(x: Array, size: int, stride: int) -> Array:
    """jax.lax.reduce_window with the maximum."""
    return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 1, size, size), (1, 1, stride, stride), "VALID")


def average_pool_2d(x: Array, size: int, stride: int) -> Array:
    """jax.lax.reduce_window with a sum, over the number of its elements."""
    window, steps = (1, 1, size, size), (1, 1, stride, stride)
    return jax.lax.reduce_window(x, 0.0, jax.lax.add, window, steps, "VALID") / size**2


def _standardized(x: Array, axis: int, eps: float) -> Array:
    """jax.nn.standardize with jax.numpy.var: the variance that it finds itself, in one pass, cancels where the mean is large."""
    return jax.nn.standardize(x, axis=axis, variance=jnp.var(x, axis=axis, keepdims=True), epsilon=eps)


def layer_norm(x: Array, w: Array, b: Array, eps: float) -> Array:
    """jax.nn.standardize over the last axis, scaled and shifted."""
    return _standardized(x, -1, eps) * w + b


def rms_norm(x: Array, w: Array, eps: float) -> Array:
    """The root of the mean square, with jax.lax.rsqrt."""
    return x * jax.lax.rsqrt(jnp.mean(jnp.square(x), axis=-1, keepdims=True) + eps) * w


def batch_norm(x: Array, w: Array, b: Array, eps: float) -> Array:
    """jax.nn.standardize over the batch, scaled and shifted."""
    return _standardized(x, 0, eps) * w + b


def batch_norm_inference(x: Array, mean: Array, variance: Array, w: Array, b: Array, eps: float) -> Array:
    """jax.nn.standardize with a given mean and variance, scaled and shifted."""
    return jax.nn.standardize(x, axis=0, mean=mean, variance=variance, epsilon=eps) * w + b


def group_norm(x: Array, w: Array, b: Array, groups: int, eps: float) -> Array:
    """jax.nn.standardize over each group of channels, scaled and shifted."""
    rows = x.reshape(x.shape[0], groups, -1)
    return _standardized(rows, -1, eps).reshape(x.shape) * w[:, None] + b[:, None]


def linear(x: Array, w: Array, b: Array) -> Array:
    """jax.numpy.matmul, and the bias."""
    return jnp.matmul(x, w.T) + b


def rotary_embedding(x: Array, cosine: Array, sine: Array) -> Array:
    """The rotation by halves, as the models write it."""
    a, b = jnp.split(x, 2, axis=-1)
    turned = jnp.concatenate([-b, a], axis=-1)
    return x * jnp.concatenate([cosine, cosine], -1) + turned * jnp.concatenate([sine, sine], -1)


def dropout(x: Array, mask: Array, p: float) -> Array:
    """Dropout with a given mask."""
    return jnp.where(mask, x / (1 - p), 0)


def softplus(x: Array, threshold: float) -> Array:
    """jax.nn.softplus up to a threshold, which it does not have."""
    return jnp.where(x > threshold, x, jax.nn.softplus(x))


def mean_absolute_error(x: Array, y: Array) -> Array:
    """jax.numpy.abs, averaged."""
    return jnp.mean(jnp.abs(x - y))


def binary_cross_entropy(p: Array, y: Array) -> Array:
    """jax.numpy.log and log1p, averaged."""
    return -jnp.mean(y * jnp.log(p) + (1 - y) * jnp.log1p(-p))


def negative_log_likelihood(lp: Array, labels: Array) -> Array:
    """jax.numpy.take_along_axis, averaged."""
    return -jnp.mean(jnp.take_along_axis(lp, labels[:, None], axis=-1))


def margin_ranking(x: Array, z: Array, y: Array, margin: float) -> Array:
    """jax.nn.relu of the margin, averaged."""
    return jnp.mean(jax.nn.relu(margin - y * (x - z)))


def poisson_negative_log_likelihood(x: Array, y: Array) -> Array:
    """jax.numpy.exp, averaged."""
    return jnp.mean(jnp.exp(x) - y * x)


def gaussian_negative_log_likelihood(x: Array, y: Array, variance: Array) -> Array:
    """jax.numpy.log, averaged."""
    return 0.5 * jnp.mean(jnp.log(variance) + jnp.square(x - y) / variance)


if find_spec("optax"):

    def mean_squared_error(x: Array, y: Array) -> Array:
        """optax.squared_error, averaged."""
        return jnp.mean(optax.squared_error(x, y))

    def huber(x: Array, y: Array, delta: float) -> Array:
        """optax.huber_loss, averaged."""
        return jnp.mean(optax.huber_loss(x, y, delta=delta))

    def smooth_l1(x: Array, y: Array, beta: float) -> Array:
        """optax.huber_loss over beta, averaged."""
        return jnp.mean(optax.huber_loss(x, y, delta=beta) / beta)

    def binary_cross_entropy_with_logits(x: Array, y: Array) -> Array:
        """optax.sigmoid_binary_cross_entropy, averaged."""
        return jnp.mean(optax.sigmoid_binary_cross_entropy(x, y))

    def cross_entropy_each(x: Array, labels: Array) -> Array:
        """optax.softmax_cross_entropy_with_integer_labels."""
        return optax.softmax_cross_entropy_with_integer_labels(x, labels)

    def cross_entropy(x: Array, labels: Array) -> Array:
        """The mean of cross_entropy_each."""
        return jnp.mean(cross_entropy_each(x, labels))

    def cross_entropy_sum(x: Array, labels: Array) -> Array:
        """The sum of cross_entropy_each."""
        return jnp.sum(cross_entropy_each(x, labels))

    def cross_entropy_weighted(x: Array, labels: Array, weights: Array) -> Array:
        """jax.numpy.average of cross_entropy_each."""
        return jnp.average(cross_entropy_each(x, labels), weights=weights[labels])

    def cross_entropy_ignoring(x: Array, labels: Array, ignore_index: int) -> Array:
        """jax.numpy.mean of cross_entropy_each where a label counts."""
        kept = labels != ignore_index
        return jnp.mean(cross_entropy_each(x, jnp.where(kept, labels, 0)), where=kept)

    def cross_entropy_smoothed(x: Array, labels: Array, smoothing: float) -> Array:
        """optax.softmax_cross_entropy of optax.smooth_labels, averaged."""
        smooth = optax.smooth_labels(jax.nn.one_hot(labels, x.shape[-1], dtype=x.dtype), smoothing)
        return jnp.mean(optax.softmax_cross_entropy(x, smooth))

    def kl_divergence(lp: Array, q: Array) -> Array:
        """optax.kl_divergence, averaged over rows."""
        return jnp.mean(optax.kl_divergence(lp, q))

    def hinge(x: Array, y: Array) -> Array:
        """optax.hinge_loss, averaged."""
        return jnp.mean(optax.hinge_loss(x, y))

    def cosine_similarity(x: Array, y: Array, eps: float) -> Array:
        """optax.cosine_similarity, whose epsilon is that of the squared length."""
        return optax.cosine_similarity(x, y, epsilon=eps * eps)

    def l2_normalize(x: Array, eps: float) -> Array:
        """optax.safe_norm over the last axis, at least eps; jax.numpy.linalg.norm has the gradient NaN at a row of zeros."""
        return x / optax.safe_norm(x, eps, axis=-1, keepdims=True)


def attention(q: Array, k: Array, v: Array, mask: Array | None = None, *, causal: bool = False) -> Array:
    """jax.nn.dot_product_attention of one head."""
    if v.shape[-1] != q.shape[-1]:
        raise NotImplementedError("dot_product_attention takes values of the size of the keys")
    heads = (x[:, :, None, :] for x in (q, k, v))
    mask = None if mask is None else mask[None, None]
    return jax.nn.dot_product_attention(*heads, mask=mask, is_causal=causal)[:, :, 0, :]


masked_attention = attention
causal_attention = functools.partial(attention, causal=True)
