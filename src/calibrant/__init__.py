"""An executable specification of the mechanics of learning, and the instrument that holds any implementation to it.

import calibrant
report = calibrant.check(my_module, chapters="loss")   # or an object, "mine.py", a function named loss_fn
print(report)                                          # as at the terminal; report.ok, .failures, .to_json()
"""

from calibrant.api import Report as Report
from calibrant.api import check
from calibrant.protocol import VERSION as __version__

__all__ = ["__version__", "check"]
