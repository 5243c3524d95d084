"""Restores stored HAGs, and keeps them as long as nothing changes."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyg_hag.data.store import given, hashes, paths_of, stored_in
from pyg_hag.hag import HAG, packing
from pyg_hag.hag.edge_weights import EdgeWeights, read_weights
from pyg_hag.utils.tensors import equal, is_everywhere, ordinary

_MEANINGS = packing.COUNT, packing.COVER
_OF_PATHS = packing.COUNT | packing.COVER
_OR = " (or their numbers of paths in 'edge_weight')"


def restored(
    store: Any, size: tuple[int, int], cache: dict[str, Any], name: str
) -> HAG:
    """The HAG in a store: that in the cache as long as nothing has changed."""
    stored = stored_in(store)
    if not isinstance(stored[0], Tensor):
        raise ValueError(_stale(name, "the data has no HAG"))
    # The cache is valid as long as the tensors are the same and unchanged:
    state = *size, _state(stored)
    if cache.get("state") != state or _has_changed(cache):
        packed, edge_index, _ = stored
        hag, kind = _restore(_on_host(cache, stored), size, name)
        hag = hag.to(packed.device)
        if edge_index is not None and not kind & _OF_PATHS:
            hag.in_order_of(edge_index)
        if kind & _OF_PATHS:
            counts = bool(kind & packing.COUNT)
            weights = EdgeWeights.counts() if counts else EdgeWeights.cover()
            hag = hag.weighted_by(weights)
        elif kind & packing.WEIGHTED:
            hag = hag.weighted_by(_weights(stored, size, kind, name))
        elif has_unread_weights(store):
            hag.note_unread_weights()
        cache.update(hag=hag, stored=stored, state=state, copies=_copies(stored))
    hag = cache["hag"]
    return hag


def _weights(
    stored: list[Any], size: tuple[int, int], kind: int, name: str
) -> EdgeWeights:
    """The weights of the edges, which are stored next to them."""
    _, edge_index, weight = stored
    if edge_index is None or weight is None or weight.numel() != edge_index.size(1):
        raise ValueError(
            _stale(name, "it has weights, but 'edge_weight' was removed or changed")
        )
    is_optional = bool(kind & packing.OPTIONAL)
    return read_weights(edge_index, weight.view(-1), size, is_optional)[0]


def has_unread_weights(store: Any) -> bool:
    """Whether a store has one number per edge that is not called `edge_weight`."""
    value, edge_index = given(store, "edge_attr"), given(store, "edge_index")
    if not isinstance(value, Tensor) or not isinstance(edge_index, Tensor):
        return False
    if store.get("edge_weight") is not None or not value.is_floating_point():
        return False
    return value.numel() == edge_index.size(1) and not is_everywhere(value, 1)


def _state(stored: list[Tensor | None]) -> list[tuple[int, int]]:
    """Changes when a tensor is replaced or written to.

    Except for tensors of inference mode, which do not count what is written to them.
    """
    return [(id(t), 0 if t is None or t.is_inference() else t._version) for t in stored]


def _copies(stored: list[Tensor | None]) -> list[tuple[Tensor, Tensor]]:
    """The tensors of inference mode, and copies of what they hold."""
    return [(t, ordinary(t)) for t in stored if t is not None and t.is_inference()]


def _has_changed(cache: dict[str, Any]) -> bool:
    return any(not equal(t, copy) for t, copy in cache["copies"])


def remember(cache: dict[str, Any], before: list[Any], store: Any) -> None:
    """Keeps the tensors on the host, so that nothing is read back from a device."""
    after = stored_in(store)
    here, there = (
        {None if t is None else t.device.type for t in stored} - {None}
        for stored in (before, after)
    )
    if here == {"cpu"} and there != here and not _copies([*before, *after]):
        cache["left"] = before, _state(before), after, _state(after)


def _on_host(cache: dict[str, Any], stored: list[Tensor | None]) -> list[Tensor | None]:
    """The same tensors on the host: those kept there, or copies."""
    if "left" in cache:
        before, were, _, are = cache["left"]
        if _state(before) == were and _state(stored) == are:
            return list(before)
    return [None if t is None else t.cpu() for t in stored]


def _restore(stored: list[Any], size: tuple[int, int], name: str) -> tuple[HAG, int]:
    """Unpacks a HAG after checking that it belongs to the graph, and its flags."""
    packed, edge_index, weight = stored
    changed = _stale(name, "the stored HAG has changed")
    if packed.dim() != 1 or packed.dtype != torch.long:
        raise ValueError(changed)
    numbers = packed.contiguous().numpy()
    headers, are_whole = packing.headers(numbers)
    if not are_whole:
        raise ValueError(changed)
    had = int(headers[:, packing.NUM_SRC].sum()), int(headers[:, 0].sum())
    for before, now in zip(had, size, strict=True):
        if before != now:
            raise ValueError(_stale(name, f"it had {before} nodes and has {now}"))
    flat = packing.unpack(numbers, headers)
    sizes = torch.from_numpy(headers)
    kinds = headers[:, packing.HAG_TYPE]
    paths = None
    if edge_index is not None and (kinds & packing.COUNT).any():
        paths = _stored_paths(edge_index, weight, name)
    if not equal(sizes[:, -1], hashes(flat, sizes, edge_index, paths)):
        lost = edge_index is None
        reason = "the data has no 'edge_index'" if lost else "its edges have changed"
        raise ValueError(_stale(name, reason if paths is None else f"{reason}{_OR}"))
    # A batch of HAGs of several kinds has no order:
    sequential = {*(kinds & packing.KIND).tolist()} == {packing.SEQUENTIAL}
    hag = HAG.checked(size[0], [*map(torch.from_numpy, flat)], sequential)
    hag.decided(*(kinds >> packing.DECISION).tolist())
    _check_kinds(hag, headers, name)
    return hag, int(np.bitwise_or.reduce(kinds & packing.FLAGS, initial=0))


def _stored_paths(edge_index: Tensor, weight: Any, name: str) -> Tensor:
    """How many paths each edge is, by the weights that are stored next to the edges."""
    paths = None
    if isinstance(weight, Tensor) and weight.numel() == edge_index.size(1):
        paths = paths_of(weight)
    if paths is None or bool((paths < 0).any()):
        raise ValueError(
            _stale(name, "it counts paths, but 'edge_weight' was removed or changed")
        )
    return paths


def _check_kinds(hag: HAG, headers: Any, name: str) -> None:
    """Checks that what several paths are in some graphs of a batch holds for all."""
    kinds = headers[:, packing.HAG_TYPE]
    every = int(np.bitwise_or.reduce(kinds, initial=0))
    if not every & _OF_PATHS:
        return
    if sum(bool(every & flag) for flag in (*_MEANINGS, packing.WEIGHTED)) > 1:
        raise ValueError(
            f"'{name}' is a batch of HAGs that count paths, of covers or of HAGs with "
            f"weights: put those of one kind into a batch"
        )
    others = np.repeat(kinds & _OF_PATHS == 0, headers[:, 0])
    if not others.any():
        return
    degree, edges = hag.host.paths.degree[others], hag.host.distinct.degree[others]
    if (degree != edges).any():
        raise ValueError(
            f"'{name}' is a batch of HAGs of which several paths are one edge, and of "
            f"others that have duplicate edges: put those of one kind into a batch"
        )


def _stale(name: str, reason: str) -> str:
    """The error message for a HAG that does not belong to its graph."""
    return (
        f"'{name}' does not belong to this graph: {reason}; apply 'HAGTransform' "
        f"last, after everything that changes nodes or edges"
    )
