"""The process groups that a check has started, and their end."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

REGISTER = "CALIBRANT_PROGRAMS"
"""The environment variable with the name of a file. Programs add their process groups to it, and `end_all` ends what is left."""


def end_group(group: int) -> None:
    """End a process group, if any process of it is left."""
    with contextlib.suppress(ProcessLookupError, PermissionError):  # it may have ended with all its children
        os.killpg(group, signal.SIGKILL)


def end_all(register: Path) -> None:
    """End the process groups that a register names."""
    for group in register.read_text().split() if register.exists() else ():
        end_group(int(group))
