"""Inputs of L-BFGS: quadratic losses, where to begin, and hyperparameters."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

from calibrant.exact import Format
from calibrant.strategies.drawing import QUARTERS, Array, Bytes, Strategy, cast, numbers_of


@dataclass
class Quadratic:
    """The loss 1/2 x H x + slope x, with parameters to begin at."""

    hyperparameters: dict[str, Any]
    params: Array
    hessian: Array
    slope: Array
    n_steps: int

    @property
    def asked(self) -> tuple[Any, ...]:
        """The arguments of the operation."""
        return self.hyperparameters, self.params, self.hessian, self.slope, self.n_steps


_MOST = 3
_USUAL: dict[str, tuple[Any, ...]] = {
    "lr": (0.5, 0.25, 1.0, 0.75, 0.1, 0.5, 0.3),
    "max_iter": (1,),
    "max_eval": (9,),
    "tolerance_grad": (0.0,),
    "tolerance_change": (0.0,),
    "history_size": (None, 3, 2),
    "line_search_fn": (None,),
}


def quadratics(
    *,
    steps: tuple[int, int] = (1, 5),
    sizes: tuple[int, ...] = (1, 2, 3, 2),
    bent: tuple[bool, ...] = (False,),
    **own: Any,
) -> st.SearchStrategy[Any]:
    """Losses of one to three parameters whose curvatures differ by a factor of up to 16; `bent` ones fall away in some direction.

    `steps` are the fewest and the most steps. Any other option replaces the choices of a hyperparameter; None leaves it out.
    """
    choices = _USUAL | own

    def decode(data: Bytes, form: Format) -> Quadratic:
        p, n_steps, kind = (
            data.pick(*sizes),
            steps[0] + data.one() % (steps[1] - steps[0] + 1),
            data.pick("few", "quarters", "real"),
        )
        some = {key: data.pick(*values) for key, values in choices.items()}
        falling, change = data.pick(*bent), data.pick(1.0, 1.0, 0.5)
        curvatures = np.array([1.0, 2.0, 4.0, 0.5, 8.0, 3.0])[data.take(_MOST) % 6][:p]
        tilt = np.array([0.0, 0.25, -0.25, 0.5])[data.take(_MOST) % 4]
        hessian = np.diag(curvatures * np.where(np.arange(p) == p - 1, -1.0, 1.0) if falling else curvatures)
        for k, (i, j) in enumerate([(0, 1), (1, 2), (0, 2)]):
            if j < p:
                hessian[i, j] = hessian[j, i] = tilt[k] * min(curvatures[i], curvatures[j])
        params = numbers_of(data.take(_MOST)[:p] + np.uint8(1), kind, form)
        slope = QUARTERS[data.take(_MOST) % 33][:p]
        hyperparameters = {key: value for key, value in some.items() if value is not None}
        if change != 1.0:
            hyperparameters["lr"] = [hyperparameters["lr"] * change ** (t % 2) for t in range(n_steps)]
        return Quadratic(hyperparameters, cast(params, form), cast(hessian, form), cast(slope, form), n_steps)

    return Strategy(decode, 5 + len(choices) + 4 * _MOST)()
