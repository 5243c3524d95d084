"""HAG files: uncompressed .npz archives of plain arrays, which are not trusted."""

import hashlib
import os
import re
import struct
import zipfile
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from pyg_hag.hag.arrays import FIELDS, Flat
from pyg_hag.hag.edge_weights import EdgeWeights
from pyg_hag.utils.files import replacing

FORMAT = 2  # incremented when the layout changes
_OLDEST = 1  # files without a checksum
_MEMBERS = ("format", "num_src", *FIELDS)
_MARK = "sequential"  # a member that only a sequential HAG has
_DECISIONS = "decisions"  # a member that older files do not have
_FACTORS = "src_scale", "dst_scale"  # of a HAG with weights
_PATHS = "paths"
"""A member where several paths are one edge: 1 for a count, 2 for a cover."""
_OF_PATHS = EdgeWeights.counts(), EdgeWeights.cover()
_WEIGHT = "edge_weight"  # of a plain HAG whose weights have no factors, sorted
_FLAGS = "weight_flags"
"""A sum: 1 for `EdgeWeights.is_optional`, 2 for `is_integral`, 4 times the dtype."""
_CHECKSUM = "checksum"  # of the names and the bytes of all others, from format 2 on
_DTYPES = torch.float64, torch.float32, torch.float16, torch.bfloat16


def write_file(
    path: str | os.PathLike[str],
    num_src: int,
    flat: Flat,
    sequential: bool,
    weights: EdgeWeights | None = None,
    decisions: Sequence[int] = (),
) -> None:
    """Writes a HAG to a file.

    Args:
        path: The file.
        num_src: Number of sources.
        flat: The flat arrays.
        sequential: Whether the HAG is sequential.
        weights: The weights of its edges; those of single edges sorted as the edges
            of :meth:`pyg_hag.HAG.to_edge_index`.
        decisions: Those of the HAG.
    """
    arrays = {
        "format": np.array([FORMAT], np.int64),
        "num_src": np.array([num_src], np.int64),
        **flat._asdict(),
    }
    if sequential:
        arrays[_MARK] = np.array([1], np.int64)
    if decisions:
        arrays[_DECISIONS] = np.array(decisions, np.int64)
    if weights is not None and weights.of_paths:
        arrays[_PATHS] = np.array([1 + _OF_PATHS.index(weights)], np.int64)
    elif weights is not None:
        flags = weights.is_optional + 2 * weights.is_integral
        for name, vector in zip((*_FACTORS, _WEIGHT), weights[:3], strict=True):
            if vector is not None:  # as bits: any dtype but int64 is refused
                arrays[name] = vector.detach().cpu().double().numpy().view(np.int64)
                dtype = _DTYPES.index(vector.dtype)
        arrays[_FLAGS] = np.array([flags + 4 * dtype], np.int64)
    arrays[_CHECKSUM] = _checksum({n: a.tobytes() for n, a in arrays.items()})
    with replacing(path) as file:
        np.savez(file, **arrays)


