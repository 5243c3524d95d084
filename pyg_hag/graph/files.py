"""Reads edge lists from files of several formats, which need not be trusted."""

import os
import re
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pyg_hag.graph.checks import MAX_NODES
from pyg_hag.graph.matrix_market import read_matrix_market
from pyg_hag.graph.text import open_text, read_edge_text

TEXT = (".csv", ".txt", ".tsv", ".edges")
SUFFIXES = (".npz", ".npy", ".pt", ".mtx", *TEXT)
_PACKED = (".mtx", *TEXT)  # which may be followed by .gz

_KEYS = (
    *("edge_index", "num_nodes"),
    *("format", "shape", "indices", "indptr", "row", "col"),
)
_SPARSE_NODES = 10_000_000  # above, isolated nodes suggest numbers with gaps
_SPARSE_RATIO = 100  # nodes per edge, for the same check


def read_edges(path: str | os.PathLike[str]) -> tuple[Tensor, tuple[int, int]]:
    """Reads a graph from a file, without executing code from it.

    Args:
        path (path): A file, whose suffix tells its format:

            * `.npz` with `edge_index` of shape `[2, E]` and, optionally,
              `num_nodes`; or a matrix from `scipy.sparse.save_npz` in the format csr,
              csc or coo, where entry (i, j) is the edge i -> j.
            * `.pt` with a tensor of shape `[2, E]`, a PyG `Data`, or a dict with
              `edge_index` and, optionally, `num_nodes`.
            * `.csv`, `.txt`, `.tsv` or `.edges`: a source and a destination per
              line, separated by a comma, tabs or spaces. Further columns, a header
              line and comments after `#` or `%` are ignored. Nodes are numbers from 0,
              or names, which are then numbered as they appear.
            * `.mtx`: a sparse matrix in the Matrix Market format.
            * `.npy`: an array of integers of shape `[2, E]`.

            Text may be packed (`.csv.gz`, `.mtx.gz`, ...).

    Returns:
        tuple[torch.Tensor, tuple[int, int]]: `edge_index`, int64, and the numbers of
        sources and destinations, which only differ for a matrix that is not square.

    Raises:
        ValueError: If the file cannot be read or has no edge list; the message names
            the wrong line or key.
    """
    path = Path(path)
    suffix = suffix_of(path)
    try:
        if suffix == ".npz":
            return _read_npz(path)
        if suffix == ".npy":
            return _finish(path, _read_npy(path), None)
        if suffix == ".pt":
            return _read_pt(path)
        if suffix in TEXT:
            return _finish(path, read_edge_text(path), None)
        if suffix == ".mtx":
            with open_text(path) as file:
                edges, size = read_matrix_market(path, file)
            return torch.from_numpy(edges), size
    except (EOFError, zlib.error) as error:
        raise ValueError(f"cannot read '{path}': it is cut short") from error
    except OSError as error:
        raise ValueError(f"cannot read '{path}': {error.strerror or error}") from error
    raise ValueError(
        f"'{path}' has none of the known suffixes: {', '.join(SUFFIXES)}, and .gz "
        f"after those of text"
    )


def suffix_of(path: Path) -> str:
    """The suffix that tells the format, without `.gz`."""
    suffix = path.suffix.lower()
    before = Path(path.stem).suffix.lower()
    return before if suffix == ".gz" and before in _PACKED else suffix


# NumPy and SciPy #############################################################


def _read_npz(path: Path) -> tuple[Tensor, tuple[int, int]]:
    arrays = _load_npz(path)
    if "format" in arrays and "edge_index" not in arrays:
        edges, size = _from_scipy(path, arrays)
        return torch.from_numpy(edges), size
    edges = _get(path, arrays, "edge_index")
    return _finish(path, edges, arrays.get("num_nodes"))


def _read_npy(path: Path) -> Any:
    with path.open("rb") as file:
        try:
            loaded = np.load(file, allow_pickle=False)
        except Exception as error:  # a broken file can raise anything
            raise ValueError(
                f"{path}: not a valid .npy file of a plain array ({error})"
            ) from error
    if not isinstance(loaded, np.ndarray):
        raise ValueError(f"{path}: is an archive: name it .npz")
    return loaded


def _load_npz(path: Path) -> dict[str, Any]:
    """The arrays of the graph; others, such as features of any type, are skipped."""
    key = ""
    with path.open("rb") as file:
        try:
            loaded = np.load(file, allow_pickle=False)
            if not isinstance(loaded, np.lib.npyio.NpzFile):
                raise ValueError("it is an array, not an archive")
            out: dict[str, Any] = {}
            with loaded as archive:
                for key in archive.files:
                    out[key] = archive[key] if key in _KEYS else None
            return out
        except Exception as error:  # a broken archive can raise anything
            where = f": key '{key}'" if key else ""
            raise ValueError(
                f"{path}{where}: not a valid .npz file of plain arrays ({error})"
            ) from error


