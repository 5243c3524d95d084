"""HAG files: an uncompressed .npz of plain arrays, read without trust."""

import os
import zipfile
from typing import IO, Any

import numpy as np
import torch
from numpy.lib import format as npy

from pyg_hag.hag import FIELDS, HAG

FORMAT = 1  # raised when the layout changes
_MEMBERS = ("format", "num_src", *FIELDS)


def save_hag(hag: HAG, path: str | os.PathLike[str]) -> None:
    """Writes a HAG to `path`."""
    arrays = {
        "format": np.array([FORMAT], np.int64),
        "num_src": np.array([hag.num_src], np.int64),
    }
    for name, tensor in zip(FIELDS, hag.tensors, strict=True):
        arrays[name] = tensor.cpu().numpy()
    with open(path, "wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


def load_hag(path: str | os.PathLike[str]) -> HAG:
    """Reads a HAG from `path`, or raises a ValueError that says what is wrong."""
    arrays = {}
    try:
        with zipfile.ZipFile(path) as archive:
            members = {info.filename: info for info in archive.infolist()}
            expected = {f"{name}.npy" for name in _MEMBERS}
            if set(members) != expected or len(archive.infolist()) != len(expected):
                raise ValueError(f"it must hold {sorted(expected)}")
            for name in _MEMBERS:
                info = members[f"{name}.npy"]
                if info.compress_type != zipfile.ZIP_STORED:
                    raise ValueError(f"'{info.filename}' is compressed")
                with archive.open(info) as file:
                    arrays[name] = _read_array(file, info)
    except FileNotFoundError:
        raise
    except (zipfile.BadZipFile, ValueError, OSError, EOFError, RuntimeError) as error:
        raise ValueError(f"'{path}' is not a readable HAG file: {error}") from error
    except (NotImplementedError, KeyError, OverflowError, SyntaxError) as error:
        raise ValueError(f"'{path}' is not a readable HAG file: {error!r}") from error
    version, num_src = arrays.pop("format"), arrays.pop("num_src")
    if version.tolist() != [FORMAT]:
        raise ValueError(
            f"'{path}' is a HAG file of format {version.tolist()}, but this version "
            f"of pyg_hag reads format {FORMAT}: build the HAG anew"
        )
    if num_src.size != 1:
        raise ValueError(f"'{path}' is not a readable HAG file: 'num_src' is not one")
    try:
        tensors = [torch.from_numpy(arrays[name]) for name in FIELDS]
        return HAG(int(num_src[0]), *tensors)
    except (ValueError, MemoryError) as error:
        raise ValueError(f"'{path}' is not a valid HAG file: {error}") from error


def _read_array(file: IO[bytes], info: zipfile.ZipInfo) -> Any:
    version = npy.read_magic(file)
    if version != (1, 0):
        raise ValueError(f"'{info.filename}' has array format {version}")
    shape, _, dtype = npy.read_array_header_1_0(file)
    if dtype != np.dtype("<i8") or len(shape) != 1:
        raise ValueError(f"'{info.filename}' is not a vector of int64")
    data = file.read()
    if len(data) != 8 * shape[0]:
        raise ValueError(f"'{info.filename}' does not have the length that it states")
    return np.frombuffer(bytearray(data), dtype)
