"""Data: the measurements, their scale, and the line that fits them best.

n samples; t_u (a reading, in the thermometer's unknown units) and t_c (the temperature, in °C) are (n,).
"""

import torch
from torch import Tensor

_T_C = (0.5, 14.0, 15.0, 28.0, 11.0, 8.0, 3.0, -4.0, 6.0, 13.0, 21.0)
_T_U = (35.7, 55.9, 58.2, 81.9, 56.3, 48.9, 33.9, 21.8, 48.4, 60.4, 68.4)

# fmt: off
_NORRIS_X = (
    0.2, 337.4, 118.2, 884.6, 10.1, 226.5, 666.3, 996.3, 448.6, 777.0, 558.2, 0.4, 0.6, 775.5, 666.9, 338.0, 447.5, 11.6,
    556.0, 228.1, 995.8, 887.6, 120.2, 0.3, 0.3, 556.8, 339.1, 887.2, 999.0, 779.0, 11.1, 118.3, 229.2, 669.1, 448.9, 0.5,
)
_NORRIS_Y = (
    0.1, 338.8, 118.1, 888.0, 9.2, 228.1, 668.5, 998.5, 449.1, 778.9, 559.2, 0.3, 0.1, 778.1, 668.8, 339.3, 448.9, 10.8,
    557.7, 228.3, 998.0, 888.8, 119.6, 0.3, 0.6, 557.6, 339.3, 888.0, 998.5, 778.9, 10.2, 117.6, 228.9, 668.4, 449.2, 0.2,
)
# fmt: on


def thermometer(dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    """The eleven pairs (t_u, t_c): readings in unknown units, temperatures in °C.  [data.thermometer]"""
    return torch.tensor(_T_U, dtype=dtype), torch.tensor(_T_C, dtype=dtype)


def norris(dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    """The 36 pairs (x, y) of ozone concentrations: NIST's instrument, the customer's.  [data.norris]

    Source: NIST Statistical Reference Datasets, linear regression, "Norris".
    """
    return torch.tensor(_NORRIS_X, dtype=dtype), torch.tensor(_NORRIS_Y, dtype=dtype)


def require_data(t_u: Tensor, t_c: Tensor) -> None:
    """Raise ValueError unless t_u and t_c are (n,), of one length n >= 1.  [data.shapes, data.columns]"""
    u, c = tuple(t_u.shape), tuple(t_c.shape)
    for name, shape in (("t_u", u), ("t_c", c)):
        if len(shape) != 1 or shape == (0,):
            raise ValueError(f"{name} is {shape}: data are columns of shape (n,) with n >= 1")
    if u != c:
        raise ValueError(f"t_u is {u} but t_c is {c}: every reading needs its temperature")


def scaled(t_u: Tensor, factor: float = 0.1) -> Tensor:
    """The readings times `factor`: the same information on another scale, (n,).  [data.scaling]"""
    return factor * t_u


def least_squares(t_u: Tensor, t_c: Tensor, l2: float = 0.0) -> Tensor:
    """The parameters [w, b] of least mean squared error + l2 w^2, (2,), in °C per unit and °C.  [data.scaling]

    Centred columns spare the slope the cancellation of the textbook sums. If all readings are the same, the slope is 0.
    Raises ValueError as `require_data` does.
    """
    require_data(t_u, t_c)
    mean_u, mean_c = t_u.mean(), t_c.mean()
    centred = t_u - mean_u
    spread = (centred**2).mean() + l2
    w = (centred * (t_c - mean_c)).mean() / spread if t_u.min() < t_u.max() else torch.zeros_like(spread)
    return torch.stack([w, mean_c - w * mean_u])