def _from_scipy(
    path: Path, arrays: dict[str, Any]
) -> tuple[NDArray[np.int64], tuple[int, int]]:
    stored = np.asarray(arrays["format"])
    if stored.ndim != 0 or stored.dtype.kind not in "SU":
        _fail(path, "format", f"must be csr, csc or coo (got {stored.tolist()})")
    name = stored.item()
    if stored.dtype.kind == "S":
        name = name.decode("latin-1")
    shape = _integers(path, "shape", _get(path, arrays, "shape"), (2,))
    if shape.min() < 0 or shape.max() > MAX_NODES:
        _fail(path, "shape", f"must be two sizes below 2**31 (got {shape.tolist()})")
    rows, cols = (int(n) for n in shape)
    if name == "coo":
        row = _integers(path, "row", _get(path, arrays, "row"), (None,))
        col = _integers(path, "col", _get(path, arrays, "col"), row.shape)
        _check_range(path, "row", row, rows)
        _check_range(path, "col", col, cols)
        return np.stack([row, col]), (rows, cols)
    if name not in ("csr", "csc"):
        _fail(path, "format", f"must be csr, csc or coo (got '{name}'): use .tocsr()")
    long, short = (rows, cols) if name == "csr" else (cols, rows)
    ptr = _integers(path, "indptr", _get(path, arrays, "indptr"), (long + 1,))
    index = _integers(path, "indices", _get(path, arrays, "indices"), (None,))
    if ptr[0] != 0 or ptr[-1] != index.size or (np.diff(ptr) < 0).any():
        _fail(path, "indptr", f"must rise from 0 to {index.size}, like 'indices'")
    _check_range(path, "indices", index, short)
    major = np.repeat(np.arange(long), np.diff(ptr))
    return np.stack([major, index] if name == "csr" else [index, major]), (rows, cols)


# PyTorch and PyG #############################################################


def _read_pt(path: Path) -> tuple[Tensor, tuple[int, int]]:
    from torch_geometric.data import Data
    from torch_geometric.data.data import DataEdgeAttr, DataTensorAttr
    from torch_geometric.data.storage import GlobalStorage

    # Only the missing ones: on exit, the context removes all that it was given.
    known = {Data, DataEdgeAttr, DataTensorAttr, GlobalStorage}
    missing = list(known.difference(torch.serialization.get_safe_globals()))
    with path.open("rb") as file, torch.serialization.safe_globals(missing):
        try:
            loaded = torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:  # a broken file can raise anything
            found = re.search(
                r"Unsupported (?:global|class|operand)[^.]*\S*", str(error)
            )
            reason = found[0] if found else str(error).partition("\n")[0]
            raise ValueError(
                f"{path}: cannot be loaded with weights_only=True ({reason}): save "
                f"'edge_index' alone"
            ) from error
    num_nodes = None
    edges: Any = loaded
    if isinstance(loaded, Data):
        loaded = loaded.to_dict()
        for key in ("x", "pos", "batch"):  # PyG infers the number of nodes from these
            if isinstance(loaded.get(key), Tensor) and loaded[key].dim() > 0:
                loaded.setdefault("num_nodes", loaded[key].size(0))
    if isinstance(loaded, dict):
        edges = _get(path, loaded, "edge_index")
        num_nodes = loaded.get("num_nodes")
    if not isinstance(edges, Tensor) or edges.layout != torch.strided:
        got = getattr(edges, "layout", type(edges).__name__)
        _fail(path, "edge_index", f"must be a tensor of shape [2, E] (got {got})")
    if edges.dtype.is_floating_point or edges.dtype.is_complex:
        _fail(path, "edge_index", f"must hold integers (got {edges.dtype})")
    if isinstance(num_nodes, Tensor):
        num_nodes = num_nodes.numpy()
    return _finish(path, edges.numpy(), num_nodes)


# Checks ######################################################################


def _finish(path: Path, edges: Any, num_nodes: Any) -> tuple[Tensor, tuple[int, int]]:
    edges = _integers(path, "edge_index", edges, (2, None))
    minimum = int(edges.max()) + 1 if edges.size else 0
    _check_range(path, "edge_index", edges, MAX_NODES)
    if num_nodes is None:
        if minimum > _SPARSE_NODES + _SPARSE_RATIO * edges.shape[1]:
            raise ValueError(
                f"{path}: the largest node number is {minimum - 1:,}, but there are "
                f"only {edges.shape[1]:,} edges: number the nodes from 0 without "
                f"gaps, or give 'num_nodes' in an .npz file"
            )
        return torch.from_numpy(edges), (minimum, minimum)
    count = int(_integers(path, "num_nodes", num_nodes, ()))
    if not minimum <= count <= MAX_NODES:
        limits = f"at least {minimum}, as in 'edge_index', and less than 2**31"
        _fail(path, "num_nodes", f"must be {limits} (got {count})")
    return torch.from_numpy(edges), (count, count)


def _integers(path: Path, key: str, value: Any, shape: Iterable[int | None]) -> Any:
    """Checks an array of integers and returns it as int64."""
    array, shape = np.asarray(value), list(shape)
    if array.dtype.kind not in "iu":
        _fail(path, key, f"must hold integers (got {array.dtype})")
    fits = all(n in (None, m) for n, m in zip(shape, array.shape, strict=False))
    if array.ndim != len(shape) or not fits:
        wanted = ", ".join("E" if n is None else str(n) for n in shape)
        turned = shape == [2, None] and array.ndim == 2 and array.shape[1] == 2
        advice = ": save its transpose" if turned else ""
        got = list(array.shape)
        _fail(path, key, f"must have shape [{wanted}] (got {got}){advice}")
    return np.ascontiguousarray(array.astype(np.int64, copy=False)).reshape(array.shape)


def _check_range(path: Path, key: str, numbers: NDArray[np.int64], limit: int) -> None:
    if numbers.size and not 0 <= numbers.min() <= numbers.max() < limit:
        wrong = numbers[(numbers < 0) | (numbers >= limit)][0]
        _fail(path, key, f"must be in [0, {limit}) (got {wrong})")


def _get(path: Path, values: dict[str, Any], key: str) -> Any:
    if key not in values:
        found = ", ".join(f"'{name}'" for name in values) or "none"
        raise ValueError(f"{path}: missing key '{key}' (found: {found})")
    return values[key]


def _fail(path: Path, key: str, problem: str) -> NoReturn:
    raise ValueError(f"{path}: '{key}' {problem}")
