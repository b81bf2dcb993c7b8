"""Process groups that a check has started, and how they are ended."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

REGISTER = "CALIBRANT_PROGRAMS"
"""The environment variable that names a file for the process groups of all programs, where somebody ends what outlives its caller."""


def end_group(group: int) -> None:
    """End a process group, if anything of it is left."""
    with contextlib.suppress(ProcessLookupError, PermissionError):  # it may have ended with all its children
        os.killpg(group, signal.SIGKILL)


def end_all(register: Path) -> None:
    """End whatever is left of the programs that a register names."""
    for group in register.read_text().split() if register.exists() else ():
        end_group(int(group))
