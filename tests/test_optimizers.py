"""The optimizers of the reference and of PyTorch against the exact rule; and what the reference refuses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from support import PYTORCH, each_case

from calibrant import exact, strategies
from calibrant.adapters import numpy_optimizers, numpy_target
from calibrant.exact import FORMATS
from calibrant.judge import agree_lists

torch = pytest.importorskip("torch")

from calibrant.adapters import hyperparameters, reference, torch_optimizers  # noqa: E402
from calibrant.mechanics import optimizers, rules  # noqa: E402  # they need torch
from calibrant.mechanics.optimizers import Optimizer, optimize  # noqa: E402

# PyTorch has a fused form of these.
FUSED = ("sgd", "adam", "adamw", "adagrad")
PATHS = {"foreach": {"foreach": True}, "fused": {"fused": True}}
"""The single-tensor path is the path of the target `torch`."""


@pytest.fixture(autouse=True)
def wide() -> Iterator[None]:
    """PyTorch holds the rate of ASGD and the momenta of NAdam in its default dtype."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


def tensors(arrays: list[Any]) -> list[Any]:
    return [None if array is None else torch.from_numpy(array) for array in arrays]


def pytorch(run: strategies.Optimization, **path: bool) -> list[list[Any]]:
    """The parameters after each step of torch.optim's optimizer of that name."""
    rate = run.hyperparameters["lr"]
    rates = rate if isinstance(rate, list) else [rate] * len(run.grads)
    leaves = [leaf.clone() for leaf in tensors(run.params)]
    made = torch_optimizers.OPTIMIZERS[run.name](leaves, **{**run.hyperparameters, "lr": 0.0}, **path)
    steps = []
    for rate, grads in zip(rates, run.grads, strict=True):
        for leaf, grad in zip(leaves, tensors(grads), strict=True):
            leaf.grad = grad
        made.param_groups[0]["lr"] = rate
        made.step()
        steps.append([leaf.detach().numpy().copy() for leaf in leaves])
    return steps


def within(steps: list[list[Any]], run: strategies.Optimization) -> None:
    agree_lists(steps, exact.optimize(run.name, run.hyperparameters, run.params, run.grads, PYTORCH))


