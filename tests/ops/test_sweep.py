"""Attention over a HAG by sweeps, compared with one computed edge by edge."""

import pytest
import torch
from graphs import (
    ODD_GRAPHS,
    clique,
    disjoint_union,
    edge_index_of,
    fewest_hag,
    near_cliques,
    noisy_copies,
    num_threads,
    random_graph,
)

from pyg_hag import build_hag
from pyg_hag.ops.cpu.sweep import forward as forward_stages
from pyg_hag.ops.cpu.sweep.calls import sweep_backward, sweep_forward
from pyg_hag.plan import sweep as plan
from pyg_hag.plan.sweep import sweep_plan

SLOPE = 0.2

GRAPHS = {
    "one clique": (edge_index_of(clique(range(90), closed=True)), (90, 90)),
    "overlapping cliques": near_cliques(0),
    "bipartite": noisy_copies(0),
    "random, duplicates": random_graph(0, 40, 30, 0.4, copies=2),
    "thin": random_graph(1, 60, 80, 0.03),
    "components": disjoint_union(*(near_cliques(seed, 2, 9) for seed in range(8))),
}
SHAPES = [(1, 1), (1, 64), (2, 3), (3, 16), (8, 8)]
"""Heads and channels."""


def edge_by_edge(edge_index, x, s, t, slope, grad):
    """The results in float64, and the gradients of x, s and t."""
    x, s, t = (v.double().clone().requires_grad_() for v in (x, s, t))
    (src, dst), shape = edge_index, t.shape
    score = s[src] + t[dst]
    activated = torch.where(score > 0, score, slope * score)
    rows = dst[:, None].expand(-1, shape[1])
    top = torch.full(shape, -torch.inf, dtype=torch.float64)
    top = top.scatter_reduce(0, rows, activated.detach(), "amax")
    top = torch.where(top.isinf(), 0, top)
    weight = torch.exp(activated - top[dst])
    zeros = torch.zeros(shape, dtype=torch.float64)
    inverse = 1 / (zeros.index_add(0, dst, weight) + 1e-16)
    weight = weight * inverse[dst]
    is_positive = (score > 0).double()
    features = torch.zeros(*shape, x.size(2), dtype=torch.float64)
    out = features.index_add(0, dst, weight[..., None] * x[src])
    positive = (weight * is_positive)[..., None] * x[src]
    results = (
        out,
        features.index_add(0, dst, positive),
        zeros.index_add(0, dst, weight * is_positive),
        top,
        inverse,
    )
    grads = torch.autograd.grad(out, (x, s, t), grad.double())
    return [v.detach() for v in results], grads


class Case:
    """Random features, scores and gradients for a graph."""

    def __init__(self, graph, heads, channels, dtype, spread, build=fewest_hag):
        self.edge_index, (num_src, num_dst) = graph
        self.hag = build(self.edge_index, size=(num_src, num_dst))
        self.x = torch.randn(num_src, heads, channels, dtype=dtype)
        self.s = spread * torch.randn(num_src, heads, dtype=dtype)
        self.t = spread * torch.randn(num_dst, heads, dtype=dtype)
        self.grad = torch.randn(num_dst, heads, channels, dtype=dtype)

    def forward(self, positive_too=True, slope=SLOPE):
        return sweep_forward(
            self.x, self.s, self.t, slope, self.hag, positive_too=positive_too
        )

    def gradients(self, found, slope=SLOPE):
        """The gradients of x, s and t, of which the last follows from the results."""
        delta = (self.grad * found.out).sum(-1)
        known = found.top, found.inverse, slope, self.hag
        grads = sweep_backward(self.grad, delta, self.x, self.s, self.t, *known)
        upper = (self.grad * found.positive).sum(-1)
        lower = (delta - upper) - delta * (1 - found.share)
        return *grads, upper - delta * found.share + slope * lower

    def check(self, slope=SLOPE):
        found = self.forward(slope=slope)
        tensors = self.x, self.s, self.t
        results, grads = edge_by_edge(self.edge_index, *tensors, slope, self.grad)
        for ours, expected in zip(found[:4], results, strict=False):
            assert_near(ours, expected)
        # The inverse belongs to the maximum as it is rounded.
        sums = found.inverse.log() - found.top, results[4].log() - results[3]
        assert_near(
            *sums, scale=max(map(abs, results[3].flatten().tolist()), default=1)
        )
        # Those of scores are differences of sums that are as large as these products.
        terms = (self.x * grads[0]).abs().sum(-1)
        scale = float(terms.max()) if terms.numel() else 1.0
        for ours, expected in zip(self.gradients(found, slope), grads, strict=True):
            assert_near(ours, expected, scale)


def assert_near(found, expected, scale=1.0):
    """Checks that values are near, relative to the largest of them or to `scale`."""
    assert found.isfinite().all()
    limit = 1e-12 if found.dtype is torch.float64 else 1e-5
    if expected.numel():
        scale = max(1.0, scale, float(expected.abs().max()))
    torch.testing.assert_close(
        found.double(), expected, rtol=limit, atol=limit * scale, check_dtype=False
    )


