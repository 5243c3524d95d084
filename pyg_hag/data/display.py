"""Data objects as tables, for notebooks."""

import warnings
from collections.abc import Callable
from typing import Any

from torch_geometric.data import Batch

from pyg_hag.hag import HAG
from pyg_hag.utils.html import html_facts, html_table


def data_html(data: Any) -> str:
    """The table of a :class:`pyg_hag.HAGData`."""
    with warnings.catch_warnings():  # of PyG, if the number of nodes is a guess
        warnings.simplefilter("ignore")
        num_nodes = data.num_nodes
        hag, shown, decision = _described(lambda: data.hag)
    num_edges = data.num_edges if hag is None else hag.num_edges
    facts: list[tuple[str, ...]] = [
        ("nodes", _count(num_nodes)),
        ("edges", _count(num_edges)),
        ("features", _count(data.num_features)),
        ("HAG", "", shown),
    ]
    if decision:
        facts.append(("decision", "", decision))
    if isinstance(data, Batch):
        facts.insert(0, ("graphs", _count(data.num_graphs)))
    return html_facts(repr(data), facts)


def hetero_data_html(data: Any) -> str:
    """The tables of a :class:`pyg_hag.HAGHeteroData`."""
    nodes = [["nodes", "number", "features"]]
    nodes += [
        [name, _count(data[name].num_nodes), _count(data[name].num_features)]
        for name in data.node_types
    ]
    edges = [["edges", "number", "HAG", "decision"]]
    for edge_type in data.edge_types:
        hag, *shown = _described(lambda: data.hag_of(edge_type))  # noqa: B023
        count = data[edge_type].num_edges if hag is None else hag.num_edges
        edges.append([", ".join(edge_type), _count(count), *shown])
    return html_table(type(data).__name__, nodes) + html_table("", edges)


def _described(hag_of: Callable[[], HAG]) -> tuple[HAG | None, str, str]:
    """A HAG with its text and the decision for it, or why there is none."""
    try:
        hag = hag_of()
    except ValueError as error:
        return None, f"none: {error}", ""
    plain = "" if hag.num_aggregates or hag.is_signed else "plain: no aggregates"
    return hag, repr(hag), hag.stats.decision or plain


def _count(number: int | None) -> str:
    return "unknown" if number is None else f"{number:,}"