@pytest.mark.untraced
@pytest.mark.parametrize(
    ("name", "path"),
    [
        (name, path)
        for name in torch_optimizers.OPTIMIZERS
        for path in PATHS
        if (path != "fused" or name in FUSED) and name != "muon"  # it has one path, in bfloat16
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_rule_is_that_of_pytorch(name: str, path: str, dtype: str) -> None:
    """Both are within the bound of one exact rule, on each path that PyTorch has."""

    # A fused SGD with momentum fails without a gradient.
    @each_case(strategies.of_each(absent=(path != "fused",)), FORMATS[dtype], examples=12)
    def check(run: Callable[[str], strategies.Optimization]) -> None:
        within(pytorch(run(name), **PATHS[path]), run(name))

    check()


def test_defaults_are_those_of_pytorch() -> None:
    for name, rule in rules.RULES.items():
        assert rule.defaults == exact.OPTIMIZERS[name]
        if name not in torch_optimizers.OPTIMIZERS:
            continue
        theirs = torch_optimizers.OPTIMIZERS[name]([torch.ones(1, 1)]).defaults

        theirs = {"maximize": False} | theirs  # Muon has no such hyperparameter
        assert {key: theirs[key] for key in rule.defaults} == rule.defaults
        others = set(theirs) - set(rule.defaults) - {"foreach", "fused", "capturable", "differentiable"}
        assert others == ({"decoupled_weight_decay"} if name == "adamw" else set())


@pytest.mark.parametrize("t0", [1e6, 0.0, 2.0, -3.0])
def test_asgd_keeps_the_average_of_its_parameters(t0: float) -> None:
    ours, theirs = [torch.tensor([1.0, -2.0])], [torch.tensor([1.0, -2.0])]
    mine = Optimizer("asgd", ours, t0=t0)
    other = torch.optim.ASGD(theirs, t0=t0)
    for t in range(6):
        ours[0].grad = theirs[0].grad = torch.tensor([1.0, 2.0**t])
        mine.step()
        other.step()

    torch.testing.assert_close(mine.memories[0].mean, other.state[theirs[0]]["ax"], rtol=1e-14, atol=0)


@pytest.mark.parametrize("name", ["adam", "nadam", "radam"])
def test_decoupled_decay_can_be_asked_for(name: str) -> None:
    """Adam is then AdamW; strategies draw it for the others only."""
    params, grads = [np.array([1.0, -2.0])], [[np.array([0.5, 4.0])]] * 7
    asked = {"weight_decay": 0.25, "decoupled_weight_decay": True}

    path = optimize(name, asked, tensors(params), [tensors(step) for step in grads])

    run = strategies.Optimization(name, {"lr": rules.RULES[name].defaults["lr"]} | asked, params, grads)
    within([[x.numpy() for x in step] for step in path], run)
    if name == "adam":
        decoupled = optimize("adamw", {"weight_decay": 0.25}, tensors(params), [tensors(step) for step in grads])
        assert all(torch.equal(one, other) for (one,), (other,) in zip(path, decoupled, strict=True))


def test_gradients_below_the_root_of_the_range_still_have_signs() -> None:
    """Their product with the previous gradient is zero in float32, and PyTorch then changes no step size."""
    steady = [[torch.tensor(1e-30, dtype=torch.float32)]] * 3
    path = optimize("rprop", {"lr": 0.5, "etas": (0.5, 2.0)}, [torch.tensor(4.0, dtype=torch.float32)], steady)

    assert [theta.item() for (theta,) in path] == [3.5, 2.5, 0.5]


@pytest.mark.parametrize("g", [0.3, 0.7, 3.3])
@pytest.mark.parametrize("alpha", [0.0, 0.5, 0.9])
def test_a_variance_that_rounds_below_zero_has_a_root(g: float, alpha: float) -> None:
    """PyTorch's centered RMSprop returns NaN for some of these."""
    steady = [[torch.tensor(g, dtype=torch.float32)]] * 300
    settings = {"alpha": alpha, "centered": True}

    ours = optimize("rmsprop", settings, [torch.tensor(1.0, dtype=torch.float32)], steady)
    arrays = [[x.numpy() for x in step] for step in steady]
    others = numpy_optimizers.optimize("rmsprop", settings, [np.array(1.0, dtype=np.float32)], arrays)

    assert all(theta.isfinite() for (theta,) in ours)
    assert all(np.isfinite(theta) for (theta,) in others)


def test_an_optimizer_steps_the_tensors_that_it_was_given() -> None:
    leaf = torch.tensor([1.0, 2.0], requires_grad=True)
    made = Optimizer("sgd", [leaf], lr=0.5)
    (leaf**2).sum().backward()
    gradient = leaf.grad

    made.step()

    assert made.params[0] is leaf
    assert leaf.tolist() == [0.0, 0.0]
    assert leaf.requires_grad
    assert leaf.grad is gradient
    assert gradient.tolist() == [2.0, 4.0]
    made.zero_grad()
    assert leaf.grad is None


def test_an_optimizer_remembers_a_copy_of_the_gradient() -> None:
    """A loop that sets the gradient to zero in place does not reach the buffer."""
    leaf = torch.tensor([1.0])
    made = Optimizer("sgd", [leaf], lr=0.5, momentum=0.5)
    leaf.grad = torch.tensor([1.0])
    made.step()
    leaf.grad.zero_()
    made.step()

    assert leaf.tolist() == [0.25]


WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("lbfgs", {}, "no optimizer 'lbfgs'$"),
    ("adamw", {"decoupled_weight_decay": True}, "decoupled_weight_decay"),
    ("sgd", {"lr": "0.5"}, "lr"),
    ("sgd", {"lr": True}, "lr"),
    ("sgd", {"lr": [0.5, -0.5]}, "lr"),
    ("sgd", {"nesterov": 1}, "nesterov"),
    ("sgd", {"momentum": (0.5, 0.5)}, "momentum"),
    ("adam", {"betas": 0.5}, "betas"),
    ("adam", {"betas": (0.5,)}, "betas"),
    ("rmsprop", {"alpha": 1.5}, "alpha"),
    ("rprop", {"etas": (0.5, 1.0)}, "etas"),
    ("rprop", {"step_sizes": (1.0, 0.5)}, "step_sizes"),
    ("rprop", {"weight_decay": 0.5}, "weight_decay"),
]
"""Meaningless hyperparameters that the property of `optimizer.invalid` does not draw, each with a word of the message."""


def check_refused(word: str, name: str, hyperparameters: dict[str, Any], *steps: list[tuple[int, ...]]) -> None:
    """Check that both targets refuse these hyperparameters, or gradients of these shapes for one parameter of two."""
    for run, ones in ((optimize, torch.ones), (numpy_optimizers.optimize, np.ones)):
        with pytest.raises(ValueError, match=word):
            run(name, hyperparameters, [ones(2)], [[ones(shape) for shape in step] for step in steps])


@pytest.mark.parametrize(("name", "wrong", "word"), WRONG)
def test_a_meaningless_hyperparameter_is_refused(name: str, wrong: dict[str, Any], word: str) -> None:
    check_refused(word, name, wrong, [(2,)], [(2,)])


@pytest.mark.parametrize("shapes", [[(2,), (2,)], [(3,)], []])
def test_gradients_that_do_not_fit_are_refused(shapes: list[tuple[int, ...]]) -> None:
    check_refused("step", "sgd", {}, shapes)


@pytest.mark.parametrize(
    ("operation", "more"),
    [
        ("optimize", ()),
        ("optimize_groups", ()),
        ("accumulate_and_step", (1,)),
        ("resume", (1, {})),
        ("scaled_steps", ({}, None)),
    ],
)
def test_a_list_of_rates_that_is_too_short_is_refused(operation: str, more: tuple[Any, ...]) -> None:
    settings: Any = {"lr": [0.5]}
    given = [settings] if operation == "optimize_groups" else settings
    for target, ones in ((reference, torch.ones(2)), (numpy_target, np.ones(2))):
        with pytest.raises(ValueError, match="lr"):
            getattr(target, operation)("sgd", given, [ones], [[ones]] * 2, *more)


def test_an_optimizer_takes_a_list_of_tensors() -> None:
    with pytest.raises(ValueError, match="list"):
        Optimizer("sgd", torch.ones(2))
    with pytest.raises(ValueError, match="empty"):
        Optimizer("sgd", [])


def test_no_steps_are_an_empty_path() -> None:
    assert optimizers.optimize("adam", {"lr": []}, [torch.ones(2)], []) == []
    assert numpy_optimizers.optimize("adam", {"lr": []}, [np.ones(2)], []) == []
    assert torch_optimizers.optimize("adam", {"lr": []}, [torch.ones(2)], []) == []
    assert hyperparameters.rates_of({"lr": [], "eps": 0.5}, 0) == ([], {"eps": 0.5})


@pytest.mark.parametrize("given", [{"amsgrad": True}, {"amsgrad": False}, {"beta": 0.0}])
def test_a_library_is_offered_no_hyperparameter_that_an_optimizer_does_not_have(given: dict[str, Any]) -> None:
    assert hyperparameters.offered("a library", "sgd", {"maximize": False}, "lr") == {"lr": 1e-3}
    with pytest.raises(TypeError):
        hyperparameters.offered("a library", "sgd", given, "lr")
