import pytest
import torch
from random_models import cases
from random_models.cases import case_of
from random_models.layers import LAYERS
from random_models.runs import run
from torch_geometric.nn import SAGEConv

from pyg_hag.nn.mixins import aggregation

CASES, COMPILED = 600, 12
"""How many random models run here; `python -m random_models` runs more."""


@pytest.mark.at_most(3)
@pytest.mark.parametrize("part", range(6))
def test_random_models_compute_what_pyg_computes(part):
    some = [case_of(seed) for seed in range(part, CASES, 6)]
    outcomes = {str(case): run(case) for case in some}
    faults = {text: o.reason for text, o in outcomes.items() if o.kind == "fault"}
    assert not faults
    assert sum(outcome.kind == "equal" for outcome in outcomes.values()) > CASES / 20


@pytest.mark.full
@pytest.mark.filterwarnings("ignore")
def test_random_models_in_compiled_code():
    outcomes = {}
    for seed in range(COMPILED):
        case = case_of(seed, compiled=True)
        outcomes[str(case)] = run(case)
    assert not {text: o.reason for text, o in outcomes.items() if o.kind == "fault"}


def test_what_differs_is_found(monkeypatch):
    case = case_of(0)._replace(
        layers=((SAGEConv, {"in_channels": 4, "out_channels": 4}),),
        graph="cliques",
        form="edges",
        weights="none",
        dtype=torch.float64,
        options={"objective": "aggregations"},
        route="build_hag",
        mode="train",
        features="x",
    )
    assert run(case).kind == "equal"
    original = aggregation.aggregate
    monkeypatch.setattr(aggregation, "aggregate", lambda *a: 1.001 * original(*a))
    assert run(case).kind == "fault"
    monkeypatch.setattr(aggregation, "aggregate", None)
    assert run(case).kind == "fault"
    assert "NoneType" in run(case).reason


def test_seeds_give_all_kinds_of_cases():
    found = [case_of(seed) for seed in range(3000)]
    assert {case.graph for case in found} == {*cases.GRAPHS}
    assert {case.mode for case in found} == {*cases.MODES}
    assert {case.route for case in found} == {*cases.ROUTES}
    assert {case.weights for case in found} == {*cases.WEIGHTS}
    assert {case.dtype for case in found} == {*cases.DTYPES}
    layers = {cls for case in found for cls, _ in case.layers}
    assert layers == {*LAYERS}
