"""What users of every library write alike: the line, a product, the derivatives of a loss."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Array = Any
"""A library's arrays."""

SHAPES = ("data.shapes", "data.columns", "loss.same-shape", "loss.empty", "validation.shapes", "validation.columns")
"""The clauses that a loss breaks which takes arrays of any two shapes."""


def model(t_u: Array, w: Array, b: Array) -> Array:
    """A line, (n,)."""
    return w * t_u + b


def multiply(x: Array, y: Array) -> Array:
    """x * y."""
    return x * y


def multiply_in_place(x: Array, y: Array) -> Array:
    """x *= y."""
    x *= y
    return x


def derivatives(
    automatic_gradient: Callable[..., Any], loss_fn: Callable[..., Array], absolute_loss: Callable[..., Array]
) -> tuple[Callable[..., Any], ...]:
    """`dloss_fn`, `dabsolute_loss` and `value_and_grad`, from a library's losses and its gradient of any function."""

    def dloss_fn(t_p: Array, t_c: Array) -> Array:
        return automatic_gradient(lambda at: loss_fn(at, t_c), t_p)[1]

    def dabsolute_loss(t_p: Array, t_c: Array) -> Array:
        return automatic_gradient(lambda at: absolute_loss(at, t_c), t_p)[1]

    def value_and_grad(params: Array, t_u: Array, t_c: Array) -> Any:
        return automatic_gradient(lambda at: loss_fn(model(t_u, at[0], at[1]), t_c), params)

    return dloss_fn, dabsolute_loss, value_and_grad