def read_file(path: str | os.PathLike[str], make: Any) -> Any:
    """Reads a HAG from a file.

    Args:
        path: The file.
        make: Makes a HAG of its number of sources, its tensors and whether it is
            sequential, with checks, which are part of those of the file.

    Raises:
        ValueError: If the file is not valid, with the reason.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = _read_members(archive)
        sequential, decided = _MARK in members, _DECISIONS in members
        if sequential and members[_MARK].tolist() != [1]:
            raise ValueError(f"'{_MARK}' must be 1")
        (num_src,) = members["num_src"]
        tensors = [torch.from_numpy(members[name]) for name in FIELDS]
        decisions = members[_DECISIONS] if decided else np.empty(0)
        weights = _weights(members)
        hag = make(int(num_src), tensors, sequential)
        hag.decided(*decisions.tolist())
        if weights is not None:
            hag.take_stored_weights(weights)
        return hag
    except FileNotFoundError:
        raise
    except _ERRORS as error:
        raise ValueError(f"'{path}' is not a valid HAG file: {error}") from error


def _read_members(archive: zipfile.ZipFile) -> dict[str, Any]:
    """All members, by name, of which none is missing or too many."""
    found = [name.removesuffix(".npy") for name in archive.namelist()]
    _check_count(archive, len(found))
    version = 0
    if "format" in found:  # first, as other formats may have other members
        (version,) = _read_member(archive, "format").tolist()
        if not _OLDEST <= version <= FORMAT:
            raise ValueError(
                f"it has format {version}, but this version of pyg_hag reads "
                f"formats {_OLDEST} to {FORMAT}: build the HAG again"
            )
    optional = _MARK, _DECISIONS, _PATHS, _FLAGS
    wanted = [*_MEMBERS, *(n for n in optional if n in found)]
    if _FLAGS in found:
        wanted += (_WEIGHT,) if _WEIGHT in found else _FACTORS
    wanted += [_CHECKSUM] * (version > 1)
    if sorted(archive.namelist()) != sorted(f"{name}.npy" for name in wanted):
        raise ValueError(f"it must hold {[f'{name}.npy' for name in wanted]}")
    members = {name: _read_member(archive, name) for name in wanted}
    if version > 1:
        checksum = members.pop(_CHECKSUM)
        held = {name: array.tobytes() for name, array in members.items()}
        if checksum.tolist() != _checksum(held).tolist():
            raise ValueError("its checksum is not that of what it holds")
    return members


def _check_count(archive: zipfile.ZipFile, count: int) -> None:
    """Refuses an archive with fewer entries than it states: one has hidden others."""
    file: Any = archive.fp
    file.seek(-_END.size, os.SEEK_END)
    signature, stated, comment = _END.unpack(file.read(_END.size))
    if signature != b"PK\5\6" or comment != 0 or stated != count:
        raise ValueError("its directory is damaged")


_END = struct.Struct("<4s6xH8xH")
"""The last record of an archive: its mark, the number of entries, and the length of the
comment that follows."""


def _checksum(members: dict[str, bytes]) -> Any:
    """A hash of the names and the bytes of members, as two numbers."""
    hasher = hashlib.blake2b(digest_size=16)
    for name in sorted(members):
        hasher.update(struct.pack("<qq", len(name), len(members[name])))
        hasher.update(name.encode())
        hasher.update(members[name])
    return np.frombuffer(hasher.digest(), "<i8")


def _weights(members: dict[str, Any]) -> EdgeWeights | None:
    if _PATHS in members:
        (of_paths,) = members[_PATHS]
        if of_paths not in (1, 2) or _FLAGS in members:
            raise ValueError(f"'{_PATHS}' must be 1 or 2, without other weights")
        return _OF_PATHS[of_paths - 1]
    if _FLAGS not in members:
        return None
    (flags,) = members[_FLAGS]
    if flags not in range(4 * len(_DTYPES)):
        raise ValueError(f"'{_FLAGS}' must be from 0 to {4 * len(_DTYPES) - 1}")
    found = {}
    for name in (*_FACTORS, _WEIGHT):
        if name not in members:
            continue
        bits = torch.from_numpy(members[name].view(np.float64))
        found[name] = bits.to(_DTYPES[flags // 4])
        if not torch.equal(found[name].double().nan_to_num(), bits.nan_to_num()):
            raise ValueError(
                f"'{name}' holds numbers that are no {_DTYPES[flags // 4]}"
            )
    a, b, weight = (found.get(name) for name in (*_FACTORS, _WEIGHT))
    return EdgeWeights(a, b, weight, bool(flags & 1), bool(flags & 2))


_ERRORS = (  # those of `zipfile` for corrupted archives, and our own
    zipfile.BadZipFile,
    ValueError,
    TypeError,
    OSError,
    EOFError,
    KeyError,
    NotImplementedError,
    OverflowError,
    RuntimeError,
    MemoryError,
)


def _read_member(archive: zipfile.ZipFile, name: str) -> Any:
    """Reads an int64 vector as :func:`numpy.save` writes it; rejects all else."""
    info = archive.getinfo(f"{name}.npy")
    if info.compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"'{name}' is compressed")
    with archive.open(info) as file:
        data = file.read()
    header = _HEADER.match(data)
    if header is None:
        raise ValueError(f"'{name}' is not a vector of int64")
    if len(data) - header.end() != 8 * int(header["size"]):
        raise ValueError(f"'{name}' does not have the length that it states")
    return np.frombuffer(bytearray(data[header.end() :]), "<i8")


_HEADER = re.compile(
    rb"\x93NUMPY\x01\x00.."
    rb"\{'descr': '<i8', 'fortran_order': False, 'shape': \((?P<size>\d{1,18}),\), \}"
    rb" *\n",
    re.DOTALL,
)
