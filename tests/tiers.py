"""Which tests are collected: those that apply, and in the quick tier a pairwise sample.

A test function that is parametrized several times over (by graph, reduction, dtype, and
by the class that inherits it) is a cross product. Faults mostly show for one value or
for a pair of them, so that the quick tier runs a sample in which every pair of values
occurs that occurs in the product; `pytest --full` runs all. Where tests take long,
markers let the quick tier do less: `each_value` samples values instead of pairs,
`at_most` ends the sample early, and `full` leaves the test to the full tier.
"""

import inspect
import itertools
import os
import random
from collections import defaultdict

from pyg_hag.datasets import ROOT_VARIABLE

SEED = 0


def applies(item):
    """Whether a test can run here: otherwise it is not collected."""
    if any(mark.args[0] for mark in item.iter_markers("skipif")):
        return False
    if any(not has_data(data_of(item, mark)) for mark in item.iter_markers("data")):
        return False
    known = parameters(item)
    return not any(
        mark.args[0](
            *(known[name] for name in inspect.signature(mark.args[0]).parameters)
        )
        for mark in item.iter_markers("unless")
    ) and getattr(item.cls, "can_run", lambda *_: True)(item.originalname, known)


def data_of(item, mark):
    """The data sets of a test: those of the marker, or its parameter 'name'."""
    return mark.args or (parameters(item)["name"],)


def has_data(names):
    """Whether all of these data sets are there."""
    root = os.environ.get(ROOT_VARIABLE)
    return root is not None and all(os.path.isdir(os.path.join(root, n)) for n in names)


def parameters(item):
    callspec = getattr(item, "callspec", None)
    return {} if callspec is None else callspec.params


def values(item):
    """The values of a test in the dimensions of its cross product, and their names."""
    callspec = getattr(item, "callspec", None)
    ids = () if callspec is None else callspec._idlist
    return (item.cls.__name__ if item.cls else "", *ids)


def sample(items):
    """Of each cross product a sample in which every pair of values occurs."""
    products = defaultdict(list)
    for item in items:
        if not item.get_closest_marker("full"):
            # A contract's tests are one product over the classes of a folder.
            key = item.function.__code__, item.path.parent, len(values(item))
            products[key].append(item)
    kept = set()
    for product in products.values():
        num_values = 1 if product[0].get_closest_marker("each_value") else 2
        chosen = cover(product, num_values)
        limits = [m.args[0] for m in product[0].iter_markers("at_most")]
        kept.update(map(id, chosen[: min(limits, default=None)]))
    return [item for item in items if id(item) in kept]


def cover(product, num_values):
    """Of some random items that which adds most, until all combinations occur."""
    pairs = {id(item): combinations(values(item), num_values) for item in product}
    missing = set().union(*pairs.values())
    rng = random.Random(SEED)
    rest = list(product)
    rng.shuffle(rest)
    chosen = []
    while missing:
        best = max(rest[:40], key=lambda item: len(pairs[id(item)] & missing))
        gain = pairs[id(best)] & missing
        if gain:
            chosen.append(best)
            missing -= gain
            rest.remove(best)
        rest = [item for item in rest[:40] if pairs[id(item)] & missing] + rest[40:]
    return chosen


def combinations(values, num_values):
    places = [*enumerate(values)]
    return {*itertools.combinations(places, min(num_values, len(places)))}
