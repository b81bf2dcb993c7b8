"""The formulas that ship against PyTorch's own versions, right and broken, beside fixed tolerances."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np

from calibrant.benchmarks.soundness import REJECTED
from calibrant.formula import Judged, Undecided, assert_agrees, assert_gradient, gradient_bound
from calibrant.formula.catalogue import FORMULAS

Draw = Callable[[np.random.Generator, float, float], tuple[Any, ...]]
TOLERANCES = (1e-2, 1e-3, 1e-4)


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
    "binary_cross_entropy": _with(_none, lambda rng: rng.uniform(0.0001, 1 - 0.0001, 9), lambda rng: rng.random(9)),
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
    "kl_divergence": _with(
        _none, _log_probabilities(5, 7), lambda rng: rng.dirichlet(np.ones(7), 5) * 0.99 + 0.001
    ),
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


def asked(case: Case, inputs: Sequence[Any], dtype: str, upstream: Any = None) -> tuple[list[Any], Any, list[Any], Any]:
    """The inputs as tensors, PyTorch's value and gradients for them, and the upstream gradient."""
    import torch

    form = getattr(torch, dtype)
    tensors = [
        (t.to(form).requires_grad_() if (t := torch.as_tensor(x)).dtype == torch.float64 else t)
        if isinstance(x, np.ndarray)
        else x
        for x in inputs
    ]
    value = case.theirs(*tensors)
    leaves = [t for t in tensors if isinstance(t, torch.Tensor) and t.requires_grad]
    seed = torch.as_tensor(upstream(value.shape)).to(form) if upstream else torch.ones_like(value)
    gradients = torch.autograd.grad(value, leaves, seed, allow_unused=True)
    return tensors, value.detach(), list(gradients), seed


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


@dataclass(frozen=True)
class Fault:
    """A realistic mistake in PyTorch's version of a formula."""

    case: str
    what: str
    wrong: Callable[..., Any]
    scale: float = 1.0
    offset: float = 0.0


