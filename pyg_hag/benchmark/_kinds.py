"""What each kind of graph gains, from the rows of `models`."""

from pyg_hag.benchmark._report import Rows, Table, by_contender, times

KINDS = {
    "HeCo_DBLP_APCPA": "meta-paths (authors of one conference)",
    "ego-Facebook": "circles of friends",
    "cnr-2000": "web pages",
    "COLLAB": "collaborations",
    "PROTEINS": "proteins",
    "cornell5": "social network",
    "Gowalla_bip": "recommender (users and places)",
    "Computers": "products bought together",
    "Cora": "citations",
    "REDDIT-BINARY": "discussions",
    "MUTAG": "molecules",
}
MODEL, WIDTH = "GCN, 3 layers", 64
HEADER = [
    *("kind of graph", "data set", "edges", "reads"),
    *("forward over edge_index", "over CSR", "training over edge_index", "over CSR"),
]
ABOUT = (
    f"`{MODEL}` at {WIDTH} features after `to_hag`: how many times less the HAG reads "
    "than the graph, and how many times faster the model is than before, on "
    "`edge_index` and on a sparse matrix (CSR). Where the HAG reads no less, the graph "
    "was left as it is, and the gain is that of the kernel."
)


def table(rows: Rows) -> Table:
    """One line for each kind of graph.

    Args:
        rows: Those of `models`.
    """
    lines = [HEADER]
    cases = by_contender(rows, "graph", "width", "model", "mode")
    for name, kind in KINDS.items():
        modes = [
            cases.get((name, WIDTH, MODEL, mode), {}).get("HAG")
            for mode in ("forward", "training")
        ]
        forward, training = modes
        if forward is None or training is None:
            continue
        speedups = [
            times(row.get(f"over {form}"), 1)
            for row in (forward, training)
            for form in ("edge_index", "CSR")
        ]
        edges, reduction = forward["edges"], forward["read_reduction"]
        reads = "all" if reduction == 1 else f"1/{reduction:.1f}"
        lines.append([kind, name, f"{edges:,}", reads, *speedups])
    return lines
