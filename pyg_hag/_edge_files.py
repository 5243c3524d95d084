"""Edge lists in files of several formats, read without trust."""

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pyg_hag._edge_text import read_edge_text
from pyg_hag.hag import MAX_NODES

TEXT = (".csv", ".txt", ".tsv", ".edges")
SUFFIXES = (".npz", ".pt", *TEXT)

_KEYS = (
    *("edge_index", "num_nodes"),
    *("format", "shape", "indices", "indptr", "row", "col"),
)
_SPARSE_NODES = 10_000_000  # from which on nodes without edges are no graph's own
_SPARSE_RATIO = 100  # nodes per edge, likewise


def read_edges(path: str | os.PathLike[str]) -> tuple[Tensor, tuple[int, int]]:
    """Reads a graph from a file; nothing of it is executed.

    Args:
        path (path): One of these, by its ending:

            * `.npz` with `edge_index` of shape `[2, E]` and, optionally,
              `num_nodes`; or a matrix as `scipy.sparse.save_npz` writes it in the
              formats csr, csc and coo, where entry (i, j) is the edge i -> j.
            * `.pt` with a tensor of shape `[2, E]`, a PyG `Data`, or a dict with
              `edge_index` and, optionally, `num_nodes`.
            * `.csv`, `.txt`, `.tsv` or `.edges`: a source and a destination per
              line, separated by a comma, tabs or blanks. Further columns are
              ignored, and so are a header line and what follows `#` or `%`.

    Returns:
        tuple[torch.Tensor, tuple[int, int]]: `edge_index`, int64, and the numbers of
        sources and destinations, which are the same unless a matrix is not square.

    Raises:
        ValueError: If the file cannot be read or holds no edge list; the message
            names the line or the key that is wrong.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    try:
        if suffix == ".npz":
            return _read_npz(path)
        if suffix == ".pt":
            return _read_pt(path)
        if suffix in TEXT:
            return _finish(path, read_edge_text(path), None)
    except OSError as error:
        raise ValueError(f"cannot read '{path}': {error.strerror or error}") from error
    raise ValueError(f"'{path}' has none of the known endings: {', '.join(SUFFIXES)}")


# NumPy and SciPy #############################################################


def _read_npz(path: Path) -> tuple[Tensor, tuple[int, int]]:
    arrays = _load_npz(path)
    if "format" in arrays and "edge_index" not in arrays:
        edges, size = _from_scipy(path, arrays)
        return torch.from_numpy(edges), size
    edges = _get(path, arrays, "edge_index")
    return _finish(path, edges, arrays.get("num_nodes"))


def _load_npz(path: Path) -> dict[str, Any]:
    """The arrays that matter, so that features of any type may lie beside them."""
    key = ""
    with path.open("rb") as file:
        try:
            loaded = np.load(file, allow_pickle=False)
            if not isinstance(loaded, np.lib.npyio.NpzFile):
                raise ValueError("it holds one array, no archive")
            out: dict[str, Any] = {}
            with loaded as archive:
                for key in archive.files:
                    out[key] = archive[key] if key in _KEYS else None
            return out
        except Exception as error:  # whatever a broken archive makes NumPy raise
            where = f": key '{key}'" if key else ""
            raise ValueError(
                f"{path}{where}: not a valid .npz file of plain arrays ({error})"
            ) from error


def _from_scipy(
    path: Path, arrays: dict[str, Any]
) -> tuple[NDArray[np.int64], tuple[int, int]]:
    kind = np.asarray(arrays["format"])
    if kind.ndim != 0 or kind.dtype.kind not in "SU":
        _fail(path, "format", f"must be csr, csc or coo (got {kind.tolist()})")
    name = kind.item() if kind.dtype.kind == "U" else kind.item().decode("latin-1")
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
        _fail(path, "indptr", f"must rise from 0 to {index.size}, as 'indices' has")
    _check_range(path, "indices", index, short)
    major = np.repeat(np.arange(long), np.diff(ptr))
    return np.stack([major, index] if name == "csr" else [index, major]), (rows, cols)


# PyTorch and PyG #############################################################


def _read_pt(path: Path) -> tuple[Tensor, tuple[int, int]]:
    from torch_geometric.data import Data
    from torch_geometric.data.data import DataEdgeAttr, DataTensorAttr
    from torch_geometric.data.storage import GlobalStorage

    # Only what is missing: the context forgets on exit what it was given.
    known = {Data, DataEdgeAttr, DataTensorAttr, GlobalStorage}
    missing = list(known.difference(torch.serialization.get_safe_globals()))
    with path.open("rb") as file, torch.serialization.safe_globals(missing):
        try:
            loaded = torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:  # whatever a broken file makes PyTorch raise
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
        for key in ("x", "pos", "batch"):  # PyG takes the number of nodes from these
            if isinstance(loaded.get(key), Tensor) and loaded[key].dim() > 0:
                loaded.setdefault("num_nodes", loaded[key].size(0))
    if isinstance(loaded, dict):
        edges = _get(path, loaded, "edge_index")
        num_nodes = loaded.get("num_nodes")
    if not isinstance(edges, Tensor) or edges.layout != torch.strided:
        kind = getattr(edges, "layout", type(edges).__name__)
        _fail(path, "edge_index", f"must be a tensor of shape [2, E] (got {kind})")
    if edges.dtype.is_floating_point or edges.dtype.is_complex:
        _fail(path, "edge_index", f"must hold integers (got {edges.dtype})")
    if isinstance(num_nodes, Tensor):
        num_nodes = num_nodes.numpy()
    return _finish(path, edges.numpy(), num_nodes)


# Checks ######################################################################


def _finish(path: Path, edges: Any, num_nodes: Any) -> tuple[Tensor, tuple[int, int]]:
    edges = _integers(path, "edge_index", edges, (2, None))
    least = int(edges.max()) + 1 if edges.size else 0
    _check_range(path, "edge_index", edges, MAX_NODES)
    if num_nodes is None:
        if least > _SPARSE_NODES + _SPARSE_RATIO * edges.shape[1]:
            raise ValueError(
                f"{path}: the largest node number is {least - 1:,}, but there are only "
                f"{edges.shape[1]:,} edges: number the nodes from 0 without gaps, or "
                f"give 'num_nodes' in an .npz file"
            )
        return torch.from_numpy(edges), (least, least)
    count = int(_integers(path, "num_nodes", num_nodes, ()))
    if not least <= count <= MAX_NODES:
        limits = f"at least {least}, as in 'edge_index', and less than 2**31"
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
        _fail(path, key, f"must have shape [{wanted}] (got {list(array.shape)})")
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