def faults() -> list[Fault]:
    """What people get wrong, each seen in some form in a tracker; PyTorch is imported only here."""
    import torch
    import torch.nn.functional as f

    def picked(lp: Any, y: Any) -> Any:
        return -lp[torch.arange(len(y)), y]

    def normed(
        x: Any, w: Any, b: Any, divide: Callable[[Any], Any], variance: Callable[[Any], Any] | None = None
    ) -> Any:
        centered = x - x.mean(-1, keepdim=True)
        spread = variance(x) if variance else (centered * centered).mean(-1, keepdim=True)
        return centered / divide(spread) * w + b

    class HalfGelu(torch.autograd.Function):
        """The backward pass leaves out x times the density."""

        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return f.gelu(x)

        @staticmethod
        def backward(ctx: Any, *upstream: Any) -> Any:
            (x,) = ctx.saved_tensors
            return upstream[0] * 0.5 * (1 + torch.erf(x / math.sqrt(2)))

    def attended(
        q: Any, k: Any, v: Any, scale: float = 0.5, shift: int = 0, fill: float = -math.inf, axis: int = -1
    ) -> Any:
        scores = q @ k.mT * scale
        hidden = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1 + shift)
        return torch.softmax(scores.masked_fill(hidden, fill), axis) @ v

    def one_pass(x: Any) -> Any:
        return (x * x).mean(-1, keepdim=True) - x.mean(-1, keepdim=True) ** 2

    ce, ln, causal = "cross_entropy", "layer_norm", "causal_attention"
    return [
        Fault(ce, "mean over n + 1", lambda x, y: f.cross_entropy(x, y, reduction="sum") / (len(y) + 1)),
        Fault(ce, "label smoothing of 0.001 left on", lambda x, y: f.cross_entropy(x, y, label_smoothing=1e-3)),
        Fault(
            ce,
            "probability + 1e-7 under the logarithm",
            lambda x, y: picked(torch.log(torch.softmax(x, -1) + 1e-7), y).mean(),
        ),
        Fault(
            ce,
            "probability clamped at 1e-6",
            lambda x, y: picked(torch.log(torch.softmax(x, -1).clamp(min=1e-6)), y).mean(),
            20.0,
        ),
        Fault(
            ce, "maximum not taken out", lambda x, y: picked(x - x.exp().sum(-1, keepdim=True).log(), y).mean(), 3000.0
        ),
        Fault(ce, "float16 inside", lambda x, y: f.cross_entropy(x.half().to(x.dtype), y)),
        Fault(ce, "normalizer detached", lambda x, y: picked(x - x.logsumexp(-1, keepdim=True).detach(), y).mean()),
        Fault(ce, "ignored last row", lambda x, y: f.cross_entropy(x[:-1], y[:-1])),
        Fault(ln, "unbiased variance", lambda x, w, b, e: normed(x, w, b, lambda s: (s * 7 / 6 + e).sqrt())),
        Fault(ln, "epsilon outside the root", lambda x, w, b, e: normed(x, w, b, lambda s: s.sqrt() + e)),
        Fault(ln, "epsilon of 1e-6", lambda x, w, b, e: normed(x, w, b, lambda s: (s + 1e-6).sqrt())),
        Fault(ln, "epsilon forgotten", lambda x, w, b, e: normed(x, w, b, torch.sqrt)),
        Fault(ln, "variance detached", lambda x, w, b, e: normed(x, w, b, lambda s: (s.detach() + e).sqrt())),
        Fault(
            ln,
            "variance in one pass",
            lambda x, w, b, e: normed(x, w, b, lambda s: (s + e).sqrt(), one_pass),
            1.0,
            300.0,
        ),
        Fault("gelu", "tanh approximation", lambda x: f.gelu(x, approximate="tanh")),
        Fault("gelu", "sigmoid approximation", lambda x: x * torch.sigmoid(1.702 * x)),
        Fault("gelu", "root of 2 as 1.4142", lambda x: 0.5 * x * (1 + torch.erf(x / 1.4142))),
        Fault("gelu", "backward without the density", HalfGelu.apply),
        Fault(
            "gelu_tanh",
            "0.0447 instead of 0.044715",
            lambda x: 0.5 * x * (1 + torch.tanh((2 / math.pi) ** 0.5 * (x + 0.0447 * x**3))),
        ),
        Fault(causal, "scale 0.5001", lambda q, k, v: attended(q, k, v, scale=0.5001)),
        Fault(causal, "scale by d + 1", lambda q, k, v: attended(q, k, v, scale=5**-0.5)),
        Fault(causal, "mask off by one", lambda q, k, v: attended(q, k, v, shift=1)),
        Fault(causal, "mask of -10", lambda q, k, v: attended(q, k, v, fill=-10.0)),
        Fault(causal, "mask of -20", lambda q, k, v: attended(q, k, v, fill=-20.0)),
        Fault("attention", "softmax over the wrong axis", lambda q, k, v: torch.softmax(q @ k.mT * 0.5, -2) @ v),
    ]


def scale_of(rng: np.random.Generator) -> tuple[float, float]:
    """How large numbers are, and how far from zero."""
    offset = rng.choice([0.0, 1.0]) * rng.normal() * 10 ** rng.uniform(-1, 3)
    return 10 ** rng.uniform(-3, 3), offset


def _rejects(case: Case, fault: Fault, dtype: str, seeds: Sequence[int]) -> bool:
    broken = Case(case.name, case.draw, fault.wrong)
    for seed in seeds:
        rng = np.random.default_rng(seed)
        inputs = case.draw(rng, fault.scale, fault.offset)
        try:
            held(broken, inputs, dtype, lambda shape, rng=rng: rng.normal(size=tuple(shape)))
        except AssertionError:
            return True
    return False


