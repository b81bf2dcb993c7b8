"""The formulas that ship: losses, activations, layers, attention, in the array API standard.

Each docstring says what the formula is, why it is written so, where it holds, and where the definition stands. The last axis is the one that a softmax or a norm
goes over. Labels and masks are integers and booleans, and have no gradient.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from calibrant.formula.writing import either, erf, formula, namespace, store
from calibrant.protocol.errors import UnknownName, nearest

FORMULAS: dict[str, Any] = {}


def _shipped(
    shapes: str, accumulate: str | None = None, **draws: Any
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def add(function: Callable[..., Any]) -> Callable[..., Any]:
        FORMULAS[function.__name__] = function
        return formula(shapes=shapes, accumulate=accumulate, **draws)(function)

    return add


def described(name: str | None = None) -> str:
    """Each formula with its shapes and what it is; or the source of one."""
    if name is not None:
        if name not in FORMULAS:
            raise UnknownName(f"there is no formula {name!r}{nearest(name, FORMULAS)}")
        return inspect.getsource(FORMULAS[name]).rstrip()
    return "\n".join(f"{key}  ({one.shapes})\n    {one.__doc__}" for key, one in FORMULAS.items())


def _positive(x: Any) -> Any:
    xp = namespace(x)
    return xp.maximum(x, xp.zeros_like(x))


def _sides(x: Any) -> tuple[Any, Any, Any]:
    """max(x, 0), min(x, 0) and -|x|, which 0 takes for those of a negative number: a smooth formula of them has one slope there."""
    xp = namespace(x)
    above, zero = x > 0, xp.zeros_like(x)
    return xp.where(above, x, zero), xp.where(above, zero, x), xp.where(above, -x, x)


def _softplus(x: Any) -> Any:
    """log(1 + exp(x)), where no exponential overflows."""
    xp = namespace(x)
    above, _, small = _sides(x)
    return above + xp.log1p(xp.exp(small))


def _with_corner(x: Any, below: Any, slope: float) -> Any:
    """x above 0, else `below`, whose slope at 0 is `slope`: there any slope between that and 1 is right."""
    r = _positive(x)
    return namespace(x).where(x > 0, x, below + (r - slope * r))


def _root(n: float, like: Any) -> Any:
    """√n as a number of the formula: a root that Python rounds to float64 is another number."""
    xp = namespace(like)
    return xp.sqrt(xp.asarray(float(n), dtype=like.dtype))


# Losses


@_shipped("n, n ->")
def mean_squared_error(x: Any, y: Any) -> Any:
    """The mean of (x - y)². Domain: all numbers. Reference: Gauss 1809; torch.nn.MSELoss."""
    return namespace(x).mean((x - y) ** 2)


@_shipped("n, n ->")
def mean_absolute_error(x: Any, y: Any) -> Any:
    """The mean of |x - y|. At x = y any slope between -1 and 1 is right. Reference: torch.nn.L1Loss."""
    xp = namespace(x)
    return xp.mean(xp.abs(x - y))


@_shipped("n, n, ->", delta=(1.0, 0.7))
def huber(x: Any, y: Any, delta: float) -> Any:
    """Half the square of a residual up to delta, then linear with slope delta; the mean. Reference: Huber 1964; torch.nn.HuberLoss."""
    xp = namespace(x)
    r = xp.abs(x - y)
    return xp.mean(xp.where(r <= delta, 0.5 * r * r, delta * (r - 0.5 * delta)))


@_shipped("n, n, ->", beta=(1.0, 0.7))
def smooth_l1(x: Any, y: Any, beta: float) -> Any:
    """Huber's loss over beta: slope 1 beyond beta. Domain: beta > 0. Reference: Girshick 2015, equation 3; torch.nn.SmoothL1Loss."""
    xp = namespace(x)
    r = xp.abs(x - y)
    return xp.mean(xp.where(r < beta, 0.5 * r * r / beta, r - 0.5 * beta))


@_shipped("n, n ->", p="probabilities", y="probabilities")
def binary_cross_entropy(p: Any, y: Any) -> Any:
    """The mean of -y log p - (1 - y) log(1 - p). Domain: 0 < p < 1; torch clamps the logarithms at -100, the formula does not. Reference: torch.nn.BCELoss."""
    xp = namespace(p)
    return -xp.mean(y * xp.log(p) + (1 - y) * xp.log1p(-p))


