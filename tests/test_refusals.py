"""Graphs that are refused, and where the documentation says what is refused."""

from pathlib import Path

import pytest
import torch
from graphs import near_cliques
from pyg_suite.refusals import REFUSALS
from torch_geometric.data import Data, HeteroData

from pyg_hag import HAGTransform

EDGES, (NODES, _) = near_cliques(0, 2, 8)


def missing_features():
    data = HeteroData()
    data["a"].x = torch.randn(3, 8)
    data["a", "to", "b"].edge_index = torch.tensor([[0, 1], [1, 0]])
    return data


def missing_edges():
    data = HeteroData()
    data["a"].x = torch.randn(3, 8)
    data["a", "to", "a"].edge_attr = torch.randn(3)
    return data


@pytest.mark.filterwarnings("ignore:Unable to accurately infer 'num_nodes'")
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (missing_features, r"type 'b' is unknown: set 'data\['b'\].num_nodes'"),
        (missing_edges, r"neither 'edge_index' nor .*edge type \('a', 'to', 'a'\)"),
        (
            lambda: Data(edge_index=torch.tensor([[0, -1], [1, 0]]), num_nodes=2),
            "source -1, but nodes are numbered from 0",
        ),
        (
            lambda: Data(edge_index=torch.tensor([[0, 1], [1, 9]]), num_nodes=3),
            "destination 9, but there are 3 destinations",
        ),
        (
            lambda: Data(edge_index=EDGES.to("meta"), num_nodes=NODES),
            "on the device 'meta', which holds no values",
        ),
        (
            lambda: Data(edge_index=EDGES.float(), num_nodes=NODES),
            "must hold integers",
        ),
        (lambda: Data(edge_index=EDGES[0], num_nodes=NODES), r"shape \[2, num_edges\]"),
    ],
)
def test_graphs_that_are_none_are_refused_by_the_transform(make, message):
    with pytest.raises((TypeError, ValueError), match=message):
        HAGTransform()(make())


def test_the_documentation_names_all_refusals():
    text = (Path(__file__).parents[1] / "docs" / "limits.md").read_text()
    words = {
        "explanations": "explaining a model",
        "hooks on messages": "hooks on `message`",
        "overridden methods": "override `message`",
        "arguments per edge": "arguments per edge that a shared layer",
        "weights of the HAG": "a HAG with weights in `EGConv`",
        "values without factors": "values are no products",
        "several values per edge": "several values per edge",
        "order of edges": "in which order the edges were given",
        "HAGs that subtract": "a HAG that subtracts",
        "weights that are learned": "whose weights are learned",
        "matrices": "quantized attention on a matrix",
        "compiled code": "in compiled code, over a HAG",
        "not square": "sizes that do not fit",
        "no layers": "`model.compile()` before `to_hag`",
        "forward on the instance": "a `forward` set on a layer",
    }
    assert {*words} == {*REFUSALS}
    assert [phrase for phrase in words.values() if phrase not in text] == []
