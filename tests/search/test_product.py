"""HAGs of products of graphs, against the products by NumPy and SciPy."""

import re
from itertools import pairwise

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from contract.cases import assert_close
from graphs import ODD_GRAPHS, biclique, clique, edge_index_of, int64, num_threads
from hypothesis import given, settings
from hypothesis import strategies as st
from products import assert_is_product, edges_of, paths_of, random_chain
from torch_geometric import EdgeIndex
from torch_geometric.typing import WITH_TORCH_SPARSE

from pyg_hag import aggregate, build_hag, build_hag_of_product
from pyg_hag.search import SearchOptions, progress

MEANINGS = {
    "edges": {},
    "signed": {"subtract": True},
    "counts": {"weighted": True},
    "cover": {"reduce": "max"},
    "no loops": {"self_loops": False},
    "signed without loops": {"self_loops": False, "subtract": True},
    "counts without loops": {"self_loops": False, "weighted": True},
}
each_meaning = pytest.mark.parametrize("meaning", MEANINGS.values(), ids=MEANINGS)
each_objective = pytest.mark.parametrize("objective", ["time", "aggregations"])


def wanted_of(factors, sizes, meaning):
    """The product as NumPy makes it."""
    matrix = paths_of(factors, sizes, meaning.get("weighted", False))
    if not meaning.get("self_loops", True):
        np.fill_diagonal(matrix, 0)
    return matrix


def applies(factors, sizes, meaning):
    """Whether a product has a HAG of this meaning."""
    if meaning.get("self_loops", True):
        return True
    return sizes[0] == sizes[-1] and not (meaning.get("weighted") and len(factors) > 2)


def check(factors, sizes, meaning, **options):
    """Builds the HAG of a product, and compares everything that it knows."""
    hag = build_hag_of_product(*factors, sizes=sizes, **meaning, **options)
    kind = "count" if meaning.get("weighted") else ""
    assert hag.of_paths == ("cover" if meaning.get("reduce") == "max" else kind)
    assert not hag.is_signed or meaning.get("subtract")
    assert_is_product(hag, wanted_of(factors, sizes, meaning))
    return hag


def signature(hag):
    """The tensors of a HAG, in which two that are equal bit by bit do not differ."""
    return [tensor.tolist() for tensor in hag.tensors]


# Any product ##################################################################


@each_objective
@each_meaning
def test_hundreds_of_tiny_products(meaning, objective):
    aggregates = 0
    for seed in range(100):
        factors, sizes = random_chain(seed)
        if applies(factors, sizes, meaning):
            hag = check(factors, sizes, meaning, objective=objective)
            aggregates += hag.num_aggregates
    assert objective == "time" or aggregates > 10


@settings(deadline=None, max_examples=80)
@given(
    st.integers(0, 10**9),
    st.sampled_from(list(MEANINGS.values())),
    st.none() | st.integers(0, 5),
    st.integers(2, 4),
    st.sampled_from(["auto", "greedy"]),
)
def test_any_product(seed, meaning, capacity, min_redundancy, method):
    factors, sizes = random_chain(seed, most=12)
    if not applies(factors, sizes, meaning):
        return
    method = "auto" if meaning.get("subtract") else method
    options = {"min_redundancy": min_redundancy, "method": method}
    options |= {"capacity": capacity, "objective": "aggregations"}
    hag = check(factors, sizes, meaning, **options)
    assert capacity is None or hag.num_aggregates <= capacity


@each_meaning
@pytest.mark.parametrize("name", ODD_GRAPHS)
def test_odd_graphs_and_their_mirrors(name, meaning):
    edge_index, (n, m) = ODD_GRAPHS[name]
    for factors, sizes in (
        ([edge_index, edge_index.flip(0)], [n, m, n]),
        ([edge_index.flip(0), edge_index], [m, n, m]),
        ([edge_index, edge_index.flip(0), edge_index, edge_index.flip(0)], [n, m] * 3),
    ):
        sizes = sizes[: len(factors) + 1]
        if applies(factors, sizes, meaning):
            check(factors, sizes, meaning, objective="aggregations")


@each_meaning
def test_limits_keep_the_product(meaning):
    for seed in range(20):
        factors, sizes = random_chain(seed, most=15)
        if not applies(factors, sizes, meaning):
            continue
        for options in (
            {"time_limit": 0},
            {"memory_limit": 1 << 18},
            {"num_passes": 0},
            {"capacity": 0},
        ):
            hag = check(factors, sizes, meaning, **options)
            assert "capacity" not in options or hag.num_aggregates == 0
            if hag.num_aggregates == 0 and not (hag.is_count or hag.is_signed):
                assert hag.stats.reads == hag.num_edges


