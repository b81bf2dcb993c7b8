"""Impostors of the chapter on training: gradients that are clipped otherwise."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from calibrant.exact import Exact
from calibrant.impostors.correct import join
from calibrant.impostors.kinds import Call, Change, answer, impostors_of, nonfinite, overwritten, unrefused

NORM, SCALED, BELOW, SHARDS, VALUE = (f"clip.{name}" for name in ("norm", "scaled", "below", "shards", "value"))
ZEROS, INVALID, NOT_FINITE, PURE, DTYPE = (
    f"clip.{name}" for name in ("zeros", "invalid", "not-finite", "pure", "dtype")
)
NEGATIVE = "a limit that is negative or NaN is taken"


def _zero(norm: Any) -> bool:
    """Whether nothing can be divided by the norm."""
    return isinstance(norm, Exact) and not norm.fraction()


def _over(grad: Any, limit: float, norm: Any) -> Any:
    """A gradient times the limit over a norm, in its own kind of numbers."""
    if isinstance(grad, Exact):
        return grad * limit / norm
    with np.errstate(all="ignore"):
        return grad * (grad.dtype.type(limit) / grad.dtype.type(norm))


def exceeds(c: Call, norm: Any) -> bool:
    """Whether a norm exceeds the limit."""
    return bool(norm.fraction() > c.max_norm if isinstance(norm, Exact) else norm > c.max_norm)


def scaled(factor: Callable[[Call, Any, Any], Any], *, always: bool = False) -> Change:
    """The gradients scaled otherwise where the norm exceeds the limit: a function of the call, a gradient and the norm."""

    def changed(c: Call) -> Any:
        norm, grads = c()
        if _zero(norm) or not (always or exceeds(c, norm)):
            return norm, grads
        return norm, [factor(c, g, norm) for g in c.grads]

    return changed


def each(change: Callable[[Call, Any], Any]) -> Change:
    """The right norm, and each gradient by a function of the call and the gradient."""
    return lambda c: (c()[0], [change(c, g) for g in c.grads])


def _over_nothing(c: Call) -> Any:
    norm, grads = c()
    return norm, [_over(g, c.max_norm, norm) for g in c.grads] if not norm else grads


def _added(c: Call) -> Any:
    right = c()
    own = [
        [g for g, whole in zip(grads, c.replicated, strict=True) if not (rank and whole)]
        for rank, grads in enumerate(c.shards)
    ]
    norms = [c.correct.clip_by_norm(grads, 1.0, 2.0)[0] for grads in own if grads]
    total = norms[0]
    for one in norms[1:]:
        total = total + one
    if _zero(total) or not exceeds(c, total):
        return total, right[1]
    return total, [[_over(g, c.max_norm, total) for g in rank] for rank in c.shards]


norm = impostors_of("clip_by_norm")
norm("each-by-itself", "each gradient is clipped by its own norm, so that the direction changes")(
    each(lambda c, g: c(grads=[g])[1][0]),
    SCALED,
    "huggingface/transformers#614 carpedm20/MemN2N-tensorflow#19 tensorflow/tensorflow#52348",
)
norm("scaled-up", "short gradients are scaled up to the limit")(
    scaled(lambda c, g, norm: _over(g, c.max_norm, norm), always=True), f"{BELOW} {SCALED}", "sony/nnabla-ext-cuda#201"
)
norm("zeros-over-their-norm", "gradients of zero are divided by their norm, which is zero", exactly=False)(
    nonfinite(_over_nothing), ZEROS
)
norm("over-the-square", "the gradients are divided by the square of the norm")(
    scaled(lambda c, g, norm: _over(g, c.max_norm, norm * norm)), SCALED, "paiml/entrenar#311"
)
norm("not-clipped", "the norm is returned, and the gradients are what they were, as if clipping came after the step")(
    lambda c: (c()[0], [g * 1 for g in c.grads]),
    SCALED,
    "simchowitzlabpublic/nano-world-model#22 jongwook/onsets-and-frames#24",
)
norm("norm-after-clipping", "the norm is that of the clipped gradients")(lambda c: (c(grads=c()[1])[0], c()[1]), NORM)
norm("norm-of-the-largest", "the norm is the largest of the gradients' norms")(
    lambda c: (c(grads=[join(*(c(grads=[g])[0] for g in c.grads))], norm_type=math.inf)[0], c()[1]), NORM
)
norm("norm-of-the-first-128", "the norm is of the first 128 numbers alone")(
    lambda c: (c(grads=[join(*c.grads)[:128]])[0], c()[1]), f"{NORM} {NOT_FINITE}?"
)
norm("always-euclidean", "the norm is the Euclidean one, whatever is asked for")(
    lambda c: c(norm_type=2.0), f"{NORM} {SCALED}"
)
norm("by-value", "each number is clamped to the limit by itself")(
    lambda c: (c()[0], c.correct.clip_by_value(c.grads, c.max_norm)), SCALED
)
norm.variant("clip.epsilon", "added", "1e-6 is added to the norm before it divides", "epsilon-added")(
    f"{SCALED}@float64 {SCALED}?"
)
norm("nan-hidden", "numbers that are not finite become zero before the norm is taken", exactly=False)(
    nonfinite(lambda c: c(grads=[np.where(np.isfinite(g), g, 0).astype(g.dtype) for g in c.grads])),
    NOT_FINITE,
    "pytorch/pytorch#46849 facebookresearch/habitat-lab#2226",
)
norm("any-limit", NEGATIVE)(
    unrefused(lambda c: (c(max_norm=1.0)[0], [g * 0 - g for g in c.grads])), INVALID, "pytorch/pytorch#31367"
)
norm("in-place", "the caller's gradients are clipped in place")(overwritten("grads", lambda c, right: right[1]), PURE)
norm.in_dtype("float64", f"{DTYPE} {NORM}? {SCALED}? {BELOW}?")

value = impostors_of("clip_by_value")
value("only-from-above", "numbers far below zero are not clamped")(
    lambda c: [_lower(g, clamped) for g, clamped in zip(c.grads, c(), strict=True)], VALUE
)
value("by-norm", "the gradients are scaled by their norm")(
    lambda c: (c(), c.correct.clip_by_norm(c.grads, c.limit, 2.0)[1])[1], VALUE
)
value("sign-lost", "the magnitude of each number is clamped, and its sign is lost")(
    answer(lambda grads: [abs(g) for g in grads]), VALUE
)
value("any-limit", NEGATIVE)(unrefused(lambda c: [g * 1 for g in c.grads]), INVALID)
value("in-place", "the caller's gradients are clamped in place")(overwritten("grads", lambda c, right: right), PURE)
value.in_dtype("float64", f"{DTYPE} {VALUE}?")


def _lower(g: Any, clamped: Any) -> Any:
    """The clamped numbers, but the given ones where they are negative."""
    if isinstance(g, Exact):
        negative = np.array([x < 0 for x in g.fractions()]).reshape(g.shape)
        return clamped + (g - clamped) * _mask(negative, g)
    return np.where(g < 0, g, clamped).astype(g.dtype)


def _mask(where: Any, like: Exact) -> Exact:
    """Ones and zeros."""
    return Exact(np.where(where, 1, 0).astype(object), 0, 1, np.zeros(where.shape), like.form)


shards = impostors_of("clip_shards")
shards("norm-of-the-rank", "each rank clips by the norm of its own gradients")(
    lambda c: (
        (found := [c(shards=[rank]) for rank in c.shards])[0][0],
        [clipped[0] for _, clipped in found],
    ),
    SHARDS,
    "pytorch/pytorch#170862",
)
shards("replicated-counted-on-each-rank", "a replicated gradient counts once for each rank")(
    lambda c: c(replicated=[False] * len(c.replicated)), SHARDS, "NVIDIA-NeMo/RL#3788"
)
shards("norms-added", "the norms of the ranks are added, not their squares")(_added, SHARDS)
shards("any-limit", NEGATIVE)(
    unrefused(lambda c: (c(max_norm=1.0)[0], [[g * 1 for g in rank] for rank in c.shards])), INVALID
)
shards("in-place", "the shards of the caller are clipped in place")(
    overwritten("shards", lambda c, right: right[1]), PURE
)
shards.in_dtype("float64", f"{DTYPE} {SHARDS}?")


_G = [np.array([3.0, -4.0]), np.array([[12.0]])]
_SMALL = [np.array([0.25, -0.5]), np.array(0.125)]
_LONG = [np.array([0.3, -1.7, 2.9]), np.array([0.7, 1.1])]
_ZERO = [np.zeros(2)]
_NAN = [np.array([1.0, math.nan]), np.array([2.0])]

QUESTIONS: dict[str, Any] = {
    "clip_by_norm": (
        *((_G, limit, norm_type) for limit in (6.5, 26.0) for norm_type in (2.0, 1.0, math.inf)),
        *((_SMALL, limit, 2.0) for limit in (4.0, 0.125)),
        *((_LONG, limit, norm_type) for limit in (0.1, 8.0) for norm_type in (2.0, 1.0)),
        ([np.array([0.001, 0.002])], 0.0005, 2.0),
        ([np.arange(129.0) // 128], 2.0, 2.0),
        (_ZERO, 1.0, 2.0),
        (_NAN, 1.0, 2.0),
        (_G, -1.0, 2.0),
    ),
    "clip_by_value": ((_G, 3.5), (_G, 20.0), (_SMALL, 0.25), (_LONG, 1.0), (_ZERO, 1.0), (_G, -1.0)),
    "clip_shards": (
        *(([_G, _G[::-1]], [False, False], limit) for limit in (6.5, 40.0)),
        *(([_SMALL, _SMALL, _SMALL], flags, 0.25) for flags in ([True, False], [True, True], [False, True])),
        ([_LONG, _LONG], [False, True], 1.0),
        ([_G], [False, True], 6.5),
        ([_G], [False, False], -1.0),
    ),
}
