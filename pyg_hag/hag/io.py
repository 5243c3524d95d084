"""HAG files: uncompressed .npz archives of plain arrays, which are not trusted."""

import os
import re
import zipfile
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from pyg_hag.hag.arrays import FIELDS, Flat
from pyg_hag.hag.edge_weights import EdgeWeights

FORMAT = 1  # incremented when the layout changes
_MEMBERS = ("format", "num_src", *FIELDS)
_MARK = "sequential"  # a member that only a sequential HAG has
_DECISIONS = "decisions"  # a member that older files do not have
_FACTORS = "src_scale", "dst_scale"  # of a HAG with weights
_WEIGHT = "edge_weight"  # of a plain HAG whose weights have no factors, sorted
_FLAGS = "weight_flags"
"""A sum: 1 for `EdgeWeights.is_optional`, 2 for `is_integral`, 4 times the dtype."""
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
    if weights is not None:
        flags = weights.is_optional + 2 * weights.is_integral
        for name, vector in zip((*_FACTORS, _WEIGHT), weights[:3], strict=True):
            if vector is not None:  # as bits: any dtype but int64 is refused
                arrays[name] = vector.detach().cpu().double().numpy().view(np.int64)
                dtype = _DTYPES.index(vector.dtype)
        arrays[_FLAGS] = np.array([flags + 4 * dtype], np.int64)
    with open(path, "wb") as file:
        np.savez(file, **arrays)


def read_file(path: str | os.PathLike[str], make: Any) -> Any:
    """Reads a HAG from a file.

    Args:
        path: The file.
        make: The class of the HAG, whose checks are part of those of the file.

    Raises:
        ValueError: If the file is not valid, with the reason.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = [f"{name}.npy" for name in _MEMBERS]
            found = archive.namelist()
            sequential = f"{_MARK}.npy" in found
            if names[0] in found:  # first, as other formats may have other members
                (version,) = _read_member(archive, "format")
                if version != FORMAT:
                    raise ValueError(
                        f"it has format {version}, but this version of pyg_hag reads "
                        f"format {FORMAT}: build the HAG again"
                    )
            decided = f"{_DECISIONS}.npy" in found
            extra = [f"{_MARK}.npy"] * sequential + [f"{_DECISIONS}.npy"] * decided
            weighted = f"{_FLAGS}.npy" in found
            if weighted:
                own = f"{_WEIGHT}.npy" in found
                kinds = (_WEIGHT,) if own else _FACTORS
                extra += [f"{name}.npy" for name in (_FLAGS, *kinds)]
            if sorted(found) != sorted([*names, *extra]):
                raise ValueError(f"it must hold {names}")
            if sequential and _read_member(archive, _MARK).tolist() != [1]:
                raise ValueError(f"'{_MARK}' must be 1")
            (num_src,) = _read_member(archive, "num_src")
            tensors = [torch.from_numpy(_read_member(archive, name)) for name in FIELDS]
            decisions = _read_member(archive, _DECISIONS) if decided else np.empty(0)
            weights = _read_weights(archive, kinds) if weighted else None
        hag = make(int(num_src), *tensors, sequential=sequential)
        hag.decided(*decisions.tolist())
        if weights is not None:
            hag.take_stored_weights(weights)
        return hag
    except FileNotFoundError:
        raise
    except _ERRORS as error:
        raise ValueError(f"'{path}' is not a valid HAG file: {error}") from error


def _read_weights(archive: zipfile.ZipFile, names: tuple[str, ...]) -> EdgeWeights:
    (flags,) = _read_member(archive, _FLAGS)
    if flags not in range(4 * len(_DTYPES)):
        raise ValueError(f"'{_FLAGS}' must be from 0 to {4 * len(_DTYPES) - 1}")
    found = {}
    for name in names:
        bits = torch.from_numpy(_read_member(archive, name).view(np.float64))
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
