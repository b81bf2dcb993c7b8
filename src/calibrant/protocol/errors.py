"""Errors that several packages raise and catch, and the words of their messages."""

import difflib
import re
from collections.abc import Iterable
from typing import Any

LONGEST = 10_000
"""The most characters of a text that a target may have a part in."""


def escaped(text: str, most: int | None = LONGEST) -> str:
    """A text in one line of printable characters, cut to `most` of them: it draws nothing on a terminal and ends no line.

    Any other character becomes its escape in Python: control characters, newlines, marks that reverse the direction of
    writing, lone surrogates.
    """
    cut = text if most is None else text[: most + 1]
    said = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in cut)
    return said if most is None else shortened(said, most)


def printable(text: str) -> str:
    """A text of several lines, each of printable characters, however long."""
    return "\n".join(escaped(line, None) for line in text.split("\n"))


class CheckError(Exception):
    """A check that cannot be made, in one sentence."""

    def __init__(self, sentence: str) -> None:
        super().__init__(escaped(sentence))


class TargetError(CheckError):
    """A target that cannot be checked at all, in one sentence."""


class UnknownName(CheckError, LookupError):
    """A name that stands for nothing, in one sentence with the nearest that does."""


class NoAnswer(Exception):
    """The reason why a target gave no answer: it died, hung, or answered in another form."""

    def __init__(self, sentence: str, *, answered: bool = False, final: bool = False, late: bool = False) -> None:
        super().__init__(sentence)
        self.answered = answered
        """Whether the target returned something in another form."""
        self.final = final
        """Whether the operation is not called again."""
        self.late = late
        """Whether the time was up."""


def nearest(word: str, words: Iterable[str]) -> str:
    """The words that resemble this one, as '; nearest: a, b', or an empty string."""
    close = difflib.get_close_matches(word, list(words), n=3, cutoff=0.5)
    return f"; nearest: {', '.join(close)}" if close else ""


def brief(value: Any) -> str:
    """A target's value in at most 80 characters."""
    try:
        return escaped(repr(value), 80)
    except Exception as error:  # the target's own __repr__ ran
        return escaped(f"a {type(value).__name__} whose repr raises {type(error).__name__}", 80)


def shortened(text: str, most: int = 80) -> str:
    """A text in at most so many characters."""
    return text if len(text) <= most else text[: most - 3] + "..."


def first_line(error: object) -> str:
    """The first line of an exception's message, or of a text."""
    try:
        return escaped((str(error).strip().splitlines() or ["(no message)"])[0], 300)
    except Exception as again:  # the target's own __str__ ran
        return escaped(f"(its message cannot be read: {type(again).__name__})", 300)


def last_words(written: bytes | bytearray) -> str:
    """The last line of standard error that names an error, or else the last line, in a clause for a message."""
    lines = [line.strip() for line in written.decode("utf-8", "replace").splitlines() if line.strip()]
    telling = [line for line in lines if re.match(r"\S*(error|exception|panic)", line, re.IGNORECASE)]
    return f"; it had written to standard error {(telling or lines)[-1][-300:]!r}" if lines else ""


def named(error: BaseException) -> str:
    """An exception that a target raised: 'ZeroDivisionError: division by zero'."""
    return f"{escaped(type(error).__name__, 80)}: {first_line(error)}"
