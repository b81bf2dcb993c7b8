"""Optimizers: how to update parameters by their gradients.

`rules`, `further_rules`, `muon` and `schedule_free` hold the rules, a function each; this module holds what they share. K parameters are tensors of any shapes; each of
T steps has K gradients of the shapes of their parameters.
"""

import copy
import difflib
import math
from collections.abc import Iterable, Mapping, Sequence
from numbers import Real
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from calibrant.mechanics import further_rules, muon, schedule_free  # noqa: F401  # they enter their rules into RULES
from calibrant.mechanics.rules import RULES, Rule


class Optimizer:
    """Parameters, and the rule that updates them in place by their .grad: `Optimizer("adam", [params], lr=1e-1)`.  [optimizer.swap]

    Raises ValueError as `require_rule` does, and unless params is a list of tensors.
    """

    def __init__(self, name: str, params: Iterable[Tensor], **hyperparameters: Any) -> None:
        rule = require_rule(name, hyperparameters)
        if isinstance(params, Tensor):
            raise ValueError("params is a tensor: it must be a list of tensors")
        self.params = list(params)
        if not self.params:
            raise ValueError("params is empty: there is nothing to optimize")
        flat = [tuple(p.shape) for p in self.params if name == "muon" and p.dim() != 2]
        if flat:
            raise ValueError(f"a parameter is {flat[0]}: muon moves matrices, and leaves others to another optimizer")
        shared = {"weight_decay": 0.0, "decoupled_weight_decay": rule.decouples}
        self.hyperparameters = SimpleNamespace(**shared | dict(rule.defaults) | hyperparameters)
        self.rule = rule
        fresh = [{part: torch.zeros_like(p) for part in rule.remembers} for p in self.params]
        self.memories = [SimpleNamespace(t=0, **memory) for memory in fresh]

    def zero_grad(self) -> None:
        """Forget every gradient."""
        for p in self.params:
            p.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """Update each parameter by its own memory, except those without gradient.  [optimizer.own-state, optimizer.absent-gradient]"""
        h = self.hyperparameters
        for p, memory in zip(self.params, self.memories, strict=True):
            if p.grad is None:
                continue
            memory.t += 1
            theta, g = p, -p.grad if h.maximize else p.grad.clone()
            if self.rule.decays:
                pass
            elif h.decoupled_weight_decay:
                theta = theta * (1 - h.lr * h.weight_decay)
            elif h.weight_decay:
                g = g + h.weight_decay * theta
            p.copy_(self.rule.apply(theta, g, memory, h))


class Stepper:
    """An optimizer of copies of the parameters; `lr` may be a list, one rate for each of its steps."""

    def __init__(self, name: str, hyperparameters: Mapping[str, Any], params: Sequence[Tensor]) -> None:
        settings = dict(hyperparameters)
        self.rates = settings.pop("lr") if isinstance(settings.get("lr"), (list, tuple)) else None
        self.leaves = [p.detach().clone() for p in params]
        self.optimizer = Optimizer(name, self.leaves, **settings)
        self.n_steps = 0

    def step(self, grads: Sequence[Tensor | None]) -> list[Tensor]:
        """Step along these gradients, and return copies of the parameters.

        Raises ValueError unless there is a rate, and as `require_step` does.
        """
        if self.rates is not None:
            if self.n_steps == len(self.rates):
                raise ValueError(f"lr is a list of {len(self.rates)}, but there are more steps")
            self.optimizer.hyperparameters.lr = rate = self.rates[self.n_steps]
            require_value("lr", rate, 0.0)
        require_step(self.n_steps + 1, self.leaves, grads)
        for leaf, g in zip(self.leaves, grads, strict=True):
            leaf.grad = g
        self.optimizer.step()
        self.n_steps += 1
        return self.now()

    def now(self) -> list[Tensor]:
        """Copies of the parameters."""
        return [leaf.clone() for leaf in self.leaves]

    def saved(self) -> dict[str, Any]:
        """All that the next steps depend on, apart from the parameters: hyperparameters, memories, and which step is next."""
        of_optimizer = vars(self.optimizer.hyperparameters), [vars(memory) for memory in self.optimizer.memories]
        return copy.deepcopy({"optimizer": of_optimizer, "rates": self.rates, "n_steps": self.n_steps})

    def load(self, state: dict[str, Any]) -> None:
        """Go on from what was saved, whatever this one was made with.  [resume.hyperparameters]"""
        hyperparameters, memories = state["optimizer"]
        vars(self.optimizer.hyperparameters).update(hyperparameters)
        for memory, saved in zip(self.optimizer.memories, memories, strict=True):
            vars(memory).update(saved)
        self.rates, self.n_steps = state["rates"], state["n_steps"]


