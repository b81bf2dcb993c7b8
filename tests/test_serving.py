"""A target in a process of its own: it answers as it does here, and cannot reach what judges it."""

from __future__ import annotations

import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from support import checked, statuses, target

from calibrant.protocol.wire import message
from calibrant.strategies import squared_distance
from calibrant.target.description import described
from calibrant.target.serving import serve

ZERO, ONE = np.zeros(()), np.ones(())


def answers(implementation: Any, *calls: tuple[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """The responses to requests, without what frames them."""
    requests = [message(k, operation, params, functions="python") for k, (operation, params) in enumerate(calls)]
    said = io.StringIO()
    serve(described("planted", implementation, "planted", 10.0), requests, said)
    found = [json.loads(line) for line in said.getvalue().splitlines()]
    assert [(response.pop("jsonrpc"), response.pop("id")) for response in found] == [
        ("2.0", k) for k in range(len(calls))
    ]
    return found


def test_arguments_arrive_as_they_were_given() -> None:
    """A tuple is none of the lists, and a function can be called."""
    received = []

    def keep(*arguments: Any) -> Any:
        received.append(arguments)
        return ONE

    made = SimpleNamespace(optimize=keep, broadcast_shapes=lambda *shapes: shapes[0], automatic_gradient=keep)
    hyperparameters = {"betas": (0.9, 0.5), "lr": [0.5, float("inf")]}
    params = [np.float32([1, 2])]
    optimize = {"name": "adam", "hyperparameters": hyperparameters, "params": params, "grads": [[None]]}
    loss = {"loss": squared_distance(0.5), "params": np.array([1.0, 2.0])}

    said = answers(
        made, ("optimize", optimize), ("broadcast_shapes", {"shapes": [(2, 1), (1,)]}), ("automatic_gradient", loss)
    )

    (name, given, (tensor,), grads), (function, at) = received
    assert (name, given, grads) == ("adam", hyperparameters, [[None]])
    assert isinstance(given["betas"], tuple)
    assert (tensor.dtype, tensor.tolist()) == ("float32", [1.0, 2.0])
    assert function(at) == 0.25 + 2.25
    assert said[1] == {"result": [2, 1]}


def test_errors_and_changed_arguments_are_told() -> None:
    def model(t_u: Any, w: Any, b: Any) -> Any:
        t_u *= 2
        if w == 0:
            raise ValueError("w is 0\nand more")
        return t_u

    def loss_fn(t_p: Any, t_c: Any) -> Any:
        raise NotImplementedError("later")

    made = SimpleNamespace(model=model, loss_fn=loss_fn, dloss_fn=lambda t_p, t_c: object())
    t_u, pair = np.array([1.0]), {"t_p": ONE, "t_c": ONE}

    doubled, refused, absent, nothing = answers(
        made,
        ("model", {"t_u": t_u, "w": ONE, "b": ONE}),
        ("model", {"t_u": t_u, "w": ZERO, "b": ONE}),
        ("loss_fn", pair),
        ("dloss_fn", pair),
    )

    assert doubled == {"result": {"dtype": "float64", "shape": [1], "data": [2.0]}, "changed": ["t_u"]}
    assert refused == {"error": {"code": -32000, "message": "ValueError: w is 0"}, "changed": ["t_u"]}
    assert absent == {"error": {"code": -32601, "message": "later"}}
    assert nothing["result"].startswith("<object object")


WRONG = """
    import sys
    import numpy as np

    def loss_fn(t_p, t_c):
        return ((t_p - t_c) ** 2).sum()
"""
TAMPERING = {
    "the comparison": """
    from calibrant.judge import comparing
    comparing._agree_within = lambda *arguments, **options: None
    """,
    "the outcome": """
    from calibrant.checks import outcomes
    was = outcomes.Outcome.__init__
    def __init__(self, *arguments, **members):
        was(self, *arguments, **members)
        object.__setattr__(self, "status", "holds")
        object.__setattr__(self, "failure", None)
    outcomes.Outcome.__init__ = __init__
    """,
    "the bounds": """
    from calibrant.exact import numbers
    numbers._UP = 1e30
    """,
}


@pytest.mark.untraced
@pytest.mark.parametrize("tampering", TAMPERING.values(), ids=TAMPERING)
def test_a_target_apart_cannot_reach_its_judge(tampering: str, tmp_path: Path) -> None:
    file = target(tmp_path, WRONG + tampering)

    said, _ = checked(tmp_path, file, "--clause", "loss.mean-square", "--examples", "5", "--workers", "1", "--isolated")

    assert statuses(said) == {"loss.mean-square": {"breaks"}}


@pytest.mark.untraced
def test_a_target_apart_is_judged_alike(tmp_path: Path) -> None:
    """In-place changes show, functions arrive, and what only one process can do is absent."""
    file = target(
        tmp_path,
        """
        import numpy as np

        def loss_fn(t_p, t_c):
            t_p -= t_c
            return np.mean(t_p**2)

        def difference_gradient(loss, params, delta):
            print("at work")
            steps = delta * np.eye(len(params), dtype=params.dtype)
            return np.array([(loss(params + s) - loss(params - s)) / (2 * delta) for s in steps], params.dtype)
        """,
    )
    clauses = ("loss.pure", "loss.mean-square", "gradient.central", "gradient.cost")

    said, shown = checked(
        tmp_path, file, *(f"--clause={name}" for name in clauses), "--profile", "ci", "--examples", "10", "--isolated"
    )

    assert statuses(said) == dict(zip(clauses, ({"breaks"}, {"holds"}, {"holds"}, {"absent"}), strict=True))
    assert "changed its t_p" in shown
    assert "calibrant.target.serving" in shown  # the command that repeats it
