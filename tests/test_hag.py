import copy
import io
import pickle
import re
from functools import partial

import pytest
import torch
from graphs import (
    ODD_GRAPHS,
    biclique,
    clique,
    edge_index_of,
    fewest_hag,
    graphs,
    int64,
    near_cliques,
    signed_hag,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from pyg_hag import HAG, build_hag
from pyg_hag.graph import checks, read
from pyg_hag.hag import structure, verify
from pyg_hag.hag.arrays import FIELDS
from pyg_hag.search import select

odd_graphs = pytest.mark.parametrize("graph", ODD_GRAPHS.values(), ids=ODD_GRAPHS)

# Aggregate 0 = {0, 1}; destination 0 = {2, aggregate 0}, destination 1 =
# {aggregate 0}. Then, in a group of their own, aggregate 1 = {3, 4};
# destinations 3 and 2 read it, and destination 2 reads 4 once more.
GOOD = {
    "num_src": 5,
    "src": int64(0, 1, 2, 3, 4, 4),
    "agg": int64(0, 0, 1, 1),
    "src_count": int64(2, 1, 0, 2, 0, 1),
    "agg_count": int64(0, 1, 1, 0, 1, 1),
    "dst": int64(0, 1, 3, 2),
    "group_aggs": int64(1, 1),
    "group_dsts": int64(2, 2),
}
SIMPLE_EDGES = edge_index_of(
    [(0, 0), (1, 0), (2, 0), (0, 1), (1, 1), (3, 2), (4, 2), (3, 3), (4, 3)]
)
GOOD_EDGES = torch.cat([SIMPLE_EDGES, edge_index_of([(4, 2)])], dim=1)


def hand_made(**changes):
    return HAG(**{**GOOD, **changes})


def sorted_edges(edge_index):
    return sorted(edge_index.flip(0).t().tolist())


# Structure ####################################################################

LARGE = 2**62
FOUR = (0,) * 4
ZEROS = (0,) * 5
FAULTS = [
    (structure.NEGATIVE_COUNT, 1, {"group_aggs": (1, -1)}),
    (structure.NEGATIVE_COUNT, 0, {"group_dsts": (-2, 2)}),
    (structure.NEGATIVE_COUNT, 2, {"src_count": (2, 1, -1, 2, 0, 2)}),
    (structure.NEGATIVE_COUNT, 0, {"agg_count": (-1, 1, 1, 0, 1, 2)}),
    (structure.SRC_RANGE, 2, {"src": (0, 1, 5, 3, 4, 4)}),
    (structure.SRC_RANGE, 0, {"src": (-1, 1, 2, 3, 4, 4)}),
    (structure.DST_RANGE, 3, {"dst": (0, 1, 2, 4)}),
    (structure.DST_RANGE, 0, {"dst": (-1, 1, 2, 3)}),
    (structure.DST_TWICE, 1, {"dst": (0, 1, 1, 2)}),
    (structure.AGG_ORDER, 0, {"agg": (1, 0, 1, 1)}),  # of a later group
    (structure.AGG_ORDER, 2, {"agg": (0, 0, 0, 1)}),  # of an earlier group
    (structure.AGG_ORDER, 3, {"agg": (0, 0, 1, 2)}),
    (structure.AGG_ORDER, 1, {"agg": (0, -1, 1, 1)}),
    # An aggregate that reads itself:
    (structure.AGG_ORDER, 0, {"agg": (0, 0, 0), "agg_count": (1, 1, 1, 0, 0, 0)}),
    (structure.SHARED_SRC, 2, {"src": (0, 1, 2, 3, 2, 2)}),
    (structure.EMPTY_AGG, 1, {"src_count": (2, 1, 0, 0, 2, 1)}),
    (structure.UNUSED_AGG, 1, {"agg": (0, 0), "agg_count": (0, 1, 1, 0, 0, 0)}),
    (structure.WRONG_TOTAL, None, {"src": (0, 1, 2, 3, 4)}),
    (structure.WRONG_TOTAL, None, {"src": ()}),
    (structure.WRONG_TOTAL, None, {"agg": (0, 0, 1, 1, 1)}),
    (structure.WRONG_TOTAL, None, {"dst": (0, 1, 2)}),
    (structure.WRONG_TOTAL, None, {"group_aggs": (1, 0)}),
    (structure.WRONG_TOTAL, None, {"group_dsts": (2, 1)}),
    (structure.WRONG_TOTAL, None, {"group_aggs": (LARGE, LARGE)}),
    (structure.WRONG_TOTAL, None, {"src_count": (*[LARGE] * 4, 3, 3)}),
    (structure.WRONG_TOTAL, None, {"agg_count": (*[LARGE] * 4, 2, 2)}),
    # Tensors that should be equally long:
    (structure.WRONG_TOTAL, None, {"group_aggs": (1, 1, 0), "group_dsts": (2, 2)}),
    (structure.WRONG_TOTAL, None, {"group_dsts": (2, 2, 7)}),
    (structure.WRONG_TOTAL, None, {"src_count": (2, 1, 0, 2, 0, 1, 0)}),
    (structure.WRONG_TOTAL, None, {"agg_count": (0, 1, 1, 0, 1, 1, 0)}),
    (structure.WRONG_TOTAL, None, {"agg_count": (0, 1, 1, 0, 2)}),
    # What is subtracted:
    (structure.MINUS_RANGE, 0, {"src_minus": (3, *ZEROS), "agg_minus": (0, *ZEROS)}),
    (structure.MINUS_RANGE, 0, {"src_minus": (-1, *ZEROS), "agg_minus": (0, *ZEROS)}),
    (structure.MINUS_RANGE, 1, {"src_minus": (0, *ZEROS), "agg_minus": (0, 2, *FOUR)}),
    (structure.MINUS_RANGE, 5, {"src_minus": (0, *FOUR, 2), "agg_minus": (0, *ZEROS)}),
    (structure.WRONG_TOTAL, None, {"src_minus": (1, *ZEROS)}),
    (structure.WRONG_TOTAL, None, {"agg_minus": (*ZEROS, 1)}),
    (structure.WRONG_TOTAL, None, {"src_minus": (1, *FOUR), "agg_minus": ZEROS}),
]


@pytest.mark.parametrize(("fault", "where", "changes"), FAULTS)
def test_tensors_that_are_not_a_hag(fault, where, changes):
    # Zeros behind the end, for a reader that goes beyond it:
    tensors = {k: int64(*v, 0, 0)[: len(v)] for k, v in changes.items()}
    with pytest.raises(ValueError, match=re.escape(verify.FAULTS[fault].format(where))):
        hand_made(**tensors)


def test_every_fault_is_tested():
    assert {fault for fault, _, _ in FAULTS} == set(verify.FAULTS)


@pytest.mark.parametrize("name", list(GOOD)[1:])
def test_tensors_must_be_one_dimensional_int64(name):
    tensor = GOOD[name]
    for wrong in (tensor.int(), tensor.double(), tensor[None], tensor[0]):
        with pytest.raises(TypeError, match=f"'{name}' must be a one-dimensional"):
            hand_made(**{name: wrong})
    for wrong in (tensor.tolist(), tensor.numpy(), None):
        with pytest.raises(TypeError, match=f"'{name}' must be a torch.Tensor"):
            hand_made(**{name: wrong})


def test_tensors_must_be_on_a_real_device():
    with pytest.raises(TypeError, match=r"'dst' must be a dense tensor .* on meta"):
        hand_made(dst=GOOD["dst"].to("meta"))


@pytest.mark.parametrize("num_src", [5.0, True, None, int64(5), torch.tensor(5.0)])
def test_num_src_must_be_an_int(num_src):
    with pytest.raises(TypeError, match="'num_src' must be an int"):
        hand_made(num_src=num_src)


@pytest.mark.parametrize("num_src", [-1, 2**31])
def test_num_src_must_fit(num_src):
    with pytest.raises(ValueError, match=rf"'num_src'.*\(got {num_src}\)"):
        hand_made(num_src=num_src)


def test_strided_tensors_are_taken():
    strided = torch.stack([GOOD["src"], -GOOD["src"]], dim=1)[:, 0]
    assert hand_made(src=strided) == hand_made()


def test_it_is_immutable():
    hag = hand_made()
    for name in ("num_src", "src", "dst", "kept", "anything"):
        with pytest.raises(AttributeError, match=f"'{name}'.*immutable"):
            setattr(hag, name, 1)
        with pytest.raises(AttributeError, match=f"'{name}'.*immutable"):
            delattr(hag, name)
    assert hag == hand_made()


# What it stands for ###########################################################


def test_sizes_and_stats():
    hag = hand_made()
    assert (hag.num_src, hag.num_dst, hag.num_aggregates) == (5, 4, 2)
    assert hag.num_edges == 10
    assert hag.in_degree.tolist() == [3, 2, 3, 2]
    assert hag.device == torch.device("cpu")
    stats = hag.stats
    assert (stats.num_edges, stats.num_aggregates, stats.num_groups) == (10, 2, 2)
    assert (stats.depth, stats.max_inputs) == (1, 2)
    assert (stats.plain_aggregations, stats.aggregations) == (2 + 1 + 2 + 1, 4)
    assert stats.reads == 6 + 4
    assert stats.aggregation_reduction == 6 / 4
    assert stats.read_reduction == 1.0


def test_stats_of_a_built_hag():
    # Five rows of {0, 1, 2}; three of them hold 3 and 4 as well.
    hag = fewest_hag(
        edge_index_of(biclique(range(3), range(5)) + biclique([3, 4], range(3))),
        size=(5, 5),
    )
    stats = hag.stats
    assert (stats.num_edges, stats.num_aggregates, stats.depth) == (21, 2, 2)
    assert (stats.reads, stats.aggregations) == (3 + 3 + 5, 2 + 2)
    assert (stats.plain_aggregations, stats.max_inputs) == (3 * 4 + 2 * 2, 3)
    assert (stats.aggregation_reduction, stats.read_reduction) == (4.0, 21 / 11)


@pytest.mark.parametrize("name", ["no nodes", "isolated nodes"])
def test_stats_without_edges(name):
    edge_index, size = ODD_GRAPHS[name]
    stats = fewest_hag(edge_index, size=size).stats
    assert (stats.num_edges, stats.depth, stats.max_inputs, stats.reads) == (0,) * 4
    assert stats.aggregation_reduction == stats.read_reduction == 1.0


@odd_graphs
def test_edges_and_degrees(graph):
    edge_index, size = graph
    hag = fewest_hag(edge_index, size=size)
    assert hag.to_edge_index().flip(0).t().tolist() == sorted_edges(edge_index)
    assert hag.to_edge_index().shape == edge_index.shape
    assert hag.num_edges == edge_index.size(1)
    assert torch.equal(hag.in_degree, edge_index[1].bincount(minlength=size[1]))
    if size[0] == size[1]:
        loops = edge_index[0][edge_index[0] == edge_index[1]]
        assert torch.equal(hag.self_loops, loops.bincount(minlength=size[0]))


def test_self_loops_need_a_square_graph():
    with pytest.raises(ValueError, match="5 sources and 4 destinations"):
        _ = hand_made().self_loops


def check_transpose(hag, edge_index):
    turned = hag.t()
    assert (turned.num_src, turned.num_dst) == (hag.num_dst, hag.num_src)
    assert turned.num_aggregates == hag.num_aggregates
    turned.validate(edge_index.flip(0))
    turned.t().validate(edge_index)
    return turned


@settings(deadline=None)
@given(graphs() | st.sampled_from(list(ODD_GRAPHS.values())))
def test_transpose(graph):
    edge_index, size = graph
    hag = fewest_hag(edge_index, size=size)
    assert check_transpose(hag, edge_index).t() == hag
    assert hag.t() is hag.t()


@settings(deadline=None)
@given(graphs() | st.sampled_from(list(ODD_GRAPHS.values())))
def test_graphs_that_are_their_own_transpose(graph):
    edge_index, size = graph
    both = torch.cat([edge_index, edge_index.flip(0)], dim=1)
    same = size[0] == size[1] and sorted_edges(edge_index) == sorted_edges(
        edge_index.flip(0)
    )
    for make in (fewest_hag, signed_hag, partial(build_hag, capacity=0)):
        hag = make(edge_index, size=size)
        assert hag.transposed() is (hag if same else hag.t())
        if size[0] == size[1]:
            hag = make(both, size=size)
            assert hag.transposed() is hag


def test_transpose_of_a_hand_made_hag():
    hag = hand_made()
    edges = check_transpose(hag, GOOD_EDGES).to_edge_index()
    assert edges.flip(0).t().tolist() == sorted_edges(GOOD_EDGES.flip(0))


# Validation ###################################################################


def test_validate_counts_copies():
    hand_made().validate(GOOD_EDGES)
    hand_made().validate(GOOD_EDGES[:, torch.randperm(10)].int())
    with pytest.raises(ValueError, match=r"source 4 to destination 2;.*'edge_index'"):
        hand_made().validate()


def test_validate_catches_a_second_path():
    # Destination 1 reads source 0 next to the aggregate {0, 1}.
    hag = hand_made(src=int64(0, 1, 2, 0, 3, 4), src_count=int64(2, 1, 1, 2, 0, 0))
    with pytest.raises(ValueError, match="source 0 to destination 1"):
        hag.validate()
    with pytest.raises(ValueError, match=r"destination 1 has 2 edges .* 3 paths"):
        hag.validate(SIMPLE_EDGES)
    hag.validate(torch.cat([SIMPLE_EDGES, edge_index_of([(0, 1)])], dim=1))


def test_validate_catches_another_graph():
    hag = hand_made()
    more = torch.cat([GOOD_EDGES, edge_index_of([(3, 3)])], dim=1)
    with pytest.raises(ValueError, match=r"destination 3 has 3 edges .* 2 paths"):
        hag.validate(more)
    with pytest.raises(ValueError, match=r"destination 0 has 2 edges .* 3 paths"):
        hag.validate(GOOD_EDGES[:, 1:])
    other = GOOD_EDGES.clone()
    other[0, 8] = 2  # (2, 3) for (4, 3)
    with pytest.raises(ValueError, match=r"destination 3 .*edge \(2, 3\)"):
        hag.validate(other)
    other = GOOD_EDGES.clone()
    other[0, 5] = 4  # (4, 2) three times, and no (3, 2)
    with pytest.raises(ValueError, match=r"destination 2 .*edge \(4, 2\)"):
        hag.validate(other)


@pytest.mark.parametrize("wrong", [GOOD_EDGES + 5, GOOD_EDGES.flip(0), GOOD_EDGES - 1])
def test_validate_checks_its_argument(wrong):
    with pytest.raises(ValueError, match="'edge_index' has"):
        hand_made().validate(wrong)
    with pytest.raises(TypeError, match="'edge_index'"):
        hand_made().validate(wrong.float())


@odd_graphs
def test_validate_of_odd_graphs(graph):
    edge_index, size = graph
    hag = fewest_hag(edge_index, size=size)
    hag.validate(edge_index)
    if edge_index.unique(dim=1).shape == edge_index.shape:
        hag.validate()
    else:
        with pytest.raises(ValueError, match="more than one path"):
            hag.validate()


def doublings(num_aggregates, num_dst=1):
    """Each aggregate reads the one before twice: 2**(num_aggregates - 1) paths."""
    chain = [k for k in range(num_aggregates - 1) for _ in range(2)]
    ends = [num_aggregates - 1] * num_dst
    return HAG(
        num_src=1,
        src=int64(0),
        agg=int64(*chain, *ends),
        src_count=int64(1, *[0] * (num_aggregates - 1 + num_dst)),
        agg_count=int64(0, *[2] * (num_aggregates - 1), *[1] * num_dst),
        dst=torch.arange(num_dst),
        group_aggs=int64(num_aggregates),
        group_dsts=int64(num_dst),
    )


def test_a_chain_of_doublings():
    hag = doublings(10, num_dst=2)
    assert hag.in_degree.tolist() == [512, 512]
    assert hag.stats.depth == 10
    assert hag.to_edge_index().unique(dim=1).tolist() == [[0, 0], [0, 1]]
    hag.validate(edge_index_of(512 * [(0, 0), (0, 1)]))


@pytest.mark.parametrize("num_aggregates", [60, 63, 64, 80])
@pytest.mark.parametrize("num_dst", [1, 4])
def test_more_paths_than_can_be_counted(num_aggregates, num_dst):
    hag = doublings(num_aggregates, num_dst)
    assert (hag.in_degree >= 2**59).all()  # it saturates, and does not wrap round
    assert hag.num_edges >= 2**59
    assert hag.stats.plain_aggregations >= hag.stats.aggregations
    assert "num_aggregates" in repr(hag)
    with pytest.raises(ValueError, match="source 0 to destination 0"):
        hag.validate()
    with pytest.raises(ValueError, match=r"destination 0 has 1 edges"):
        hag.validate(edge_index_of([(0, v) for v in range(num_dst)]))
    with pytest.raises(ValueError, match="a larger 'max_edges'"):
        hag.to_edge_index()
    with pytest.raises(ValueError, match="source 0 to destination 0"):
        hag.t().validate()


# Comparison, display and copies ###############################################


def test_equality_and_hash():
    hag = hand_made()
    assert hag == hag
    assert hag == hand_made()
    assert hash(hag) == hash(hand_made())
    assert len({hag, hand_made()}) == 1
    assert hag != hand_made(num_src=6)
    assert hag != hand_made(dst=int64(0, 1, 2, 3))
    assert hag != hag.t()
    assert hag != "HAG"
    assert (hag == 5) is False


def test_repr():
    hag = fewest_hag(edge_index_of(biclique(range(3), range(3, 6))), num_nodes=6)
    assert repr(hag) == (
        "HAG(num_src=6, num_dst=6, num_aggregates=1, reads=6, saved=33%)"
    )
    edge_index, size = ODD_GRAPHS["no nodes"]
    start = "HAG(num_src=0, num_dst=0, num_aggregates=0, reads=0"
    assert repr(fewest_hag(edge_index, size=size)) == f"{start})"
    assert repr(build_hag(edge_index, size=size, capacity=0)) == (
        f"{start}, left plain: 'capacity' is 0)"
    )


def test_html():
    hag = fewest_hag(edge_index_of(biclique(range(50), range(1200))), size=(50, 1300))
    html = hag._repr_html_()
    assert html.startswith("<table>")
    for part in ("50", "1,300", ">1<", "60,000", "1,250", "48.00x", "depth 1"):
        assert part in html
    assert f"{1200 * 49:,}" not in html  # the plain graph's, only as a ratio:
    assert f"{1200 * 49 / 49:.2f}x" in html


def through_torch_save(hag):
    buffer = io.BytesIO()
    torch.save(hag, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=False)


@pytest.mark.parametrize(
    "duplicate",
    [
        copy.copy,
        copy.deepcopy,
        lambda hag: pickle.loads(pickle.dumps(hag)),
        through_torch_save,
    ],
    ids=["copy", "deepcopy", "pickle", "torch.save"],
)
@odd_graphs
def test_copies(graph, duplicate):
    edge_index, size = graph
    hag = fewest_hag(edge_index, size=size)
    _ = hag.stats, hag.t(), hag.in_degree  # what it has computed may come along
    other = duplicate(hag)
    assert other == hag
    assert other.t() == hag.t()
    other.validate(edge_index)
    with pytest.raises(AttributeError, match="immutable"):
        other.num_src = 1


def test_to_its_own_device_is_itself():
    hag = hand_made()
    assert hag.to("cpu") is hag
    assert hag.to(torch.device("cpu")) is hag


def test_to_another_device_keeps_what_is_known():
    edge_index, (n, _) = near_cliques(5)
    hag = fewest_hag(edge_index, n)
    there = hag.to("meta")  # which has no values to read back
    assert {t.device.type for t in there.tensors} == {"meta"}
    assert [t.shape for t in there.tensors] == [t.shape for t in hag.tensors]
    assert there.stats == hag.stats and there.num_edges == hag.num_edges
    assert there.edge_index_of_any_order().shape == edge_index.shape
    assert there.t().device.type == "meta" and there.t().stats == hag.t().stats


@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize("change", [torch.Tensor.to_sparse, lambda t: t.to("meta")])
def test_tensors_without_values_are_refused(name, change):
    hag = build_hag(edge_index_of(clique(range(5))), 5)
    given = dict(zip(FIELDS, hag.tensors, strict=True))
    with pytest.raises(TypeError, match=f"'{name}' must be a dense tensor"):
        HAG(5, **given | {name: change(given[name])})


@pytest.mark.parametrize(
    "make",
    [
        lambda edges: build_hag(edges, 30),
        lambda edges: build_hag(edges, size=(30, 10)),
        lambda edges: build_hag(edges),
        lambda _: HAG(**GOOD | {"num_src": 22}),
        lambda _: HAG(**GOOD | {"dst": torch.arange(21)}),
    ],
    ids=["num_nodes", "size", "edges", "sources of a HAG", "rows of a HAG"],
)
def test_more_nodes_than_32_bits_can_number(make, monkeypatch):
    edges = torch.tensor([[4, 21], [0, 9]])
    for module in (checks, read, verify):
        monkeypatch.setattr(module, "MAX_NODES", 20)
    with pytest.raises(ValueError, match=r"2\*\*31|(21|22).* 20"):
        make(edges)


@pytest.mark.parametrize("name", ["destinations", "groups", "aggregates"])
def test_more_rows_than_32_bits_can_number(name, monkeypatch):
    counts = {"destinations": 9, "groups": 2, "aggregates": 3}
    monkeypatch.setattr(verify, "MAX_NODES", 10)
    verify.check_lengths(*counts.values())
    with pytest.raises(ValueError, match=f"has 11 {name}, but at most 10"):
        verify.check_lengths(*(counts | {name: 11}).values())


def test_more_items_than_32_bits_can_number(monkeypatch):
    edges = edge_index_of(clique(range(9)))
    monkeypatch.setattr(select, "MAX_ITEMS", 80)
    with pytest.raises(ValueError, match="72 edges could make more than 80 aggregates"):
        build_hag(edges, 9)
    assert build_hag(edges, 9, capacity=0).num_edges == 72