@pytest.mark.parametrize("name", GRAPHS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("spread", [0.0, 1.0, 10.0, 200.0])
def test_edge_by_edge(name, shape, dtype, spread):
    Case(GRAPHS[name], *shape, dtype, spread).check()


@pytest.mark.parametrize("name", GRAPHS)
def test_fastest_hags(name):
    Case(GRAPHS[name], 2, 8, torch.float64, 1.0, build_hag).check()


@pytest.mark.parametrize("name", ODD_GRAPHS)
def test_odd_graphs(name):
    Case(ODD_GRAPHS[name], 2, 5, torch.float64, 1.0).check()


@pytest.mark.parametrize("slope", [0.0, 0.01, 0.5, 1.0])
def test_slopes(slope):
    Case(GRAPHS["overlapping cliques"], 2, 4, torch.float64, 5.0).check(slope)


@pytest.mark.parametrize("name", ["one clique", "thin"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_ties(name, dtype):
    """Scores of sums that are often 0, where the slope counts."""
    case = Case(GRAPHS[name], 3, 8, dtype, 1.0)
    case.s, case.t = case.s.round(), case.t.round()
    case.s[:4] = -0.0
    assert (case.s[:, None] + case.t[None] == 0).any()
    case.check()


def test_graphs_are_swept():
    """The other tests would pass if all edges were left to single sources."""
    for name in ("one clique", "overlapping cliques", "bipartite", "components"):
        found = sweep_plan(Case(GRAPHS[name], 1, 1, torch.float32, 1.0).hag)
        assert found.num_leaves > 0, name
        assert found.num_readers > 0, name


def test_counts():
    hag = fewest_hag(edge_index_of(clique(range(50), closed=True)), 50)
    found = sweep_plan(hag)
    assert found.num_edges == 2500
    assert found.num_aggregates == 1
    assert found.num_leaves == found.num_readers == 50
    assert found.num_direct == 0
    assert sweep_plan(hag) is found


def test_small_parts(monkeypatch):
    """Components are swept in parts, or all in one: with the same result."""
    case = Case(GRAPHS["components"], 3, 8, torch.float64, 1.0)
    expected = case.forward()
    monkeypatch.setattr(plan, "PART", 100)
    parted = Case(GRAPHS["components"], 3, 8, torch.float64, 1.0)
    parted.x, parted.s, parted.t = case.x, case.s, case.t
    assert sweep_plan(parted.hag).num_parts > sweep_plan(case.hag).num_parts
    parted.check()
    for ours, other in zip(parted.forward(), expected, strict=True):
        torch.testing.assert_close(ours, other, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["one clique", "components"])
@pytest.mark.parametrize("shape", [(1, 64), (3, 8), (8, 8)], ids=str)
def test_same_bits_for_any_number_of_threads(name, shape):
    case = Case(GRAPHS[name], *shape, torch.float32, 10.0)
    expected = None
    for threads in (1, 2, 3):
        with num_threads(threads):
            results = case.forward()
            results = *results, *case.gradients(results)
        expected = expected or results
        for ours, other in zip(results, expected, strict=True):
            assert torch.equal(ours, other)


def test_rows_far_below_their_component_go_edge_by_edge(monkeypatch):
    """With the limit out of reach, they lose their digits."""
    case = Case(GRAPHS["overlapping cliques"], 1, 8, torch.float32, 200.0)
    expected, _ = edge_by_edge(
        case.edge_index, case.x, case.s, case.t, SLOPE, case.grad
    )
    rows = edge_by_edge(case.edge_index, case.x, case.s, case.t, 1.0, case.grad)[0][3]
    gap = case.s.max() - (rows - case.t)
    assert (gap > forward_stages.FAR[0]).any()
    assert_near(case.forward().out, expected[0])


def test_long_running_sums_keep_their_digits():
    """Equal terms are rounded the same way each time: thousands would drift."""
    n = 6000
    sources = torch.arange(n).repeat(20)
    rows = torch.arange(20).repeat_interleave(n)
    graph = torch.stack([sources, rows]), (n, 20)
    case = Case(graph, 1, 8, torch.float32, 0.0)
    assert sweep_plan(case.hag).num_leaves == n
    case.s[1:], case.x[:] = -0.3, 0.7
    case.check()


def test_inference_computes_the_output_only():
    case = Case(GRAPHS["one clique"], 2, 8, torch.float32, 1.0)
    found, expected = case.forward(positive_too=False), case.forward()
    assert found.positive is None
    assert found.share is None
    torch.testing.assert_close(found.out, expected.out)


@pytest.mark.parametrize("value", [torch.inf, -torch.inf, torch.nan])
@pytest.mark.parametrize("which", ["s", "t"])
def test_scores_that_are_not_finite_are_left_to_others(which, value):
    case = Case(GRAPHS["components"], 2, 4, torch.float32, 1.0)
    getattr(case, which)[3, 1] = value
    assert case.forward() is None
    known = torch.zeros_like(case.t), torch.ones_like(case.t)
    delta = torch.zeros_like(case.t)
    numbers = case.x, case.s, case.t, *known, SLOPE
    assert sweep_backward(case.grad, delta, *numbers, case.hag) is None


def test_features_that_are_not_finite_reach_their_rows():
    case = Case(GRAPHS["thin"], 1, 8, torch.float64, 1.0)
    case.x[5, 0, 2] = torch.nan
    reached = case.edge_index[1, case.edge_index[0] == 5]
    wrong = case.forward().out.isnan()
    assert wrong[reached, 0, 2].all()
    assert wrong.sum() == reached.unique().numel()
