"""Attacks by limits: what a search takes with little memory, or little time."""

import time

import torch

from pyg_hag import build_hag
from pyg_hag.analysis.memory import peak
from pyg_hag.datasets import (
    as_one_graph,
    generate_communities,
    generate_ego_networks,
    generate_meta_path,
)

GRAPHS = {
    "communities": lambda: [generate_communities(20_000, 2_000_000, 30)],
    "egos": lambda: generate_ego_networks(150, large=True),
    "meta-path": lambda: [generate_meta_path(4000)],
    "isolated": lambda: [generate_communities(3000, 300_000, 3)],
}
OPTIONS = {
    "time": {},
    "aggregations": {"objective": "aggregations"},
    "subtract": {"subtract": True},
}
MIB = 1 << 20
SHARES = 4.0, 2.0, 1.4, 1.0, 0.7, 0.4


def graph(name):
    edge_index, num_nodes = as_one_graph(GRAPHS[name]())
    return edge_index, num_nodes * (50 if name == "isolated" else 1)


def memory(name, options):
    """A limit holds within a tenth, or there is no search; and it never costs more."""
    edge_index, num_nodes = graph(name)
    chosen = OPTIONS[options] | {"progress": False}

    def search(**limit):
        found.append(build_hag(edge_index, num_nodes, **chosen, **limit))

    found = []
    small = torch.randint(300, (2, 9000))
    build_hag(small, 300, memory_limit=1 << 40, **chosen)  # compiled before
    build_hag(small, 300, **chosen)
    search()
    unlimited = peak(search)
    for share in SHARES:
        limit = int(share * unlimited * 1e6)
        found.clear()
        taken = peak(lambda limit=limit: search(memory_limit=limit))
        is_kept = taken * 1e6 <= 1.1 * limit + 4 * MIB
        decision = found[0].stats.decision
        print(f"x{share}={taken:.0f} of {limit / 1e6:.0f}, {decision}")
        assert is_kept or "no search fits" in decision, (share, taken, unlimited)
        assert taken <= 1.05 * unlimited + 4, (share, taken, unlimited)
    print(f"unlimited={unlimited:.0f}")


def seconds(name, options):
    """How long a search with a limit takes beyond it, and beyond no search."""
    edge_index, num_nodes = graph(name)
    chosen = OPTIONS[options] | {"progress": False}
    build_hag(edge_index, num_nodes, **chosen)
    begin = time.perf_counter()
    build_hag(edge_index, num_nodes, capacity=0)
    print(f"plain={time.perf_counter() - begin:.2f}")
    for limit in (0, 0.1, 0.5, 1.0):
        begin = time.perf_counter()
        hag = build_hag(edge_index, num_nodes, time_limit=limit, **chosen)
        print(f"{limit}={time.perf_counter() - begin:.2f} {hag.stats.decision}")