@_shipped("n, n ->", y="probabilities")
def binary_cross_entropy_with_logits(x: Any, y: Any) -> Any:
    """The mean of -y log σ(x) - (1 - y) log(1 - σ(x)), arranged so that no exponential overflows. Reference: torch.nn.BCEWithLogitsLoss."""
    xp = namespace(x)
    above, below, small = _sides(x)
    rest = xp.log1p(xp.exp(small))
    return xp.mean(either(above - x * y + rest, (1 - y) * x - below + rest))


def _summed(e: Any) -> Any:
    """Σ e; PyTorch keeps both in the dtype of its result, and a backward pass starts from what was kept."""
    return store(namespace(e).sum(store(e), axis=-1, keepdims=True))


def _normalizer(x: Any, shift: Any) -> Any:
    """log Σ exp(x), with a shift near it taken out first."""
    xp = namespace(x)
    return shift + xp.log(_summed(xp.exp(x - shift)))


def _highest(x: Any) -> Any:
    return namespace(x).max(x, axis=-1, keepdims=True)


@_shipped("n d -> n", "float32")
def log_sum_exp(x: Any) -> Any:
    """log Σ exp(x), with the maximum taken out first: exp overflows in float32 above 88. Reference: Blanchard, Higham and Higham 2021; torch.logsumexp."""
    # a backward pass may use exp(x - log Σ exp(x)), with the logarithm as it is stored
    found = _normalizer(x, _highest(x))
    return namespace(x).squeeze(either(found, backward=[lambda: _normalizer(x, store(found))]), axis=-1)


@_shipped("n d -> n d", "float32")
def softmax(x: Any) -> Any:
    """exp(x) / Σ exp(x), with the maximum taken out first, or exp(x - log Σ exp(x)). Reference: Bridle 1990; torch.softmax."""
    xp = namespace(x)
    top = _highest(x)
    e = xp.exp(x - top)
    # a backward pass may use exp(x - log Σ exp(x)), as it is stored
    way = [lambda: xp.exp(x - _normalizer(x, _normalizer(x, top)))]
    return either(store(e) / _summed(e), lambda: xp.exp(x - _normalizer(x, top)), backward=way)


@_shipped("n d -> n d", "float32")
def log_softmax(x: Any) -> Any:
    """x - log Σ exp(x): not the logarithm of a softmax, which underflows. Reference: torch.log_softmax."""
    xp = namespace(x)

    def less(shift: Any) -> Any:
        s = x - shift
        return s - xp.log(_summed(xp.exp(s)))

    top = _highest(x)
    # a backward pass may use exp(x - log Σ exp(x))
    return either(less(top), backward=[lambda: less(_normalizer(x, top))])


def _picked(x: Any, labels: Any) -> Any:
    """An element of each row, by its label."""
    xp = namespace(x)
    return xp.take_along_axis(x, labels[:, None], axis=-1)[:, 0]


@_shipped("n d, n ->", "float32", labels="index d")
def cross_entropy(x: Any, labels: Any) -> Any:
    """The mean of -log_softmax(x)[label]. Domain: 0 <= label < d. Reference: torch.nn.CrossEntropyLoss."""
    return -namespace(x).mean(_picked(store(log_softmax(x)), labels))


@_shipped("n d, n ->", "float32", labels="index d")
def cross_entropy_sum(x: Any, labels: Any) -> Any:
    """The sum of -log_softmax(x)[label]: the loss of a mean over unequal batches is such sums over the count of all. Reference: as cross_entropy."""
    return -namespace(x).sum(_picked(store(log_softmax(x)), labels))


@_shipped("n d, n -> n", "float32", labels="index d")
def cross_entropy_each(x: Any, labels: Any) -> Any:
    """-log_softmax(x)[label] of each row, not reduced. Reference: as cross_entropy."""
    return -_picked(store(log_softmax(x)), labels)