@each_meaning
def test_sums_over_tiny_products(meaning):
    for seed in range(20):
        factors, sizes = random_chain(seed)
        if not applies(factors, sizes, meaning):
            continue
        matrix = wanted_of(factors, sizes, meaning)
        hag = check(factors, sizes, meaning, objective="aggregations")
        x = torch.randn(sizes[0], 3, dtype=torch.float64)
        if hag.is_cover:
            masked = torch.where(torch.from_numpy(matrix.T[..., None] > 0), x, -1e9)
            wanted = masked.amax(1) if sizes[0] else x.new_zeros(sizes[-1], 3)
            wanted = wanted.masked_fill(
                torch.from_numpy(matrix.sum(0) == 0)[:, None], 0
            )
            assert torch.equal(aggregate(x, hag, "max"), wanted)
        else:
            assert_close(aggregate(x, hag), torch.from_numpy(matrix.T).double() @ x)


# Formats and sizes ############################################################

PAPERS = edge_index_of([(0, 0), (0, 1), (1, 1), (1, 2), (2, 2)])
AUTHORS = edge_index_of([(0, 0), (1, 0), (2, 1), (2, 3)])
SIZES = [4, 3, 5]


def as_scipy(edge_index, size):
    ones = np.ones(edge_index.size(1))
    return sp.coo_matrix((ones, tuple(edge_index.numpy())), size).tocsr()


def as_torch(edge_index, size):
    ones = torch.ones(edge_index.size(1))
    return torch.sparse_coo_tensor(edge_index.flip(0), ones, size[::-1])


def as_edge_index(edge_index, size):
    return EdgeIndex(edge_index, sparse_size=size)


def as_sparse_tensor(edge_index, size):
    from torch_sparse import SparseTensor

    src, dst = edge_index
    return SparseTensor(row=dst, col=src, sparse_sizes=size[::-1])


FORMATS = {
    "scipy": as_scipy,
    "scipy array": lambda e, size: sp.csr_array(as_scipy(e, size)),
    "coo": as_torch,
    "csr": lambda e, size: as_torch(e, size).to_sparse_csr(),
    "csc": lambda e, size: as_torch(e, size).to_sparse_csc(),
    "EdgeIndex": as_edge_index,
    **({"SparseTensor": as_sparse_tensor} if WITH_TORCH_SPARSE else {}),
    "int32": lambda e, size: e.int(),
}


@pytest.mark.parametrize("convert", FORMATS.values(), ids=FORMATS)
def test_formats(convert):
    factors = [PAPERS, AUTHORS]
    wanted = build_hag_of_product(*factors, sizes=SIZES)
    made = [convert(f, size) for f, size in zip(factors, pairwise(SIZES), strict=True)]
    assert build_hag_of_product(*made, sizes=SIZES) == wanted
    if convert is not FORMATS["int32"]:
        assert build_hag_of_product(*made) == wanted
        assert build_hag_of_product(made[0], AUTHORS, sizes=SIZES) == wanted
    for mixed in ([made[0], AUTHORS], [PAPERS, made[1]]):
        hag = build_hag_of_product(*mixed)
        assert hag.num_edges == wanted.num_edges


def test_sizes_that_are_not_given():
    """Those of matrices, and the largest number of both sides plus one."""
    one, other = edge_index_of([(3, 1)]), edge_index_of([(4, 2), (1, 0)])
    hag = build_hag_of_product(one, other)
    assert (hag.num_src, hag.num_dst) == (4, 3)
    assert hag.to_edge_index().tolist() == [[3], [0]]
    hag = build_hag_of_product(other, one)
    assert (hag.num_src, hag.num_dst, hag.num_edges) == (5, 2, 0)
    hag = build_hag_of_product(as_scipy(one, (6, 7)), other)
    assert (hag.num_src, hag.num_dst) == (6, 3)
    hag = build_hag_of_product(one, as_torch(other, (5, 9)), one.flip(0))
    assert (hag.num_src, hag.num_dst) == (4, 4)
    unsized = EdgeIndex(one), EdgeIndex(other)
    assert build_hag_of_product(*unsized) == build_hag_of_product(one, other)
    empty = edge_index_of([])
    hag = build_hag_of_product(empty, empty)
    assert (hag.num_src, hag.num_dst) == (0, 0)
    sizes = int64(5, 5, 5)
    assert build_hag_of_product(one, other, sizes=sizes).num_src == 5
    assert build_hag_of_product(one, other, sizes=(np.int32(5), 5, 6)).num_dst == 6


