"""Inputs as Hypothesis strategies: data sets, predictions, parameters, learning rates and steps.

Drawing costs more than judging, and it costs per draw: Hypothesis draws one string of bytes for an example of several cases,
and this package decodes it. Byte 0 gives the simplest thing everywhere (the plainest kind of numbers, one sample, zero), so a
failure shrinks, byte by byte, to an example that a person would have written. The numbers are those of the dtype under test:
`@clause` decodes each of a `Drawn`'s `cases()` with `at(form)`.
"""

from calibrant.strategies.accumulation import *
from calibrant.strategies.autograd import *
from calibrant.strategies.broadcasting import *
from calibrant.strategies.drawing import Drawn, Strategy
from calibrant.strategies.optimizers import *
from calibrant.strategies.quadratics import *
from calibrant.strategies.rows import *
from calibrant.strategies.samples import *
from calibrant.strategies.schedules import *
from calibrant.strategies.training import *
from calibrant.strategies.validation import *
