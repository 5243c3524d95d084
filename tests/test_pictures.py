"""Pictures of HAGs, and HAGs as graphs of networkx."""

import runpy
import sys
from collections import Counter
from itertools import chain, pairwise
from pathlib import Path

import matplotlib.pyplot as plt
import networkx as nx
import pytest
import torch
from graphs import (
    ODD_GRAPHS,
    biclique,
    clique,
    edge_index_of,
    fewest_hag,
    graphs,
    near_cliques,
    random_graph,
    signed_hag,
)
from hypothesis import given, settings
from matplotlib.colors import to_hex
from matplotlib.patches import FancyArrowPatch
from test_signed_hag import hand_made

from pyg_hag import HAG, analyze, build_hag, plot_savings, to_networkx
from pyg_hag.drawing import graph as drawing
from pyg_hag.drawing.layout import layout
from pyg_hag.hag.nodes import diagram_of

DOCS = Path(__file__).parents[1] / "docs"
CLIQUES = edge_index_of(clique(range(6)) + clique(range(6, 11)))


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def sequential_hag(edge_index, size):
    return build_hag(edge_index, size=size, order="sequential", neighbor_order="degree")


def hags():
    """HAGs of all kinds, by name."""
    out = {name: fewest_hag(e, size=size) for name, (e, size) in ODD_GRAPHS.items()}
    for name, graph in [
        ("random", random_graph(3, 12, 15, 0.5)),
        ("several times", random_graph(4, 12, 9, 0.4, copies=3)),
        ("cliques", near_cliques(1, 2, 8)),
    ]:
        out[name] = fewest_hag(graph[0], size=graph[1])
        out[f"{name}, plain"] = build_hag(graph[0], size=graph[1], capacity=0)
        out[f"{name}, sequential"] = sequential_hag(*graph)
        out[f"{name}, signed"] = signed_hag(graph[0], size=graph[1])
    out["signed"] = signed_hag(CLIQUES)
    out["by hand"] = hand_made()
    return out


HAGS = hags()
each_hag = pytest.mark.parametrize("name", HAGS)


# networkx ######################################################################


def edges_of(graph):
    """How many paths lead from each source to each destination, less subtracted."""
    order = list(nx.topological_sort(graph))
    paths = {key: Counter({key: 1} if key[0] == "src" else {}) for key in order}
    for key in order:
        for tail, _, sign in graph.in_edges(key, data="sign"):
            for source, count in paths[tail].items():
                paths[key][source] += sign * count
    return {
        (u, v): count
        for v, counts in paths.items()
        if v[0] == "dst"
        for u, count in counts.items()
        if count
    }


def check_networkx(hag):
    graph = to_networkx(hag)
    assert isinstance(graph, nx.MultiDiGraph)
    kinds = Counter(nx.get_node_attributes(graph, "kind").values())
    counts = hag.num_src, hag.num_aggregates, hag.num_dst
    names = "source", "aggregate", "destination"
    assert kinds == +Counter(dict(zip(names, counts, strict=True)))
    assert graph.number_of_edges() == hag.stats.reads
    signs = Counter(sign for *_, sign in graph.edges(data="sign"))
    assert signs[-1] == hag.stats.subtractions and {*signs} <= {1, -1}
    wanted = Counter(map(tuple, hag.to_edge_index().t().tolist()))
    assert edges_of(graph) == {
        (("src", u), ("dst", v)): n for (u, v), n in wanted.items()
    }
    level = nx.get_node_attributes(graph, "level")
    for key in graph:
        below = [level[tail] for tail in graph.predecessors(key)]
        if key[0] == "dst":
            assert level[key] == hag.stats.depth + 1
        else:
            assert level[key] == 1 + max(below, default=-1)
        orders = sorted(order for *_, order in graph.in_edges(key, data="order"))
        assert orders == [*range(len(orders))]


@each_hag
def test_networkx(name):
    check_networkx(HAGS[name])


@settings(max_examples=30, deadline=None)
@given(graphs())
def test_networkx_of_random_graphs(graph):
    check_networkx(fewest_hag(graph[0], size=graph[1]))


def test_networkx_keeps_the_order_of_a_sequential_hag():
    edge_index = edge_index_of([*biclique([2, 0, 1], [3, 4]), (3, 4)])
    graph = to_networkx(build_hag(edge_index, 5, order="sequential"))
    inputs = sorted(graph.in_edges(("dst", 4), data="order"), key=lambda edge: edge[2])
    assert [tail for tail, _, _ in inputs] == [("agg", 0), ("src", 3)]


def test_networkx_refuses_other_things(monkeypatch):
    with pytest.raises(TypeError, match="'hag' must be a HAG \\(got Tensor\\)"):
        to_networkx(CLIQUES)
    monkeypatch.setitem(sys.modules, "networkx", None)
    with pytest.raises(ImportError, match="pip install networkx"):
        to_networkx(HAGS["clique"])


# Layout ########################################################################


