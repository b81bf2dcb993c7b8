"""An executable specification of the mechanics of learning, and the instrument that holds any implementation to it.

import calibrant
report = calibrant.check(my_module, chapters="loss")   # or an object, "mine.py", a function named loss_fn
print(report)                                          # as at the terminal; report.ok, .failures, .to_json()
calibrant.assert_agrees(value, formula, inputs)        # also assert_gradient and bound: any function against its formula
"""

from calibrant.api import Report as Report
from calibrant.api import check
from calibrant.protocol import VERSION as __version__

__all__ = ["__version__", "check"]

_FORMULA = (
    "assert_agrees",
    "assert_gradient",
    "bound",
)  # not imported before they are asked for: they need python-flint


def __getattr__(name: str) -> object:
    if name in _FORMULA:
        from calibrant import formula

        return getattr(formula, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
