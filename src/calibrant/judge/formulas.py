"""The answer of a target against a formula, counted and told as every other answer is."""

from __future__ import annotations

from typing import Any

import numpy as np

from calibrant.formula.declaring import Declared
from calibrant.formula.judging import Judged, Undecided, Wrong, assert_agrees, assert_gradient
from calibrant.judge import comparing
from calibrant.judge.comparing import Disagreement, show


def agree_with_formula(answer: Any, one: Declared, inputs: tuple[Any, ...], dtype: str, upstream: Any = None) -> None:
    """Raise Disagreement unless the answer is the formula's value, or with an upstream gradient the gradient of each argument that has one."""
    tally = comparing._tally
    try:
        with np.errstate(all="ignore"):
            if upstream is None:
                count = int(np.size(answer))
                found = assert_agrees(answer, one.function, inputs, dtype=dtype, slack=tally.slack)
            else:
                gradients = _gradients(answer, one, inputs)
                count = sum(g.size for g in gradients if g is not None)
                if not any(g is not None for g in gradients):
                    return
                found = assert_gradient(gradients, one.function, inputs, upstream, dtype=dtype, slack=tally.slack)
    except Undecided:
        found = Judged(0, count, 0, 0, 0.0)
    except Wrong as wrong:
        tally.judged += wrong.actual.size
        whole = "it" if upstream is None else wrong.label.partition(": ")[2]
        returned = f"returned {show(wrong.actual)}, where " if upstream is None else "is wrong: "
        raise Disagreement(f"{returned}{whole}{wrong.sentence}", wrong.actual, wrong.expected, wrong.measured) from None
    tally.judged += found.judged
    tally.unjudged += found.unclaimed
    tally.another_arrangement += found.another_arrangement
    tally.worst = max(tally.worst, found.worst)


def _gradients(answer: Any, one: Declared, inputs: tuple[Any, ...]) -> list[Any]:
    """A gradient, or None, for each array of floating-point numbers; raise Disagreement for another count.

    The answer has one for each argument that has a gradient, or for each such array, labels included, or for each argument.
    """
    due = one.differentiable
    rows = [np.shape(g) for g in answer if g is not None]
    if len(due) == 1 and len(answer) != 1 and [*map(np.shape, inputs[due[0]])] == rows:
        answer = [np.asarray(answer)]  # the array itself, which was read as a list of its rows
    floating = [i for i, x in enumerate(inputs) if isinstance(x, np.ndarray) and x.dtype.kind not in "iub"]
    for places in (due, floating, range(len(inputs))):
        if len(answer) == len(places):
            found = dict(zip(places, answer, strict=True))
            return [found[i] if i in due else None for i in floating]
    names = ", ".join(one.parameters[i] for i in due)
    raise Disagreement(f"returned {len(answer)} gradients where {len(due)} are due, for {names}", answer, len(due))
