"""Conventions: the legitimate variants of optimizers and arithmetic, and PyTorch's choice."""

from __future__ import annotations

CONVENTIONS = {
    "sgd.buffer": ("plain", "with-lr", "average"),
    "sgd.dampening": ("skipped-first", "always"),
    "sgd.nesterov": ("torch", "look-ahead"),
    "sgd.decay": ("coupled", "decoupled"),
    "adam.epsilon": ("outside", "inside", "hat"),
    "adam.correction": ("both", "none"),
    "adam.amsgrad": ("raw", "corrected"),
    "adam.decay": ("coupled", "decoupled"),
    "adamw.decay": ("before", "after", "without-lr"),
    "rmsprop.epsilon": ("outside", "inside"),
    "rmsprop.start": ("zero", "one"),
    "rmsprop.buffer": ("plain", "with-lr"),
    "adagrad.epsilon": ("outside", "inside"),
    "adadelta.rate": ("with", "without"),
    "adamax.epsilon": ("in-maximum", "outside"),
    "adamax.correction": ("both", "none"),
    "nadam.schedule": ("slow", "fast", "constant"),
    "radam.epsilon": ("hat", "outside"),
}
"""The values of each convention for an optimizer, PyTorch's first."""

ARITHMETIC = {"arithmetic.subnormals": ("kept", "flushed")}
"""The values of each convention for the arithmetic of a machine or a compiler, IEEE 754 first."""
