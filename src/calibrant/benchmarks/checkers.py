"""Other checkers beside calibrant's judge of formulas: the same faults, and the same right answers.

A gradient checker compares a function's backward pass with differences of its own values: a wrong value passes. A comparison with a fixed tolerance
needs a second implementation, and is given one here: the formula itself in float64, differentiated by autograd.
"""

from __future__ import annotations

import functools
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch

from calibrant.benchmarks.faults import faults
from calibrant.benchmarks.versions import DRAWS, WITHOUT_GRADIENT, Case, asked, cases, held
from calibrant.formula.catalogue import FORMULAS

SEEDS = range(3)
SCALES = ((1.0, 0.0), (0.01, 0.0), (30.0, 100.0))
"""The scale and the offset of the inputs that right answers are asked for."""

Inputs = tuple[Any, ...]
Checker = Callable[[Case, Inputs, int], bool]
"""Whether a checker rejects a version of a formula, given the inputs and the seed of the upstream gradient."""


def _upstream(seed: int, shape: Any) -> Any:
    return np.random.default_rng(seed + 1).normal(size=tuple(shape))


def _calibrant(dtype: str, case: Case, inputs: Inputs, seed: int) -> bool:
    try:
        held(case, inputs, dtype, functools.partial(_upstream, seed))
    except AssertionError:
        return True
    return False


def _places(case: Case, tensors: Sequence[Any]) -> list[int]:
    without = WITHOUT_GRADIENT.get(case.name, ())
    return [
        i for i, x in enumerate(tensors) if isinstance(x, torch.Tensor) and x.is_floating_point() and i not in without
    ]


def _of_leaves(case: Case, tensors: Sequence[Any], places: Sequence[int]) -> Callable[..., Any]:
    """The version as a function of the arguments that have a gradient."""

    def function(*leaves: Any) -> Any:
        given = list(tensors)
        for i, leaf in zip(places, leaves, strict=True):
            given[i] = leaf
        return case.theirs(*given)

    return function


def _gradcheck(fast: bool, dtype: str, case: Case, inputs: Inputs, seed: int) -> bool:
    form = getattr(torch, dtype)
    tensors = [torch.as_tensor(x) if isinstance(x, np.ndarray) else x for x in inputs]
    tensors = [x.to(form) if isinstance(x, torch.Tensor) and x.is_floating_point() else x for x in tensors]
    places = _places(case, tensors)
    leaves = [tensors[i].clone().requires_grad_() for i in places]
    function = _of_leaves(case, tensors, places)
    return not torch.autograd.gradcheck(function, leaves, fast_mode=fast, raise_exception=False)


def _check_grads(case: Case, inputs: Inputs, seed: int) -> bool:  # pragma: no cover - run where JAX is
    """JAX calls PyTorch's function and its gradient back, in float64."""
    import jax
    from jax.test_util import check_grads

    tensors = [torch.as_tensor(x) if isinstance(x, np.ndarray) else x for x in inputs]
    places = _places(case, tensors)
    function = _of_leaves(case, tensors, places)

    def value(*leaves: Any) -> Any:
        return function(*[torch.tensor(np.asarray(x)) for x in leaves]).detach().numpy()

    def pulled(upstream: Any, *leaves: Any) -> Any:
        given = [torch.tensor(np.asarray(x)).requires_grad_() for x in leaves]
        found = torch.autograd.grad(
            function(*given), given, torch.tensor(np.asarray(upstream)), allow_unused=True, materialize_grads=True
        )
        return tuple(g.numpy() for g in found)

    leaves = [tensors[i].numpy() for i in places]
    shape = jax.ShapeDtypeStruct(value(*leaves).shape, np.float64)
    shapes = tuple(jax.ShapeDtypeStruct(x.shape, np.float64) for x in leaves)
    version = jax.custom_vjp(lambda *given: jax.pure_callback(value, shape, *given))
    version.defvjp(
        lambda *given: (jax.pure_callback(value, shape, *given), given),
        lambda given, upstream: jax.pure_callback(pulled, shapes, upstream, *given),
    )
    with jax.enable_x64(True):
        try:
            check_grads(version, leaves, order=1, modes=["rev"])
        except AssertionError:
            return True
    return False


