"""Conventions: where the field has several legitimate variants, and PyTorch's choice."""

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
"""Where the field has several legitimate variants of an optimizer: the name of each choice and what it may be, PyTorch's first."""

ARITHMETIC = {"arithmetic.subnormals": ("kept", "flushed")}
"""What a machine, or a compiler, may do otherwise than IEEE 754 has it."""
