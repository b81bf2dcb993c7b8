"""The judge: an answer against the truth and the rounding error that it may show."""

from calibrant.judge.comparing import (
    Disagreement,
    Tally,
    agree,
    agree_lists,
    as_exact,
    at_most,
    holds,
    listed,
    shaped,
    show,
    show_exact,
    tallying,
)