def _tolerated(case: Case, fault: Fault, dtype: str, tolerance: float, seeds: Sequence[int]) -> bool:
    """Whether value and gradients of the broken version are close to the right ones in float64."""
    broken = Case(case.name, case.draw, fault.wrong)
    for seed in seeds:
        inputs = case.draw(np.random.default_rng(seed), fault.scale, fault.offset)

        def upstream(shape: Any, seed: int = seed) -> Any:
            return np.random.default_rng(seed + 1).normal(size=tuple(shape))

        _, value, gradients, _ = asked(broken, inputs, dtype, upstream)
        _, right, due, _ = asked(case, inputs, "float64", upstream)
        for x, y in zip([value, *gradients], [right, *due], strict=True):
            if x is not None and not np.allclose(x.double().numpy(), y.numpy(), rtol=tolerance, atol=tolerance):
                return False
    return True


SEEDS = range(3)


def measure(cases_each: int, seed: int) -> dict[str, Any]:
    """False alarms on PyTorch's own versions, faults seen, and the gradient error that would still be seen."""
    if find_spec("torch") is None:
        raise SystemExit("formulas: PyTorch is not installed here")
    all_cases = {case.name: case for case in cases()}
    alarms, rejected = [], []
    for name in ("cross_entropy", "layer_norm", "gelu", "causal_attention"):
        for dtype in ("float32", "float64"):
            counts, started, seen, worst = (
                dict.fromkeys(("judged", "unclaimed", "another_arrangement"), 0),
                time.perf_counter(),
                0,
                0.0,
            )
            for k in range(cases_each):
                rng = np.random.default_rng((seed, k))
                inputs = all_cases[name].draw(rng, *scale_of(rng))
                try:
                    verdicts = held(
                        all_cases[name], inputs, dtype, lambda shape, rng=rng: rng.normal(size=tuple(shape))
                    )
                except AssertionError as wrong:
                    seen += 1
                    rejected.append({"formula": name, "dtype": dtype, "seed": f"{seed}, {k}", "sentence": str(wrong)})
                    continue
                worst = max(worst, *(v.worst for v in verdicts))
                counts = {key: counts[key] + sum(getattr(v, key) for v in verdicts) for key in counts}
            took = (time.perf_counter() - started) / cases_each
            alarms.append(
                {
                    "formula": name,
                    "dtype": dtype,
                    "runs": cases_each,
                    "rejected": seen,
                    **counts,
                    "worst": worst,
                    "seconds": took,
                }
            )
    rows = []
    for fault in faults():
        case = all_cases[fault.case]
        row: dict[str, Any] = {"fault": f"{fault.case}: {fault.what}"}
        for dtype in ("float32", "float64"):
            row[dtype] = "seen" if _rejects(case, fault, dtype, SEEDS) else "-"
        for tolerance in TOLERANCES:
            row[f"{tolerance:g}"] = "-" if _tolerated(case, fault, "float32", tolerance, SEEDS) else "seen"
        rows.append(row)
    total = {
        "fault": f"seen, of {len(rows)}",
        **{key: sum(r[key] == "seen" for r in rows) for key in list(rows[0])[1:]},
    }
    tables = {
        "PyTorch's own versions": alarms,
        "Faults seen, beside fixed tolerances in float32": [*rows, total],
        "The median relative error that a gradient may have": [_sensitivity(case) for case in all_cases.values()],
    }
    return {**tables, **({REJECTED: rejected} if rejected else {})}


def _sensitivity(case: Case) -> dict[str, Any]:
    row: dict[str, Any] = {"formula": case.name}
    for dtype in ("float32", "float64"):
        rng = np.random.default_rng(0)
        inputs = case.draw(rng, 1.0, 0.0)
        tensors, _, _, seed = asked(case, inputs, dtype, lambda shape, rng=rng: rng.normal(size=tuple(shape)))
        found = gradient_bound(FORMULAS[case.name], tensors, dtype, seed)
        shares = [b.allowed[b.value != 0] / np.abs(b.value[b.value != 0]) for b in found]
        row[dtype] = float(np.median(np.concatenate(shares)))
    return row
