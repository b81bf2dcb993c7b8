"""JAX's own losses, activations and layers, by the names of the formulas that ship; jax.vjp gives their gradients. Nothing here computes.

What JAX has no function for is absent. `calibrant check calibrant.adapters.jax_layers --formulas` holds them against the formulas.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array
from jax.scipy.special import logsumexp

jax.config.update("jax_enable_x64", True)

name = "jax"
version = jax.__version__
autodiff = "jax"

_NARROW = "dot_product_attention takes the softmax in float32, whatever the dtype of its arguments"
deviations = {
    "layers.elu.gradient": "the derivative of expm1 is expm1 plus 1, which cancels for negative numbers",
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


def log_sum_exp(x: Array) -> Array:
    """jax.scipy.special.logsumexp over the last axis."""
    return logsumexp(x, axis=-1)


def gelu(x: Array) -> Array:
    """jax.nn.gelu, not approximated."""
    return jax.nn.gelu(x, approximate=False)


def gelu_tanh(x: Array) -> Array:
    """jax.nn.gelu, approximated."""
    return jax.nn.gelu(x, approximate=True)


def embedding(w: Array, index: Array) -> Array:
    """jax.numpy.take of rows."""
    return jnp.take(w, index, axis=0)


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


def layer_norm(x: Array, w: Array, b: Array, eps: float) -> Array:
    """jax.nn.standardize over the last axis, scaled and shifted."""
    return jax.nn.standardize(x, axis=-1, epsilon=eps) * w + b


def batch_norm(x: Array, w: Array, b: Array, eps: float) -> Array:
    """jax.nn.standardize over the batch, scaled and shifted."""
    return jax.nn.standardize(x, axis=0, epsilon=eps) * w + b


def attention(q: Array, k: Array, v: Array) -> Array:
    """jax.nn.dot_product_attention of one head."""
    return _attended(q, k, v, causal=False, mask=None)


def causal_attention(q: Array, k: Array, v: Array) -> Array:
    """jax.nn.dot_product_attention of one head, causal."""
    return _attended(q, k, v, causal=True, mask=None)


def masked_attention(q: Array, k: Array, v: Array, mask: Array) -> Array:
    """jax.nn.dot_product_attention of one head with a mask."""
    return _attended(q, k, v, causal=False, mask=mask[None, None])


def _attended(q: Array, k: Array, v: Array, *, causal: bool, mask: Array | None) -> Array:
    if v.shape[-1] != q.shape[-1]:
        raise NotImplementedError("dot_product_attention takes values of the size of the keys")
    heads = (x[:, :, None, :] for x in (q, k, v))
    return jax.nn.dot_product_attention(*heads, mask=mask, is_causal=causal)[:, :, 0, :]