def optimize(
    name: str, hyperparameters: Mapping[str, Any], params: Sequence[Tensor], grads: Sequence[Sequence[Tensor | None]]
) -> list[list[Tensor]]:
    """The K parameters after each of T steps of a fresh optimizer on these gradients.  [optimizer.fresh]

    A gradient may be None; `lr` may be a list of T rates [optimizer.changing-rate]. The arguments do not change
    [optimizer.gradients-kept]. Raises ValueError as `Stepper` does, and unless there is one rate for each step.
    """
    stepper = Stepper(name, hyperparameters, params)
    if stepper.rates is not None and len(stepper.rates) != len(grads):
        raise ValueError(f"lr is a list of {len(stepper.rates)}, but there are {len(grads)} steps")
    return [stepper.step(step) for step in grads]


def require_rule(name: str, hyperparameters: Mapping[str, Any]) -> Rule:
    """The rule of that name. Raises ValueError unless it accepts the hyperparameters.  [optimizer.unknown, optimizer.invalid]"""
    require_settings(name, hyperparameters, {name: rule.defaults for name, rule in RULES.items()})
    rule = RULES[name]
    given = {**rule.defaults, **hyperparameters}
    if name == "sgd" and given["nesterov"] and not (given["momentum"] > 0 and given["dampening"] == 0):
        found = f"momentum {given['momentum']} and dampening {given['dampening']}"
        raise ValueError(f"nesterov is True with {found}: it needs a momentum, undampened")
    return rule


def require_settings(name: str, hyperparameters: Mapping[str, Any], known: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise ValueError unless the optimizer is known, has these hyperparameters, and each can have its value."""
    require_names(name, hyperparameters, known)
    for key, value in hyperparameters.items():
        require_value(key, value, known[name][key])


def require_names(name: str, hyperparameters: Iterable[str], known: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise ValueError unless the optimizer is known and has hyperparameters of these names."""
    if name not in known:
        raise ValueError(f"there is no optimizer {name!r}{_nearest(name, known)}")
    for key in hyperparameters:
        if key not in known[name]:
            raise ValueError(f"{name} has no hyperparameter {key!r}{_nearest(key, known[name])}")


def require_value(key: str, value: Any, default: Any) -> None:
    """Raise ValueError unless a hyperparameter, such as the learning rate lr, can have this value.  [optimizer.invalid]

    Its default shows whether a flag, a number or several are due.
    """
    if isinstance(default, bool):
        if not isinstance(value, bool):
            raise ValueError(f"{key} is {value!r}: it must be True or False")
        return
    if key == "adjust_lr_fn":
        if value not in (None, "original", "match_rms_adamw"):
            raise ValueError(f"adjust_lr_fn is {value!r}: it must be None, 'original' or 'match_rms_adamw'")
        return
    numbers = tuple(value) if isinstance(value, (list, tuple)) else (value,)
    if key == "eps" and isinstance(default, tuple) and len(numbers) == 2 and numbers[0] is None:
        numbers = (0.0, numbers[1])
    if len(numbers) != (len(default) if isinstance(default, tuple) else 1):
        parts = {2: "a pair", 3: "three numbers"}[len(default)] if isinstance(default, tuple) else "one number"
        raise ValueError(f"{key} is {value!r}: it must be {parts}")
    if not all(isinstance(x, Real) and not isinstance(x, bool) and math.isfinite(x) for x in numbers):
        raise ValueError(f"{key} is {value!r}: it must be finite")
    if key not in ("dampening", "t0", "beta2_decay", "ns_coefficients") and min(numbers) < 0:
        raise ValueError(f"{key} is {value!r}: it cannot be negative")
    if (key == "betas" and max(numbers) >= 1) or (key in ("alpha", "rho") and max(numbers) > 1):
        raise ValueError(f"{key} is {value!r}: it is too large, for it is a share of 1")
    if key == "beta2_decay" and numbers[0] > 0:
        raise ValueError(f"beta2_decay is {value!r}: it cannot be positive")
    if key in ("ns_steps", "warmup_steps") and numbers[0] != int(numbers[0]):
        raise ValueError(f"{key} is {value!r}: it must be a whole number")
    if key == "d" and numbers[0] < 1:
        raise ValueError(f"d is {value!r}: it must be at least 1")
    if key == "etas" and not 0 < numbers[0] < 1 < numbers[1]:
        raise ValueError(f"etas is {value!r}: the first must lie between 0 and 1, the second above")
    if key == "step_sizes" and numbers[0] > numbers[1]:
        raise ValueError(f"step_sizes is {value!r}: the first must not exceed the second")


def require_step(number: int, params: Sequence[Tensor], grads: Sequence[Tensor | None]) -> None:
    """Raise ValueError unless the step of this number has, for each parameter, None or one gradient of its shape."""
    if len(grads) != len(params):
        raise ValueError(f"step {number} has {len(grads)} gradients, but there are {len(params)} parameters")
    for k, (p, g) in enumerate(zip(params, grads, strict=True)):
        if g is not None and g.shape != p.shape:
            raise ValueError(
                f"in step {number} gradient {k} is {tuple(g.shape)}, but its parameter is {tuple(p.shape)}"
            )


def _nearest(word: str, words: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, list(words), cutoff=0.5)
    return f"; nearest: {', '.join(close)}" if close else ""
