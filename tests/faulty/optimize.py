"""Wrong optimizers: each is the right one with one line changed. The first word of a fault's name is the optimizer that has it."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np

from calibrant.exact import OPTIMIZERS

_REMEMBERED: dict[str, Any] = {}


def _walk(
    name: str, hyperparameters: dict[str, Any], params: Any, grads: Any, fault: str = "", number: Any = None
) -> Any:
    """Every optimizer in plain NumPy, all in the dtype of the parameters, with the places where it can go wrong.

    `number` makes a hyperparameter such a number as the parameters are made of, where that is no dtype of NumPy's.
    """
    h = SimpleNamespace(**{**OPTIMIZERS[name], **hyperparameters})
    lrs = h.lr if isinstance(h.lr, list) else [h.lr] * len(grads)
    _refuse(h, lrs, len(grads))
    dtype = number or params[0].dtype.type
    params = [p.copy() for p in params]
    states: list[dict[str, Any]] = [{} for _ in params]
    if fault == "remembered":
        _REMEMBERED.setdefault(name, {})
        states = [_REMEMBERED[name].setdefault((k, p.shape, p.dtype.name), {}) for k, p in enumerate(params)]
    if fault == "shared":
        states = [states[0] for _ in params]
    path = []
    for lr, step in zip(lrs, grads, strict=True):
        for k, (g, s) in enumerate(zip(step, states, strict=True)):
            if g is None and fault != "absent-is-zero":
                if fault == "absent-counts":
                    s["t"] = s.get("t", 0) + 1
                continue
            if h.maximize and g is not None:
                if fault == "negated-in-place":
                    g *= dtype(-1)
                elif fault != "minimized":
                    g = -g
            if fault == "shared-steps":
                states[k]["t"] = max(state.get("t", 0) for state in states)
            s["t"] = s.get("t", 0) + 1
            g = np.zeros_like(params[k]) if g is None else g
            params[k] = np.asarray(
                _RULES[name](s, h, s["t"], dtype(lr), params[k], g, fault, dtype), dtype=params[k].dtype
            )
        path.append([p.copy() for p in params])
    return path


def _refuse(h: Any, lrs: list[float], n_steps: int) -> None:
    numbers = [x for value in vars(h).values() for x in (value if isinstance(value, (list, tuple)) else [value])]
    if len(lrs) != n_steps or not all(math.isfinite(x) and x >= 0 for x in numbers):
        raise ValueError("a hyperparameter means nothing")
    if any(beta >= 1 for beta in getattr(h, "betas", ())) or getattr(h, "rho", 0) > 1:
        raise ValueError("an average that never forgets")
    if getattr(h, "nesterov", False) and (not h.momentum or h.dampening):
        raise ValueError("Nesterov without momentum")
    if not 0 < getattr(h, "etas", (0.5, 2))[0] < 1 < getattr(h, "etas", (0.5, 2))[1]:
        raise ValueError("etas")


def _sgd(s: Any, h: Any, t: int, lr: Any, p: Any, g: Any, fault: str, d: Any) -> Any:
    if h.weight_decay:
        decay = d(h.weight_decay)
        g = g + decay if fault == "constant-decay" else g - decay * p if fault == "decay-grows" else decay * p + g
    if not h.momentum:
        return p - g * lr
    mu, part = d(h.momentum), d(1) - d(h.dampening)
    if fault == "rate-inside":
        g = lr * g
    old = s.get("b", np.zeros_like(p))
    dampened = (t > 1 and fault != "never-dampened") or fault == "always-dampened"
    push = part * g if dampened else g
    if fault == "average":
        push = (d(1) - mu) * push
    s["b"] = old + mu * g if fault == "wrong-term" else mu * old + push
    step = g + mu * (old if fault == "old-buffer" else s["b"]) if h.nesterov else s["b"]
    return p - (step if fault == "rate-inside" else lr * step)


def _adam(s: Any, h: Any, t: int, lr: Any, p: Any, g: Any, fault: str, d: Any) -> Any:
    decoupled = getattr(h, "decoupled_weight_decay", True)
    b1, b2 = map(d, reversed(h.betas) if fault == "betas-swapped" else h.betas)
    if fault == "decoupled":
        decoupled = True
    if fault == "coupled":
        decoupled = False
    if not decoupled:
        g = g + d(h.weight_decay) * p
    s["m"] = b1 * s.get("m", 0) + (d(1) - b1) * g
    s["v"] = b2 * s.get("v", 0) + (d(1) if fault == "not-averaged" else d(1) - b2) * g * g
    power = {"one-late": t + 1, "without-power": 1}.get(fault, t)
    c1, c2 = (d(1), d(1)) if fault == "uncorrected" else (d(1) - b1**power, d(1) - b2**power)
    v = s["v"]
    if h.amsgrad and fault != "amsgrad-ignored":
        v = np.maximum(s.get("most", 0), v)
        if fault != "largest-forgotten":
            s["most"] = v
    eps = d(h.eps)
    mhat, vhat = s["m"] / c1, v / c2
    spread = np.sqrt(vhat) + eps
    if fault == "epsilon-inside":
        spread = np.sqrt(vhat + eps)
    if fault == "epsilon-hat":
        spread = (np.sqrt(v) + eps) / np.sqrt(c2)
    if decoupled:
        p = p - (d(1) if fault == "decay-without-rate" else lr) * d(h.weight_decay) * p
    return p - lr * (mhat / spread)


def _rmsprop(s: Any, h: Any, t: int, lr: Any, p: Any, g: Any, fault: str, d: Any) -> Any:
    g = g + d(h.weight_decay) * p
    alpha, eps = d(h.alpha), d(h.eps)
    s["v"] = alpha * s.get("v", d(fault == "from-one")) + (d(1) - alpha) * (g * g)
    v = s["v"]
    if h.centered and fault != "not-centered":
        s["a"] = alpha * s.get("a", 0) + (d(1) - alpha) * g
        v = np.maximum(v - s["a"] ** 2, 0)
    push = g / (np.sqrt(v + eps) if fault == "epsilon-inside" else np.sqrt(v) + eps)
    if fault == "rate-inside":
        push = lr * push
    s["b"] = d(h.momentum) * s.get("b", 0) + push
    return p - (s["b"] if fault == "rate-inside" else lr * s["b"])


def _adagrad(s: Any, h: Any, t: int, lr: Any, p: Any, g: Any, fault: str, d: Any) -> Any:
    g = g + d(h.weight_decay) * p
    start = 0 if fault == "from-zero" else h.initial_accumulator_value
    s["v"] = s.get("v", d(start)) + g * g
    past = {"decay-ignored": 0, "decay-at-once": t}.get(fault, t - 1)
    return p - lr / (d(1) + d(past) * d(h.lr_decay)) * (g / (np.sqrt(s["v"]) + d(h.eps)))


def _adadelta(s: Any, h: Any, t: int, lr: Any, p: Any, g: Any, fault: str, d: Any) -> Any:
    g = g + d(h.weight_decay) * p
    rho, eps = d(h.rho), d(h.eps)
    s["v"] = rho * s.get("v", 0) + (d(1) - rho) * g * g
    x = s.get("x", np.zeros_like(p))
    step = (
        np.sqrt(x + eps) / (np.sqrt(s["v"]) + np.sqrt(eps) if fault == "epsilon-outside" else np.sqrt(s["v"] + eps)) * g
    )
    s["x"] = rho * x + (d(1) - rho) * step * step
    return p - (step if fault == "without-rate" else lr * step)


def _adamax(s: Any, h: Any, t: int, lr: Any, p: Any, g: Any, fault: str, d: Any) -> Any:
    g = g + d(h.weight_decay) * p
    b1, b2 = map(d, h.betas)
    s["m"] = b1 * s.get("m", 0) + (d(1) - b1) * g
    inside = d(0) if fault == "epsilon-outside" else d(h.eps)
    s["u"] = np.maximum(b2 * s.get("u", 0), abs(g) + inside)
    c1 = d(1) if fault == "uncorrected" else d(1) - b1**t
    return p - lr / c1 * s["m"] / (s["u"] + d(h.eps) if fault == "epsilon-outside" else s["u"])


def _nadam(s: Any, h: Any, t: int, lr: Any, p: Any, g: Any, fault: str, d: Any) -> Any:
    b1, b2 = map(d, h.betas)
    if h.decoupled_weight_decay:
        p = p * (d(1) - lr * d(h.weight_decay))
    else:
        g = g + d(h.weight_decay) * p

    def mu(step: int) -> Any:
        return b1 if fault == "constant" else b1 * (d(1) - d(0.5) * d(0.96) ** (d(step) * d(h.momentum_decay)))

    s["m"] = b1 * s.get("m", 0) + (d(1) - b1) * g
    s["v"] = b2 * s.get("v", 0) + (d(1) - b2) * g * g
    s["mus"] = s.get("mus", d(1)) * mu(t)
    ahead = mu(t) if fault == "no-look-ahead" else mu(t + 1)
    look = (d(1) - mu(t)) * g / (d(1) - s["mus"]) + ahead * s["m"] / (d(1) - s["mus"] * ahead)
    return p - lr * look / (np.sqrt(s["v"] / (d(1) - b2**t)) + d(h.eps))


def _radam(s: Any, h: Any, t: int, lr: Any, p: Any, g: Any, fault: str, d: Any) -> Any:
    b1, b2 = map(d, h.betas)
    if h.decoupled_weight_decay:
        p = p * (d(1) - lr * d(h.weight_decay))
    else:
        g = g + d(h.weight_decay) * p
    s["m"] = b1 * s.get("m", 0) + (d(1) - b1) * g
    s["v"] = b2 * s.get("v", 0) + (d(1) - b2) * g * g
    c1, c2 = d(1) - b1**t, d(1) - b2**t
    longest = d(2) / (d(1) - b2) - d(1)
    rho = longest - d(2 * t) * b2**t / c2
    if not rho > (4 if fault == "threshold-four" else 5):
        return p - lr * (s["m"] / c1)
    factor = np.sqrt((rho - 4) * (rho - 2) * longest / ((longest - 4) * (longest - 2) * rho))
    if fault == "not-rectified":
        factor = d(1)
    spread = (
        np.sqrt(s["v"] / c2) + d(h.eps) if fault == "epsilon-outside" else (np.sqrt(s["v"]) + d(h.eps)) / np.sqrt(c2)
    )
    return p - lr * factor * (s["m"] / c1) / spread


def _asgd(s: Any, h: Any, t: int, lr: Any, p: Any, g: Any, fault: str, d: Any) -> Any:
    g = g + d(h.weight_decay) * p
    lambd = d(h.lambd)
    eta = lr if fault == "rate-constant" else lr / (d(1) + lambd * lr * d(t - 1)) ** d(h.alpha)
    return p * (d(1) if fault == "not-shrunk" else d(1) - lambd * eta) - eta * g


def _rprop(s: Any, h: Any, t: int, lr: Any, p: Any, g: Any, fault: str, d: Any) -> Any:
    turn = np.sign(g) * np.sign(s.get("g", np.zeros_like(p)))
    size = s.get("size", lr) * np.where(turn > 0, d(h.etas[1]), np.where(turn < 0, d(h.etas[0]), d(1)))
    s["size"] = size if fault == "not-clamped" else np.clip(size, d(h.step_sizes[0]), d(h.step_sizes[1]))
    s["g"] = g if fault == "steps-after-a-turn" else np.where(turn < 0, 0, g)
    return p - np.sign(s["g"]) * s["size"]


_RULES = {
    "sgd": _sgd,
    "adam": _adam,
    "adamw": _adam,
    "rmsprop": _rmsprop,
    "adagrad": _adagrad,
    "adadelta": _adadelta,
    "adamax": _adamax,
    "nadam": _nadam,
    "radam": _radam,
    "asgd": _asgd,
    "rprop": _rprop,
}


def right(name: str, hyperparameters: dict[str, Any], params: Any, grads: Any) -> Any:
    if name not in OPTIMIZERS or set(hyperparameters) - set(OPTIMIZERS[name]):
        raise ValueError(f"unknown: {name} with {list(hyperparameters)}")
    with np.errstate(all="ignore"):
        return _walk(name, hyperparameters, params, grads)


def _planted(**faults: str) -> Any:
    """An operation whose optimizers have these faults, and are otherwise right: `_planted(adam="epsilon-hat")`."""

    def optimize(name: str, hyperparameters: dict[str, Any], params: Any, grads: Any) -> Any:
        if faults.get(name) == "any-name":
            hyperparameters = {key: value for key, value in hyperparameters.items() if key in OPTIMIZERS[name]}
        if name not in faults:
            return right(name, hyperparameters, params, grads)
        if set(hyperparameters) - set(OPTIMIZERS[name]):
            raise ValueError(f"unknown: {list(hyperparameters)}")
        with np.errstate(all="ignore"):
            return _walk(name, hyperparameters, params, grads, faults[name])

    return optimize


sgd_minimized = _planted(sgd="minimized")
sgd_constant_decay = _planted(sgd="constant-decay")
sgd_decay_grows = _planted(sgd="decay-grows")
sgd_rate_inside = _planted(sgd="rate-inside")
sgd_never_dampened = _planted(sgd="never-dampened")
sgd_always_dampened = _planted(sgd="always-dampened")
sgd_average = _planted(sgd="average")
sgd_wrong_term = _planted(sgd="wrong-term")
sgd_old_buffer = _planted(sgd="old-buffer")
sgd_absent_is_zero = _planted(sgd="absent-is-zero")
sgd_shared = _planted(sgd="shared")
sgd_remembered = _planted(sgd="remembered")
adam_betas_swapped = _planted(adam="betas-swapped")
adam_decoupled = _planted(adam="decoupled")
adam_not_averaged = _planted(adam="not-averaged")
adam_one_late = _planted(adam="one-late")
adam_without_power = _planted(adam="without-power")
adam_uncorrected = _planted(adam="uncorrected")
adam_amsgrad_ignored = _planted(adam="amsgrad-ignored")
adam_largest_forgotten = _planted(adam="largest-forgotten")
adam_epsilon_inside = _planted(adam="epsilon-inside")
adam_epsilon_hat = _planted(adam="epsilon-hat")
adam_absent_counts = _planted(adam="absent-counts")
adam_shared_steps = _planted(adam="shared-steps")
adam_any_name = _planted(adam="any-name")
adamw_coupled = _planted(adamw="coupled")
adamw_decay_without_rate = _planted(adamw="decay-without-rate")
rmsprop_from_one = _planted(rmsprop="from-one")
rmsprop_not_centered = _planted(rmsprop="not-centered")
rmsprop_epsilon_inside = _planted(rmsprop="epsilon-inside")
rmsprop_rate_inside = _planted(rmsprop="rate-inside")
adagrad_from_zero = _planted(adagrad="from-zero")
adagrad_decay_ignored = _planted(adagrad="decay-ignored")
adagrad_decay_at_once = _planted(adagrad="decay-at-once")
adadelta_epsilon_outside = _planted(adadelta="epsilon-outside")
adadelta_without_rate = _planted(adadelta="without-rate")
adamax_epsilon_outside = _planted(adamax="epsilon-outside")
adamax_uncorrected = _planted(adamax="uncorrected")
adamax_negated_in_place = _planted(adamax="negated-in-place")
nadam_constant = _planted(nadam="constant")
nadam_no_look_ahead = _planted(nadam="no-look-ahead")
radam_threshold_four = _planted(radam="threshold-four")
radam_not_rectified = _planted(radam="not-rectified")
radam_epsilon_outside = _planted(radam="epsilon-outside")
asgd_rate_constant = _planted(asgd="rate-constant")
asgd_not_shrunk = _planted(asgd="not-shrunk")
rprop_not_clamped = _planted(rprop="not-clamped")
rprop_steps_after_a_turn = _planted(rprop="steps-after-a-turn")
