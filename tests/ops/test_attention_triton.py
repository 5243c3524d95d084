"""The fused attention of CUDA is that of PyTorch's operators, edge by edge."""

import pytest
import torch
from contract import ACCELERATOR, GRAPHS, assert_close, runs_triton
from graphs import biclique, edge_index_of, fewest_hag, int64
from test_triton_compiles import machine_code_of

from pyg_hag import build_hag
from pyg_hag.benchmark import attention_device
from pyg_hag.ops.attention import Scores, attention, launch
from pyg_hag.ops.attention.dropout import Dropout, kept
from pyg_hag.ops.attention.edges import (
    attention_on_edges,
    ends_with_loops,
    grads_on_edges,
)
from pyg_hag.ops.attention.launch import compute, compute_grads
from pyg_hag.ops.dispatch import BACKENDS
from pyg_hag.ops.triton import attention as there

pytestmark = pytest.mark.triton

KINDS = ("gat", "gatv2", "dot")
NAMES = (
    "no nodes",
    "one node without edges",
    "isolated nodes",
    "no sources",
    "no destinations",
    "self-loops",
    "every self-loop three times",
    "bipartite, more sources",
    "bipartite, more destinations",
    "duplicate edges",
)
each_kind = pytest.mark.parametrize("kind", KINDS)


def made(kind, hag, heads, channels, term, loops, dtype=torch.float64):
    """Random inputs: key, value, query, att and the edges' terms."""
    inner = (heads,) if kind == "gat" else (heads, channels)
    value = torch.randn(hag.num_src, heads, channels, dtype=dtype)
    key, query = (
        torch.randn(count, *inner, dtype=dtype) for count in (hag.num_src, hag.num_dst)
    )
    att = terms = None
    if kind == "gatv2":
        value, att = key, torch.randn(heads, channels, dtype=dtype)
    if term:
        num_edges = ends_with_loops(hag, loops)[0].numel()
        terms = torch.randn(num_edges, *inner, dtype=dtype)
    return key, value, query, att, terms


def moved(values):
    """The values, where the kernels run."""
    return [t if t is None else t.to(ACCELERATOR) for t in values]


def run(scores, hag, dropout, inputs, grad, needed):
    """The results of the kernels, and gradients."""
    known = scores, hag.to(ACCELERATOR), dropout, moved(inputs)
    outputs = compute(*known, True, "triton")
    grad = grad.to(ACCELERATOR)
    grads = compute_grads(*known, outputs, grad, needed, "triton")
    inference = compute(*known, False, "triton")
    assert torch.equal(inference[0], outputs[0]) or outputs[0].isnan().any()
    assert [t.numel() for t in inference[1:]] == [0, 0]
    return outputs, grads


def check(scores, hag, dropout, inputs, grad=None):
    """Compares the results and all gradients with those of the edges in float64."""
    exact = [t if t is None else t.double() for t in inputs]
    wanted = attention_on_edges(scores, hag, dropout, exact)
    grad = torch.randn_like(wanted).to(inputs[1].dtype) if grad is None else grad
    needed = [t is not None for t in inputs]
    needed[1] &= scores.kind != "gatv2"
    grads = grads_on_edges(scores, hag, dropout, exact, grad.double(), needed)
    outputs, found = run(scores, hag, dropout, inputs, grad, needed)
    dtype = inputs[1].dtype
    assert outputs[0].shape == wanted.shape and outputs[0].dtype == dtype
    assert_same(outputs[0], wanted)
    for got, known, given in zip(found, grads, inputs, strict=True):
        assert (got is None) == (known is None)
        if got is not None:
            assert got.shape == given.shape and got.dtype == dtype
            assert_same(got, known)
    return outputs


def assert_same(got, wanted):
    """Numbers that are close, and NaN in the same places."""
    got = got.cpu()
    assert torch.equal(got.isnan(), wanted.isnan())
    assert_close(got.nan_to_num(0.0), wanted.nan_to_num(0.0), got.dtype)


@runs_triton
@each_kind
@pytest.mark.parametrize("heads", [1, 3, 8])
@pytest.mark.parametrize("channels", [1, 5, 16, 33])
@pytest.mark.parametrize("term", [False, True])
@pytest.mark.parametrize("loops", [False, True])
@pytest.mark.parametrize("p", [0.0, 0.4])
@pytest.mark.parametrize("name", NAMES)
def test_results_and_gradients(name, p, loops, term, channels, heads, kind):
    edge_index, size = GRAPHS[name]
    hag = build_hag(edge_index, size=size, capacity=0)
    dropout = Dropout(p, 123456789012345) if p else None
    inputs = made(kind, hag, heads, channels, term, loops)
    check(Scores(kind, 0.2, 0.7, loops, p), hag, dropout, inputs)


