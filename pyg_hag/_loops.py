"""A self-loop on every node of a HAG, without a new search."""

import torch
from torch_geometric.utils import add_self_loops, remove_self_loops

from pyg_hag._merge import with_edges
from pyg_hag._views import View
from pyg_hag.hag import HAG


def looped(hag: HAG) -> HAG:
    """The HAG of the graph in which every node has exactly one self-loop.

    That is what `add_remaining_self_loops` of PyG makes of it. Computed once per HAG.
    """
    if torch.compiler.is_compiling():
        return View(hag, "looped")
    return hag._cached("looped", lambda: _looped(hag))


def _looped(hag: HAG) -> HAG:
    hag, _ = hag.closed()
    loops = hag.self_loops
    if bool((loops > 1).any()):  # too many, which aggregates may contain
        from pyg_hag.search import build_hag

        edge_index, _ = remove_self_loops(hag.to_edge_index())
        edge_index, _ = add_self_loops(edge_index, num_nodes=hag.num_dst)
        return build_hag(edge_index, hag.num_dst, capacity=0)
    missing = (loops == 0).nonzero().flatten().cpu().numpy()
    return with_edges(hag, missing, missing)
