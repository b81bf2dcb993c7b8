"""Judge any function against a formula: its exact value, its exact gradient, and the error that rounding may cause.

    import calibrant
    calibrant.assert_agrees(my_layer_norm(x, w, b, 1e-5), layer_norm, (x, w, b, 1e-5))

A formula is a plain function in the array API standard. `writing` has what a formula may use beside the standard, `catalogue` the formulas that ship.
"""

try:
    import flint as _flint
except ImportError as _missing:
    raise ImportError("formulas need python-flint: pip install calibrant[formula]") from _missing

from calibrant.formula.balls import FormulaError
from calibrant.formula.evaluating import Bound, bound, gradient_bound
from calibrant.formula.judging import Judged, Undecided, assert_agrees, assert_gradient
from calibrant.formula.writing import either, erf, formula, namespace, rounded, store
