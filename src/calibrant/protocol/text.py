"""Short text for messages: a value in brief, the first line of an exception, the nearest known words."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any


def nearest(word: str, words: Iterable[str]) -> str:
    """The words that resemble this one, as '; nearest: a, b', or an empty string."""
    close = difflib.get_close_matches(word, list(words), n=3, cutoff=0.5)
    return f"; nearest: {', '.join(close)}" if close else ""


def brief(value: Any) -> str:
    """A target's value in at most 80 characters."""
    try:
        return shortened(repr(value))
    except Exception as error:  # the target's own __repr__ ran
        return shortened(f"a {type(value).__name__} whose repr raises {type(error).__name__}")


def shortened(text: str) -> str:
    """A text in at most 80 characters."""
    return text if len(text) <= 80 else text[:77] + "..."


def first_line(error: object) -> str:
    """The first line of an exception's message, or of a text."""
    try:
        return (str(error).strip().splitlines() or ["(no message)"])[0][:300]
    except Exception as again:  # the target's own __str__ ran
        return f"(its message cannot be read: {type(again).__name__})"
