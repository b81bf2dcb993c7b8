"""Correct implementations of the formulas that ship, arranged as people arrange them: none of them may be rejected."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from calibrant.benchmarks.faults import with_backward


@dataclass(frozen=True)
class Rearranged:
    """A correct version of a formula, and scales and offsets of inputs at which others reject it."""

    case: str
    what: str
    theirs: Callable[..., Any]
    scales: tuple[tuple[float, float], ...] = ((1.0, 0.0), (30.0, 100.0), (1e-3, 0.0))


def rearranged() -> list[Rearranged]:
    """All of them."""
    return [*_LOSSES, *_ACTIVATIONS, *_LINEAR, *_NORMS, *_ATTENTION]


def wide(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """In float64 inside."""

    def computed(*inputs: Any) -> Tensor:
        dtype = next(x.dtype for x in inputs if isinstance(x, Tensor) and x.is_floating_point())
        up = [x.double() if isinstance(x, Tensor) and x.is_floating_point() else x for x in inputs]
        return function(*up).to(dtype)

    return computed


def _normalizer(x: Tensor) -> Tensor:
    return torch.logsumexp(x, -1, keepdim=True)


def _online(x: Tensor) -> tuple[Tensor, Tensor]:
    """The maximum and the sum of exponentials less it, in one pass over the columns."""
    top, total = torch.full_like(x[..., :1], -math.inf), torch.zeros_like(x[..., :1])
    for i in range(x.shape[-1]):
        new = torch.maximum(top, x[..., i : i + 1])
        total = total * (top - new).exp() + (x[..., i : i + 1] - new).exp()
        top = new
    return top, total


def _online_softmax(x: Tensor) -> Tensor:
    top, total = _online(x)
    return (x - top).exp() / total


def _cross_entropy_backward(upstream: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, None]:
    """As fused kernels have it: exp(x - log Σ exp(x)), less 1 at the label, in place."""
    found = (x - _normalizer(x)).exp()
    found[torch.arange(len(y)), y] -= 1
    return found * (upstream / len(y)), None


def _online_backward(upstream: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, None]:
    top, total = _online(x)
    found = (x - top).exp() / total * (upstream / len(y))
    found[torch.arange(len(y)), y] -= upstream / len(y)
    return found, None


def _softmax_by_hand(upstream: Tensor, x: Tensor) -> Tensor:
    p = torch.softmax(x, -1)
    return p * upstream - p * (p * upstream).sum(-1, True)


_ROWS = torch.arange(5)
_ORDINARY = ((1.0, 0.0),)
_LOSSES = [
    Rearranged("softmax", "exp(x - log Σ exp(x))", lambda x: (x - _normalizer(x)).exp()),
    Rearranged("softmax", "exp of log_softmax", lambda x: torch.log_softmax(x, -1).exp()),
    Rearranged("softmax", "in one pass", _online_softmax),
    Rearranged(
        "softmax", "times the reciprocal", lambda x: (e := (x - x.amax(-1, True)).exp()) * (1 / e.sum(-1, True))
    ),
    Rearranged("softmax", "maximum detached", lambda x: (e := (x - x.detach().amax(-1, True)).exp()) / e.sum(-1, True)),
    Rearranged("softmax", "float64 inside", wide(lambda x: torch.softmax(x, -1))),
    Rearranged(
        "softmax",
        "base 2",
        lambda x: (
            torch.exp2((x - x.amax(-1, True)) * math.log2(math.e))
            / torch.exp2((x - x.amax(-1, True)) * math.log2(math.e)).sum(-1, True)
        ),
    ),
    Rearranged("softmax", "backward by hand", with_backward(lambda x: torch.softmax(x, -1), _softmax_by_hand)),
    Rearranged(
        "softmax",
        "backward from exp(x - log Σ exp(x))",
        with_backward(
            lambda x: torch.softmax(x, -1), lambda g, x: (p := (x - _normalizer(x)).exp()) * (g - (g * p).sum(-1, True))
        ),
    ),
    Rearranged(
        "log_softmax",
        "maximum, then the logarithm, subtracted",
        lambda x: (s := x - x.amax(-1, True)) - s.exp().sum(-1, True).log(),
    ),
    Rearranged(
        "log_softmax",
        "backward from exp(x - log Σ exp(x))",
        with_backward(
            lambda x: torch.log_softmax(x, -1), lambda g, x: g - (x - _normalizer(x)).exp() * g.sum(-1, True)
        ),
    ),
    Rearranged(
        "log_softmax",
        "backward from the result",
        with_backward(
            lambda x: torch.log_softmax(x, -1), lambda g, x: g - torch.log_softmax(x, -1).exp() * g.sum(-1, True)
        ),
    ),
    Rearranged(
        "log_sum_exp", "one logaddexp after the other", lambda x: functools.reduce(torch.logaddexp, x.unbind(-1))
    ),
    Rearranged(
        "log_sum_exp",
        "in one pass",
        with_backward(
            lambda x: (lambda t: (t[0] + t[1].log())[:, 0])(_online(x)), lambda g, x: g[:, None] * torch.softmax(x, -1)
        ),
    ),
    Rearranged(
        "cross_entropy", "backward as in fused kernels", with_backward(F.cross_entropy, _cross_entropy_backward)
    ),
    Rearranged("cross_entropy", "backward in one pass, scaled first", with_backward(F.cross_entropy, _online_backward)),
    Rearranged("cross_entropy", "float64 inside", wide(F.cross_entropy)),
    Rearranged(
        "cross_entropy", "one-hot product", lambda x, y: -(torch.log_softmax(x, -1) * F.one_hot(y, 7)).sum() / 5
    ),
    Rearranged("cross_entropy", "each divided by n", lambda x, y: (-torch.log_softmax(x, -1)[_ROWS, y] / 5).sum()),
    Rearranged(
        "cross_entropy",
        "rows in chunks",
        lambda x, y: (
            (F.cross_entropy(x[:2], y[:2], reduction="sum") + F.cross_entropy(x[2:], y[2:], reduction="sum")) / 5
        ),
    ),
    Rearranged(
        "cross_entropy",
        "differences to the label's logit",
        lambda x, y: torch.logsumexp(x - x[_ROWS, y][:, None], -1).mean(),
        _ORDINARY,
    ),
    Rearranged(
        "cross_entropy_smoothed",
        "one-hot mixed with uniform",
        lambda x, y, s: -(torch.log_softmax(x, -1) * (F.one_hot(y, 7).to(x) * (1 - s) + s / 7)).sum(-1).mean(),
    ),
    Rearranged(
        "cross_entropy_smoothed",
        "mean of log-probabilities",
        lambda x, y, s: (1 - s) * F.cross_entropy(x, y) - s * torch.log_softmax(x, -1).mean(),
    ),
    Rearranged(
        "cross_entropy_weighted",
        "weights normalized first",
        lambda x, y, w: (F.cross_entropy(x, y, reduction="none") * (w[y] / w[y].sum())).sum(),
    ),
    Rearranged("cross_entropy_ignoring", "kept rows selected", lambda x, y, i: F.cross_entropy(x[y != i], y[y != i])),
    Rearranged(
        "binary_cross_entropy",
        "one row's logarithm by label",
        lambda p, y: -(torch.lerp(torch.log1p(-p), torch.log(p), y)).mean(),
    ),
    Rearranged(
        "binary_cross_entropy_with_logits",
        "softplus(-x) + (1 - y) x",
        lambda x, y: (F.softplus(-x) + (1 - y) * x).mean(),
    ),
    Rearranged("binary_cross_entropy_with_logits", "softplus(x) - x y", lambda x, y: (F.softplus(x) - x * y).mean()),
    Rearranged(
        "binary_cross_entropy_with_logits",
        "two log-sigmoids",
        lambda x, y: -(y * F.logsigmoid(x) + (1 - y) * F.logsigmoid(-x)).mean(),
        _ORDINARY,
    ),
    Rearranged(
        "binary_cross_entropy_with_logits",
        "backward σ(x) - y",
        with_backward(
            F.binary_cross_entropy_with_logits, lambda g, x, y: (g * (x.sigmoid() - y) / len(x), -g * x / len(x))
        ),
    ),
    Rearranged("kl_divergence", "two sums", lambda lp, q: (torch.special.xlogy(q, q).sum() - (q * lp).sum()) / 5),
    Rearranged("kl_divergence", "means of rows", lambda lp, q: (q * (q.log() - lp)).sum(-1).mean()),
    Rearranged("mean_squared_error", "squares expanded by dot", lambda x, y: torch.dot(x - y, x - y) / 9),
    Rearranged("mean_squared_error", "norm squared", lambda x, y: torch.linalg.norm(x - y) ** 2 / 9),
    Rearranged(
        "huber",
        "min of the two parts",
        lambda x, y, d: (lambda r, q: (0.5 * q * q + d * (r - q)).mean())((x - y).abs(), (x - y).abs().clamp(max=d)),
        _ORDINARY,
    ),
    Rearranged("smooth_l1", "huber over beta", lambda x, y, b: F.huber_loss(x, y, delta=b) / b),
    Rearranged(
        "cosine_similarity",
        "one root of the product",
        lambda x, y, e: (x * y).sum(-1) / ((x * x).sum(-1) * (y * y).sum(-1)).sqrt(),
    ),
    Rearranged(
        "cosine_similarity",
        "normalized first",
        lambda x, y, e: (F.normalize(x, dim=-1, eps=e) * F.normalize(y, dim=-1, eps=e)).sum(-1),
    ),
    Rearranged(
        "triplet_margin",
        "torch.cdist of one",
        lambda a, p, n, m, e: F.relu(
            torch.linalg.norm(a - p + e, dim=-1) - torch.linalg.norm(a - n + e, dim=-1) + m
        ).mean(),
    ),
    Rearranged(
        "gaussian_negative_log_likelihood",
        "by the deviation",
        lambda x, y, v: (v.sqrt().log() + 0.5 * ((x - y) / v.sqrt()) ** 2).mean(),
    ),
]

_ACTIVATIONS = [
    Rearranged("sigmoid", "half of 1 + tanh(x / 2)", lambda x: 0.5 * (1 + torch.tanh(x / 2)), _ORDINARY),
    Rearranged("sigmoid", "exp of log σ", lambda x: F.logsigmoid(x).exp()),
    Rearranged(
        "sigmoid",
        "backward from the result",
        with_backward(torch.sigmoid, lambda g, x: g * x.sigmoid() * (1 - x.sigmoid())),
    ),
    Rearranged(
        "sigmoid", "backward σ(x) σ(-x)", with_backward(torch.sigmoid, lambda g, x: g * x.sigmoid() * (-x).sigmoid())
    ),
    Rearranged("softplus", "logaddexp", lambda x, t: torch.where(x > t, x, torch.logaddexp(x, torch.zeros_like(x)))),
    Rearranged("softplus", "-log σ(-x)", lambda x, t: torch.where(x > t, x, -F.logsigmoid(-x))),
    Rearranged("log_sigmoid", "-softplus(-x)", lambda x: -F.softplus(-x, threshold=1e9)),
    Rearranged(
        "silu",
        "backward σ (1 + x (1 - σ))",
        with_backward(F.silu, lambda g, x: g * (s := x.sigmoid()) * (1 + x * (1 - s))),
    ),
    Rearranged(
        "silu", "backward σ + y (1 - σ)", with_backward(F.silu, lambda g, x: g * ((s := x.sigmoid()) + x * s * (1 - s)))
    ),
    Rearranged("silu", "x over 1 + exp(-x)", lambda x: x / (1 + (-x).exp()), ((1.0, 0.0), (1e-3, 0.0))),
    Rearranged("gelu", "by erfc", lambda x: 0.5 * x * torch.erfc(-x / math.sqrt(2))),
    Rearranged("gelu", "by ndtr", lambda x: x * torch.special.ndtr(x)),
    Rearranged("gelu", "root of a half", lambda x: x * 0.5 * (1 + torch.erf(x * math.sqrt(0.5)))),
    Rearranged(
        "gelu_tanh", "factored", lambda x: 0.5 * x * (1 + torch.tanh(0.7978845608028654 * x * (1 + 0.044715 * x * x)))
    ),
    Rearranged(
        "gelu_tanh", "by the sigmoid", lambda x: x * torch.sigmoid(1.5957691216057308 * x * (1 + 0.044715 * x * x))
    ),
    Rearranged("elu", "as PyTorch's kernel", lambda x, a: torch.where(x > 0, x, a * torch.expm1(x.clamp(max=0)))),
    Rearranged("leaky_relu", "maximum of two", lambda x, s: torch.maximum(x, s * x)),
    Rearranged("leaky_relu", "slope 1 at 0", lambda x, s: torch.where(x >= 0, x, s * x), ((1.0, 0.0), (0.0, 0.0))),
    Rearranged(
        "mish", "by the exponential", lambda x: x * ((e := x.exp()) * e + 2 * e) / (e * e + 2 * e + 2), _ORDINARY
    ),
    Rearranged("hard_swish", "relu6 over 6 first", lambda x: x * (F.relu6(x + 3) / 6)),
    Rearranged("hard_swish", "times a sixth", lambda x: x * F.relu6(x + 3) * (1 / 6)),
    Rearranged("hard_swish", "x/6 + 1/2", lambda x: x * (x / 6 + 0.5).clamp(0, 1)),
    Rearranged("soft_sign", "backward by the square", with_backward(F.softsign, lambda g, x: g / (1 + x.abs()) ** 2)),
    Rearranged(
        "gated_linear",
        "backward by hand",
        with_backward(F.glu, lambda g, x: torch.cat([g * (s := x[:, 4:].sigmoid()), g * x[:, :4] * s * (1 - s)], -1)),
    ),
]


def _kahan_product(x: Tensor, y: Tensor) -> Tensor:
    total, lost = torch.zeros(()).to(x), torch.zeros(()).to(x)
    for i in range(x.shape[-1]):
        term = x[..., i, None] * y[..., i, :] - lost
        new = total + term
        lost = ((new - total) - term).detach()
        total = new
    return total


_LINEAR = [
    Rearranged("linear", "bias first", lambda x, w, b: torch.addmm(b, x, w.mT)),
    Rearranged("linear", "einsum", lambda x, w, b: torch.einsum("nd,md->nm", x, w) + b),
    Rearranged("linear", "outer products", lambda x, w, b: sum((x[:, i, None] * w[:, i] for i in range(7)), b)),
    Rearranged("matrix_product", "Kahan's sums", lambda x, y: _kahan_product(x, y)),
    Rearranged("matrix_product", "float64 inside", wide(torch.matmul)),
    Rearranged("matrix_product", "in blocks", lambda x, y: x[..., :2] @ y[:2] + x[..., 2:] @ y[2:]),
    Rearranged("embedding", "one-hot product", lambda w, i: F.one_hot(i, 6).to(w) @ w),
    Rearranged(
        "convolution_1d",
        "im2col",
        lambda x, w, b, s, p: (
            (F.unfold(F.pad(x, (p, p))[:, :, None], (1, w.shape[2]), stride=(1, s)).mT @ w.reshape(4, -1).mT + b).mT
        ),
    ),
    Rearranged(
        "convolution_2d",
        "im2col",
        lambda x, w, b, s, p: (w.reshape(3, -1) @ F.unfold(x, w.shape[2:], padding=p, stride=s) + b[:, None]).reshape(
            1, 3, (x.shape[2] + 2 * p - 3) // s + 1, -1
        ),
    ),
    Rearranged(
        "convolution_2d",
        "taps one by one",
        lambda x, w, b, s, p: (
            lambda q: sum(
                (
                    torch.einsum(
                        "nchw,oc->nohw", q[:, :, k : q.shape[2] - 2 + k, m : q.shape[3] - 1 + m], w[:, :, k, m]
                    )
                    for k in range(3)
                    for m in range(2)
                ),
                b[:, None, None],
            )
        )(F.pad(x, (p, p, p, p))),
    ),
    Rearranged(
        "average_pool_2d",
        "times the reciprocal",
        lambda x, size, stride: (
            F.unfold(x, size, stride=stride)
            .reshape(1, 2, size * size, -1)
            .sum(2)
            .mul(1 / size**2)
            .reshape(1, 2, (x.shape[2] - size) // stride + 1, -1)
        ),
    ),
    Rearranged(
        "average_pool_2d",
        "rows, then columns",
        lambda x, size, stride: F.avg_pool2d(F.avg_pool2d(x, (1, size), (1, stride)), (size, 1), (stride, 1)),
    ),
    Rearranged("dropout", "times the reciprocal", lambda x, mask, p: x * mask * (1 / (1 - p))),
    Rearranged(
        "rotary_embedding",
        "complex product",
        lambda x, c, s: (
            torch.view_as_real(torch.complex(*x.chunk(2, -1)) * torch.complex(c, s)).permute(0, 2, 1).flatten(-2)
        ),
    ),
]


def _welford(x: Tensor) -> tuple[Tensor, Tensor]:
    mean, spread = torch.zeros_like(x[..., :1]), torch.zeros_like(x[..., :1])
    for i in range(x.shape[-1]):
        d = x[..., i : i + 1] - mean
        mean = mean + d / (i + 1)
        spread = spread + d * (x[..., i : i + 1] - mean)
    return mean, spread / x.shape[-1]


def _welford_norm(x: Tensor, w: Tensor, b: Tensor, e: float) -> Tensor:
    mean, variance = _welford(x)
    return (x - mean) * torch.rsqrt(variance + e) * w + b


def _norm_backward(g: Tensor, x: Tensor, w: Tensor, b: Tensor, e: float) -> tuple[Any, ...]:
    """As Liger's kernel: recomputed from mean and reciprocal root, two inner products."""
    mean = x.mean(-1, keepdim=True)
    root = torch.rsqrt(((x - mean) ** 2).mean(-1, keepdim=True) + e)
    n = (x - mean) * root
    d = w * g
    c1, c2 = (n * d).mean(-1, keepdim=True), d.mean(-1, keepdim=True)
    return (d - (n * c1 + c2)) * root, (g * n).sum(0), g.sum(0), None