@_shipped("n d, n, d ->", "float32", labels="index d", weights="positive")
def cross_entropy_weighted(x: Any, labels: Any, weights: Any) -> Any:
    """The weighted mean over rows, each with the weight of its class: divided by the weights' sum, not by n. Reference: as cross_entropy."""
    xp = namespace(x)
    w = xp.take(weights, labels, axis=0)
    return -xp.sum(w * _picked(store(log_softmax(x)), labels)) / xp.sum(w)


@_shipped("n d, n, ->", "float32", labels="index d ignore_index", ignore_index=(-100, 0))
def cross_entropy_ignoring(x: Any, labels: Any, ignore_index: int) -> Any:
    """The mean over the rows whose label is not ignore_index: divided by their count, not by n. Domain: one such row at least. Reference: as cross_entropy."""
    xp = namespace(x)
    kept = xp.astype(labels != ignore_index, x.dtype)
    each = _picked(store(log_softmax(x)), xp.where(labels != ignore_index, labels, 0 * labels))
    return -xp.sum(each * kept) / xp.sum(kept)


@_shipped("n d, n, ->", "float32", labels="index d", smoothing=(0.5, 0.1))
def cross_entropy_smoothed(x: Any, labels: Any, smoothing: float) -> Any:
    """The label has probability 1 - smoothing, and smoothing is spread over all d classes, the label's included. Reference: Szegedy et al. 2016, section 7."""
    xp = namespace(x)
    lp = store(log_softmax(x))
    rows = store(xp.sum(lp, axis=-1))
    return -((1 - smoothing) * xp.mean(_picked(lp, labels)) + smoothing / x.shape[-1] * (xp.sum(rows) / x.shape[0]))


@_shipped("n d, n ->", lp="log-distribution", labels="index d")
def negative_log_likelihood(lp: Any, labels: Any) -> Any:
    """The mean of -lp[label], for log-probabilities. Reference: torch.nn.NLLLoss."""
    return -namespace(lp).mean(_picked(lp, labels))


@_shipped("n d, n d ->", lp="log-distribution", q="distribution")
def kl_divergence(lp: Any, q: Any) -> Any:
    """Σ q (log q - lp), over n: the mean over rows, not over elements. Domain: q > 0. Reference: Kullback and Leibler 1951; torch.nn.KLDivLoss('batchmean')."""
    xp = namespace(lp)
    return xp.sum(either(q * (xp.log(q) - lp), q * xp.log(q) - q * lp)) / lp.shape[0]


@_shipped("n, n ->", y="signs")
def hinge(x: Any, y: Any) -> Any:
    """The mean of max(0, 1 - x y), for y of -1 and 1. At x y = 1 any slope between is right. Reference: Cortes and Vapnik 1995."""
    xp = namespace(x)
    return xp.mean(_positive(1 - x * y))


@_shipped("n, n, n, ->", y="signs", margin=(0.5, 0.3))
def margin_ranking(x: Any, z: Any, y: Any, margin: float) -> Any:
    """The mean of max(0, margin - y (x - z)). Reference: torch.nn.MarginRankingLoss."""
    xp = namespace(x)
    return xp.mean(_positive(margin - y * (x - z)))


@_shipped("n d, n d, -> n", eps=(1e-8,))
def cosine_similarity(x: Any, y: Any, eps: float) -> Any:
    """x·y over the product of the lengths, each at least eps. Reference: torch.nn.CosineSimilarity."""
    xp = namespace(x)

    def length(v: Any) -> Any:
        square = xp.sum(v * v, axis=-1, keepdims=True)
        return xp.sqrt(xp.maximum(square, xp.full_like(square, eps * eps)))

    return xp.sum(x / length(x) * (y / length(y)), axis=-1)


@_shipped("n d, n d, n d, , ->", margin=(1.0, 0.3), eps=(1e-6,))
def triplet_margin(anchor: Any, positive: Any, negative: Any, margin: float, eps: float) -> Any:
    """The mean of max(0, |a - p + eps| - |a - n + eps| + margin). Reference: Balntas et al. 2016; torch.nn.TripletMarginLoss."""
    xp = namespace(anchor)

    def distance(x: Any, y: Any) -> Any:
        d = x - y + eps
        return xp.sqrt(xp.sum(d * d, axis=-1))

    d = distance(anchor, positive) - distance(anchor, negative) + margin
    return xp.mean(_positive(d))


