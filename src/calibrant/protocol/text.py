"""Short pieces of text for messages: a value in brief, an exception's first line, the nearest known words."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Any


def nearest(word: str, words: Iterator[str] | list[str] | tuple[str, ...]) -> str:
    """', nearest: a, b' for the words that resemble it, or nothing."""
    close = difflib.get_close_matches(word, list(words), n=3, cutoff=0.5)
    return f"; nearest: {', '.join(close)}" if close else ""


def brief(value: Any) -> str:
    """A value of the target's in at most 80 characters."""
    try:
        text = repr(value)
    except Exception as error:  # the target's own __repr__ ran
        text = f"a {type(value).__name__} whose repr raises {type(error).__name__}"
    return text if len(text) <= 80 else text[:77] + "..."


def first_line(error: BaseException) -> str:
    """What an exception of the target's says, in one line."""
    try:
        return (str(error).strip().splitlines() or ["(no message)"])[0][:300]
    except Exception as again:  # the target's own __str__ ran
        return f"(its message cannot be read: {type(again).__name__})"