def _norm_sums_backward(g: Tensor, x: Tensor, w: Tensor, b: Tensor, e: float) -> tuple[Any, ...]:
    """As PyTorch's CPU kernel: a x + b x + c with the constants of a row."""
    n = x.shape[-1]
    mean = x.mean(-1, keepdim=True)
    root = torch.rsqrt(((x - mean) ** 2).mean(-1, keepdim=True) + e)
    d = g * w
    ds, db = (d * x).sum(-1, True), d.sum(-1, True)
    bb = (db * mean - ds) * root**3 / n
    cc = -bb * mean - db * root / n
    return root * d + bb * x + cc, (g * (x - mean) * root).sum(0), g.sum(0), None


def _rms_backward(g: Tensor, x: Tensor, w: Tensor, e: float) -> tuple[Any, ...]:
    root = torch.rsqrt(x.square().mean(-1, keepdim=True) + e)
    m = g * w
    dx = root * m + root * (-(1 / x.shape[-1]) * root * root * (m * x).sum(-1, True) * x)
    return dx, (g * x * root).sum(0), None


_NEAR = ((1.0, 0.0), (30.0, 10.0), (1e-3, 0.0))
_NORMS = [
    Rearranged("layer_norm", "Welford's updates", _welford_norm),
    Rearranged("layer_norm", "float64 inside", wide(lambda x, w, b, e: F.layer_norm(x, (7,), w, b, e))),
    Rearranged(
        "layer_norm",
        "divided by the square root",
        lambda x, w, b, e: (x - x.mean(-1, True)) / (x.var(-1, correction=0, keepdim=True) + e).sqrt() * w + b,
    ),
    Rearranged(
        "layer_norm",
        "scale folded",
        lambda x, w, b, e: torch.addcmul(
            b, x - x.mean(-1, True), w * torch.rsqrt(x.var(-1, correction=0, keepdim=True) + e)
        ),
    ),
    Rearranged(
        "layer_norm",
        "backward as in Liger",
        with_backward(lambda x, w, b, e: F.layer_norm(x, (7,), w, b, e), _norm_backward),
    ),
    Rearranged(
        "layer_norm",
        "backward by sums",
        with_backward(lambda x, w, b, e: F.layer_norm(x, (7,), w, b, e), _norm_sums_backward),
        _NEAR,
    ),
    Rearranged("rms_norm", "reciprocal root", lambda x, w, e: x * torch.rsqrt(x.pow(2).mean(-1, True) + e) * w),
    Rearranged("rms_norm", "scale first", lambda x, w, e: (x * w) * torch.rsqrt(x.pow(2).mean(-1, True) + e)),
    Rearranged(
        "rms_norm", "backward as in Liger", with_backward(lambda x, w, e: F.rms_norm(x, (7,), w, e), _rms_backward)
    ),
    Rearranged(
        "batch_norm", "transposed layer norm", lambda x, w, b, e: F.layer_norm(x.T, (6,), None, None, e).T * w + b
    ),
    Rearranged(
        "batch_norm",
        "folded",
        lambda x, w, b, e: (lambda m, s: x * s + (b - m * s))(x.mean(0), w * torch.rsqrt(x.var(0, correction=0) + e)),
        ((1.0, 0.0), (1e-3, 0.0)),
    ),
    Rearranged(
        "batch_norm_inference", "folded", lambda x, m, v, w, b, e: (lambda s: x * s + (b - m * s))(w / (v + e).sqrt())
    ),
    Rearranged(
        "group_norm",
        "by hand",
        lambda x, w, b, g, e: (
            lambda r: (
                ((r - r.mean(-1, True)) * torch.rsqrt(r.var(-1, correction=0, keepdim=True) + e)).reshape(x.shape)
                * w[:, None]
                + b[:, None]
            )
        )(x.reshape(2, g, -1)),
    ),
    Rearranged(
        "group_norm",
        "by batch norm",
        lambda x, w, b, g, e: (
            F.batch_norm(x.reshape(1, 2 * g, -1), None, None, training=True, eps=e).reshape(x.shape) * w[:, None]
            + b[:, None]
        ),
    ),
    Rearranged(
        "l2_normalize",
        "reciprocal root of the clamped square",
        lambda x, e: x * torch.rsqrt((x * x).sum(-1, True).clamp(min=e * e)),
    ),
]


