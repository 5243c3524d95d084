"""HAGs whose rows subtract."""

import copy
import pickle

import pytest
import torch
from graphs import biclique, clique, edge_index_of, int64, signed_hag
from test_hag import check_transpose, hand_made, sorted_edges

from pyg_hag import HAG, aggregate

FOUR = (0,) * 4
ZEROS = (0,) * 5

# Aggregate 0 = {0, 1, 2, 3}; destination v of 0 to 3 reads it less v; destination 4
# reads aggregate 1 = {4, 5} and aggregate 0 less aggregate 2 = {0, 1}.
SIGNED = {
    "num_src": 6,
    "src": int64(0, 1, 2, 3, 4, 5, 0, 1, 0, 1, 2, 3),
    "agg": int64(0, 0, 0, 0, 0, 1, 2),
    "src_count": int64(4, 2, 2, 1, 1, 1, 1, 0),
    "agg_count": int64(0, 0, 0, 1, 1, 1, 1, 3),
    "dst": int64(0, 1, 2, 3, 4),
    "group_aggs": int64(3),
    "group_dsts": int64(5),
    "src_minus": int64(0, 0, 0, 1, 1, 1, 1, 0),
    "agg_minus": int64(0, 0, 0, 0, 0, 0, 0, 1),
}
SIGNED_EDGES = edge_index_of(clique(range(4)) + [(u, 4) for u in (2, 3, 4, 5)])


def test_a_signed_hag():
    hag = HAG(**SIGNED)
    assert hag.is_signed
    assert not hand_made().is_signed
    assert hag.in_degree.tolist() == [3, 3, 3, 3, 4]
    assert hag.to_edge_index().flip(0).t().tolist() == sorted_edges(SIGNED_EDGES)
    hag.validate()
    hag.validate(SIGNED_EDGES)
    assert (hag.stats.subtractions, hag.stats.reads) == (5, 19)
    assert "subtracted" in hag._repr_html_()
    assert "subtracted" not in hand_made()._repr_html_()


def test_what_is_below_a_subtracted_aggregate_is_subtracted():
    # Aggregates {0, 1}, {the first, 2} and {the second, 3}; destination 0 reads the
    # third, destination 1 the third less the second.
    hag = HAG(
        num_src=4,
        src=int64(0, 1, 2, 3),
        agg=int64(0, 1, 2, 2, 1),
        src_count=int64(2, 1, 1, 0, 0),
        agg_count=int64(0, 1, 1, 1, 2),
        dst=int64(0, 1),
        group_aggs=int64(3),
        group_dsts=int64(2),
        src_minus=int64(*ZEROS),
        agg_minus=int64(*FOUR, 1),
    )
    hag.validate(edge_index_of([*biclique(range(4), [0]), (3, 1)]))
    check_transpose(hag, edge_index_of([*biclique(range(4), [0]), (3, 1)]))


def test_a_signed_hag_of_zeros_is_not_signed():
    zeros = {"src_minus": int64(0, *ZEROS), "agg_minus": int64(0, *ZEROS)}
    assert not hand_made(**zeros).is_signed
    assert hand_made(**zeros) == hand_made()


def test_transpose_of_a_signed_hag():
    turned = check_transpose(HAG(**SIGNED), SIGNED_EDGES)
    assert turned.is_signed
    # Aggregate 2, which destination 4 subtracts, now reads that destination.
    assert (int(turned.src_minus.sum()), int(turned.agg_minus.sum())) == (5, 0)
    assert turned.t() == HAG(**SIGNED)


def test_signed_copies():
    hag = HAG(**SIGNED)
    for other in (copy.deepcopy(hag), pickle.loads(pickle.dumps(hag))):
        assert other == hag
        assert other != HAG(**{**SIGNED, "src_minus": 0 * SIGNED["src_minus"]})
        other.validate(SIGNED_EDGES)


