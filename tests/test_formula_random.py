"""Random formulas: NumPy's and PyTorch's evaluation of the same text, and PyTorch's gradient, lie within their running bounds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from calibrant.formula import Judged, Undecided, assert_agrees, assert_gradient, namespace

Step = Callable[[Any, Any, Any, int], Any]


def _spread(xp: Any, p: Any, axis: int) -> Any:
    centered = p - xp.mean(p, axis=axis, keepdims=True)
    return xp.sqrt(xp.mean(centered * centered, axis=axis, keepdims=True) + 0.01) + xp.zeros_like(p)


def _softmax(xp: Any, p: Any, axis: int) -> Any:
    e = xp.exp(p - xp.max(p, axis=axis, keepdims=True))
    return e / xp.sum(e, axis=axis, keepdims=True)


STEPS: list[Step] = [
    *(
        lambda xp, p, q, axis, name=name: getattr(xp, name)(p)
        for name in ("exp", "expm1", "sin", "tanh", "atan", "abs")
    ),
    *(lambda xp, p, q, axis, y=y: (xp.abs(p) + 0.1) ** y for y in (0.3, 1.7, 2.5, -2, 3)),
    *(
        lambda xp, p, q, axis, name=name: getattr(xp, name)(p, axis=axis, keepdims=True) + xp.zeros_like(p)
        for name in ("sum", "mean", "max")
    ),
    lambda xp, p, q, axis: xp.log(xp.abs(p) + 0.1),
    lambda xp, p, q, axis: xp.log1p(xp.exp(-xp.abs(p))) + xp.maximum(p, q),
    lambda xp, p, q, axis: 1 / (1 + xp.exp(-p)),
    lambda xp, p, q, axis: xp.clip(p, -0.7, 0.9),
    lambda xp, p, q, axis: xp.cumulative_sum(p, axis=axis),
    lambda xp, p, q, axis: p / xp.sqrt(xp.sum(p * p, axis=axis, keepdims=True) + 1e-3),
    lambda xp, p, q, axis: _spread(xp, p, axis),
    lambda xp, p, q, axis: _softmax(xp, p, axis),
    lambda xp, p, q, axis: p - q,
    lambda xp, p, q, axis: p * q,
    lambda xp, p, q, axis: p / (xp.abs(q) + 0.5),
    lambda xp, p, q, axis: xp.where(p < q, p * q, q),
    lambda xp, p, q, axis: xp.matmul(xp.matmul(p, xp.matrix_transpose(q)), q),
    lambda xp, p, q, axis: xp.concat([p, q], axis=0)[p.shape[0] // 2 : p.shape[0] // 2 + p.shape[0]],
]


def drawn(rng: np.random.Generator) -> Callable[[Any, Any], Any]:
    """A formula of up to six steps, each on results of earlier ones."""
    count = int(rng.integers(1, 7))
    steps = [(STEPS[rng.integers(len(STEPS))], *rng.integers(0, i + 2, 2), rng.integers(2)) for i in range(count)]

    def formula(x: Any, y: Any) -> Any:
        made = [x, y]
        for step, p, q, axis in steps:
            made.append(step(namespace(x), made[p], made[q], int(axis)))
        return made[-1]

    return formula


@pytest.mark.untraced
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_a_random_formula_is_within_its_running_bound(dtype: Any) -> None:
    rng, judged, worst = np.random.default_rng(7), 0, 0.0
    for _ in range(15):
        formula = drawn(rng)
        shape, scale = rng.integers(1, 6, 2), rng.choice([1e-3, 0.3, 1, 3, 30])
        x, y = ((rng.normal(size=shape) * scale + rng.choice([0, 0, 5])).astype(dtype) for _ in range(2))
        tensors = [torch.tensor(a, requires_grad=True) for a in (x, y)]
        value = formula(*tensors)
        g = torch.tensor(rng.normal(size=value.shape).astype(dtype))
        gradients = torch.autograd.grad(value, tensors, g, allow_unused=True)
        with np.errstate(all="ignore"):
            ways: list[Callable[[], Judged]] = [
                lambda f=formula, x=x, y=y: assert_agrees(f(x, y), f, (x, y)),
                lambda f=formula, x=x, y=y, value=value: assert_agrees(value, f, (x, y)),
                lambda f=formula, x=x, y=y, g=g, found=gradients: assert_gradient(found, f, (x, y), g),
            ]
            for way in ways[: 2 if dtype is np.float16 else 3]:  # PyTorch's backward passes store elsewhere in 16 bits
                try:
                    found = way()
                except Undecided:
                    continue
                assert found.another_arrangement == 0
                judged, worst = judged + found.judged, max(worst, found.worst)

    assert judged > 200
    assert worst > 0.3