def placed(hag):
    nodes, arrows, _ = diagram_of(hag.host)
    links = {(a.tail, a.head, a.sign) for a in arrows}
    levels = [node.level for node in nodes]
    return levels, links, layout(levels, [0.5] * len(nodes), links)


def crossings(out):
    hops = {hop for way in out.route.values() for hop in pairwise(way)}
    return sum(
        out.x[a] == out.x[c] and out.y[a] < out.y[c] and out.y[b] > out.y[d]
        for a, b in hops
        for c, d in hops
    )


@each_hag
def test_places(name):
    levels, links, out = placed(HAGS[name])
    assert out.x[: len(levels)] == levels
    assert out.route.keys() == links
    for (tail, head, _), way in out.route.items():
        assert (way[0], way[-1]) == (tail, head)
        assert [out.x[p] for p in way] == [*range(levels[tail], levels[head] + 1)]
    for column in {*out.x}:
        inside = [p for p in range(len(out.x)) if out.x[p] == column]
        inside.sort(key=out.y.__getitem__)
        for a, b in pairwise(inside):
            nodes = (a < len(levels)) + (b < len(levels))
            assert out.y[b] - out.y[a] > [0.2, 0.6, 0.999][nodes]


def test_lines_do_not_cross_where_they_need_not():
    levels = [0] * 6 + [1] * 6
    links = [(u, v, 1) for u in range(6) for v in range(6, 12) if u % 2 == v % 2]
    out = layout(levels, [0.5] * 12, links)
    assert crossings(out) == 2 * 9  # those within each half
    links = [(u, 11 - u, 1) for u in range(6)]
    out = layout(levels, [0.5] * 12, links)
    assert crossings(out) == 0
    assert all(out.y[u] == pytest.approx(out.y[11 - u]) for u in range(6))


@pytest.mark.parametrize("links", [[(1, 6), (3, 5)], [(1, 5), (3, 6)]])
def test_nodes_without_lines_are_the_last_ones(links):
    y = layout([0] * 4 + [1] * 4, [0.5] * 8, [(*link, 1) for link in links]).y
    assert max(y[1], y[3]) < y[0] == y[2] - 1
    assert max(y[5], y[6]) < y[4] == y[7] - 1
    y = layout([0] * 5 + [1] * 3, [0.5] * 8, [(4, 5, 1), (3, 7, 1)]).y
    assert max(y[5], y[7]) == y[6] - 1


def test_nodes_without_lines_follow_the_others():
    links = [(u, 20, 1) for u in range(0, 20, 2)]
    y = layout([0] * 20 + [1] * 4, [0.5] * 24, links).y
    assert y[21:] == [y[20] + 1, y[20] + 2, y[20] + 3]
    assert y[1] == pytest.approx(y[18] + 1)


# Graphs ########################################################################


def texts(ax):
    return [text.get_text() for text in ax.texts]


def arrows(ax):
    return [patch for patch in ax.patches if isinstance(patch, FancyArrowPatch)]


@each_hag
def test_every_node_and_input_is_drawn(name):
    hag = HAGS[name]
    ax = hag.plot()
    ax.figure.canvas.draw()
    links = {(a.tail, a.head, a.sign) for a in diagram_of(hag.host).arrows}
    assert len(arrows(ax)) == len(links)
    nodes = [p for p in ax.patches if not isinstance(p, FancyArrowPatch)]
    assert len(nodes) == hag.num_src + hag.num_aggregates + hag.num_dst
    red = [a for a in arrows(ax) if to_hex(a.get_edgecolor()) == drawing.SUBTRACTED]
    assert len(red) == len([link for link in links if link[2] < 0])
    assert ("- - subtracted" in texts(ax)) == bool(red)
    labels = Counter(texts(ax))
    for number in range(max(hag.num_src, hag.num_dst)):
        count = (number < hag.num_src) + (number < hag.num_dst)
        assert labels[str(number)] >= count
    assert {f"a{k}" for k in range(hag.num_aggregates)} <= {*labels}
    s = hag.stats
    cost = f"{s.reads} reads" if s.steps is None else f"{s.steps} steps"
    assert ax.get_title() == f"{cost} for {s.num_edges} edges"
    boxes = [patch.get_window_extent() for patch in nodes]  # none hides another
    box = ax.get_window_extent()
    for i, a in enumerate(boxes):
        assert box.x0 <= a.x0 and a.x1 <= box.x1 and box.y0 <= a.y0 and a.y1 <= box.y1
        assert not any(a.overlaps(b) for b in boxes[:i])


def test_columns_have_names():
    two = [*biclique([0, 1], range(6)), *biclique([2, 3, 4], range(2, 6))]
    one = texts(HAGS["clique"].plot())
    assert {"sources", "aggregates", "destinations"} - {*one} == {"aggregates"}
    one = texts(HAGS["closed clique"].plot())
    assert {"sources", "aggregates", "destinations"} <= {*one}
    assert {"level 1", "level 2"} <= {*texts(fewest_hag(edge_index_of(two)).plot())}


