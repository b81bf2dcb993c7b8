"""Shards of a file: each of many workers reads its own part of the samples, and no more.

A file holds n pairs of t_u (a reading, in unknown units) and t_c (°C); m of them are in the shard of worker `rank` of `world`.
"""

import array
import ast
import os
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor

NPY_DTYPES = {"<f2": torch.float16, "<f4": torch.float32, "<f8": torch.float64, "<i4": torch.int32, "<i8": torch.int64}


class BadData(Exception):
    """A file that holds no data, in one sentence."""


def shard(n: int, rank: int, world: int) -> tuple[int, int]:
    """Where the shard of worker `rank` begins and ends among n things: those of all `world` workers tile them."""
    return n * rank // world, n * (rank + 1) // world


def read_shard(path: str, rank: int, world: int, dtype: torch.dtype, header: bool = False) -> tuple[Tensor, Tensor]:
    """One worker's t_u and t_c, (m,) each, of a CSV of such pairs or of an array (n, 2) in a .npy file; the rest is not read.

    Raises BadData, naming the file and the place in it, for what cannot be read and what is not a finite number in dtype.
    """
    try:
        with Path(path).open("rb") as file:
            read = _npy_rows if path.endswith(".npy") else _csv_rows
            rows = read(file, path, rank, world, dtype, header)
    except OSError as error:
        raise BadData(f"{path} cannot be read: {error.strerror}") from None
    return rows[:, 0].contiguous(), rows[:, 1].contiguous()


def _csv_rows(file: BinaryIO, path: str, rank: int, world: int, dtype: torch.dtype, header: bool) -> Tensor:
    """The rows (m, 2) of the lines that begin in the worker's range of bytes, wherever in a line the range begins."""
    begin = len(file.readline()) if header else 0
    start, stop = (begin + cut for cut in shard(file.seek(0, os.SEEK_END) - begin, rank, world))
    file.seek(start)
    if start > begin:  # the line that the byte before the cut belongs to is another worker's
        file.seek(start - 1)
        file.readline()
    numbers = array.array("d")
    while (place := file.tell()) < stop:
        line = file.readline().strip()
        if line:
            fields = line.split(b",")
            values = [_number(field, dtype) for field in fields]
            if len(fields) != 2 or None in values:
                wrong = fields[values.index(None)][:40].decode(errors="replace").strip() if None in values else ""
                said = f"{wrong!r} is not a finite number in {dtype}"
                if len(fields) != 2:
                    said = f"{len(fields)} field{'s' * (len(fields) != 1)} where 2 are due"
                raise BadData(f"{path}, line {_lines_before(file, place) + 1}: {said}")
            numbers.extend(values)  # type: ignore[arg-type]  # none of them is None
    if not numbers:
        return torch.empty(0, 2, dtype=dtype)
    return torch.frombuffer(numbers, dtype=torch.float64).to(dtype).reshape(-1, 2)


def _number(field: bytes, dtype: torch.dtype) -> float | None:
    """The number that a field holds; None if it holds none, or none that is finite in dtype."""
    try:
        number = float(field)
    except ValueError:
        return None
    return number if abs(number) <= torch.finfo(dtype).max and b"_" not in field else None


def _lines_before(file: BinaryIO, place: int) -> int:
    """How many lines end before a place in a file, counted without holding it."""
    file.seek(0)
    count = 0
    while left := place - file.tell():
        count += file.read(min(left, 1 << 20)).count(b"\n")
    return count


def _npy_rows(file: BinaryIO, path: str, rank: int, world: int, dtype: torch.dtype, header: bool) -> Tensor:
    """The worker's rows (m, 2) of a .npy file of version 1, 2 or 3, in C order or in Fortran's; `header` says nothing here."""
    try:
        magic, major, _ = file.read(6), *file.read(2)
        length = int.from_bytes(file.read(2 if major == 1 else 4), "little")
        if magic != b"\x93NUMPY" or length > 1 << 16:
            raise ValueError
        said = ast.literal_eval(file.read(length).decode("latin1"))
        kind, shape, by_columns = str(said["descr"]), tuple(said["shape"]), bool(said["fortran_order"])
    except (ValueError, SyntaxError, LookupError, TypeError, RecursionError, MemoryError):
        raise BadData(f"{path} does not begin as a .npy file does") from None
    if len(shape) != 2 or shape[1] != 2 or kind not in NPY_DTYPES:
        raise BadData(f"{path} holds {kind} of shape {shape}, not {', '.join(NPY_DTYPES)} of shape (n, 2)")
    n, width, begin = shape[0], NPY_DTYPES[kind].itemsize, file.tell()
    there = (file.seek(0, os.SEEK_END) - begin) // (2 * width)
    if there < n:
        raise BadData(f"{path} is cut short: its header promises {n} rows, there are bytes for {there}")
    start, stop = shard(n, rank, world)

    def numbers(first: int, count: int) -> Tensor:
        buffer = bytearray(count * width)
        file.seek(begin + first * width)
        file.readinto(buffer)  # type: ignore[attr-defined]  # a file opened with "rb" has it
        return torch.frombuffer(buffer, dtype=NPY_DTYPES[kind]).to(dtype) if buffer else torch.empty(0, dtype=dtype)

    m = stop - start
    rows = (
        torch.stack([numbers(start, m), numbers(n + start, m)], dim=1)
        if by_columns
        else numbers(2 * start, 2 * m).reshape(m, 2)
    )
    if not rows.isfinite().all():
        row = start + int((~rows.isfinite()).any(dim=1).nonzero()[0])
        raise BadData(f"{path}, row {row} (from 0): {rows[row - start].tolist()} are not finite numbers in {dtype}")
    return rows
