"""What notebooks show: tables of data and results, and the text of models."""

import xml.etree.ElementTree as ElementTree

import pytest
import torch
from graphs import FewestTransform, biclique, clique, edge_index_of, fewest_hag
from torch_geometric import nn as pyg
from torch_geometric.data import Batch, Data, HeteroData

from pyg_hag import (
    HAGData,
    HAGHeteroData,
    analyze,
    from_hag,
    hag_support,
    to_hag,
)
from pyg_hag.nn import HAGGCNConv
from pyg_hag.quantization import DegreeQuantConfig, convert, prepare_qat
from pyg_hag.utils.html import html_facts, html_table

BICLIQUE = edge_index_of(biclique(range(10), range(10, 1200)))
NAME = "<i>&\"'"


def tables(shown):
    """The rows of each table of an HTML text, which is well-formed."""
    root = ElementTree.fromstring(f"<p>{shown._repr_html_()}</p>")
    assert {table.tag for table in root} == {"table"}
    return [
        [["".join(cell.itertext()) for cell in row] for row in table.iter("tr")]
        for table in root
    ]


def facts(shown):
    """The values of a table of names and values."""
    return {name: (value or note) for name, value, note in tables(shown)[0]}


def data_of(edge_index=BICLIQUE, num_nodes=1200, **options):
    data = Data(x=torch.randn(num_nodes, 3), edge_index=edge_index)
    return FewestTransform(**options)(data)


# Tables ########################################################################


def test_everything_is_escaped():
    facts = html_facts(NAME, [(NAME, NAME, NAME), (NAME, NAME)])
    table = html_table(NAME, [[NAME, NAME], [NAME, NAME]])
    for html, count in ((facts, 6), (table, 5)):
        texts = [text for text in ElementTree.fromstring(html).itertext() if text]
        assert texts == [NAME] * count


def test_hag_and_statistics():
    hag = fewest_hag(BICLIQUE)
    found, of_stats = facts(hag), facts(hag.stats)
    assert found["decision"] == of_stats["decision"] == "HAG of fewest aggregations"
    assert found["sources"] == "1,200" and "sources" not in of_stats
    assert found["reads"] == of_stats["reads"] == "1,200"
    assert ["reads", "1,200", "9.92x fewer"] in tables(hag)[0]
    assert "decision" not in facts(hag.t())


def test_data():
    data = data_of()
    assert facts(data) == {
        "nodes": "1,200",
        "edges": "11,900",
        "features": "3",
        "HAG": repr(data.hag),
        "decision": "HAG of fewest aggregations",
    }
    assert repr(data) in data._repr_html_()
    without = data_of(remove_edge_index=True)
    assert facts(without)["edges"] == "11,900"
    data.edge_index = data.edge_index[:, :-1]
    assert facts(data)["HAG"].startswith("none: 'data.hag' does not belong")
    assert facts(data)["edges"] == "11,899"
    assert facts(HAGData())["nodes"] == "unknown"
    assert "the data has no HAG" in facts(HAGData())["HAG"]


def test_batches():
    small = data_of(edge_index_of(clique(range(5))), 5)
    found = facts(Batch.from_data_list([small, small, small]))
    assert (found["graphs"], found["nodes"], found["edges"]) == ("3", "15", "60")
    assert found["HAG"].startswith("HAG(num_src=15")
    assert found["decision"] == "3 graphs HAG of fewest aggregations"
    chain = data_of(edge_index_of([(0, 1)]), 2)
    found = facts(Batch.from_data_list([chain, chain]))
    assert found["decision"] == "2 graphs HAG of fewest aggregations"


def hetero(name="to"):
    data = HeteroData()
    data["a"].x, data["b"].num_nodes = torch.randn(60, 2), 1200
    data["a", name, "b"].edge_index = BICLIQUE
    data["b", "of", "a"].edge_index = edge_index_of([(0, 1), (3, 2)])
    return data


def test_data_of_several_types():
    data = FewestTransform()(hetero(NAME))
    nodes, edges = tables(data)
    assert nodes[1:] == [["a", "60", "2"], ["b", "1,200", "0"]]
    first, second = data.hag_dict.values()
    decision = "HAG of fewest aggregations"
    assert edges[1:] == [
        [f"a, {NAME}, b", "11,900", repr(first), decision],
        ["b, of, a", "2", repr(second), decision],
    ]
    data["b", "of", "a"].edge_index = edge_index_of([(0, 1)])
    assert "does not belong" in tables(data)[1][2][2]
    assert [len(table) for table in tables(HAGHeteroData())] == [1, 1]