def test_options_as_an_object():
    given = SearchOptions(objective="aggregations", capacity=1)
    hag = build_hag_of_product(PAPERS, PAPERS.flip(0), options=given)
    keywords = {"objective": "aggregations", "capacity": 1}
    assert hag == build_hag_of_product(PAPERS, PAPERS.flip(0), **keywords)


def test_a_small_product_is_searched_as_well():
    edge_index = edge_index_of(biclique(range(6), range(6)))
    hag = build_hag_of_product(edge_index, edge_index, objective="aggregations")
    assert hag.stats.aggregations == 5 and hag.num_aggregates == 1


def test_a_hub_is_one_aggregate():
    """All reach all: one sum, of which signed rows without loops take themselves."""
    n = 40
    star = edge_index_of([(u, 0) for u in range(n)])
    factors, sizes = [star, star.flip(0)], [n, 1, n]
    hag = check(factors, sizes, {})
    assert hag.num_aggregates == 1 and hag.stats.reads == 2 * n
    meaning = {"self_loops": False, "subtract": True}
    signed = check(factors, sizes, meaning, objective="aggregations")
    assert signed.is_signed and signed.stats.reads == 3 * n
    unsigned = check(factors, sizes, {"self_loops": False}, objective="aggregations")
    assert unsigned.stats.reads < 6 * n


