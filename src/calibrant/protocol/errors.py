"""Errors that several packages raise and catch."""

from __future__ import annotations


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
