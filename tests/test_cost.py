import dataclasses
import json

import numpy as np
import pytest
import torch
from graphs import (
    ODD_GRAPHS,
    biclique,
    clique,
    disjoint_union,
    edge_index_of,
    fewest_hag,
    random_graph,
)

from pyg_hag import build_hag
from pyg_hag.cost import (
    DEFAULT_COST,
    SETS,
    CostModel,
    features,
    paper_cost,
    plain_features,
)
from pyg_hag.plan import cpu as plans
from pyg_hag.plan.cpu import forward_plan
from pyg_hag.search.select import _SHARES

FREE_ROWS = dataclasses.replace(DEFAULT_COST, row=(0.0,) * len(SETS))
DEAR_ROWS = dataclasses.replace(DEFAULT_COST, row=(1.0,) * len(SETS))
CLIQUES = edge_index_of(
    [e for c in range(5) for e in clique(range(20 * c, 20 * c + 20))]
)


def test_the_papers_cost():
    hag = fewest_hag(edge_index_of(biclique(range(3), range(3, 8))))
    assert hag.stats.aggregations == 2
    assert paper_cost(hag) == 2
    assert paper_cost(hag, alpha=3, beta=2) == 3 * 2 + 2 * 8


@pytest.mark.parametrize("graph", ODD_GRAPHS.values(), ids=ODD_GRAPHS)
@pytest.mark.parametrize("width", [1, 16, 1000])
def test_every_graph_has_a_price(graph, width):
    hag = fewest_hag(graph[0], size=graph[1])
    seconds = DEFAULT_COST.seconds(hag, width)
    assert DEFAULT_COST.call <= seconds < 1
    terms = features(hag, width, 4, 2)
    assert terms.size == DEFAULT_COST.vector().size
    assert (terms >= 0).all()


def test_more_features_more_bytes_and_more_reads_cost_more():
    hag = build_hag(CLIQUES, capacity=0)
    price = DEFAULT_COST.seconds
    assert price(hag, 16) < price(hag, 64) < price(hag, 64, itemsize=8)
    assert price(build_hag(CLIQUES[:, :500], 100, capacity=0), 64) < price(hag, 64)


def test_two_threads_share_the_work():
    edge_index, size = random_graph(0, 600, 600, 0.3)
    hag = build_hag(edge_index, size=size, capacity=0)
    alone = dataclasses.replace(DEFAULT_COST, threads=1)
    ratio = alone.seconds(hag, 256) / DEFAULT_COST.seconds(hag, 256)
    assert 1.8 < ratio <= 2


def test_live_aggregates_are_part_of_the_working_set():
    hag = fewest_hag(edge_index_of(clique(range(20))))
    width, plan = 256, forward_plan(hag, 256, 1)
    assert plan.slots.tolist() == [plan.num_slots] and plan.num_slots > 0
    by_set = features(hag, width, 4, 1)[1 : len(SETS) + 1]
    working_set = 2 ** (by_set @ np.log2(SETS) / by_set.sum())
    near = min(20, plan.reach) + plan.num_slots
    assert working_set == pytest.approx(near * width * 4)


# What it decides ##############################################################


def test_least_time_inlines_what_costs_more_than_it_saves():
    fewest = fewest_hag(CLIQUES)
    fastest = build_hag(CLIQUES, num_features=256)
    assert 0 < fastest.num_aggregates < fewest.num_aggregates
    assert fastest.stats.depth < fewest.stats.depth
    price = DEFAULT_COST.seconds
    assert price(fastest, 256) <= price(fewest, 256)
    assert DEFAULT_COST.ratio(fastest, 256) < 0.8
    fastest.validate(CLIQUES)
    assert fastest.stats.decision.startswith("HAG: predicted to take 0.")


