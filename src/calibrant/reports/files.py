"""The files and folders that a command writes."""

import sys
import tempfile
from pathlib import Path

from calibrant.protocol.errors import CheckError


def require_writable(file: Path) -> None:
    """Raise CheckError, in one sentence, unless a file can be written. `-`, standard output, can."""
    there = str(file) == "-" or file.exists()
    try:
        if str(file) != "-":
            file.open("ab").close()
        if not there:
            file.unlink()
    except OSError as error:
        raise _unwritable(file, error) from None


def require_folder(folder: Path) -> None:
    """Make a folder. Raises CheckError, in one sentence, where nothing can be written into it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise _unwritable(folder, error) from None


def put(text: str, file: Path) -> None:
    """Write a text; `-` is standard output. Raises CheckError, in one sentence, if the file cannot be written."""
    if str(file) == "-":
        sys.stdout.write(text)
        return
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise _unwritable(file, error) from None


def _unwritable(path: Path, error: OSError) -> CheckError:
    return CheckError(f"{path} cannot be written: {error.strerror or error}")