def test_cells_of_a_board_are_two_lines_less_the_cell():
    """Unless rows may subtract, the sums of lines without a cell take more."""
    n = 9
    cells = torch.arange(n * n)
    on = torch.stack([cells.repeat(2), torch.cat([cells // n, n + cells % n])])
    factors, sizes = [on, on.flip(0)], [n * n, 2 * n, n * n]
    plain = check(factors, sizes, {}, objective="aggregations")
    signed = check(factors, sizes, MEANINGS["signed"], objective="aggregations")
    assert signed.is_signed and signed.num_aggregates == 2 * n
    assert signed.stats.reads == 2 * n * n + 3 * n * n
    assert signed.stats.reads < plain.stats.reads < 8 * n * n


def test_nodes_of_the_same_middle_nodes_are_one():
    """Fifty twins on both sides are a sum that all rows read."""
    twins = biclique(range(50), range(3))
    first = edge_index_of([*twins, *((50 + i, i % 3) for i in range(20))])
    hag = check([first, first.flip(0)], [70, 3, 70], {}, objective="aggregations")
    assert hag.stats.aggregations < 49 + 20 + 10
    assert hag.num_edges > 4000


@each_meaning
def test_what_was_chosen_and_why(meaning):
    factors = [edge_index_of(clique(range(40)))] * 2
    sizes = [40] * 3
    hag = check(factors, sizes, meaning, objective="aggregations")
    assert hag.stats.decision == "HAG of fewest aggregations"
    hag = check(factors, sizes, meaning, objective="time")
    pays = hag.stats.decision.startswith("HAG: predicted to take")
    assert pays == (hag.num_aggregates > 0)
    hag = check(factors, sizes, meaning, objective="time", capacity=0)
    assert hag.stats.decision == "plain: no aggregate saves time"


# Larger products ##############################################################


def papers(seed, num_papers=3000, num_authors=1500, copies=0):
    """Papers and their authors, a few of whom wrote hundreds."""
    rng = np.random.default_rng(seed)
    size = rng.integers(1, 7, num_papers)
    paper = np.repeat(np.arange(num_papers), size)
    share = rng.random(paper.size)
    author = (num_authors * share**3).astype(np.int64)
    edges = np.unique(np.stack([paper, author]), axis=1)
    edges = np.concatenate([edges, edges[:, :copies]], axis=1)
    return torch.from_numpy(edges)


def nets(seed, num_nets=400, num_pins=2000):
    """Pins and nets; a few nets have hundreds of pins, which other nets share."""
    rng = np.random.default_rng(seed)
    edges = []
    for net in range(num_nets):
        count = 2 + int(600 / (1 + net))
        first = rng.integers(num_pins)
        pins = (first + rng.permutation(2 * count)[:count]) % num_pins
        edges += [(int(pin), net) for pin in pins]
    return edge_index_of(edges)


def large_chain(name):
    """The factors of a larger product, and the sizes."""
    if name == "co-authors":
        written = papers(0)
        return [written.flip(0), written], [1500, 3000, 1500]
    if name == "papers of an author":
        written = papers(1, 1200, 900, copies=200)
        return [written, written.flip(0)], [1200, 900, 1200]
    if name == "nets":
        pins = nets(2)
        return [pins, pins.flip(0)], [2000, 400, 2000]
    if name == "three steps":
        written, cited = papers(3, 900, 500), papers(4, 900, 900)
        return [written.flip(0), cited, written], [500, 900, 900, 500]
    written = papers(5, 700, 300)
    other = papers(6, 500, 300)
    chain = [written, other.flip(0), other, written.flip(0)]
    return chain, [700, 300, 500, 300, 700]


LARGE = "co-authors", "papers of an author", "nets", "three steps", "four steps"
MOST_READS = {
    "co-authors": 0.9,
    "papers of an author": 0.1,
    "nets": 0.04,
    "three steps": 0.5,
    "four steps": 0.06,
}
"""Reads of the HAG of fewest aggregations, at most, for each edge of the product."""


def scipy_product(factors, sizes, meaning):
    """The transposed product by SciPy, as its sums multiply with it."""
    out = sp.identity(sizes[0], np.int64, format="csr")
    for factor, size in zip(factors, pairwise(sizes), strict=True):
        one = sp.coo_matrix(
            (np.ones(factor.size(1), np.int64), tuple(factor.numpy())), size
        )
        out = out @ one.tocsr()
    if not meaning.get("weighted"):
        out = (out > 0).astype(np.int64)
    if not meaning.get("self_loops", True):
        out = out - sp.diags(out.diagonal(), dtype=np.int64)
        out.eliminate_zeros()
    return out.T.tocsr()


@pytest.mark.parametrize("name", LARGE)
@each_meaning
@each_objective
def test_larger_products(name, meaning, objective):
    factors, sizes = large_chain(name)
    if not applies(factors, sizes, meaning):
        return
    wanted = scipy_product(factors, sizes, meaning)
    options = {"objective": objective, "progress": False}
    hag = build_hag_of_product(*factors, sizes=sizes, **meaning, **options)
    dst, src = wanted.nonzero()
    assert hag.num_edges == wanted.nnz
    edge_index = torch.from_numpy(np.stack([src, dst]).astype(np.int64))
    hag.validate(edge_index)
    x = torch.randn(sizes[0], 4, dtype=torch.float64)
    if hag.is_cover:
        rows = torch.from_numpy(dst.astype(np.int64))[:, None].expand(-1, 4)
        best = torch.full((sizes[-1], 4), -torch.inf, dtype=torch.float64)
        best.scatter_reduce_(0, rows, x[edge_index[0]], "amax")
        assert torch.equal(aggregate(x, hag, "max"), best.nan_to_num(neginf=0))
    else:
        assert_close(aggregate(x, hag), torch.from_numpy(wanted @ x.numpy()))
        whole = torch.randint(-1000, 1000, (sizes[0], 3))
        assert torch.equal(
            aggregate(whole, hag), torch.from_numpy(wanted @ whole.numpy())
        )
    if objective == "aggregations":
        assert hag.stats.reads < MOST_READS[name] * wanted.nnz


@pytest.mark.parametrize("name", ["three steps", "four steps"])
def test_what_several_paths_may_be_saves_reads(name):
    """Sums that count paths, or need not count them, are smaller."""
    factors, sizes = large_chain(name)
    options = {"objective": "aggregations", "sizes": sizes}
    num_edges = sum(factor.size(1) for factor in factors)
    edges = build_hag_of_product(*factors, **options)
    for meaning in (MEANINGS["counts"], MEANINGS["cover"]):
        hag = build_hag_of_product(*factors, **meaning, **options)
        assert hag.stats.reads < min(edges.stats.reads, num_edges)


@pytest.mark.parametrize("loops", [True, False])
def test_it_is_never_more_to_add_where_rows_may_subtract(loops):
    options = {"objective": "aggregations", "self_loops": loops}
    for name in ("co-authors", "three steps"):
        factors, options["sizes"] = large_chain(name)
        plain = build_hag_of_product(*factors, **options)
        signed = build_hag_of_product(*factors, **options, subtract=True)
        assert signed.stats.aggregations <= plain.stats.aggregations


@each_meaning
def test_the_same_on_any_number_of_threads(meaning):
    factors, sizes = large_chain("nets")
    found = []
    for count in (1, 2, 2):
        with num_threads(count):
            hag = build_hag_of_product(*factors, sizes=sizes, **meaning)
            found.append(signature(hag))
    assert found == 3 * found[:1]


def test_the_order_of_edges_makes_no_difference():
    factors, sizes = large_chain("papers of an author")
    wanted = build_hag_of_product(*factors, sizes=sizes)
    shuffled = [f[:, torch.randperm(f.size(1))] for f in factors]
    assert build_hag_of_product(*shuffled, sizes=sizes) == wanted


@pytest.mark.parametrize("objective", ["time", "aggregations"])
def test_memory_limits_of_larger_products(objective):
    factors, sizes = large_chain("nets")
    wanted = scipy_product(factors, sizes, {})
    options = {"sizes": sizes, "objective": objective}
    limit = 600 * sum(factor.size(1) for factor in factors)  # for the factors alone
    for more in (0, 1 << 24):
        hag = build_hag_of_product(*factors, **options, memory_limit=limit + more)
        assert hag.num_edges == wanted.nnz
        assert_is_same_sum(hag, wanted)


def test_a_memory_limit_below_the_factors_is_refused():
    factors, sizes = large_chain("nets")
    with pytest.raises(MemoryError, match=r"'memory_limit' is 1,000 bytes.*pass more"):
        build_hag_of_product(*factors, sizes=sizes, memory_limit=1000)


@pytest.mark.parametrize("progress", [None, True])
def test_no_time_for_larger_products(progress, capsys):
    factors, sizes = large_chain("nets")
    wanted = scipy_product(factors, sizes, {})
    hag = build_hag_of_product(*factors, sizes=sizes, time_limit=0, progress=progress)
    assert_is_same_sum(hag, wanted)
    assert ("HAG search" in capsys.readouterr().err) == bool(progress)


def assert_is_same_sum(hag, wanted):
    x = torch.randint(-1000, 1000, (hag.num_src, 2))
    assert torch.equal(aggregate(x, hag), torch.from_numpy(wanted @ x.numpy()))


def test_small_products_start_no_thread(monkeypatch):
    def fail(*_):
        pytest.fail("a small product was watched")

    monkeypatch.setattr(progress, "watched", fail)
    build_hag_of_product(PAPERS, PAPERS.flip(0))


def test_the_product_as_it_is_where_no_hag_pays():
    matching = torch.arange(30).repeat(2, 1)
    hag = build_hag_of_product(matching, matching.flip(1))
    assert hag.num_aggregates == 0 and hag.num_edges == 30
    assert hag.stats.decision == "plain: no aggregate saves time"


# Errors #######################################################################

TWO = edge_index_of([(0, 1), (2, 0)])
WEIGHTED = sp.csr_matrix(np.array([[2.0, 1.0], [0.0, 1.0]]))
ERRORS = {
    "one factor": (
        [PAPERS], {}, ValueError,
        "'factors' must be two graphs or more (got 1): for one, use 'build_hag'",
    ),
    "no factor": ([], {}, ValueError, "'factors' must be two graphs or more (got 0)"),
    "no graph": ([PAPERS, "a"], {}, TypeError, "factor 1: 'edge_index'"),
    "too few sizes": (
        [PAPERS, PAPERS], {"sizes": [3, 3]}, ValueError,
        "'sizes' must have one number more than there are factors (3), of the sources "
        "of the first one and the destinations of each (got 2)",
    ),
    "a negative size": (
        [PAPERS, PAPERS], {"sizes": [3, -1, 3]}, ValueError,
        "'sizes' must be at least 0 (got -1)",
    ),
    "a size that is no number": (
        [PAPERS, PAPERS], {"sizes": [3, "a", 3]}, TypeError,
        "'sizes' must be an int (got 'a')",
    ),
    "sizes that are no list": (
        [PAPERS, PAPERS], {"sizes": 3}, TypeError,
        "'sizes' must be a sequence of numbers of nodes (got 3)",
    ),
    "a size that is too small": (
        [PAPERS, PAPERS], {"sizes": [3, 2, 3]}, ValueError, "'edge_index'",
    ),
    "other sizes than those of a matrix": (
        [as_scipy(PAPERS, (3, 3)), PAPERS], {"sizes": [3, 4, 3]}, ValueError,
        "'size' is (3, 4), but 'edge_index' is a graph of 3 sources and 3 dest",
    ),
    "matrices that do not fit": (
        [as_scipy(PAPERS, (3, 3)), as_scipy(AUTHORS, (4, 5))], {}, ValueError,
        "the destinations of factor 0 are the sources of factor 1, but there are 3 and "
        "4: pass 'sizes'",
    ),
    "weights": (
        [TWO, WEIGHTED], {}, ValueError,
        "factor 1 has weights, which sums over middle nodes cannot share: "
        "remove its values, or multiply the matrices and use 'build_hag'",
    ),
    "an unknown reduction": (
        [PAPERS, PAPERS], {"reduce": "mean"}, ValueError,
        "'reduce' must be 'sum' or 'max' (got 'mean')",
    ),
    "no reduction": (
        [PAPERS, PAPERS], {"reduce": None}, TypeError, "'reduce' must be a str",
    ),
    "weighted": (
        [PAPERS, PAPERS], {"weighted": 1}, TypeError,
        "'weighted' must be a bool (got 1)",
    ),
    "self_loops": (
        [PAPERS, PAPERS], {"self_loops": None}, TypeError,
        "'self_loops' must be a bool (got None)",
    ),
    "self-loops of a bipartite product": (
        [PAPERS, AUTHORS], {"self_loops": False, "sizes": SIZES}, ValueError,
        "'self_loops' is False, which needs as many sources as destinations (got 4 "
        "and 5)",
    ),
    "an order": (
        [PAPERS, PAPERS], {"order": "sequential"}, ValueError,
        "'order' is 'sequential', but the neighbours in a product have no order: use "
        "order='set'",
    ),
    "counts for a maximum": (
        [PAPERS, PAPERS], {"weighted": True, "reduce": "max"}, ValueError,
        "'weighted' is True, which has no effect with reduce='max' or is lost in it: "
        "use reduce='sum'",
    ),
    "no loops for a maximum": (
        [PAPERS, PAPERS], {"self_loops": False, "reduce": "max"}, ValueError,
        "'self_loops' is False, which has no effect with reduce='max' or is lost in "
        "it: use reduce='sum'",
    ),
    "a signed maximum": (
        [PAPERS, PAPERS], {"subtract": True, "reduce": "max"}, ValueError,
        "'subtract' is True, which has no effect with reduce='max' or is lost in it: "
        "use reduce='sum'",
    ),
    "signed counts": (
        [PAPERS, PAPERS], {"subtract": True, "weighted": True}, ValueError,
        "'subtract' has no effect with weighted=True, which needs no corrections: "
        "leave it out",
    ),
    "counts without loops of three factors": (
        [PAPERS, PAPERS, PAPERS], {"weighted": True, "self_loops": False}, ValueError,
        "'self_loops' is False and 'weighted' is True, for which there must be two "
        "factors (got 3): the paths from a node to itself cannot be left out otherwise",
    ),
    "an unknown name": (
        [PAPERS, PAPERS], {"weigthed": True}, TypeError, "did you mean 'weighted'?",
    ),
    "an unknown option": (
        [PAPERS, PAPERS], {"capacty": 1}, TypeError, "did you mean 'capacity'?",
    ),
    "options of another type": (
        [PAPERS, PAPERS], {"options": 1}, TypeError,
        "'options' must be a SearchOptions (got 1)",
    ),
    "options twice": (
        [PAPERS, PAPERS], {"options": SearchOptions(), "capacity": 1}, ValueError,
        "'options' cannot be combined with keywords (got 'capacity')",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ERRORS)
def test_errors_name_the_argument_and_the_way_out(name):
    factors, keywords, error, message = ERRORS[name]
    with pytest.raises(error, match=re.escape(message)):
        build_hag_of_product(*factors, **keywords)


def test_the_example_of_two_hops():
    """Two factors of one graph: what `build_hag` finds of their product's edges."""
    edge_index = edge_index_of([*clique(range(5)), (4, 5), (5, 6), (6, 5)])
    hag = build_hag_of_product(edge_index, edge_index)
    matrix = paths_of([edge_index] * 2, [7] * 3, weighted=False)
    other = build_hag(edges_of(matrix), size=(7, 7))
    assert torch.equal(hag.to_edge_index(), other.to_edge_index())
