"""PyTorch's versions of the formulas that ship: how their arguments are drawn, what they return, and the verdict on it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from calibrant.formula import Judged, Undecided, assert_agrees, assert_gradient
from calibrant.formula.catalogue import FORMULAS

Draw = Callable[[np.random.Generator, float, float], tuple[Any, ...]]


@dataclass(frozen=True)
class Case:
    """A formula, how its inputs are drawn, and PyTorch's version of it."""

    name: str
    draw: Draw
    theirs: Callable[..., Any]


def _rows(*shapes: tuple[int, ...]) -> Draw:
    return lambda rng, scale, offset: tuple(rng.normal(size=s) * scale + offset for s in shapes)


def _with(draw: Draw, *more: Any) -> Draw:
    """Inputs, and fixed ones or ones that are drawn without scale."""
    return lambda rng, scale, offset: (*draw(rng, scale, offset), *(m(rng) if callable(m) else m for m in more))


def _norm(rows: tuple[int, ...], channels: int, *rest: Any) -> Draw:
    return _with(_rows(rows), lambda rng: rng.normal(size=channels), lambda rng: rng.normal(size=channels), *rest)


def _labels(rows: int, classes: int) -> Callable[[Any], Any]:
    return lambda rng: rng.integers(0, classes, rows)


def _signs(n: int) -> Callable[[Any], Any]:
    return lambda rng: np.where(rng.random(n) < 0.5, -1.0, 1.0)


def _log_probabilities(rows: int, d: int) -> Callable[[Any], Any]:
    return lambda rng: np.log(rng.dirichlet(np.ones(d), rows) * 0.99 + 0.01 / d)


def _probabilities(rng: Any) -> Any:
    """Some of them close to 0, where a clamp shows, but no closer than the differences of a gradient checker reach."""
    return np.where(rng.random(9) < 0.5, 10 ** rng.uniform(-3.8, -1, 9), rng.uniform(0.1, 1 - 2e-4, 9))


def _none(rng: Any, scale: float, offset: float) -> tuple[Any, ...]:
    return ()


