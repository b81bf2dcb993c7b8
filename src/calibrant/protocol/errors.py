"""Errors that several packages raise and catch, and the words of their messages."""

import difflib
from collections.abc import Iterable
from typing import Any


class CheckError(Exception):
    """A check that cannot be made, in one sentence."""


class TargetError(CheckError):
    """A target that cannot be checked at all, in one sentence."""


class UnknownName(CheckError, LookupError):
    """A name that stands for nothing, in one sentence with the nearest that does."""


class NoAnswer(Exception):
    """The reason why a target gave no answer: it died, hung, or answered in another form."""

    def __init__(self, sentence: str, *, answered: bool = False, final: bool = False) -> None:
        super().__init__(sentence)
        self.answered = answered
        """Whether the target returned something in another form."""
        self.final = final
        """Whether the operation is not called again."""


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
