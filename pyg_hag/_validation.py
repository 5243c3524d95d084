"""Checks of what a user passes, and their messages."""

from typing import TYPE_CHECKING, NoReturn

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pyg_hag import _structure

if TYPE_CHECKING:
    from pyg_hag.hag import HAG

_FAULTS = {
    _structure.NEGATIVE_COUNT: "a count is negative (row or group {})",
    _structure.WRONG_TOTAL: "the counts do not add up to the lengths of the tensors",
    _structure.SRC_RANGE: "'src[{}]' is not a source",
    _structure.DST_RANGE: "'dst[{}]' is not a destination",
    _structure.DST_TWICE: "'dst' lists destination {} twice",
    _structure.AGG_ORDER: "'agg[{}]' is not an earlier aggregate of its group",
    _structure.SHARED_SRC: "source {} is read by two groups",
    _structure.EMPTY_AGG: "aggregate {} has no inputs",
    _structure.UNUSED_AGG: "aggregate {} is read by no row",
    _structure.MINUS_RANGE: "row {} subtracts more inputs than it has",
}

_INTEGERS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)


def raise_structure_error(fault: int, where: int) -> NoReturn:
    """Raises the error of a fault found by `_structure.check`."""
    reason = _FAULTS[fault].format(where)
    raise ValueError(f"the tensors are not a HAG: {reason}; use 'build_hag' to make it")


def check_vectors(tensors: dict[str, object]) -> None:
    """Checks that all are one-dimensional int64 tensors on one device."""
    device = None
    for name, tensor in tensors.items():
        if not isinstance(tensor, Tensor):
            raise TypeError(
                f"'{name}' must be a torch.Tensor (got {type(tensor).__name__})"
            )
        if tensor.dim() != 1 or tensor.dtype != torch.int64:
            raise TypeError(
                f"'{name}' must be a one-dimensional int64 tensor (got "
                f"{tensor.dtype} of shape {list(tensor.shape)})"
            )
        device = device or tensor.device
        if tensor.device != device:
            raise ValueError(
                f"'{name}' is on {tensor.device}, but '{next(iter(tensors))}' is on "
                f"{device}: move all tensors to one device"
            )


def check_count(name: str, value: object, least: int) -> int:
    """Checks an integer argument and returns it."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"'{name}' must be an int (got {value!r})")
    if value < least:
        raise ValueError(f"'{name}' must be at least {least} (got {value})")
    return value


def check_choice(name: str, value: object, choices: tuple[str, ...]) -> str:
    """Checks an argument that is one of a few words and returns it."""
    if not isinstance(value, str):
        raise TypeError(f"'{name}' must be a str (got {value!r})")
    if value not in choices:
        words = " or ".join(repr(c) for c in choices)
        raise ValueError(f"'{name}' must be {words} (got {value!r})")
    return value


def check_fraction(name: str, value: object, most: float = 1.0) -> None:
    """Checks a number from 0 to `most`."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"'{name}' must be a number (got {value!r})")
    if not 0 <= value <= most:
        raise ValueError(f"'{name}' must be in [0, {most:g}] (got {value})")


def check_probabilities(p_min: object, p_max: object) -> None:
    """Checks the ends of a range of probabilities."""
    check_fraction("p_min", p_min)
    check_fraction("p_max", p_max)
    if p_max < p_min:  # type: ignore[operator]
        raise ValueError(f"'p_max' must be at least 'p_min' (got {p_max} and {p_min})")


def check_seconds(name: str, value: object) -> None:
    """Checks an optional number of seconds."""
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"'{name}' must be a number of seconds (got {value!r})")
    if not value >= 0:
        raise ValueError(f"'{name}' must not be negative (got {value})")


def check_edge_index(edge_index: object, size: tuple[int, int]) -> Tensor:
    """Checks an edge_index against (num_src, num_dst) and returns it as int64."""
    if not isinstance(edge_index, Tensor):
        raise TypeError(
            f"'edge_index' must be an integer tensor of shape [2, num_edges] (got "
            f"{type(edge_index).__name__})"
        )
    if edge_index.dtype not in _INTEGERS:
        raise TypeError(f"'edge_index' must hold integers (got {edge_index.dtype})")
    if edge_index.dim() != 2 or edge_index.size(0) != 2:
        raise ValueError(
            f"'edge_index' must have shape [2, num_edges] (got "
            f"{list(edge_index.shape)})"
        )
    edge_index = edge_index.detach().long()
    if edge_index.numel() == 0:
        return edge_index
    for row, name in enumerate(("source", "destination")):
        limit = size[row]
        low, high = (int(value) for value in edge_index[row].aminmax())
        if low < 0 or high >= limit:
            raise ValueError(
                f"'edge_index' has {name} {low if low < 0 else high}, but there are "
                f"{limit} {name}s (0 to {limit - 1}): pass 'num_nodes' or 'size'"
            )
    return edge_index


def prove_single_paths(hag: "HAG") -> None:
    """Raises where a source reaches a destination along two paths."""
    if hag.is_signed:
        prove_single_edges(*hag.to_edge_index().cpu().numpy())
        return
    a = hag._arrays()
    u, v = _structure.first_repeated_path(
        a["kinds"],
        a["src_ptr"],
        a["src"],
        a["agg_ptr"],
        a["agg"],
        hag.num_dst,
        np.zeros(hag.num_src, np.int64),
    )
    if u >= 0:
        _raise_repeated(u, v)


def prove_single_edges(src: NDArray[np.int64], dst: NDArray[np.int64]) -> None:
    """Raises where one of the edges, in order, equals the one before it."""
    equal = ((src[1:] == src[:-1]) & (dst[1:] == dst[:-1])).nonzero()[0]
    if equal.size > 0:
        _raise_repeated(int(src[equal[0]]), int(dst[equal[0]]))


def _raise_repeated(u: int, v: int) -> NoReturn:
    raise ValueError(
        f"the HAG has more than one path from source {u} to destination {v}; if "
        f"the graph has duplicate edges, pass it as 'edge_index'"
    )


def prove_paths_are_edges(hag: "HAG", edge_index: Tensor) -> None:
    """Raises unless each edge is exactly one path and there is no other path."""
    wanted = check_edge_index(edge_index, (hag.num_src, hag.num_dst)).cpu()
    degree = torch.bincount(wanted[1], minlength=hag.num_dst)
    wrong = (degree != hag.in_degree.cpu()).nonzero()
    if wrong.numel() > 0:
        v = int(wrong[0])
        raise ValueError(
            f"destination {v} has {int(degree[v])} edges in 'edge_index', but "
            f"{int(hag.in_degree[v])} paths in the HAG"
        )
    order = np.lexsort((wanted[0].numpy(), wanted[1].numpy()))
    wanted = wanted[:, order]
    different = (wanted != hag.to_edge_index().cpu()).any(0).nonzero()
    if different.numel() > 0:
        u, v = wanted[:, int(different[0])].tolist()
        raise ValueError(
            f"the paths into destination {v} are not its edges in 'edge_index', from "
            f"edge ({u}, {v}) on"
        )