@_shipped("n, n ->", y="positive")
def poisson_negative_log_likelihood(x: Any, y: Any) -> Any:
    """The mean of exp(x) - y x, for the logarithm x of a rate. Reference: torch.nn.PoissonNLLLoss."""
    xp = namespace(x)
    return xp.mean(xp.exp(x) - y * x)


@_shipped("n, n, n ->", variance="positive")
def gaussian_negative_log_likelihood(x: Any, y: Any, variance: Any) -> Any:
    """The mean of (log v + (x - y)² / v) / 2. Domain: v at least 1e-6, below which torch clamps. Reference: Nix and Weigend 1994; torch.nn.GaussianNLLLoss."""
    xp = namespace(x)
    return 0.5 * xp.mean(xp.log(variance) + (x - y) ** 2 / variance)


# Activations


@_shipped("n -> n")
def sigmoid(x: Any) -> Any:
    """1 / (1 + exp(-x)), without overflow for negative x. The slope y (1 - y) of a rounded y near 1 is right too. Reference: torch.sigmoid."""
    xp = namespace(x)
    e = xp.exp(_sides(x)[2])
    return xp.where(x > 0, either(1 / (1 + e), 0.5 + 0.5 * xp.tanh(0.5 * x)), e / (1 + e))


@_shipped("n -> n")
def log_sigmoid(x: Any) -> Any:
    """log σ(x) = min(x, 0) - log(1 + exp(-|x|)). Reference: torch.nn.LogSigmoid."""
    xp = namespace(x)
    _, below, small = _sides(x)
    return below - xp.log1p(xp.exp(small))


@_shipped("n -> n")
def tanh(x: Any) -> Any:
    """The hyperbolic tangent. Reference: torch.tanh."""
    return namespace(x).tanh(x)


@_shipped("n, -> n", threshold=(20.0,))
def softplus(x: Any, threshold: float) -> Any:
    """log(1 + exp(x)), and x itself above a threshold, where torch stops adding exp(-x). Reference: Dugas et al. 2001; torch.nn.Softplus."""
    return namespace(x).where(x > threshold, x, _softplus(x))


@_shipped("n -> n")
def relu(x: Any) -> Any:
    """max(x, 0). At 0 any slope between 0 and 1 is right; torch's is 0. Reference: Nair and Hinton 2010; torch.relu."""
    return _positive(x)


@_shipped("n, -> n", slope=(0.5, 0.01))
def leaky_relu(x: Any, slope: float) -> Any:
    """x above 0, slope times x below; at 0 any slope between the two is right. Reference: Maas, Hannun and Ng 2013; torch.nn.LeakyReLU."""
    return _with_corner(x, slope * x, slope)


@_shipped("n, -> n", "float32", alpha=(1.0, 1.3))
def elu(x: Any, alpha: float) -> Any:
    """x above 0, alpha (exp(x) - 1) below; at 0 any slope between alpha and 1 is right. Reference: Clevert, Unterthiner and Hochreiter 2016; torch.nn.ELU."""
    return _with_corner(x, alpha * namespace(x).expm1(_sides(x)[1]), alpha)


@_shipped("n -> n", "float32")
def silu(x: Any) -> Any:
    """x σ(x). Reference: Elfwing, Uchibe and Doya 2018; torch.nn.SiLU."""
    return x * sigmoid(x)


@_shipped("n -> n", "float32")
def gelu(x: Any) -> Any:
    """x Φ(x), with the normal distribution Φ. Reference: Hendrycks and Gimpel 2016; torch.nn.GELU."""
    return 0.5 * x * (1 + erf(x / _root(2, x)))


@_shipped("n -> n", "float32")
def gelu_tanh(x: Any) -> Any:
    """x (1 + tanh(√(2/π) (x + 0.044715 x³))) / 2: an approximation of GELU that differs from it by up to 5e-4. Reference: as gelu; torch.nn.GELU('tanh')."""
    xp = namespace(x)
    return 0.5 * x * (1 + xp.tanh((2 / xp.pi) ** 0.5 * (x + 0.044715 * (x * x * x))))