def _flash(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Two blocks of keys, the second one corrects the first."""
    made, top, total = torch.zeros(()).to(v), torch.full_like(q[..., :1], -math.inf), torch.zeros_like(q[..., :1])
    for part in (slice(0, 2), slice(2, None)):
        s = q @ k[..., part, :].mT * 0.5
        new = torch.maximum(top, s.amax(-1, True)).detach()
        e, fix = (s - new).exp(), (top - new).exp()
        made, total, top = made * fix + e @ v[..., part, :], total * fix + e.sum(-1, True), new
    return made / total


def _flash_backward(g: Tensor, q: Tensor, k: Tensor, v: Tensor) -> tuple[Any, ...]:
    """P found again from log Σ exp, D = Σ g o, dS = P (dP - D)."""
    s = q @ k.mT * 0.5
    p = (s - torch.logsumexp(s, -1, keepdim=True)).exp()
    o = torch.softmax(s, -1) @ v
    d = p * (g @ v.mT - (g * o).sum(-1, True))
    return d @ k * 0.5, d.mT @ q * 0.5, p.mT @ g


def _causal(q: Tensor, k: Tensor, v: Tensor, fill: float = -math.inf) -> Tensor:
    s = (q * 0.5) @ k.mT
    return torch.softmax(s.masked_fill(torch.ones_like(s[0], dtype=torch.bool).triu(1), fill), -1) @ v


_ATTENTION = [
    Rearranged("attention", "in blocks of keys", _flash, ((1.0, 0.0), (5.0, 0.0))),
    Rearranged(
        "attention",
        "backward of flash attention",
        with_backward(lambda q, k, v: F.scaled_dot_product_attention(q, k, v), _flash_backward),
        ((1.0, 0.0), (5.0, 0.0)),
    ),
    Rearranged("attention", "scaled queries", lambda q, k, v: torch.softmax((q * 0.5) @ k.mT, -1) @ v),
    Rearranged(
        "attention",
        "divided after the product",
        lambda q, k, v: (lambda e: (e @ v) / e.sum(-1, True))((lambda s: (s - s.amax(-1, True)).exp())(q @ k.mT * 0.5)),
    ),
    Rearranged("attention", "float64 inside", wide(F.scaled_dot_product_attention)),
    Rearranged("attention", "exp(log p)", lambda q, k, v: torch.log_softmax(q @ k.mT * 0.5, -1).exp() @ v),
    Rearranged("causal_attention", "masked by -1e30", lambda q, k, v: _causal(q, k, v, -1e30)),
    Rearranged(
        "causal_attention",
        "row by row",
        lambda q, k, v: torch.cat(
            [F.scaled_dot_product_attention(q[:, i : i + 1], k[:, : i + 1], v[:, : i + 1]) for i in range(5)], 1
        ),
    ),
    Rearranged(
        "causal_attention",
        "added mask",
        lambda q, k, v: torch.softmax(q @ k.mT / 2 + torch.full((5, 5), -math.inf).triu(1).to(q), -1) @ v,
    ),
    Rearranged(
        "masked_attention",
        "masked exponentials",
        lambda q, k, v, m: (lambda e: e / e.sum(-1, True) @ v)(
            (lambda s: (s - s.amax(-1, True)).exp() * m)(q @ k.mT * 0.5)
        ),
        _ORDINARY,
    ),
    Rearranged(
        "masked_attention",
        "masked by the smallest number",
        lambda q, k, v, m: torch.softmax((q @ k.mT * 0.5).masked_fill(~m, torch.finfo(q.dtype).min), -1) @ v,
    ),
]