@pytest.mark.parametrize("width", [1, 16, 256])
def test_the_graph_is_priced_without_a_hag_of_it(width):
    """From a HAG of the graph, as from the graph itself."""
    for seed in range(4):
        edge_index, size = disjoint_union(
            *(random_graph(seed + i, 30 + i, 20 + 9 * i, 0.4, 2) for i in range(20)),
            random_graph(seed, 10, 5, 0.0),
        )
        plain = build_hag(edge_index, size=size, capacity=0)
        for hag in (plain, fewest_hag(edge_index, size=size)):
            for threads in (1, 2, 4):
                got = plain_features(hag, width, 4, threads)
                wanted = features(plain, width, 4, threads)
                n = len(SETS)  # prices for these depend on which sources are near
                assert got[1 : n + 1].sum() == pytest.approx(wanted[1 : n + 1].sum())
                bytes_read = slice(n + 3, 2 * n + 3)
                assert got[bytes_read].sum() == pytest.approx(wanted[bytes_read].sum())
                got[1 : n + 1] = wanted[1 : n + 1] = 0
                got[bytes_read] = wanted[bytes_read] = 0
                np.testing.assert_allclose(got, wanted)
    assert DEFAULT_COST.ratio(plain, width) == pytest.approx(1)


@pytest.mark.parametrize("price", [0.5, 3.0, 6.0])
def test_every_aggregate_pays_for_its_row(price):
    """At so many reads per row: m inputs for u readers save m * u - m - u reads."""
    free = {field: (0.0,) * len(SETS) for field in ("row", "byte")}
    free |= dict.fromkeys(("call", "choose", "stream", "write"), 0.0)
    model = CostModel(1, read=1.0, **free)
    model = dataclasses.replace(model, row=(price,) * len(SETS))
    few, many = [], []
    for seed in range(3):
        edge_index, size = random_graph(seed, 40, 300, 0.5)
        hag = build_hag(edge_index, size=size, min_redundancy=2, cost_model=model)
        hag.validate(edge_index)
        width = (hag.src_count + hag.agg_count)[hag.host.rows.target < 0]
        uses = hag.agg.bincount(minlength=hag.num_aggregates)
        assert hag.num_aggregates > 0
        read, row = model.prices(np.array([40]), 64)
        assert row.item() == price * read.item()
        earned = (uses * width - uses - width) * read.item()
        assert bool((earned >= _SHARES[0] * row.item()).all())
        few.append(hag.num_aggregates)
        many.append(fewest_hag(edge_index, size=size).num_aggregates)
    assert sum(few) < sum(many)


