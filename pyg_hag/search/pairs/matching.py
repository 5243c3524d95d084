"""Which pairs of a round are merged side by side."""

import numpy as np

from pyg_hag.runtime.jit import jit
from pyg_hag.search.pairs.rounds import Round

_FREE, _LEAF, _CENTER = 0, 1, 2  # roles of items in a round; -1 - g: center of group g


@jit
def match(this: Round, count: int) -> int:
    """Chooses pairs that can be merged side by side, those that share most first.

    An item may be in several pairs if the others in them are in no other: these form
    a group.

    Returns:
        The number of groups.
    """
    floor, role = this.floor[0], this.role
    most = floor
    for i in range(count):
        if this.partner[i] >= 0:
            most = max(most, np.int64(this.shared[i]))
    num_pairs = 0
    for shared in range(most, floor - 1, -1):
        for i in range(count):
            x, y = this.item[i], this.partner[i]
            if y < 0 or this.shared[i] != shared:
                continue
            if role[x] == _FREE and role[y] != _LEAF:
                role[x], role[y] = _LEAF, _CENTER
            elif role[x] == _CENTER and role[y] == _FREE:
                role[y] = _LEAF
            else:
                continue
            this.pair[num_pairs] = i
            num_pairs += 1
    return _group(this, num_pairs)


@jit
def _group(this: Round, num_pairs: int) -> int:
    """Sorts the pairs by their centers; returns the number of groups."""
    role = this.role
    order = this.pair[:num_pairs].copy()
    group = np.empty(num_pairs, np.int32)
    num_groups = 0
    ptr = this.group_ptr
    for k in range(num_pairs):
        x, y = this.item[order[k]], this.partner[order[k]]
        center = x if role[x] != _LEAF else y
        if role[center] == _CENTER:  # not numbered yet
            role[center] = -1 - num_groups
            this.center[num_groups] = center
            num_groups += 1
            ptr[num_groups] = 0
        group[k] = -1 - role[center]
        ptr[group[k] + 1] += 1
    ptr[0] = 0
    for g in range(num_groups):
        ptr[g + 1] += ptr[g]
    fill = ptr[:num_groups].copy()
    for k in range(num_pairs):
        this.pair[fill[group[k]]] = order[k]
        fill[group[k]] += 1
        role[this.item[order[k]]] = _FREE
        role[this.partner[order[k]]] = _FREE
    return num_groups
