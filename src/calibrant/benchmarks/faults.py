"""Realistic mistakes in losses, activations and layers, each a row: what people get wrong, written with PyTorch."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Fault:
    """A mistake in an implementation of a formula; scale and offset are of inputs that show it."""

    case: str
    what: str
    wrong: Callable[..., Any]
    scale: float = 1.0
    offset: float = 0.0


def faults() -> list[Fault]:
    """All of them."""
    return [*_LOSSES, *_ACTIVATIONS, *_LINEAR, *_NORMS, *_ATTENTION]


def with_backward(forward: Callable[..., Tensor], backward: Callable[..., Any]) -> Callable[..., Any]:
    """A function with a backward pass by hand: backward(upstream, *inputs) gives a gradient for each input."""

    class ByHand(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, *inputs: Any) -> Any:
            ctx.inputs = inputs
            return forward(*inputs)

        @staticmethod
        def backward(ctx: Any, *upstream: Any) -> Any:
            found = backward(upstream[0], *ctx.inputs)
            return found if isinstance(found, tuple) else (found, *[None] * (len(ctx.inputs) - 1))

    return ByHand.apply


def _picked(lp: Tensor, y: Tensor) -> Tensor:
    return -lp[torch.arange(len(y)), y]


def _softmax_backward(divide: Callable[[Tensor], float]) -> Callable[..., Any]:
    """Of a cross-entropy whose sum is divided."""

    def backward(upstream: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, None]:
        return upstream * (torch.softmax(x, -1) - F.one_hot(y, x.shape[-1])) / divide(x), None

    return backward


_LOSSES = [
    Fault("mean_squared_error", "sum instead of mean", lambda x, y: ((x - y) ** 2).sum()),
    Fault("mean_squared_error", "half of it", lambda x, y: ((x - y) ** 2).mean() / 2),
    Fault("mean_squared_error", "(n,) against (n, 1)", lambda x, y: ((x - y[:, None]) ** 2).mean()),
    Fault(
        "mean_squared_error",
        "backward without the factor 2",
        with_backward(F.mse_loss, lambda g, x, y: (g * (x - y) / len(x), g * (y - x) / len(x))),
    ),
    Fault(
        "mean_squared_error",
        "backward ignores the upstream gradient",
        with_backward(F.mse_loss, lambda g, x, y: (2 * (x - y) / len(x), 2 * (y - x) / len(x))),
    ),
    Fault("mean_absolute_error", "root of the square plus 1e-6", lambda x, y: ((x - y) ** 2 + 1e-6).sqrt().mean()),
    Fault("mean_absolute_error", "root of the square, at a tie", lambda x, y: ((x - y) ** 2).sqrt().mean(), 0.0),
    Fault("huber", "slope 1 beyond delta", lambda x, y, d: F.smooth_l1_loss(x, y, beta=d)),
    Fault(
        "huber",
        "linear part not shifted",
        lambda x, y, d: torch.where((x - y).abs() <= d, 0.5 * (x - y) ** 2, d * (x - y).abs()).mean(),
    ),
    Fault("smooth_l1", "beta ignored", lambda x, y, b: F.smooth_l1_loss(x, y)),
    Fault(
        "binary_cross_entropy",
        "probability clamped at 1e-3",
        lambda p, y: F.binary_cross_entropy(p.clamp(1e-3, 1 - 1e-3), y),
    ),
    Fault("binary_cross_entropy", "probability + 1e-7", lambda p, y: F.binary_cross_entropy(p + 1e-7, y)),
    Fault("binary_cross_entropy", "negative part missing", lambda p, y: -(y * p.log()).mean()),
    Fault(
        "binary_cross_entropy_with_logits",
        "sigmoid taken twice",
        lambda x, y: F.binary_cross_entropy_with_logits(x.sigmoid(), y),
    ),
    Fault(
        "binary_cross_entropy_with_logits",
        "logarithm of a sigmoid",
        lambda x, y: -(y * x.sigmoid().log() + (1 - y) * (1 - x.sigmoid()).log()).mean(),
        30.0,
    ),
    Fault("log_sum_exp", "maximum not taken out", lambda x: x.exp().sum(-1).log(), 3000.0),
    Fault("log_sum_exp", "maximum not added again", lambda x: (x - x.amax(-1, True)).exp().sum(-1).log()),
    Fault("softmax", "over the wrong axis", lambda x: torch.softmax(x, 0)),
    Fault("softmax", "sum plus 1e-6", lambda x: (e := (x - x.amax(-1, True)).exp()) / (e.sum(-1, True) + 1e-6)),
    Fault(
        "softmax",
        "backward of a sigmoid",
        with_backward(lambda x: torch.softmax(x, -1), lambda g, x: g * (p := torch.softmax(x, -1)) * (1 - p)),
    ),
    Fault("log_softmax", "probability + 1e-8 under the logarithm", lambda x: (torch.softmax(x, -1) + 1e-8).log(), 10.0),
    Fault("cross_entropy", "mean over n + 1", lambda x, y: F.cross_entropy(x, y, reduction="sum") / (len(y) + 1)),
    Fault("cross_entropy", "mean over elements", lambda x, y: F.cross_entropy(x, y, reduction="sum") / x.numel()),
    Fault(
        "cross_entropy", "label smoothing of 0.001 left on", lambda x, y: F.cross_entropy(x, y, label_smoothing=1e-3)
    ),
    Fault(
        "cross_entropy",
        "probability + 1e-7 under the logarithm",
        lambda x, y: _picked(torch.log(torch.softmax(x, -1) + 1e-7), y).mean(),
    ),
    Fault(
        "cross_entropy",
        "probability clamped at 1e-6",
        lambda x, y: _picked(torch.log(torch.softmax(x, -1).clamp(min=1e-6)), y).mean(),
        20.0,
    ),
    Fault(
        "cross_entropy",
        "maximum not taken out",
        lambda x, y: _picked(x - x.exp().sum(-1, keepdim=True).log(), y).mean(),
        3000.0,
    ),
    Fault("cross_entropy", "float16 inside", lambda x, y: F.cross_entropy(x.half().to(x.dtype), y)),
    Fault("cross_entropy", "normalizer detached", lambda x, y: _picked(x - x.logsumexp(-1, True).detach(), y).mean()),
    Fault("cross_entropy", "last row ignored", lambda x, y: F.cross_entropy(x[:-1], y[:-1])),
    Fault("cross_entropy", "backward not divided by n", with_backward(F.cross_entropy, _softmax_backward(lambda x: 1))),
    Fault("cross_entropy_sum", "mean instead of sum", F.cross_entropy),
    Fault(
        "cross_entropy_weighted",
        "divided by n",
        lambda x, y, w: (F.cross_entropy(x, y, reduction="none") * w[y]).mean(),
    ),
    Fault(
        "cross_entropy_ignoring",
        "ignored rows in the divisor",
        lambda x, y, i: F.cross_entropy(x, y, ignore_index=i, reduction="sum") / len(y),
    ),
    Fault("cross_entropy_ignoring", "ignored rows as class 0", lambda x, y, i: F.cross_entropy(x, y.clamp(min=0))),
    Fault(
        "cross_entropy_smoothed",
        "smoothing over the other classes",
        lambda x, y, s: F.cross_entropy(x, y, label_smoothing=s * x.shape[-1] / (x.shape[-1] - 1)),
    ),
    Fault("kl_divergence", "mean over elements", lambda lp, q: F.kl_div(lp, q, reduction="sum") / q.numel()),
    Fault("kl_divergence", "arguments swapped", lambda lp, q: F.kl_div(q.log(), lp.exp(), reduction="batchmean")),
    Fault(
        "cosine_similarity",
        "epsilon added to the product",
        lambda x, y, e: (x * y).sum(-1) / (x.norm(dim=-1) * y.norm(dim=-1) + 1e-6),
        0.03,
    ),
    Fault(
        "triplet_margin",
        "squared distances",
        lambda a, p, n, m, e: F.relu(((a - p) ** 2).sum(-1) - ((a - n) ** 2).sum(-1) + m).mean(),
    ),
    Fault("triplet_margin", "epsilon left out", lambda a, p, n, m, e: F.triplet_margin_loss(a, p, n, m, eps=0.0)),
    Fault(
        "gaussian_negative_log_likelihood",
        "deviation for variance",
        lambda x, y, v: F.gaussian_nll_loss(x, y, v.sqrt()),
    ),
]

_ACTIVATIONS = [
    Fault("gelu", "tanh approximation", lambda x: F.gelu(x, approximate="tanh")),
    Fault("gelu", "sigmoid approximation", lambda x: x * torch.sigmoid(1.702 * x)),
    Fault("gelu", "root of 2 as 1.4142", lambda x: 0.5 * x * (1 + torch.erf(x / 1.4142))),
    Fault(
        "gelu",
        "backward without the density",
        with_backward(F.gelu, lambda g, x: g * 0.5 * (1 + torch.erf(x / math.sqrt(2)))),
    ),
    Fault("gelu_tanh", "erf", F.gelu),
    Fault(
        "gelu_tanh",
        "0.0447 instead of 0.044715",
        lambda x: 0.5 * x * (1 + torch.tanh((2 / math.pi) ** 0.5 * (x + 0.0447 * x**3))),
    ),
    Fault("silu", "backward without x", with_backward(F.silu, lambda g, x: g * torch.sigmoid(x))),
    Fault(
        "elu",
        "backward by alpha, not by the output",
        with_backward(F.elu, lambda g, x, a: (g * torch.where(x > 0, 1, a), None)),
    ),
    Fault("elu", "alpha ignored", lambda x, a: F.elu(x)),
    Fault("leaky_relu", "slope of 0.2", lambda x, s: F.leaky_relu(x, 0.2)),
    Fault("tanh", "backward 1 - x² instead of 1 - tanh(x)²", with_backward(torch.tanh, lambda g, x: g * (1 - x * x))),
    Fault("softplus", "threshold of 5", lambda x, t: F.softplus(x, threshold=5), 8.0),
    Fault("mish", "tanh of the sigmoid", lambda x: x * torch.tanh(torch.sigmoid(x))),
    Fault("hard_swish", "x + 3 over 6, not clamped above", lambda x: x * F.relu(x + 3) / 6, 4.0),
    Fault("gated_linear", "halves swapped", lambda x: torch.sigmoid(x[:, :4]) * x[:, 4:]),
]


def _pooled_backward(upstream: Tensor, x: Tensor, size: int, stride: int) -> tuple[Tensor, None, None]:
    """The gradient of a maximum goes to every element of the window."""
    leaf = x.detach().requires_grad_()
    with torch.enable_grad():
        mean = F.avg_pool2d(leaf, size, stride)
    return torch.autograd.grad(mean, leaf, upstream)[0], None, None


_LINEAR = [
    Fault("linear", "bias left out of the backward pass", lambda x, w, b: F.linear(x, w, b.detach())),
    Fault(
        "linear",
        "backward with the bias averaged over rows",
        with_backward(F.linear, lambda g, x, w, b: (g @ w, g.mT @ x, g.mean(0))),
    ),
    Fault(
        "matrix_product",
        "second factor's gradient not summed over the batch",
        with_backward(torch.matmul, lambda g, x, y: (g @ y.mT, (x.mT @ g)[0])),
    ),
    Fault("matrix_product", "bfloat16 inside", lambda x, y: (x.bfloat16() @ y.bfloat16()).to(x.dtype)),
    Fault("matrix_product", "square weight transposed", lambda x, y: x @ torch.cat([y[:4].mT, y[4:]])),
    Fault(
        "embedding",
        "last of repeated indices wins",
        with_backward(lambda w, i: w[i], lambda g, w, i: (torch.zeros_like(w).index_put((i,), g), None)),
    ),
    Fault("convolution_1d", "filter turned around", lambda x, w, b, s, p: F.conv1d(x, w.flip(-1), b, s, p)),
    Fault("convolution_1d", "circular padding", lambda x, w, b, s, p: F.conv1d(F.pad(x, (p, p), "circular"), w, b, s)),
    Fault(
        "convolution_1d", "replicated padding", lambda x, w, b, s, p: F.conv1d(F.pad(x, (p, p), "replicate"), w, b, s)
    ),
    Fault(
        "convolution_2d",
        "padding of one side only",
        lambda x, w, b, s, p: F.conv2d(F.pad(x, (2 * p, 0, p, p)), w, b, s),
    ),
    Fault(
        "convolution_2d", "bias added once for each channel", lambda x, w, b, s, p: F.conv2d(x, w, x.shape[1] * b, s, p)
    ),
    Fault("average_pool_2d", "the pad counts", lambda x, size, stride: F.avg_pool2d(x, size, stride, 1)[..., :2, :3]),
    Fault(
        "average_pool_2d",
        "divided by the side",
        lambda x, size, stride: F.avg_pool2d(x, size, stride, divisor_override=size),
    ),
    Fault("max_pool_2d", "gradient shared by the window", with_backward(F.max_pool2d, _pooled_backward)),
    Fault(
        "max_pool_2d",
        "the pad of 0 counts",
        lambda x, size, stride: F.max_pool2d(F.pad(x, (1, 1, 1, 1)), size, stride)[..., :2, :2],
        1.0,
        -9.0,
    ),
    Fault("dropout", "not divided by 1 - p", lambda x, mask, p: x * mask),
    Fault("dropout", "divided by p", lambda x, mask, p: x * mask / p),
]


def _normed(
    x: Tensor,
    w: Tensor,
    b: Tensor,
    divide: Callable[[Tensor], Tensor],
    variance: Callable[[Tensor], Tensor] | None = None,
    axis: int = -1,
) -> Tensor:
    centered = x - x.mean(axis, keepdim=True)
    spread = variance(x) if variance else (centered * centered).mean(axis, keepdim=True)
    return centered / divide(spread) * w + b


def _one_pass(x: Tensor) -> Tensor:
    return (x * x).mean(-1, keepdim=True) - x.mean(-1, keepdim=True) ** 2


def _momentum(x: Tensor, m: Tensor, v: Tensor, w: Tensor, b: Tensor, e: float) -> Tensor:
    """The running statistics move by 0.1 towards the batch before they are used."""
    mean = 0.9 * m + 0.1 * x.mean(0)
    return F.batch_norm(x, mean.detach(), (0.9 * v + 0.1 * x.var(0)).detach(), w, b, eps=e)


_NORMS = [
    Fault("layer_norm", "unbiased variance", lambda x, w, b, e: _normed(x, w, b, lambda s: (s * 7 / 6 + e).sqrt())),
    Fault("layer_norm", "epsilon outside the root", lambda x, w, b, e: _normed(x, w, b, lambda s: s.sqrt() + e)),
    Fault("layer_norm", "epsilon of 1e-6", lambda x, w, b, e: _normed(x, w, b, lambda s: (s + 1e-6).sqrt())),
    Fault("layer_norm", "epsilon forgotten", lambda x, w, b, e: _normed(x, w, b, torch.sqrt)),
    Fault("layer_norm", "variance detached", lambda x, w, b, e: _normed(x, w, b, lambda s: (s.detach() + e).sqrt())),
    Fault(
        "layer_norm",
        "mean detached",
        lambda x, w, b, e: F.layer_norm(x, (7,), w, b, e) - 0 * x + (x - x.detach()).mean(-1, True),
    ),
    Fault(
        "layer_norm",
        "variance in one pass",
        lambda x, w, b, e: _normed(x, w, b, lambda s: (s + e).sqrt(), _one_pass),
        1.0,
        300.0,
    ),
    Fault("layer_norm", "over the batch and the last axis", lambda x, w, b, e: F.layer_norm(x, x.shape) * w + b),
    Fault("layer_norm", "scale taken for 1 + scale", lambda x, w, b, e: F.layer_norm(x, (7,), 1 + w, b, e)),
    Fault("rms_norm", "mean subtracted", lambda x, w, e: F.layer_norm(x, (7,), w, None, e)),
    Fault("rms_norm", "epsilon outside the root", lambda x, w, e: x / (x.square().mean(-1, True).sqrt() + e) * w),
    Fault("rms_norm", "sum instead of mean", lambda x, w, e: x / (x.square().sum(-1, True) + e).sqrt() * w),
    Fault(
        "batch_norm", "unbiased variance", lambda x, w, b, e: _normed(x, w, b, lambda s: (s * 6 / 5 + e).sqrt(), axis=0)
    ),
    Fault(
        "batch_norm",
        "running statistics in training",
        lambda x, w, b, e: F.batch_norm(x, x.mean(0).detach(), x.var(0).detach(), w, b, eps=e),
    ),
    Fault("batch_norm", "over features", lambda x, w, b, e: F.layer_norm(x, (4,), w, b, e)),
    Fault("batch_norm_inference", "momentum applied in inference", _momentum),
    Fault("batch_norm_inference", "variance not rooted", lambda x, m, v, w, b, e: (x - m) / (v + e) * w + b),
    Fault("group_norm", "one group", lambda x, w, b, g, e: F.group_norm(x, 1, w, b, e)),
    Fault(
        "group_norm",
        "channels dealt in turn",
        lambda x, w, b, g, e: F.group_norm(x[:, [0, 2, 1, 3]], g, w[[0, 2, 1, 3]], b[[0, 2, 1, 3]], e)[:, [0, 2, 1, 3]],
    ),
    Fault("l2_normalize", "not rooted", lambda x, e: x / x.square().sum(-1, True).clamp(min=e)),
    Fault("l2_normalize", "length detached", lambda x, e: x / x.norm(dim=-1, keepdim=True).clamp(min=e).detach()),
]


def _attended(
    q: Tensor, k: Tensor, v: Tensor, scale: float = 0.5, shift: int = 0, fill: float = -math.inf, axis: int = -1
) -> Tensor:
    scores = q @ k.mT * scale
    hidden = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1 + shift)
    return torch.softmax(scores.masked_fill(hidden, fill), axis) @ v


def _interleaved(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    a, b = x[:, 0::2], x[:, 1::2]
    return torch.stack([a * cosine - b * sine, b * cosine + a * sine], -1).flatten(-2)


def _halves(x: Tensor, cosine: Tensor, sine: Tensor, sign: int = 1) -> Tensor:
    a, b = x.chunk(2, -1)
    return torch.cat([a * cosine - sign * b * sine, b * cosine + sign * a * sine], -1)


_ATTENTION = [
    Fault("attention", "softmax over the wrong axis", lambda q, k, v: torch.softmax(q @ k.mT * 0.5, -2) @ v),
    Fault("attention", "not scaled", lambda q, k, v: torch.softmax(q @ k.mT, -1) @ v),
    Fault(
        "attention",
        "probabilities in bfloat16",
        lambda q, k, v: torch.softmax(q @ k.mT * 0.5, -1).bfloat16().to(v.dtype) @ v,
    ),
    Fault("attention", "keys detached", lambda q, k, v: F.scaled_dot_product_attention(q, k.detach(), v)),
    Fault("causal_attention", "scale 0.5001", lambda q, k, v: _attended(q, k, v, scale=0.5001)),
    Fault("causal_attention", "scale by d + 1", lambda q, k, v: _attended(q, k, v, scale=5**-0.5)),
    Fault("causal_attention", "mask off by one", lambda q, k, v: _attended(q, k, v, shift=1)),
    Fault("causal_attention", "mask of -10", lambda q, k, v: _attended(q, k, v, fill=-10.0)),
    Fault("causal_attention", "mask of -20", lambda q, k, v: _attended(q, k, v, fill=-20.0)),
    Fault("causal_attention", "no mask", F.scaled_dot_product_attention),
    Fault(
        "masked_attention",
        "mask inverted",
        lambda q, k, v, m: F.scaled_dot_product_attention(q, k, v, attn_mask=~m | m.all(-1, True)),
    ),
    Fault(
        "masked_attention",
        "mask applied after the softmax",
        lambda q, k, v, m: (torch.softmax(q @ k.mT * 0.5, -1) * m) @ v,
    ),
    Fault(
        "masked_attention",
        "mask added as 0 and 1",
        lambda q, k, v, m: F.scaled_dot_product_attention(q, k, v, attn_mask=m.to(q.dtype)),
    ),
    Fault("rotary_embedding", "pairs interleaved", _interleaved),
    Fault("rotary_embedding", "turned the other way", lambda x, c, s: _halves(x, c, s, -1)),
    Fault(
        "rotary_embedding", "angles in float16", lambda x, c, s: _halves(x, c.half().to(x.dtype), s.half().to(x.dtype))
    ),
]
