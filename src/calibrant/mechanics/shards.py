"""Shards of a file: each of many workers reads its own part of the samples, and no more.

A file holds n pairs of t_u (a reading, in unknown units) and t_c (°C); m of them are in the shard of worker `rank` of `world`.
"""

import array
import ast
import math
import os
from typing import BinaryIO

import torch
from torch import Tensor

NPY_DTYPES = {"<f2": torch.float16, "<f4": torch.float32, "<f8": torch.float64, "<i4": torch.int32, "<i8": torch.int64}


class BadData(ValueError):
    """A file that holds no data, in one sentence."""


def shard(n: int, rank: int, world: int) -> tuple[int, int]:
    """The begin and the end of worker `rank`'s shard of n things: the shards of all `world` workers tile them."""
    return n * rank // world, n * (rank + 1) // world


def read_shard(path: str, rank: int, world: int, header: bool = False) -> tuple[Tensor, Tensor]:
    """One worker's t_u and t_c, (m,) each in float64, from a CSV of such pairs or a .npy file of an array (n, 2).

    A `header` is the first line of a CSV, and is passed over. Raises BadData, naming the file and the place in it, for data
    that cannot be read or are not finite.
    """
    try:
        with open(path, "rb") as file:
            rows = _npy_rows(file, rank, world) if path.endswith(".npy") else _csv_rows(file, rank, world, header)
    except OSError as error:
        raise BadData(f"{path} cannot be read: {error.strerror}") from None
    return rows[:, 0].contiguous(), rows[:, 1].contiguous()


def _csv_rows(file: BinaryIO, rank: int, world: int, header: bool) -> Tensor:
    """The rows (m, 2) of the lines that begin in the worker's range of bytes, wherever in a line the range begins."""
    begin = len(file.readline()) if header else 0
    start, stop = (begin + cut for cut in shard(file.seek(0, os.SEEK_END) - begin, rank, world))
    file.seek(start)
    if start > begin:  # the line with the byte before the cut belongs to another worker
        file.seek(start - 1)
        file.readline()
    numbers = array.array("d")
    while (place := file.tell()) < stop and (line := file.readline()):
        fields = line.split(b",") if line.strip() else []
        if len(fields) not in (0, 2):
            raise _bad_line(file, place, f"{len(fields)} field{'s' * (len(fields) > 1)} where 2 are due")
        for field in fields:
            try:
                numbers.append(float(field))
            except ValueError:
                numbers.append(math.nan)
            if b"_" in field or not math.isfinite(numbers[-1]):  # Python would read 1_000
                shown = field[:40].decode(errors="replace").strip()
                raise _bad_line(file, place, f"{shown!r} is not a finite number")
    return torch.tensor(numbers, dtype=torch.float64).reshape(-1, 2)


def _bad_line(file: BinaryIO, place: int, problem: str) -> BadData:
    """The problem of the line that begins at a place. The lines before it are counted without holding them."""
    file.seek(0)
    before = 0
    while chunk := file.read(min(place - file.tell(), 1 << 20)):
        before += chunk.count(b"\n")
    return BadData(f"{file.name}, line {before + 1}: {problem}")


def _npy_rows(file: BinaryIO, rank: int, world: int) -> Tensor:
    """The worker's rows (m, 2) of a .npy file of version 1, 2 or 3, in C order or in Fortran's."""
    try:
        magic, major, _ = file.read(6), *file.read(2)
        length = int.from_bytes(file.read(2 if major == 1 else 4), "little")
        if magic != b"\x93NUMPY" or length > 1 << 16:
            raise ValueError
        said = ast.literal_eval(file.read(length).decode("latin1"))
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        raise BadData(f"{file.name} does not begin as a .npy file does") from None
    match said:
        case {"descr": str(kind), "fortran_order": by_columns, "shape": (int(n), 2)} if kind in NPY_DTYPES and n >= 0:
            begin, width = file.tell(), NPY_DTYPES[kind].itemsize
        case _:
            raise BadData(f"{file.name} holds {said}, not {', '.join(NPY_DTYPES)} of shape (n, 2)")
    start, stop = shard(n, rank, world)

    def numbers(first: int, last: int) -> Tensor:
        size, read = (last - first) * width, b""
        if begin + last * width <= os.fstat(file.fileno()).st_size:
            file.seek(begin + first * width)
            read = file.read(size)
        if len(read) < size:
            raise BadData(f"{file.name} is cut short: its header promises {n} rows")
        return torch.frombuffer(bytearray(read), dtype=NPY_DTYPES[kind]).double() if read else torch.empty(0).double()

    if by_columns:
        rows = torch.stack([numbers(start, stop), numbers(n + start, n + stop)], dim=1)
    else:
        rows = numbers(2 * start, 2 * stop).reshape(-1, 2)
    if not rows.isfinite().all():
        row = int(rows.isfinite().all(dim=1).logical_not().nonzero()[0])
        raise BadData(f"{file.name}, row {start + row} (from 0): {rows[row].tolist()} are not finite numbers")
    return rows