@pytest.mark.parametrize("of_transpose", [False, True])
def test_closed(of_transpose):
    edges = edge_index_of(clique(range(4)) + [(u, 4) for u in (2, 3)])
    # Destination 4 reads aggregate 0 less 0 and 1, which are not itself.
    flat = {
        **SIGNED,
        "num_src": 5,
        "src": int64(0, 1, 2, 3, 0, 1, 2, 3, 0, 1),
        "agg": int64(0, 0, 0, 0, 0),
        "src_count": int64(4, 1, 1, 1, 1, 2),
        "agg_count": int64(0, 1, 1, 1, 1, 1),
        "group_aggs": int64(1),
        "src_minus": int64(0, 1, 1, 1, 1, 2),
        "agg_minus": int64(0, 0, 0, 0, 0, 0),
    }
    hag = HAG(**flat)
    hag = hag.t() if of_transpose else hag
    edges = edges.flip(0) if of_transpose else edges
    hag.validate(edges)
    closed, added = hag.closed()
    assert added.tolist() == [1, 1, 1, 1, 0]
    loops = edge_index_of([(v, v) for v in range(4)])
    closed.validate(torch.cat([edges, loops], dim=1))
    assert closed.stats.reads == hag.stats.reads - 4
    assert closed.stats.subtractions == hag.stats.subtractions - 4
    assert hag.closed()[0] is closed


def test_closed_keeps_self_loops():
    # Aggregate {0, 1, 2}; destination 0 reads 0 and 1, destination 1 the aggregate
    # less 1, destination 2 the aggregate.
    hag = HAG(
        num_src=3,
        src=int64(0, 1, 2, 0, 1, 1),
        agg=int64(0, 0),
        src_count=int64(3, 2, 1, 0),
        agg_count=int64(0, 0, 1, 1),
        dst=int64(0, 1, 2),
        group_aggs=int64(1),
        group_dsts=int64(3),
        src_minus=int64(0, 0, 1, 0),
        agg_minus=int64(*FOUR),
    )
    edges = [(0, 0), (1, 0), (0, 1), (2, 1), (0, 2), (1, 2), (2, 2)]
    hag.validate(edge_index_of(edges))
    closed, added = hag.closed()
    assert added.tolist() == [0, 1, 0]
    closed.validate(edge_index_of([*edges, (1, 1)]))


def test_closed_where_nothing_is_subtracted():
    hag = hand_made()
    closed, added = hag.closed()
    assert closed is hag
    assert added.tolist() == [0] * 4


def test_closed_is_unsigned_where_only_the_self_was_subtracted():
    hag = signed_hag(edge_index_of(clique(range(9))))
    assert hag.is_signed
    assert not hag.closed()[0].is_signed


def test_more_is_subtracted_than_added():
    # Destination 1 subtracts source 4, which it does not have.
    src = SIGNED["src"].clone()
    src[9] = 4
    hag = HAG(**{**SIGNED, "src": src})
    for attempt in (hag.to_edge_index, hag.validate):
        with pytest.raises(ValueError, match="source 4 to destination 1 than it adds"):
            attempt()
    minus = SIGNED["src_minus"].clone()
    minus[0] = 4
    with pytest.raises(ValueError, match="paths to destination 0 than it adds"):
        HAG(**{**SIGNED, "src_minus": minus}).to_edge_index()


def test_a_signed_hag_with_a_second_path():
    # Destination 0 reads source 1 next to the aggregate.
    changes = {
        "src": int64(0, 1, 2, 3, 4, 5, 0, 1, 1, 0, 1, 2, 3),
        "src_count": int64(4, 2, 2, 2, 1, 1, 1, 0),
    }
    hag = HAG(**{**SIGNED, **changes})
    with pytest.raises(ValueError, match="source 1 to destination 0"):
        hag.validate()
    hag.validate(torch.cat([SIGNED_EDGES, edge_index_of([(1, 0)])], dim=1))
    with pytest.raises(ValueError, match="destination 0 has 3 edges"):
        hag.validate(SIGNED_EDGES)


def test_rows_that_subtract_without_aggregates():
    hag = HAG(
        num_src=2,
        src=int64(0, 1, 1),
        agg=int64(),
        src_count=int64(3, 0),
        agg_count=int64(0, 0),
        dst=int64(0, 1),
        group_aggs=int64(0),
        group_dsts=int64(2),
        src_minus=int64(1, 0),
        agg_minus=int64(0, 0),
    )
    hag.validate(edge_index_of([(0, 0)]))
    out = aggregate(torch.tensor([[2.0], [3.0]]), hag)
    assert out.tolist() == [[2.0], [0.0]]


def test_a_sequence_cannot_be_signed():
    with pytest.raises(ValueError, match="'src_minus' is not empty"):
        hag = signed_hag(edge_index_of(clique(range(9))))
        HAG(hag.num_src, *hag.tensors, sequential=True)
