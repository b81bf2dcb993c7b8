"""Errors that several rooms of the house raise and catch."""

from __future__ import annotations


class CheckError(Exception):
    """A check that cannot be made, in one sentence."""


class TargetError(CheckError):
    """A target that cannot be checked at all, in one sentence."""


class NoAnswer(Exception):
    """What a program gives that is no answer: it died, hung, or spoke another language."""

    def __init__(self, sentence: str, *, answered: bool = False, final: bool = False) -> None:
        super().__init__(sentence)
        self.answered = answered
        """Whether it returned something, though no numbers."""
        self.final = final
        """Whether the operation is not to be called any more."""
