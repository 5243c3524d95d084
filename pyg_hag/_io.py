"""HAG files: an uncompressed .npz of plain arrays, read without trust."""

import os
import re
import zipfile
from typing import Any

import numpy as np
import torch

from pyg_hag.hag import FIELDS, HAG

FORMAT = 1  # raised when the layout changes
_MEMBERS = ("format", "num_src", *FIELDS)
_MARK = "sequential"  # one more member, which only a sequential HAG has


def save_hag(hag: HAG, path: str | os.PathLike[str]) -> None:
    """Writes a HAG to `path`."""
    arrays = {
        "format": np.array([FORMAT], np.int64),
        "num_src": np.array([hag.num_src], np.int64),
    }
    for name, tensor in zip(FIELDS, hag.tensors, strict=True):
        arrays[name] = tensor.cpu().numpy()
    if hag.is_sequential:
        arrays[_MARK] = np.array([1], np.int64)
    with open(path, "wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


def load_hag(path: str | os.PathLike[str]) -> HAG:
    """Reads a HAG from `path`, or raises a ValueError that says what is wrong."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [f"{name}.npy" for name in _MEMBERS]
            found = archive.namelist()
            sequential = f"{_MARK}.npy" in found
            if names[0] in found:  # another format may have other members
                (version,) = _read_member(archive, "format")
                if version != FORMAT:
                    raise ValueError(
                        f"it has format {version}, but this version of pyg_hag reads "
                        f"format {FORMAT}: build the HAG anew"
                    )
            if sorted(found) != sorted([*names, *[f"{_MARK}.npy"] * sequential]):
                raise ValueError(f"it must hold {names}")
            if sequential and _read_member(archive, _MARK).tolist() != [1]:
                raise ValueError(f"'{_MARK}' must be 1")
            (num_src,) = _read_member(archive, "num_src")
            tensors = [torch.from_numpy(_read_member(archive, name)) for name in FIELDS]
        return HAG(int(num_src), *tensors, sequential=sequential)
    except FileNotFoundError:
        raise
    except _ERRORS as error:
        raise ValueError(f"'{path}' is not a valid HAG file: {error}") from error


_ERRORS = (  # what a broken archive makes `zipfile` raise, and our own
    zipfile.BadZipFile,
    ValueError,
    OSError,
    EOFError,
    KeyError,
    NotImplementedError,
    OverflowError,
    RuntimeError,
    MemoryError,
)


def _read_member(archive: zipfile.ZipFile, name: str) -> Any:
    """Reads a vector of int64 as :func:`numpy.save` writes it, and nothing else."""
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