@pytest.mark.parametrize("threads", [2, 3, 8])
@pytest.mark.parametrize("itemsize", [2, 4, 8])
def test_threads_share_features_or_rows(threads, itemsize):
    """Rows where there are few features; features where parts would repeat much."""
    edge_index, size = random_graph(0, 400, 400, 0.5)
    hag = fewest_hag(edge_index, size=size)
    whole = forward_plan(hag, 64, 1)
    line = 64 // itemsize * threads  # features of a cache line for each thread
    for width in range(line // 2, 5 * line, line // 2):
        plan = forward_plan(hag, width, threads, itemsize)
        is_cut = plan.part_ptr.size > whole.part_ptr.size
        tasks = plan.row_tasks(width, threads, itemsize)
        assert len(tasks) > threads / 2
        assert is_cut or (tasks[:, 3] - tasks[:, 2] < width).any()
        if width < line:
            assert is_cut
        if width >= 4 * line:
            assert not is_cut
        repeated = plan.inputs.size / whole.inputs.size
        assert repeated <= 1 + 0.5 * line / width or width < line


def test_tiles_visit_all_rows(monkeypatch):
    """Those of 256 features in float32, and narrower ones beside many aggregates."""
    hag = fewest_hag(CLIQUES)
    plain = build_hag(CLIQUES, capacity=0)
    rows = slice(1, len(SETS) + 1)
    for graph in (hag, plain):
        one, two, three = (features(graph, w, 4, 1) for w in (256, 512, 768))
        for terms, passes in ((two, 2), (three, 3)):
            assert terms[rows].sum() == pytest.approx(passes * one[rows].sum())
            assert terms[len(SETS) + 1] == passes * one[len(SETS) + 1]
            assert terms[-1] == passes * one[-1]
    monkeypatch.setattr(plans, "MAX_SCRATCH_BYTES", 1)
    for graph, passes in ((hag, 4), (plain, 1)):
        assert features(graph, 256, 4, 1)[rows].sum() == pytest.approx(
            passes * features(graph, 64, 4, 1)[rows].sum()
        )


def test_prices_of_rows_decide():
    assert build_hag(CLIQUES, cost_model=DEAR_ROWS).num_aggregates == 0
    some = dataclasses.replace(DEFAULT_COST, row=(50e-9,) * len(SETS))
    dear, free = (
        build_hag(CLIQUES, num_features=256, cost_model=model).num_aggregates
        for model in (some, FREE_ROWS)
    )
    assert free > dear > 0


def test_where_nothing_pays_the_graph_stays_plain():
    edge_index, size = random_graph(0, 50, 50, 0.05)
    hag = build_hag(edge_index, size=size)
    assert hag.num_aggregates == 0
    assert hag.stats.decision.startswith("plain: ")
    assert hag == build_hag(edge_index, size=size, capacity=0)


def test_a_gain_of_little_is_not_taken():
    """One clique that pays among many rows that share nothing."""
    paying = edge_index_of(clique(range(40))), (40, 40)
    rest = random_graph(0, 800, 800, 0.01)
    assert build_hag(paying[0]).num_aggregates > 0
    edge_index, size = disjoint_union(paying, rest)
    hag = build_hag(edge_index, size=size)
    assert hag.num_aggregates == 0
    assert "aggregates was predicted to take " in hag.stats.decision


def test_the_decision_of_other_objectives():
    assert fewest_hag(CLIQUES).stats.decision == "HAG of fewest aggregations"
    assert "'capacity' is 0" in build_hag(CLIQUES, capacity=0).stats.decision
    assert fewest_hag(CLIQUES).to("cpu").stats.decision


def test_capacity_holds_under_least_time():
    for capacity in (1, 3, 10):
        hag = build_hag(CLIQUES, num_features=256, capacity=capacity)
        assert hag.num_aggregates <= capacity
        hag.validate(CLIQUES)


# Files ########################################################################


def test_save_and_load(tmp_path):
    DEFAULT_COST.save(tmp_path / "cost.json")
    assert CostModel.load(tmp_path / "cost.json") == DEFAULT_COST


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda v: v.pop("call"), "needs the keys"),
        (lambda v: v.update(more=1), "needs the keys"),
        (lambda v: v.update(byte=[1.0]), "needs 4 numbers"),
        (lambda v: v.update(row=[1.0] * 5), "needs 4 numbers"),
        (lambda v: v.update(call=-1.0), "not negative"),
        (lambda v: v.update(read="fast"), "not negative"),
        (lambda v: v.update(byte=3), "not a cost model"),
    ],
)
def test_files_that_are_no_cost_model(tmp_path, change, match):
    values = dataclasses.asdict(DEFAULT_COST)
    change(values)
    path = tmp_path / "cost.json"
    path.write_text(json.dumps(values))
    with pytest.raises(ValueError, match=match):
        CostModel.load(path)


@pytest.mark.parametrize("text", ["", "[]", "no json", "{"])
def test_files_that_are_no_json_object(tmp_path, text):
    path = tmp_path / "cost.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"cost\.json"):
        CostModel.load(path)


def test_fitting_finds_the_constants_again():
    """From times that the model itself predicts."""
    from pyg_hag.benchmark.cost import fitted

    model = dataclasses.replace(DEFAULT_COST, threads=torch.get_num_threads())
    graphs = [CLIQUES, *(random_graph(i, 400, 400, 0.02 * i)[0] for i in range(1, 6))]
    samples = []
    for edge_index in graphs:
        for capacity in (0, None):
            hag = fewest_hag(edge_index, 400, capacity=capacity)
            for width in (1, 16, 64, 256, 1024):
                seconds = model.seconds(hag, width)
                samples.append({"hag": hag, "width": width, "seconds": seconds})
    found = fitted(samples)
    for sample in samples:
        predicted = found.seconds(sample["hag"], sample["width"])
        assert predicted == pytest.approx(sample["seconds"], rel=1e-3)
