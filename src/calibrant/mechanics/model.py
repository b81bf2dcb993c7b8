"""Model: a reading predicts a temperature, along a line.

n samples; t_u (readings, unknown units) and t_p (predictions, °C) are (n,); w (°C per unit) and b (°C) are scalars.
"""

from torch import Tensor


def model(t_u: Tensor, w: Tensor | float, b: Tensor | float) -> Tensor:
    """The prediction w * t_u + b, in the shape of t_u, in °C.  [model.linear]"""
    return w * t_u + b