def _kept(labels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    labels[0] = 0
    return labels


def _angles(part: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda rng: part(np.arange(20).reshape(5, 4) / 3.0)


def _mask(rng: Any) -> Any:
    made = rng.random((5, 5)) < 0.5
    made[:, 0] = True
    return made


_LOGITS = _with(_rows((5, 7)), _labels(5, 7))
_HEADS = _rows((2, 5, 4), (2, 5, 4), (2, 5, 4))
_V1 = _rows((24,))

DRAWS: dict[str, Draw] = {
    "mean_squared_error": _rows((9,), (9,)),
    "mean_absolute_error": _rows((9,), (9,)),
    "huber": _with(_rows((9,), (9,)), 0.7),
    "smooth_l1": _with(_rows((9,), (9,)), 0.7),
    "binary_cross_entropy": _with(_none, _probabilities, lambda rng: rng.random(9)),
    "binary_cross_entropy_with_logits": _with(_rows((9,)), lambda rng: rng.random(9)),
    "log_sum_exp": _rows((5, 7)),
    "softmax": _rows((5, 7)),
    "log_softmax": _rows((5, 7)),
    "cross_entropy": _LOGITS,
    "cross_entropy_sum": _LOGITS,
    "cross_entropy_each": _LOGITS,
    "cross_entropy_weighted": _with(_LOGITS, lambda rng: rng.uniform(0.1, 3, 7)),
    "cross_entropy_ignoring": _with(_rows((5, 7)), lambda rng: _kept(rng.integers(-1, 7, 5)), -1),
    "cross_entropy_smoothed": _with(_LOGITS, 0.1),
    "negative_log_likelihood": _with(_none, _log_probabilities(5, 7), _labels(5, 7)),
    "kl_divergence": _with(_none, _log_probabilities(5, 7), lambda rng: rng.dirichlet(np.ones(7), 5) * 0.99 + 0.001),
    "hinge": _with(_rows((9,)), _signs(9)),
    "margin_ranking": _with(_rows((9,), (9,)), _signs(9), 0.3),
    "cosine_similarity": _with(_rows((5, 7), (5, 7)), 1e-08),
    "triplet_margin": _with(_rows((5, 7), (5, 7), (5, 7)), 1.0, 1e-06),
    "poisson_negative_log_likelihood": _with(_rows((9,)), lambda rng: rng.integers(0, 9, 9) * 1.0),
    "gaussian_negative_log_likelihood": _with(_rows((9,), (9,)), lambda rng: rng.uniform(0.1, 3, 9)),
    "sigmoid": _V1,
    "log_sigmoid": _V1,
    "tanh": _V1,
    "softplus": _with(_V1, 20.0),
    "relu": _V1,
    "leaky_relu": _with(_V1, 0.01),
    "elu": _with(_V1, 1.3),
    "silu": _V1,
    "gelu": _V1,
    "gelu_tanh": _V1,
    "mish": _V1,
    "hard_swish": _V1,
    "soft_sign": _V1,
    "gated_linear": _rows((3, 8)),
    "linear": _rows((5, 7), (4, 7), (4,)),
    "matrix_product": _rows((2, 3, 5), (5, 4)),
    "embedding": _with(_rows((6, 3)), lambda rng: rng.integers(0, 6, 9)),
    "convolution_1d": _with(_rows((2, 3, 8), (4, 3, 3), (4,)), 2, 1),
    "convolution_2d": _with(_rows((1, 2, 5, 6), (3, 2, 3, 2), (3,)), 1, 1),
    "average_pool_2d": _with(_rows((1, 2, 5, 6)), 2, 2),
    "max_pool_2d": _with(_rows((1, 2, 5, 6)), 3, 2),
    "layer_norm": _norm((5, 7), 7, 1e-05),
    "rms_norm": _with(_rows((5, 7)), lambda rng: rng.normal(size=7), 1e-05),
    "batch_norm": _norm((6, 4), 4, 1e-05),
    "batch_norm_inference": _with(
        _rows((6, 4), (4,)), *[lambda rng: rng.uniform(0.1, 3, 4)], *[lambda rng: rng.normal(size=4)] * 2, 1e-05
    ),
    "group_norm": _norm((2, 4, 3), 4, 2, 1e-05),
    "l2_normalize": _with(_rows((5, 7)), 1e-12),
    "attention": _HEADS,
    "causal_attention": _HEADS,
    "masked_attention": _with(_HEADS, _mask),
    "rotary_embedding": _with(_rows((5, 8)), _angles(np.cos), _angles(np.sin)),
    "dropout": _with(_rows((5, 7)), lambda rng: rng.random((5, 7)) < 0.7, 0.3),
}
"""How the arguments of each formula are drawn, given a scale and an offset."""


def cases() -> list[Case]:
    """All of them; PyTorch is imported only here."""
    from calibrant.adapters import torch_layers

    return [Case(name, draw, getattr(torch_layers, name)) for name, draw in DRAWS.items()]


WITHOUT_GRADIENT = {"cross_entropy_weighted": (2,), "batch_norm_inference": (1, 2)}
"""The places of arguments for which PyTorch has no gradient."""


def asked(case: Case, inputs: Sequence[Any], dtype: str, upstream: Any = None) -> tuple[list[Any], Any, list[Any], Any]:
    """The inputs as tensors, a version's value and gradients for them, and the upstream gradient.

    An argument on which the result does not depend has a gradient of zero, and None where PyTorch has no gradient.
    """
    import torch

    form = getattr(torch, dtype)
    tensors: list[Any] = [torch.as_tensor(x) if isinstance(x, np.ndarray) else x for x in inputs]
    places = [i for i, x in enumerate(tensors) if isinstance(x, torch.Tensor) and x.is_floating_point()]
    for i in places:
        tensors[i] = tensors[i].to(form).requires_grad_()
    value = case.theirs(*tensors)
    seed = torch.as_tensor(upstream(value.shape)).to(form) if upstream else torch.ones_like(value)
    leaves = [tensors[i] for i in places]
    found = torch.autograd.grad(value, leaves, seed, allow_unused=True, materialize_grads=True)
    without = WITHOUT_GRADIENT.get(case.name, ())
    gradients = [None if i in without else g for i, g in zip(places, found, strict=True)]
    return tensors, value.detach(), gradients, seed


def held(case: Case, inputs: Sequence[Any], dtype: str, upstream: Any = None) -> tuple[Judged, Judged]:
    """Judge PyTorch's value and gradients; AssertionError if one is wrong."""
    tensors, value, gradients, seed = asked(case, inputs, dtype, upstream)
    formula = FORMULAS[case.name]
    return (
        _counted(value.numel(), assert_agrees, value, formula, tensors),
        _counted(
            sum(g.numel() for g in gradients if g is not None), assert_gradient, gradients, formula, tensors, seed
        ),
    )


def _counted(elements: int, judge: Callable[..., Judged], *arguments: Any) -> Judged:
    """The verdict; where nothing is claimed, the count of that."""
    try:
        return judge(*arguments)
    except Undecided:
        return Judged(0, elements, 0, 0, 0.0)


def scale_of(rng: np.random.Generator) -> tuple[float, float]:
    """How large numbers are, and how far from zero."""
    offset = rng.choice([0.0, 1.0]) * rng.normal() * 10 ** rng.uniform(-1, 3)
    return 10 ** rng.uniform(-3, 3), offset