@runs_triton
@each_kind
@pytest.mark.parametrize("term", [False, True])
@pytest.mark.parametrize("size", [(40, 3), (3, 40)])
def test_float32_and_rows_of_several_blocks(size, term, kind):
    edges = edge_index_of(biclique(range(size[0]), range(size[1])))
    hag = fewest_hag(torch.cat([edges, edges[:, ::5]], 1), size=size)
    assert max(size) > there._block(2, 33, 40)[0]
    inputs = made(kind, hag, 2, 33, term, False, torch.float32)
    check(Scores(kind, 0.2, 33**-0.5), hag, None, inputs)


@runs_triton
@each_kind
@pytest.mark.parametrize("slope", [0.0, -0.5, 1.0, 3.0])
def test_slopes(slope, kind):
    hag = build_hag(*GRAPHS["multigraph"][:1], 15)
    inputs = made(kind, hag, 2, 3, True, False)
    inputs[0][:, 0] = 0  # where the leaky ReLU has its bend
    inputs[2][:, 0] = 0
    inputs[4][:, 0] = 0
    check(Scores(kind, slope), hag, None, inputs)


@runs_triton
@pytest.mark.parametrize("p", [0.1, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("seed", [0, 1, 2**31, 2**62 + 12345, 2**63 - 2])
def test_the_same_coefficients_are_dropped(seed, p):
    """One edge for each destination: results are the factors themselves."""
    count, heads, dropout = 100, 8, Dropout(p, seed)
    edges = torch.stack([torch.zeros(count, dtype=torch.long), torch.arange(count)])
    hag = build_hag(edges, size=(1, count), capacity=0).to(ACCELERATOR)
    key, query = torch.zeros(1, heads), torch.zeros(count, heads)
    value = torch.ones(1, heads, 1)
    inputs = (t.double() for t in (key, value, query))
    known = Scores("gat"), hag, dropout, [*moved(inputs), None, None]
    out = compute(*known, False, "triton")[0]
    assert torch.equal(out[..., 0].cpu(), kept(dropout, count, heads))


@runs_triton
@each_kind
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")  # of NumPy
@pytest.mark.parametrize("bad", [torch.inf, -torch.inf, torch.nan])
@pytest.mark.parametrize("where", ["key", "value", "query", "everywhere"])
def test_infinite_and_undefined(where, bad, kind):
    hag = build_hag(*GRAPHS["multigraph"][:1], 15)
    inputs = made(kind, hag, 2, 3, False, False)
    names = ("key", "value", "query")
    for name, tensor in zip(names, inputs, strict=False):
        if where == "everywhere":
            tensor[:, 0] = bad
        elif where == name:
            tensor[3, 0] = bad
    wanted = attention_on_edges(Scores(kind), hag, None, inputs)
    got = compute(
        Scores(kind), hag.to(ACCELERATOR), None, moved(inputs), True, "triton"
    )
    assert_same(got[0], wanted)


@runs_triton
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_terms_that_hide_edges():
    """Nothing is seen of edges with the score -inf, unless they are all of a row."""
    hag = build_hag(*GRAPHS["every edge twice"][:1], 5, capacity=0)
    inputs = made("gat", hag, 2, 3, True, False)
    inputs[4][::3] = -torch.inf
    check(Scores("gat"), hag, None, inputs)
    inputs[4][:] = -torch.inf
    check(Scores("gat"), hag, None, inputs)


@runs_triton
@each_kind
def test_scores_beyond_the_range_of_exponentials(kind):
    """Scores are whole numbers, so that none is rounded."""
    hag = build_hag(*GRAPHS["clique"][:1], 7)
    inputs = made(kind, hag, 2, 4, False, False, torch.float32)
    whole = [t if t is None else 16 * (2 * t).round() for t in inputs]
    check(Scores(kind, 0.25, 4.0), hag, None, whole)


@runs_triton
@each_kind
def test_autograd(kind):
    """Also of higher order, which is edge by edge."""
    hag = build_hag(*GRAPHS["duplicate edges"][:1], 5).to(ACCELERATOR)
    key, value, query, att, term = made(kind, hag.to("cpu"), 2, 3, True, False)
    given = [key, query, term] + ([att] if kind == "gatv2" else [value])
    given = [t.to(ACCELERATOR).requires_grad_() for t in given]

    def call(key, query, term, other, backend="triton"):
        value, att = (key, other) if kind == "gatv2" else (other, None)
        scores = Scores(kind, 0.2, 0.7)
        return attention(scores, key, value, query, hag, att, term, backend=backend)

    out, again = call(*given), call(*given, backend="torch")
    wanted = torch.autograd.grad(again.square().sum(), given)
    grads = torch.autograd.grad(out.square().sum(), given, retain_graph=True)
    for got, known in zip((out, *grads), (again, *wanted), strict=True):
        assert_close(got, known)
    (first,) = torch.autograd.grad(out.square().sum(), given[:1], create_graph=True)
    assert torch.autograd.grad(first.square().sum(), given[0])[0].isfinite().all()


@runs_triton
@each_kind
def test_only_what_is_needed_is_computed(monkeypatch, kind):
    started = []
    original = there._start

    def spy(kernel, *args):
        started.append(kernel)
        return original(kernel, *args)

    monkeypatch.setattr(there, "_start", spy)
    hag = build_hag(*GRAPHS["duplicate edges"][:1], 5).to(ACCELERATOR)
    key, value, query, att, _ = moved(made(kind, hag.to("cpu"), 2, 3, False, False))
    query.requires_grad_()
    call = Scores(kind), key, value, query, hag, att
    attention(*call, backend="triton").sum().backward()
    assert len(started) == (1 if kind == "gat" else 2)
    started.clear()
    key.requires_grad_()
    attention(*call, backend="triton").sum().backward()
    assert len(started) == (2 if kind == "gat" else 3)


@runs_triton
@each_kind
def test_narrow_floats(kind):
    hag = build_hag(*GRAPHS["multigraph"][:1], 15)
    inputs = made(kind, hag, 2, 5, False, False, torch.bfloat16)
    key, value, query, att, _ = moved(inputs)
    there_ = hag.to(ACCELERATOR)
    out = attention(Scores(kind), key, value, query, there_, att, backend="triton")
    assert out.dtype == torch.bfloat16
    wide = [t if t is None else t.double() for t in inputs]
    assert_close(out.cpu(), attention_on_edges(Scores(kind), hag, None, wide))


@runs_triton
@each_kind
def test_views_are_read_as_they_are(kind):
    hag = build_hag(*GRAPHS["multigraph"][:1], 15)
    inputs = made(kind, hag, 3, 4, True, False)
    turned = [
        t if t is None else t.transpose(0, 1).contiguous().transpose(0, 1)
        for t in inputs
    ]
    grad = torch.ones(1, 1, 1, dtype=torch.float64).expand(15, 3, 4)
    check(Scores(kind), hag, None, turned, grad)


@runs_triton
@each_kind
@pytest.mark.parametrize("backend", ["triton", "torch"])
def test_compiled(backend, kind):
    """Results have the shapes that compilers were told, with every backend."""
    hag = build_hag(*GRAPHS["duplicate edges"][:1], 5).to(ACCELERATOR)
    key, value, query, att, term = moved(made(kind, hag.to("cpu"), 2, 3, True, False))
    leaves = [t.requires_grad_() for t in (key, query, term)]
    scores = Scores(kind, 0.2, 0.7)

    def call():
        return attention(scores, key, value, query, hag, att, term, backend=backend)

    wanted = torch.autograd.grad(call().square().sum(), leaves)
    out = torch.compile(call, backend="aot_eager")()
    grads = torch.autograd.grad(out.square().sum(), leaves)
    for got, known in zip((out, *grads), (call(), *wanted), strict=True):
        assert torch.equal(got, known)


@runs_triton
def test_kernels_start_on_the_device_of_the_values(monkeypatch):
    seen, entered = [], torch.cuda.device_of
    monkeypatch.setattr(torch.cuda, "device_of", lambda x: seen.append(x) or entered(x))
    hag = build_hag(*GRAPHS["duplicate edges"][:1], 5)
    check(Scores("dot"), hag, None, made("dot", hag, 2, 3, False, False))
    assert len(seen) == 4


@runs_triton
def test_long_rows_start_first():
    count = there._LONG + 1
    edges = torch.stack([torch.arange(count + 2), int64(0, 2, *[4] * count)])
    hag = build_hag(edges, size=(count + 2, 6), capacity=0)
    order = there.device_rows(hag, False, False).order
    assert order.tolist() == [4, 0, 1, 2, 3, 5]


@runs_triton
def test_what_a_gpu_is_asked(monkeypatch):
    """The benchmark's checks and timings, with the kernels where there is no GPU."""
    monkeypatch.setattr(launch, "_BACKENDS", ("triton", "torch"))
    graph = GRAPHS["duplicate edges"][0], 5
    checks = attention_device.check(ACCELERATOR, {"small": graph})
    assert len(checks) == 6 and all(row["right"] for row in checks)
    monkeypatch.setattr(attention_device, "load_one", lambda *args: graph)
    monkeypatch.setattr(attention_device, "copies_of", lambda *args: 1)
    parts = attention_device.measure(["small"], None, ACCELERATOR, 0.0)
    rows = [row for part in parts for row in part]
    assert [row["contender"] for row in rows] == 4 * ["edge_index", "HAG"]
    lines = attention_device.table(rows)
    assert len(lines) == 5 and {len(line) for line in lines} == {5}


def test_backends():
    hag = build_hag(*GRAPHS["duplicate edges"][:1], 5)
    key, value, query, *_ = made("gat", hag, 2, 3, False, False)
    call = Scores("gat"), key, value, query, hag
    with pytest.raises(ValueError, match=r"must be one of .*'triton', 'torch'.*'cuda'"):
        attention(*call, backend="cuda")
    assert_close(attention(*call), attention(*call, backend="torch"))
    if BACKENDS["triton"].why_not(torch.device("cpu")):
        with pytest.raises(ValueError, match="backend 'triton'"):
            attention(*call, backend="triton")
    if ACCELERATOR == "cuda":
        with pytest.raises(ValueError, match="backend 'numba' runs on the CPU"):
            attention(*call[:1], *moved(call[1:4]), hag.to("cuda"), backend="numba")


# Machine code #################################################################

ARRAYS = dict.fromkeys(
    (
        *("key", "value", "query", "att", "term", "out", "positive", "stats"),
        *("grad", "grad_key", "grad_value", "grad_term", "grad_query", "grad_att"),
    ),
    "*fp32",
)
NUMBERS = dict.fromkeys(("slope", "scale", "seed", "threshold", "kept"), "i64")
ROWS = dict.fromkeys(("order", "ptr", "col", "number"), "*i32")


def known(kind, heads=8, channels=8, width=8, **others):
    """The types of a kernel's arguments; others are not passed."""
    shape = {"num_heads": heads, "channels": channels, "CHANNELS": width}
    block = {"WIDE": False, "EDGES": 16, "HEADS": min(heads, 64 // width)}
    missing = {"gat": ("att",), "gatv2": ("positive", "grad_value")}
    missing["dot"] = ("att", "grad_att", "positive")
    types = {**ARRAYS, **NUMBERS, **ROWS, **shape, **block, "KIND": f"={kind}"}
    return {**types, **dict.fromkeys(missing[kind]), **others}


PLAIN = {"term": None, "grad_term": None, "seed": None}
WIDE = {"WIDE": True, "number": "*i64", "ptr": "*i64"}
DOUBLE = dict.fromkeys(ARRAYS, "*fp64")
FORWARD, BACKWARD = "attention", "attention gradients"
KERNELS = {
    **{kind: (FORWARD, "attend", known(kind)) for kind in KINDS},
    **{f"{kind}, plain": (FORWARD, "attend", known(kind, **PLAIN)) for kind in KINDS},
    "wide": (FORWARD, "attend", known("gat", **WIDE)),
    "float64": (FORWARD, "attend", known("gat", **{**DOUBLE, "att": None})),
    "odd": (FORWARD, "attend", known("gatv2", 3, 33, 64)),
    "by source, gat": (BACKWARD, "grad_gat_sources", known("gat")),
    "by source, gatv2": (BACKWARD, "grad_sources", known("gatv2")),
    "by source, dot": (BACKWARD, "grad_sources", known("dot", 1, 64, 64)),
    "by source, odd": (BACKWARD, "grad_sources", known("dot", 3, 33, 64, **PLAIN)),
    "by destination, gatv2": (BACKWARD, "grad_destinations", known("gatv2")),
    "by destination, dot": (BACKWARD, "grad_destinations", known("dot", **WIDE)),
}


@pytest.fixture(scope="module")
def machine_code():
    """The code of all kernels, by name."""
    return machine_code_of(KERNELS)


@pytest.mark.skipif(not BACKENDS["triton"].is_installed, reason="no Triton")
@pytest.mark.xdist_group("compiles")
@pytest.mark.parametrize("name", KERNELS)
def test_compiles(name, machine_code):
    ptx = machine_code[name]
    assert "atom" not in ptx and "red.global" not in ptx
    assert "cvt.f64.f32" not in ptx  # no number was passed in float32
    if name == "gat, plain":  # whole vectors
        assert "ld.global.v4" in ptx and "st.global" in ptx