@_shipped("n -> n", "float32")
def mish(x: Any) -> Any:
    """x tanh(log(1 + exp(x))). Reference: Misra 2019; torch.nn.Mish."""
    return x * namespace(x).tanh(_softplus(x))


@_shipped("n -> n")
def hard_swish(x: Any) -> Any:
    """x min(max(x + 3, 0), 6) / 6. Reference: Howard et al. 2019; torch.nn.Hardswish."""
    xp = namespace(x)
    return x * xp.minimum(_positive(x + 3), xp.full_like(x, 6)) / 6


@_shipped("n -> n")
def soft_sign(x: Any) -> Any:
    """x / (1 + |x|). Reference: torch.nn.Softsign."""
    return x / (1 + namespace(x).abs(x))


@_shipped("n 2e -> n e")
def gated_linear(x: Any) -> Any:
    """The first half of the last axis times the sigmoid of the second. Domain: an even last axis. Reference: Dauphin et al. 2017; torch.nn.GLU."""
    half = x.shape[-1] // 2
    return x[..., :half] * sigmoid(x[..., half:])


# Linear maps


@_shipped("n d, m d, m -> n m", "float32")
def linear(x: Any, w: Any, b: Any) -> Any:
    """x wᵀ + b, the bias added in any order, or to the product as it is stored. Reference: torch.nn.Linear."""
    xp = namespace(x)
    ones = xp.ones_like(x[..., :1])
    return either(
        xp.matmul(xp.concat([x, ones], axis=-1), xp.matrix_transpose(xp.concat([w, b[:, None]], axis=-1))),
        lambda: store(xp.matmul(x, xp.matrix_transpose(w))) + b,
    )


@_shipped("b n d, d m -> b n m", "float32")
def matrix_product(x: Any, y: Any) -> Any:
    """x y, batched and broadcast. Reference: the array API standard, matmul; torch.matmul."""
    return namespace(x).matmul(x, y)


@_shipped("v d, n -> n d", index="index v")
def embedding(w: Any, index: Any) -> Any:
    """The rows of w by index; the gradient adds up over repeated indices. Reference: torch.nn.Embedding."""
    return namespace(w).take(w, index, axis=0)


def _patches(x: Any, axis: int, size: int, stride: int) -> Any:
    """Windows along an axis, stacked on a new first axis."""
    xp = namespace(x)
    count = (x.shape[axis] - size) // stride + 1
    cuts = []
    for k in range(size):
        key: list[Any] = [slice(None)] * x.ndim
        key[axis] = slice(k, k + stride * (count - 1) + 1, stride)
        cuts.append(x[tuple(key)])
    return xp.stack(cuts, axis=0)


def _padded(x: Any, axis: int, padding: int) -> Any:
    if not padding:
        return x
    xp = namespace(x)
    shape = list(x.shape)
    shape[axis] = padding
    zeros = xp.zeros(tuple(shape), dtype=x.dtype)
    return xp.concat([zeros, x, zeros], axis=axis)


def _convolved(patches: Any, w: Any, b: Any) -> Any:
    """A weight row for each output channel, times the patches (n, c k, places), and the bias, in any order or to the stored product."""
    xp = namespace(patches)
    ones, rows = xp.ones_like(patches[:, :1, :]), xp.reshape(w, (w.shape[0], -1))
    return either(
        xp.matmul(xp.concat([rows, b[:, None]], axis=-1), xp.concat([patches, ones], axis=1)),
        lambda: store(xp.matmul(rows, patches)) + b[:, None],
    )


@_shipped("n c l, o c k, o, , -> n o m", "float32", l=(5, 8), k=(1, 3), stride=(1, 2), padding=(0, 1))
def convolution_1d(x: Any, w: Any, b: Any, stride: int, padding: int) -> Any:
    """Σ over channels and taps of w x, plus b, in any order or added to the sum as it is stored; the filter is not turned around. Reference: torch.nn.Conv1d."""
    xp = namespace(x)
    cuts = xp.permute_dims(_patches(_padded(x, 2, padding), 2, w.shape[2], stride), (1, 2, 0, 3))
    return _convolved(xp.reshape(cuts, (cuts.shape[0], -1, cuts.shape[3])), w, b)


