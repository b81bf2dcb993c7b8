"""The judge: an answer against the truth and the rounding error that it may show."""

from calibrant.judge.comparing import *
