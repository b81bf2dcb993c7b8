"""The gradients of a target whose framework differentiates it: the target says `autodiff = "torch"` or `"jax"`."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np

from calibrant.protocol.errors import TargetError, brief, nearest
from calibrant.protocol.operations import GRADIENT, checked_formulas


class Differentiated:
    """An implementation with `NAME_vjp` for each of its functions NAME that lacks it, and with the arrays of its framework."""

    def __init__(self, implementation: Any, framework: str) -> None:
        self.framework = framework
        self._implementation = implementation
        self._tools = FRAMEWORKS[framework]()

    def __dir__(self) -> list[str]:
        return dir(self._implementation)

    def __getattr__(self, name: str) -> Any:
        try:
            return getattr(self._implementation, name)
        except AttributeError:
            function = getattr(self._implementation, name.removesuffix(GRADIENT), None)
            if name.endswith(GRADIENT) and callable(function):
                return functools.partial(self._tools.vjp, function)
            if name in ("asarray", "to_numpy"):
                return getattr(self._tools, name)
            raise


def differentiated(implementation: Any) -> Any:
    """The implementation, with gradients where a check of formulas needs them and it names a framework. Raises TargetError for an unknown one, or one that is not installed."""
    said = checked_formulas()
    if not said:
        return implementation
    framework = getattr(implementation, "autodiff", None) or said["autodiff"]
    if framework is None:
        return implementation
    if framework not in FRAMEWORKS:
        raise TargetError(
            f"autodiff is {brief(framework)}, not one of {', '.join(FRAMEWORKS)}{nearest(str(framework), FRAMEWORKS)}"
        )
    if find_spec(framework) is None:
        raise TargetError(
            f"{framework} is to differentiate its functions, and is not installed: pip install {framework}"
        )
    return Differentiated(implementation, framework)


class _Torch:
    def __init__(self) -> None:
        self.torch = importlib.import_module("torch")

    def asarray(self, x: Any) -> Any:
        if x.dtype.name == "bfloat16":
            return self.torch.from_numpy(x.view(np.uint16)).view(self.torch.bfloat16)
        return self.torch.from_numpy(x)

    def to_numpy(self, x: Any) -> Any:
        if not isinstance(x, self.torch.Tensor):
            return np.asarray(x)
        x = x.detach().cpu()
        if x.dtype == self.torch.bfloat16:
            return x.view(self.torch.uint16).numpy().view(np.dtype("bfloat16"))
        return x.numpy()

    def vjp(self, function: Callable[..., Any], *arguments: Any) -> list[Any]:
        """The gradients of the floating-point tensors; zeros for one that the result does not depend on."""
        *inputs, upstream = arguments
        tensor = self.torch.Tensor
        inputs = [x.detach().requires_grad_() if isinstance(x, tensor) and x.is_floating_point() else x for x in inputs]
        leaves = [x for x in inputs if isinstance(x, tensor) and x.requires_grad]
        value = function(*inputs)
        if not value.requires_grad:
            return [self.torch.zeros_like(x) for x in leaves]
        found = self.torch.autograd.grad(value, leaves, upstream, allow_unused=True)
        return [self.torch.zeros_like(x) if g is None else g for x, g in zip(leaves, found, strict=True)]


class _Jax:  # pragma: no cover - run where JAX is
    def __init__(self) -> None:
        self.jax = importlib.import_module("jax")

    def asarray(self, x: Any) -> Any:
        return self.jax.numpy.asarray(x)

    def to_numpy(self, x: Any) -> Any:
        return np.asarray(x)

    def vjp(self, function: Callable[..., Any], *arguments: Any) -> list[Any]:
        """The gradients of the floating-point arrays."""
        *inputs, upstream = arguments
        floating = self.jax.numpy.floating
        places = [
            i for i, x in enumerate(inputs) if hasattr(x, "dtype") and self.jax.numpy.issubdtype(x.dtype, floating)
        ]

        def of_leaves(*leaves: Any) -> Any:
            given = list(inputs)
            for i, leaf in zip(places, leaves, strict=True):
                given[i] = leaf
            return function(*given)

        _, pull = self.jax.vjp(of_leaves, *(inputs[i] for i in places))
        return list(pull(upstream))


FRAMEWORKS: dict[str, Callable[[], Any]] = {"torch": _Torch, "jax": _Jax}