@_shipped(
    "n c h v, o c k l, o, , -> n o i j",
    "float32",
    h=(3, 5),
    v=(4, 6),
    k=(1, 3),
    l=(2, 1),
    stride=(1, 2),
    padding=(0, 1),
)
def convolution_2d(x: Any, w: Any, b: Any, stride: int, padding: int) -> Any:
    """Σ over channels and taps of w x, plus b, in two dimensions, as in one. Reference: torch.nn.Conv2d."""
    xp = namespace(x)
    x = _padded(_padded(x, 2, padding), 3, padding)
    cuts = _patches(_patches(x, 3, w.shape[3], stride), 3, w.shape[2], stride)  # (k, l, n, c, i, j)
    k, cols, n, c, i, j = cuts.shape
    cuts = xp.permute_dims(cuts, (2, 3, 0, 1, 4, 5))
    return xp.reshape(_convolved(xp.reshape(cuts, (n, c * k * cols, i * j)), w, b), (n, w.shape[0], i, j))


@_shipped("n c h w, , -> n c i j", h=(4, 5), w=(4, 6), size=(2, 3), stride=(2, 1))
def average_pool_2d(x: Any, size: int, stride: int) -> Any:
    """The mean of each window. Reference: torch.nn.AvgPool2d."""
    return namespace(x).mean(_patches(_patches(x, 3, size, stride), 3, size, stride), axis=(0, 1))


@_shipped("n c h w, , -> n c i j", h=(4, 5), w=(4, 6), size=(2, 3), stride=(2, 1))
def max_pool_2d(x: Any, size: int, stride: int) -> Any:
    """The maximum of each window; among equal ones any shares of the gradient are right. Reference: torch.nn.MaxPool2d."""
    return namespace(x).max(_patches(_patches(x, 3, size, stride), 3, size, stride), axis=(0, 1))


# Norms


def _standardized(x: Any, axis: Any, eps: float) -> Any:
    xp = namespace(x)
    centered = x - xp.mean(x, axis=axis, keepdims=True)
    return centered / xp.sqrt(xp.mean(centered * centered, axis=axis, keepdims=True) + eps)


@_shipped("n d, d, d, -> n d", "float32", eps=(1e-5, 0.5))
def layer_norm(x: Any, w: Any, b: Any, eps: float) -> Any:
    """Each row minus its mean, over the root of its variance plus eps, scaled and shifted; the variance divides by d. Reference: Ba, Kiros and Hinton 2016."""
    return _standardized(x, -1, eps) * w + b


@_shipped("n d, d, -> n d", "float32", eps=(1e-5, 0.5))
def rms_norm(x: Any, w: Any, eps: float) -> Any:
    """Each row over the root of its mean square plus eps, scaled; no mean is subtracted. Reference: Zhang and Sennrich 2019; torch.nn.RMSNorm."""
    xp = namespace(x)
    return x / xp.sqrt(xp.mean(x * x, axis=-1, keepdims=True) + eps) * w


@_shipped("n d, d, d, -> n d", n=(2, 3, 5, 8), eps=(1e-5, 0.5))
def batch_norm(x: Any, w: Any, b: Any, eps: float) -> Any:
    """In training: each column standardized over the batch; the variance divides by n. Reference: Ioffe and Szegedy 2015, algorithm 1; torch.nn.BatchNorm1d."""
    return _standardized(x, 0, eps) * w + b


@_shipped("n d, d, d, d, d, -> n d", variance="positive", eps=(1e-5, 0.5))
def batch_norm_inference(x: Any, mean: Any, variance: Any, w: Any, b: Any, eps: float) -> Any:
    """In inference: the given mean and variance, folded into scale and shift or not. Reference: as batch_norm, algorithm 2."""
    xp = namespace(x)
    scale = w / xp.sqrt(variance + eps)
    return either((x - mean) / xp.sqrt(variance + eps) * w + b, x * scale + (b - mean * scale))


