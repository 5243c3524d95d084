"""Rules of a product in which each reached source is added once."""

import numpy as np

from pyg_hag.search.emit.rules import Rules
from pyg_hag.search.product.composition import Composition
from pyg_hag.search.product.quotient import Quotient
from pyg_hag.search.product.split import Leaves, split_rows
from pyg_hag.search.product.trees import Forest, plant, write_sums
from pyg_hag.utils.arrays import I32


def split_rules(
    quotient: Quotient, num_src: int, subtract: bool, own: I32, counts: bool
) -> tuple[Rules, I32]:
    """The rules in which rows are disjoint parts of what middle nodes reach.

    Args:
        quotient: The product.
        num_src: Number of sources.
        subtract: Whether rows may subtract.
        own: The atom that each row must not reach, `[num_rows]`; empty if there are
            none.
        counts: Whether what several middle nodes reach is added as often.

    Returns:
        The rules, and the source that each given item stands for: `-1 - u` subtracts
        source u.
    """
    origin = np.arange(num_src, dtype=np.int32)
    if subtract:
        origin = np.concatenate([origin, -1 - origin])
    rules = Composition(origin.size)
    atoms = rules.sums(quotient.atom_ptr, quotient.member)
    minus = np.empty(0, np.int32)
    if subtract:
        minus = rules.sums(quotient.atom_ptr, num_src + quotient.member)
    leaf = atoms[quotient.atom] if quotient.atom.size else quotient.atom
    forest, end = plant(quotient.list_ptr, leaf, rules.next_id)
    _add_sums(rules, forest, end)
    leaves = Leaves(forest, quotient.atom, minus, quotient.num_atoms)
    rows = quotient.row_ptr, quotient.middle
    prefixes = split_rows(*rows, leaves, own, counts, rules.next_id)
    rules.add(prefixes.counts, prefixes.inputs)
    length = prefixes.lengths.astype(np.int64)
    lists = np.cumsum(length) - length, length, prefixes.items
    return rules.rules(*rules.repeated(*lists, quotient.row_of)), origin


def _add_sums(rules: Composition, forest: Forest, end: int) -> None:
    """Adds the sums of trees over lists."""
    num_sums = end - rules.next_id
    counts = np.empty(num_sums, np.int32)
    inputs = np.empty(_room(forest), np.int32)
    used = write_sums(forest, counts, inputs)
    rules.add(counts, inputs[:used].copy())


def _room(forest: Forest) -> int:
    """Room for the inputs of the sums of trees.

    A node has at most four children, whose outer sums read each other and one more.
    """
    inner = int(forest.inner[-1] - forest.inner[0])
    outer = int(forest.outer[-1] - forest.outer[0])
    return 4 * inner + 4 * outer