def _pairs(case: Case, dtype: str, inputs: Inputs, seed: int) -> Iterator[tuple[Any, Any]]:
    """Value and gradients, each with what the formula says, rounded to the dtype."""
    upstream = functools.partial(_upstream, seed)
    _, value, gradients, _ = asked(case, inputs, dtype, upstream)
    _, right, due, _ = asked(Case(case.name, case.draw, FORMULAS[case.name]), inputs, "float64", upstream)
    for answer, expected in zip([value, *gradients], [right, *due], strict=True):
        if answer is not None:
            yield answer, expected.to(answer.dtype)


def _assert_close(dtype: str, case: Case, inputs: Inputs, seed: int) -> bool:
    try:
        for answer, expected in _pairs(case, dtype, inputs, seed):
            torch.testing.assert_close(answer, expected)
    except AssertionError:
        return True
    return False


def _chex(dtype: str, case: Case, inputs: Inputs, seed: int) -> bool:  # pragma: no cover - run where chex is
    import chex

    try:
        for answer, expected in _pairs(case, dtype, inputs, seed):
            chex.assert_trees_all_close(answer.numpy(), expected.numpy())
    except AssertionError:
        return True
    return False


def checkers() -> dict[str, Checker]:
    """Those that are installed, by the head of their column; a sentence on standard error names what is missing."""
    found: dict[str, Checker] = {
        "calibrant 32": functools.partial(_calibrant, "float32"),
        "calibrant 64": functools.partial(_calibrant, "float64"),
        "gradcheck": functools.partial(_gradcheck, False, "float64"),
        "gradcheck fast": functools.partial(_gradcheck, True, "float64"),
        "gradcheck 32": functools.partial(_gradcheck, False, "float32"),
        "assert_close 32": functools.partial(_assert_close, "float32"),
        "assert_close 64": functools.partial(_assert_close, "float64"),
    }
    others: dict[str, dict[str, Checker]] = {
        "jax": {"check_grads": _check_grads},
        "chex": {"chex 32": functools.partial(_chex, "float32"), "chex 64": functools.partial(_chex, "float64")},
    }
    for package, several in others.items():
        if find_spec(package):
            found |= several
        else:
            print(f"{package} is not installed: {', '.join(several)} has no column", file=sys.stderr)
    return found


def right() -> Iterator[tuple[Case, Inputs, int]]:
    """PyTorch's own version of each formula, at several scales."""
    for case in cases():
        for seed, scales in enumerate(SCALES):
            yield case, DRAWS[case.name](np.random.default_rng(seed), *scales), seed


def measure() -> list[dict[str, Any]]:
    """A row for each fault, in 32 and 64 bits where a head says so, else in float64; and a row of sums for them and for the right answers."""
    heads = checkers()
    rows: list[dict[str, Any]] = []
    with warnings.catch_warnings(action="ignore"):  # gradcheck warns of float32, PyTorch of reductions
        for fault in faults():
            broken = Case(fault.case, DRAWS[fault.case], fault.wrong)
            drawn = [broken.draw(np.random.default_rng(seed), fault.scale, fault.offset) for seed in SEEDS]
            row: dict[str, Any] = {"fault": f"{fault.case}: {fault.what}"}
            for head, rejects in heads.items():
                seen = any(rejects(broken, inputs, seed) for seed, inputs in zip(SEEDS, drawn, strict=True))
                row[head] = "seen" if seen else "-"
            rows.append(row)
        answers = [*right()]
        wrongly = {head: sum(rejects(*answer) for answer in answers) for head, rejects in heads.items()}
    count = {head: sum(row[head] == "seen" for row in rows) for head in heads}
    return [
        *rows,
        {"fault": f"seen, of {len(rows)} faults", **count},
        {"fault": f"rejected, of {len(answers)} right answers", **wrongly},
    ]