def test_analyses_and_support():
    result = analyze(BICLIQUE, (1200, 1200), (16, 512))
    graph, times = tables(result)
    assert ["edges", "11,900", ""] in graph
    assert [row[0] for row in times] == ["width", "16", "512"]
    assert times[2][-1] == result.forecasts[1].verdict
    layers = pyg.GCNConv(3, 3), pyg.GATv2Conv(3, 3), pyg.AGNNConv()
    support = hag_support(torch.nn.ModuleList(layers))
    assert tables(support)[0][1:] == [
        ["0", "GCNConv", "shared", "messages are features of sources"],
        ["1", "GATv2Conv", "fused", "scores belong to edges: one visit of each row"],
        ["2", "AGNNConv", "edges", "attention"],
    ]


@pytest.mark.filterwarnings("ignore:.*:UserWarning")
def test_what_runs_in_int8():
    data = data_of(edge_index_of(clique(range(5))), 5)
    layers = [
        (pyg.GCNConv(3, 8), "x, e -> x"),
        (pyg.GATConv(8, 8, aggr="max"), "x, e -> x"),
    ]
    model = prepare_qat(
        pyg.Sequential("x, e", layers), DegreeQuantConfig(protect=False)
    )
    assert "QATHAGGCNConv(3, 8, shares sums)" in repr(model)
    assert "heads=1, on edges: attention)" in repr(model)
    model(data.x, data.hag)
    (rows,) = tables(convert(model, (data.x, data.hag)).layers)
    assert rows[0] == ["module", "layer", "runs in"]
    assert {row[2].split(":")[0] for row in rows[1:]} == {"INT8", "float32"}


# Models ########################################################################


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.gcn = pyg.GCNConv(16, 32)
        self.gat = pyg.GATConv(32, 8, heads=4)
        self.agnn = pyg.AGNNConv()
        self.gin = pyg.GINConv(torch.nn.Sequential(torch.nn.Linear(8, 8)))
        self.lg = pyg.LGConv()
        self.both = pyg.DirGNNConv(pyg.GraphConv(8, 8))
        self.median = pyg.SAGEConv(8, 8, aggr="median")
        self.pool = pyg.SAGPooling(8)
        self.linear = torch.nn.Linear(8, 8)


def test_the_text_of_a_converted_model_says_which_layers_share():
    model = Model()
    before = repr(model)
    converted = to_hag(model)
    lines = repr(converted).splitlines()
    for line in (
        "  (gcn): HAGGCNConv(16, 32, shares sums)",
        "  (gat): HAGGATConv(32, 8, heads=4, shares by sweeps, or fused)",
        "  (agnn): EdgesAGNNConv(on edges: attention)",
        "  ), shares sums)",  # of GIN
        "  (lg): HAGLGConv(shares sums)",
        "  (linear): Linear(in_features=8, out_features=8, bias=True)",
    ):
        assert line in lines
    (both,) = [line for line in lines if "(both)" in line]
    assert both == "  (both): HAGDirGNNConv(HAGGraphConv(8, 8, shares sums), alpha=0.5)"
    (median,) = [line for line in lines if "(median)" in line]
    assert "aggr=median, on edges: 'aggr' must be one of" in median
    (pool,) = [line for line in lines if "(pool)" in line]
    assert pool.endswith("on edges: it changes the graph)")
    assert len(lines) == len(before.splitlines())  # one for each layer
    assert repr(from_hag(converted)) == before == repr(model)
    table = {s.name: s.reason for s in hag_support(converted)}
    assert {"gcn": "", "gat": "", "agnn": "attention"}.items() <= table.items()


def test_the_text_of_models_that_list_no_layers():
    for model, shared in (
        (pyg.GCN(8, 8, 2), "2 of 2"),
        (pyg.LightGCN(8, 8, 3), "3 of 3"),
    ):
        text = f"HAG{repr(model)[:-1]}, {shared} layers share sums)"
        assert repr(to_hag(model)) == text
    assert "3 of 3 layers share sums)" in repr(to_hag(pyg.GAT(8, 8, 3)))
    with pytest.warns(UserWarning, match="no layer"):
        assert "0 of 3 layers share sums)" in repr(to_hag(pyg.EdgeCNN(8, 8, 3)))


def test_the_text_of_our_own_layers():
    assert repr(HAGGCNConv(3, 4)) == "HAGGCNConv(3, 4, shares sums)"
    conv = HAGGCNConv(3, 4)
    conv.aggr_module = pyg.aggr.MedianAggregation()
    assert repr(conv).startswith("HAGGCNConv(3, 4, on edges: 'aggr'")


class Loud(pyg.GCNConv):
    def __repr__(self):
        return "loud"


def test_texts_of_peoples_own_layers_are_kept():
    assert repr(to_hag(Loud(3, 4))) == "loud (shares sums)"