def test_inputs_that_are_read_several_times_have_a_number():
    hag = HAGS["every self-loop three times"]
    assert texts(hag.plot()).count("3x") == 3
    assert "2x" not in texts(HAGS["clique"].plot())


def test_a_sequential_hag_shows_what_is_read_in_order():
    edges = [(2, 4), (0, 4), (1, 4), (2, 5), (0, 5), (3, 5), (2, 6)]
    hag = build_hag(
        edge_index_of(edges), 7, order="sequential", neighbor_order="shared"
    )
    found = texts(hag.plot())
    assert {"a0, 0", "a1, 1", "a1, 3", "a0"} <= {*found}
    long = edge_index_of(biclique(range(30), [0]))
    hag = build_hag(long, size=(30, 1), order="sequential")
    assert [text for text in texts(hag.plot()) if text.startswith("0, 1, 2")] == [
        "0, 1, 2, 3, 4, 5, …"
    ]


def test_given_axes_are_used():
    figure, (left, right) = plt.subplots(1, 2, figsize=(3, 3), layout="constrained")
    assert HAGS["closed clique"].plot(left) is left
    assert HAGS["cliques"].plot(ax=right) is right
    assert plt.get_fignums() == [figure.number]
    figure.canvas.draw()
    assert HAGS["closed clique"].plot() not in (left, right)
    assert len(plt.get_fignums()) == 2


def test_weights_and_devices_make_no_difference():
    matrix = torch.ones(4, 4).to_sparse_coo() * 2
    hag = build_hag(matrix, objective="aggregations")
    assert hag.weights is not None
    assert len(arrows(hag.plot())) == hag.stats.reads


# Large HAGs ####################################################################


def heights(panel):
    return [bar.get_height() for bar in panel.patches]


@pytest.mark.parametrize("kind", [fewest_hag, signed_hag, sequential_hag, None])
def test_large_hags_are_bars(kind):
    edge_index, size = near_cliques(0, 6, 12)
    hag = build_hag(edge_index, size=size, capacity=0)
    if kind is not None:
        hag = kind(edge_index, size=size)
    ax = hag.plot()
    ax.figure.canvas.draw()
    left, right = ax.child_axes
    s = hag.stats
    cost = s.reads if s.steps is None else s.steps
    assert heights(left) == [s.num_edges, cost]
    assert left.get_ylabel() == ("reads" if s.steps is None else "steps")
    saved = "" if kind is None else f"\n{s.num_edges / cost:.2f}x fewer"
    assert texts(left) == [f"{s.num_edges:,}", f"{cost:,}{saved}"]
    levels = Counter(hag.host.paths.level.tolist())
    assert heights(right) == [levels[level] for level in range(1, s.depth + 1)]
    assert (texts(right) == ["no aggregates"]) == (hag.num_aggregates == 0)
    given = plt.figure().add_subplot()
    assert hag.plot(given) is given and len(given.child_axes) == 2


def test_when_a_hag_is_large():
    at_most = HAG.plot(fewest_hag(edge_index_of([(0, 1)]), num_nodes=50))
    assert not at_most.child_axes
    assert fewest_hag(edge_index_of([(0, 1)]), size=(50, 51)).plot().child_axes
    many = edge_index_of(biclique(range(40), range(40)))
    assert build_hag(many, size=(40, 40), capacity=0).plot().child_axes
    assert not fewest_hag(many, size=(40, 40)).plot().child_axes


# Savings, scripts, and a missing package #######################################


def test_savings_are_bars():
    edge_index = edge_index_of(biclique(range(60), range(60, 200)))
    analysis = analyze(edge_index, (200, 200), (16, 64))
    assert not analysis.forecasts[1].is_plain
    ax = plot_savings(analysis)
    times = [
        [1e3 * getattr(f, f"{way}_seconds") for f in analysis.forecasts]
        for way in ("pyg", "plain", "hag")
    ]
    assert heights(ax) == pytest.approx([*chain(*times)])
    assert [label.get_text() for label in ax.get_xticklabels()] == ["16", "64"]
    assert texts(ax)[0].startswith(f"{analysis.forecasts[0].speedup_over_pyg:.0f}x")
    given = plt.figure().add_subplot()
    assert plot_savings(analysis, given) is given
    with pytest.raises(TypeError, match="what 'analyze' returns \\(got HAG\\)"):
        plot_savings(HAGS["clique"])


def test_without_matplotlib(monkeypatch):
    analysis = analyze(CLIQUES, (11, 11), (16,))
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    large = fewest_hag(edge_index_of([(0, 1)]), num_nodes=60)
    for draw in (HAGS["clique"].plot, large.plot, lambda: plot_savings(analysis)):
        with pytest.raises(ImportError, match="pip install matplotlib"):
            draw()


def test_the_picture_of_the_readme(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(DOCS / "draw_hag.py"))
    for file in (tmp_path / "hag.png", DOCS / "hag.png"):
        assert file.read_bytes().startswith(b"\x89PNG")
        assert file.stat().st_size < 60_000
    assert "docs/hag.png" in (DOCS.parent / "README.md").read_text()