@_shipped("n c l, c, c, , -> n c l", c=(2, 4), groups=(2, 1), l=(3, 5), eps=(1e-5, 0.5))
def group_norm(x: Any, w: Any, b: Any, groups: int, eps: float) -> Any:
    """Each group of channels of a sample standardized together. Domain: groups divides c. Reference: Wu and He 2018; torch.nn.GroupNorm."""
    xp = namespace(x)
    parts = _standardized(xp.reshape(x, (x.shape[0], groups, -1)), -1, eps)
    scale, shift = w[:, None], b[:, None]
    grouped = xp.reshape(parts, x.shape) * scale + shift
    rows = xp.reshape(x, (x.shape[0], groups, -1))
    mean = xp.mean(rows, axis=-1, keepdims=True)
    root = xp.sqrt(xp.mean((rows - mean) ** 2, axis=-1, keepdims=True) + eps)
    ones = xp.ones_like(rows)
    factor = xp.reshape(ones / root, x.shape) * scale  # folded into scale and shift
    return either(grouped, x * factor + (shift - xp.reshape(ones * mean, x.shape) * factor))


@_shipped("n d, -> n d", eps=(1e-12,))
def l2_normalize(x: Any, eps: float) -> Any:
    """Each row over its length, at least eps. Reference: torch.nn.functional.normalize."""
    xp = namespace(x)
    length = xp.sqrt(xp.sum(x * x, axis=-1, keepdims=True))
    return x / xp.maximum(length, xp.full_like(length, eps))


# Attention


def _attended(scores: Any, v: Any) -> Any:
    """softmax(scores) v."""
    return namespace(scores).matmul(store(softmax(scores)), v)


def _scores(q: Any, k: Any) -> Any:
    """q kᵀ / √d, with the factor before or after the product."""
    xp = namespace(q)
    root = _root(q.shape[-1], q)
    quarter = xp.sqrt(root)
    return store(
        either(xp.matmul(q, xp.matrix_transpose(k)) / root, xp.matmul(q / quarter, xp.matrix_transpose(k / quarter)))
    )


@_shipped("b n d, b m d, b m e -> b n e", "float32")
def attention(q: Any, k: Any, v: Any) -> Any:
    """softmax(q kᵀ / √d) v. Reference: Vaswani et al. 2017, section 3.2.1; torch.nn.functional.scaled_dot_product_attention."""
    return _attended(_scores(q, k), v)


@_shipped("b n d, b n d, b n e -> b n e", "float32")
def causal_attention(q: Any, k: Any, v: Any) -> Any:
    """Attention in which place i sees the places up to and including i. Reference: as attention, section 3.2.3."""
    xp = namespace(q)
    row, column = xp.arange(q.shape[-2]), xp.arange(k.shape[-2])
    scores = _scores(q, k)
    return _attended(xp.where(column[None, :] <= row[:, None], scores, _hidden(scores)), v)


def _hidden(scores: Any) -> Any:
    xp = namespace(scores)
    return xp.full_like(scores, -xp.inf)


@_shipped("b n d, b m d, b m e, n m -> b n e", "float32", mask="mask")
def masked_attention(q: Any, k: Any, v: Any, mask: Any) -> Any:
    """Attention to the places where the mask holds. Domain: each row of the mask holds somewhere. Reference: as attention."""
    scores = _scores(q, k)
    return _attended(namespace(q).where(mask, scores, _hidden(scores)), v)


@_shipped("n 2e, n e, n e -> n 2e")
def rotary_embedding(x: Any, cosine: Any, sine: Any) -> Any:
    """Each pair (x[i], x[i + d/2]) turned by an angle, given by its cosine and sine. Reference: Su et al. 2021, equation 34, pairs by halves as in Llama."""
    half = x.shape[-1] // 2
    a, b = x[..., :half], x[..., half:]
    return namespace(x).concat([a * cosine - b * sine, b * cosine + a * sine], axis=-1)


@_shipped("n d, n d, -> n d", mask="mask", p=(0.5, 0.3))
def dropout(x: Any, mask: Any, p: float) -> Any:
    """x over 1 - p where the mask keeps it, else 0. Domain: 0 <= p < 1. Reference: Srivastava et al. 2014; torch.nn.Dropout."""
    return namespace(x).where(mask, x / (1 - p), namespace(x).zeros_like(x))
