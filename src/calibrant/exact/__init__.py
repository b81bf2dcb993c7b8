"""Right answers in exact arithmetic, each with the rounding error that it may show.

The formulas stand in modules under the chapters' names and read like the book's. Nothing here imports the reference: a
judge that called the accused would prove nothing.
"""

from calibrant.exact.accumulation import *
from calibrant.exact.broadcasting import *
from calibrant.exact.clipping import clip_by_norm, clip_by_value, clip_shards
from calibrant.exact.data import *
from calibrant.exact.descent import *
from calibrant.exact.formats import *
from calibrant.exact.gradients import *
from calibrant.exact.loss import *
from calibrant.exact.numbers import *
from calibrant.exact.optimizers import DEFAULTS as OPTIMIZERS
from calibrant.exact.optimizers import optimize, paths, steady
from calibrant.exact.programs import derivatives
from calibrant.exact.quasi_newton import LBFGS, Minimizer, lbfgs
from calibrant.exact.rows import LAZY, Lazy, optimize_rows
from calibrant.exact.schedules import PLATEAU, SCHEDULES, plateau, schedule
from calibrant.exact.training import *
from calibrant.exact.validation import *
