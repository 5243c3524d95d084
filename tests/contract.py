"""The contract: what every backend and every layer must do, against PyG's own.

A backend or a layer joins by a class that inherits one of these and names itself.
"""

import copy
import pickle

import pytest
import torch
from graphs import (
    ODD_GRAPHS,
    FewestTransform,
    fewest_hag,
    near_cliques,
    noisy_copies,
    num_threads,
    random_graph,
    signed_hag,
    skewed_graph,
)
from torch.autograd import forward_ad, gradcheck, gradgradcheck
from torch.fx.experimental.proxy_tensor import make_fx
from torch_geometric.data import Batch, Data
from torch_geometric.nn import SimpleConv
from torch_geometric.nn.conv.gcn_conv import gcn_norm

from pyg_hag import aggregate
from pyg_hag.hag.memo import once_per_hag
from pyg_hag.ops.dispatch import BACKENDS
from pyg_hag.ops.library import max_operator, sum_operator
from pyg_hag.ops.reductions import INTEGERS, SIGNED_REDUCES

GRAPHS = {
    **ODD_GRAPHS,
    "sparse": random_graph(0, 60, 60, 0.05),
    "dense": random_graph(1, 40, 40, 0.6),
    "dense bipartite": random_graph(2, 30, 50, 0.5),
    "multigraph": random_graph(3, 15, 15, 0.5, copies=3),
    "hubs": skewed_graph(4, 30, 90),
    "near-cliques": near_cliques(5),
    "similar rows": noisy_copies(6),
}
ALL_SQUARE = {name: g for name, g in GRAPHS.items() if g[1][0] == g[1][1]}
SQUARE = {name: g for name, g in ALL_SQUARE.items() if g[1][0] > 0}

TOLERANCE = {
    torch.float64: 1e-12,
    torch.float32: 1e-5,
    torch.float16: 4e-3,
    torch.bfloat16: 3e-2,
}

ACCELERATOR = "cuda" if torch.cuda.is_available() else "cpu"
"""Where Triton's kernels are tested: on the CPU, its interpreter runs them."""
runs_triton = pytest.mark.skipif(
    bool(BACKENDS["triton"].why_not(torch.device(ACCELERATOR))),
    reason="no Triton, or neither a GPU nor TRITON_INTERPRET=1",
)
each_graph = pytest.mark.parametrize("graph", GRAPHS.values(), ids=GRAPHS)
TELLING = (
    "near-cliques",
    "multigraph",
    "every self-loop three times",
    "one node without edges",
)
"""Square graphs for layers: what `aggregate` proves on all is not proved again."""
TELLING_BIPARTITE = (
    "dense bipartite",
    "hubs",
    "bipartite, more sources",
    "no destinations",
)
each_telling_square_graph = pytest.mark.parametrize(
    "graph", [*map(SQUARE.get, TELLING)], ids=TELLING
)
each_telling_graph = pytest.mark.parametrize(
    "graph", [*map(GRAPHS.get, TELLING_BIPARTITE)], ids=TELLING_BIPARTITE
)
each_square_graph = pytest.mark.parametrize("graph", SQUARE.values(), ids=SQUARE)


def assert_close(got, wanted, dtype=None):
    tolerance = TOLERANCE[dtype or got.dtype]
    scale = float(wanted.detach().abs().max()) if wanted.numel() else 1.0
    torch.testing.assert_close(
        got.double(), wanted.double(), rtol=tolerance, atol=tolerance * max(1.0, scale)
    )


def simple(x, edge_index, size, reduce):
    """PyG's layer without parameters; the weights of `symnorm` are those of GCN."""
    weight = None
    if reduce == "symnorm":
        reduce = "sum"
        _, weight = gcn_norm(edge_index, None, size[0], False, False, dtype=x.dtype)
    return SimpleConv(aggr=reduce)((x, None), edge_index, weight, size)


MOMENTS = ("var", "std")


def skewed(reduce):
    """A graph that is bipartite where the reduction knows such."""
    return "near-cliques" if reduce == "symnorm" else "hubs"


def features(reduce, *shape):
    """Random features; integers where what is measured is a difference of squares.

    A variance that is about 0 has no digits to compare, and a root less.
    """
    x = torch.randn(*shape)
    return x.mul(2).round() if reduce in MOMENTS else x


@once_per_hag
def moved(hag, device):
    return hag.to(device)


def on_device(device, backend, x, hag, reduce, *scales):
    """What `aggregate` makes of these there, brought back."""
    if device == "cpu":
        return aggregate(x, hag, reduce, *scales, backend=backend)
    there = moved(hag, device)
    scales = [s if s is None else s.to(device) for s in scales]
    out = aggregate(x.to(device), there, reduce, *scales, backend=backend)
    return out.to(x.device)


class AggregateContract:
    """Every reduction, dtype and odd graph, forward and backward."""

    backend: str
    device = "cpu"
    reduces = ("sum", "mean", "symnorm", "max", "min", "var", "std")
    dtypes = (torch.float32, torch.float64, torch.float16, torch.bfloat16)

    def build(self, edge_index, *args, **kwargs):
        """The HAG to run on."""
        return fewest_hag(edge_index, *args, **kwargs)

    @classmethod
    def can_run(cls, test, known):
        """Whether a test applies: where sources have no in-degree, `symnorm` has none.

        What is made of other operators where it is traced has no operator to check.
        """
        if test == "test_opcheck":
            return known["reduce"] not in ("var", "std", "symnorm")
        return not is_undefined(known.get("reduce"), known.get("graph"))

    def run(self, x, hag, *args):
        return on_device(self.device, self.backend, x, hag, *args)

    def reference(self, x, graph, reduce, src_scale=None, dst_scale=None):
        """PyG's unmodified layer, in double precision."""
        edge_index, size = graph
        x = x.double()
        if src_scale is not None:
            x = x * src_scale.double()[:, None]
        out = simple(x, edge_index, size, reduce)
        return out if dst_scale is None else out * dst_scale.double()[:, None]

    @each_graph
    def test_forward_and_backward(self, graph, reduce, dtype, ran):
        edge_index, size = graph
        hag = self.build(edge_index, size=size)
        x = features(reduce, size[0], 19).to(dtype)
        self.compare(x, hag, graph, reduce)
        assert ran and set(ran) == {self.backend}

    @each_graph
    @pytest.mark.parametrize("number", INTEGERS)
    @pytest.mark.unless(lambda reduce: reduce == "symnorm")
    def test_whole_numbers_and_truth_values(self, graph, reduce, number):
        """The numbers and the dtype of PyG, or what wraps around as it does."""
        edge_index, size = graph
        hag = self.build(edge_index, size=size)
        for low, high in ((-2, 3), (-120, 120), (0, 250)):
            x = torch.randint(low, high, (size[0], 5)).to(number)
            out, wanted = self.run(x, hag, reduce), simple(x, edge_index, size, reduce)
            assert out.dtype == wanted.dtype
            torch.testing.assert_close(out, wanted, equal_nan=True)

    @pytest.mark.parametrize("number", INTEGERS)
    def test_whole_numbers_with_factors_are_floats(self, reduce, number):
        edge_index, size = GRAPHS["near-cliques"]
        hag = self.build(edge_index, size=size)
        x = torch.randint(0, 2, (size[0], 5)).to(number)
        for dtype in (torch.float32, torch.float64):
            scales = [torch.rand(n, dtype=dtype) for n in size]
            out = self.run(x, hag, reduce, *scales)
            assert out.dtype == dtype
            assert torch.equal(out, self.run(x.to(dtype), hag, reduce, *scales))

    @each_graph
    @pytest.mark.parametrize("kind", [torch.complex64, torch.complex128])
    @pytest.mark.unless(lambda reduce: reduce not in SIGNED_REDUCES)
    def test_complex_numbers(self, graph, reduce, kind):
        edge_index, size = graph
        hag = self.build(edge_index, size=size)
        x = torch.randn(size[0], 3, 2, dtype=kind)
        ours, theirs = x.requires_grad_(), x.detach().clone().requires_grad_()
        out = self.run(ours, hag, reduce)
        flat = theirs.reshape(size[0], 6)
        parts = [self.reference(x, graph, reduce) for x in (flat.real, flat.imag)]
        wanted = torch.complex(*parts).reshape(size[1], 3, 2)
        assert out.dtype == kind
        grad = torch.randn_like(out)
        out.backward(grad)
        wanted.backward(grad.to(wanted.dtype))
        for mine, yours in ((out, wanted), (ours.grad, theirs.grad)):
            assert_close(mine.real, yours.real)
            assert_close(mine.imag, yours.imag)

    @each_graph
    def test_ties(self, graph, reduce):
        edge_index, size = graph
        hag = self.build(edge_index, size=size)
        x = torch.randint(-1, 3, (size[0], 5)).float()
        self.compare(x, hag, graph, reduce)

    def compare(self, x, hag, graph, reduce):
        ours = x.clone().requires_grad_()
        theirs = x.clone().double().requires_grad_()
        out = self.run(ours, hag, reduce)
        wanted = self.reference(theirs, graph, reduce)
        assert out.dtype == x.dtype
        assert_close(out, wanted)
        grad = torch.randn_like(out)
        out.backward(grad)
        wanted.backward(grad.double())
        assert ours.grad.dtype == x.dtype
        assert_close(ours.grad, theirs.grad)

    @pytest.mark.parametrize("width", [0, 1, 3, 15, 16, 17, 64, 130, 300])
    def test_every_width(self, reduce, width):
        graph = GRAPHS[skewed(reduce)]
        hag = self.build(graph[0], size=graph[1])
        for dtype in (torch.float32, torch.float64):
            x = features(reduce, graph[1][0], width).to(dtype)
            self.compare(x, hag, graph, reduce)

    @pytest.mark.each_value
    def test_a_scratch_of_many_megabytes(self, reduce):
        edge_index, size = random_graph(0, 200, 200, 0.5)
        hag = self.build(edge_index, size=size)
        x = torch.randn(size[0], 16)
        assert hag.num_aggregates * 4096 * x.element_size() > 32 << 20
        wide = self.run(x.repeat(1, 256), hag, reduce)
        assert torch.equal(wide, self.run(x, hag, reduce).repeat(1, 256))

    @each_graph
    def test_scales(self, graph, reduce):
        edge_index, size = graph
        hag = self.build(edge_index, size=size)
        x = features(reduce, size[0], 7)
        a, b = features(reduce, size[0]), torch.randn(size[1])
        for scales in ((a, None), (None, b), (a, b)):
            ours = [x.clone().requires_grad_()]
            ours += [s if s is None else s.clone().requires_grad_() for s in scales]
            theirs = [
                t if t is None else t.detach().double().requires_grad_() for t in ours
            ]
            out = self.run(ours[0], hag, reduce, *ours[1:])
            wanted = self.reference(theirs[0], graph, reduce, *theirs[1:])
            assert_close(out, wanted)
            grad = torch.randn_like(out)
            out.backward(grad)
            wanted.backward(grad.double())
            for mine, yours in zip(ours, theirs, strict=True):
                assert mine is None or mine.grad.dtype == mine.dtype
                if mine is not None:
                    assert_close(mine.grad, yours.grad)

    @each_square_graph
    @pytest.mark.parametrize("added", ["sum", "mean"])
    def test_self_term(self, graph, added):
        edge_index, (n, _) = graph
        hag = self.build(edge_index, n)
        inputs = torch.randn(n, 7), torch.randn(n), torch.randn(n), torch.randn(n)
        inputs[3][1::3] = 0  # not the first: aggregates have none
        for used in ((0, 3), (0, 1, 3), (0, 2, 3), (0, 1, 2, 3)):
            ours, theirs = (
                [t.to(d).requires_grad_() if i in used else None for i, t in pairs]
                for d, pairs in (
                    (torch.float32, enumerate(map(torch.clone, inputs))),
                    (torch.float64, enumerate(map(torch.clone, inputs))),
                )
            )
            out = self.run(ours[0], hag, added, *ours[1:])
            wanted = self.reference(theirs[0], graph, added, *theirs[1:3])
            wanted = wanted + theirs[3][:, None] * theirs[0]
            assert_close(out, wanted)
            grad = torch.randn_like(out)
            out.backward(grad)
            wanted.backward(grad.double())
            for mine, yours in zip(ours, theirs, strict=True):
                if mine is not None:
                    assert_close(mine.grad, yours.grad)

    @pytest.mark.parametrize("added", ["sum", "mean"])
    def test_a_self_term_of_0_adds_nothing(self, added):
        hag = self.build(torch.tensor([[0, 1], [1, 2]]), num_nodes=3)
        x = torch.tensor([[torch.inf], [torch.nan], [1.0]], requires_grad=True)
        own = torch.tensor([0.0, 0.0, 2.0])
        out = self.run(x, hag, added, None, None, own)
        assert str(out.flatten().tolist()) == "[0.0, inf, nan]"
        (grad,) = torch.autograd.grad(out, x, torch.full_like(x, torch.inf))
        assert grad.tolist() == [[torch.inf], [torch.inf], [torch.inf]]

    def test_any_shape(self, reduce):
        edge_index, size = GRAPHS[skewed(reduce)]
        hag = self.build(edge_index, size=size)
        for shape in ((), (1,), (2, 3), (2, 1, 4), (3, 0)):
            x = torch.randn(size[0], *shape)
            out = self.run(x, hag, reduce)
            assert out.shape == (size[1], *shape)
            flat = self.run(x.reshape(size[0], -1) if x.numel() else x, hag, reduce)
            assert torch.equal(out.flatten(), flat.flatten())

    def test_any_memory_layout(self, reduce):
        edge_index, size = GRAPHS["dense"]
        hag = self.build(edge_index, size=size)
        n = size[0]
        for x in (
            torch.randn(8, n).t(),
            torch.randn(n, 16)[:, ::2],
            torch.randn(n, 20)[:, 3:11],
            torch.randn(2 * n, 8)[::2],
            torch.randn(1, 8).expand(n, 8),
            torch.randn(n + 1, 8)[1:],
            torch.randn(n, 2, 4).transpose(1, 2),
        ):
            assert torch.equal(
                self.run(x, hag, reduce), self.run(x.contiguous(), hag, reduce)
            )

    def test_isolated_destinations_are_zero(self, reduce):
        hag = self.build(torch.tensor([[0], [1]]), num_nodes=4)
        out = self.run(torch.full((4, 3), 7.0), hag, reduce)
        value = 0.0 if reduce in (*MOMENTS, "symnorm") else 7.0  # no edge into 0
        assert out.tolist() == [[0.0] * 3, [value] * 3, [0.0] * 3, [0.0] * 3]
        assert not out.signbit().any()

    def test_nan_and_infinity(self, reduce):
        graph = GRAPHS[skewed(reduce)]
        hag = self.build(graph[0], size=graph[1])
        for value in (torch.nan, torch.inf, -torch.inf):
            x = features(reduce, graph[1][0], 5)
            x[::4, ::2] = value
            out, wanted = self.run(x, hag, reduce), self.reference(x, graph, reduce)
            torch.testing.assert_close(out, wanted.float(), equal_nan=True)

    @pytest.mark.each_value
    def test_gradcheck(self, reduce):
        n = 7 if reduce == "symnorm" else 5
        graph = random_graph(6, 7, n, 0.6)
        hag = self.build(graph[0], size=graph[1])
        inputs = [torch.randn(n, dtype=torch.double) for n in ((7, 3), 7, n)]
        for t in inputs:
            t.requires_grad_()

        def function(x, a, b):
            return self.run(x, hag, reduce, a, b)

        assert gradcheck(function, inputs, check_forward_ad=True)
        assert gradgradcheck(function, inputs, check_fwd_over_rev=True)

    @pytest.mark.at_most(3)
    def test_opcheck(self, reduce):
        graph = GRAPHS["dense bipartite"]
        hag = self.build(graph[0], size=graph[1])
        hag = hag.to(self.device)
        there = {"device": self.device, "requires_grad": True}
        x, scale = (
            torch.randn(graph[1][0], 4, **there),
            torch.rand(graph[1][0], **there),
        )
        if reduce in ("sum", "mean"):
            given, op = (x, scale, None, None), sum_operator
            rest = (False,)
        else:
            given, op, rest = (x,), max_operator, (reduce == "min",)
        args = *given, *hag.handle, *rest, self.backend
        results = torch.library.opcheck(op, args)
        assert set(results.values()) == {"SUCCESS"}
        turned = hag.t()
        args = *given, turned.tensors, turned.num_src, "t.", *rest, self.backend
        results = torch.library.opcheck(op, args)
        assert set(results.values()) == {"SUCCESS"}

    def test_tracing_and_transforms_see_an_operator(self, reduce):
        graph = GRAPHS["dense"]
        hag = self.build(graph[0], size=graph[1])
        x, other = features(reduce, 2, graph[1][0], 3)
        traced = make_fx(lambda x: self.run(x, hag, reduce))(x)
        assert_close(traced(other), self.run(other, hag, reduce))
        leaf = x.clone().requires_grad_()
        self.run(leaf, hag, reduce).square().sum().backward()
        grad = torch.func.grad(lambda x: self.run(x, hag, reduce).square().sum())(x)
        assert_close(grad, leaf.grad)
        _, tangent = torch.func.jvp(lambda x: self.run(x, hag, reduce), (x,), (other,))
        with forward_ad.dual_level():
            out = self.run(forward_ad.make_dual(x, other), hag, reduce)
            assert_close(forward_ad.unpack_dual(out).tangent, tangent)
        product = torch.func.vjp(lambda x: self.run(x, hag, reduce), x)[1](tangent)[0]
        assert_close((product * other).sum(), tangent.square().sum())

    @pytest.mark.at_most(3)
    def test_torch_compile(self, reduce):
        torch._dynamo.reset()  # it counts the variants of one function over all tests
        compiled = torch.compile(
            lambda x, hag, a: self.run(x, hag, reduce, a).relu(),
            backend="aot_eager",
            fullgraph=True,
        )
        names = "dense", "multigraph", skewed(reduce)  # one function, several HAGs
        for name in names:
            edge_index, size = GRAPHS[name]
            x = features(reduce, size[0], 6).requires_grad_()
            a = features(reduce, size[0]) + 1
            hag = self.build(edge_index, size=size)
            out = compiled(x, hag, a)
            (grad,) = torch.autograd.grad(out.sum(), x)
            wanted = self.run(x, hag, reduce, a).relu()
            assert_close(out, wanted)
            assert_close(grad, torch.autograd.grad(wanted.sum(), x)[0])

    @pytest.mark.at_most(3)
    def test_same_bits_for_any_number_of_threads(self, reduce, monkeypatch):
        # Split by groups where there are many, else by rows or features.
        monkeypatch.setattr("pyg_hag.plan.cpu.MIN_WORK", 0)
        many = Batch.from_data_list(
            [
                Data(edge_index=g[0], num_nodes=40)
                for g in (random_graph(seed, 40, 40, 0.4) for seed in range(60))
            ]
        )
        one = random_graph(9, 300, 300, 0.2)
        for edge_index, n in ((many.edge_index, many.num_nodes), (one[0], 300)):
            for capacity in (None, 0):
                x = torch.randn(n, 70)
                results = []
                for threads in (1, 2, 4):
                    with num_threads(threads):
                        hag = self.build(edge_index, n, capacity=capacity)
                        leaf = x.clone().requires_grad_()
                        out = self.run(leaf, hag, reduce)
                        out.backward(x)
                        results.append((out.detach(), leaf.grad))
                for out, grad in results[1:]:
                    assert torch.equal(out, results[0][0])
                    assert torch.equal(grad, results[0][1])


def is_undefined(reduce, graph):
    """Whether a list of reductions has one that this graph has not."""
    return (
        reduce is not None
        and graph is not None
        and ("symnorm" in reduce and graph[1][0] != graph[1][1])
    )


WIDE_LISTS = ("min", "max", "sum", "mean", "var", "std"), ("symnorm", "max", "std")
"""Lists of all reductions, which run in every dtype."""


class ManyContract:
    """Several reductions at once are the single ones, side by side."""

    backend: str
    device = "cpu"
    lists = (
        ("sum", "max", "std"),
        ("mean", "var"),
        ("min", "max", "sum", "mean", "var", "std"),
        ("std",),
        ("max", "max", "sum"),
        ("symnorm", "max", "std"),
        ("sum", "symnorm"),
        ("symnorm",),
    )

    @classmethod
    def can_run(cls, test, known):
        """Whether a test applies."""
        graph = known.get("graph")
        graph = GRAPHS[graph] if isinstance(graph, str) else graph
        return not is_undefined(known["names"], graph)

    def run(self, x, hag, *args):
        return on_device(self.device, self.backend, x, hag, *args)

    def reference(self, x, graph, names, axis=-1):
        edge_index, size = graph
        outs = [simple(x.double(), edge_index, size, name) for name in names]
        return torch.cat(outs, axis)

    def build(self, graph, names):
        return fewest_hag(graph[0], size=graph[1])

    @each_graph
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
    @pytest.mark.unless(
        lambda names, dtype: dtype != torch.float32 and names not in WIDE_LISTS
    )
    def test_forward_and_backward(self, graph, names, dtype, ran):
        size = graph[1]
        hag = self.build(graph, names)
        for width in (1, 7, 16, 40, 130):
            x = features("std", size[0], width).to(dtype).requires_grad_()
            theirs = x.detach().double().requires_grad_()
            out = self.run(x, hag, names)
            wanted = self.reference(theirs, graph, names)
            assert out.dtype == dtype and out.shape == (size[1], len(names) * width)
            assert_close(out, wanted)
            grad = torch.randn_like(out)
            out.backward(grad)
            wanted.backward(grad.double())
            assert_close(x.grad, theirs.grad)
        assert set(ran) == {self.backend}

    @pytest.mark.parametrize("graph", ["dense", "dense bipartite"])
    def test_scales_and_shapes(self, graph, names):
        graph = GRAPHS[graph]
        hag = self.build(graph, names)
        for shape in ((), (5,), (2, 3), (0,)):
            x = features("std", graph[1][0], *shape)
            a, b = features("std", graph[1][0]), torch.randn(graph[1][1])
            out = self.run(x, hag, tuple(names), a, b)
            single = [self.run(x, hag, n, a, b) for n in names]
            wanted = torch.stack(single, 1) if shape == () else torch.cat(single, -1)
            assert_close(out, wanted)

    @pytest.mark.each_value
    def test_gradcheck(self, names):
        graph = random_graph(6, 7, 7 if "symnorm" in names else 5, 0.6)
        hag = self.build(graph, names)
        x = torch.randn(7, 3, dtype=torch.double, requires_grad=True)

        def function(x):
            return self.run(x, hag, names)

        assert gradcheck(function, x)
        if not {"max", "min"} & {*names}:
            assert gradgradcheck(function, x)

    @pytest.mark.each_value
    def test_compilers_and_transforms(self, names):
        graph = GRAPHS["dense"]
        hag = fewest_hag(graph[0], size=graph[1])
        x = features("std", graph[1][0], 3)

        def function(x):
            return self.run(x, hag, names)

        torch._dynamo.reset()
        assert_close(
            torch.compile(function, backend="aot_eager", fullgraph=True)(x), function(x)
        )
        leaf = x.clone().requires_grad_()
        function(leaf).square().sum().backward()
        grad = torch.func.grad(lambda x: function(x).square().sum())(x)
        assert_close(grad, leaf.grad)


class SignedContract(AggregateContract):
    """The same over HAGs that subtract; no maximum can be taken back."""

    reduces = ("sum", "mean", "symnorm")

    def build(self, edge_index, *args, **kwargs):
        return signed_hag(edge_index, *args, **kwargs)

    def test_the_graphs_are_signed(self):
        signed = [name for name, g in GRAPHS.items() if is_signed(g)]
        assert {"clique", "near-cliques", "similar rows"} <= {*signed}

    @pytest.mark.parametrize("wrong", ["max", "min", "std", ["sum"], ["sum", "max"]])
    def test_other_reductions_are_refused(self, wrong):
        hag = self.build(*GRAPHS["clique"][:1])
        with pytest.raises(ValueError, match=r"one of .* without 'subtract'"):
            self.run(torch.randn(7, 3), hag, wrong)

    def test_nan_and_infinity(self, reduce):
        """What is not finite in a row stays so; rows that take it back may be NaN."""
        graph = GRAPHS["near-cliques"]
        hag = self.build(graph[0], size=graph[1])
        for value in (torch.nan, torch.inf, -torch.inf):
            x = torch.randn(graph[1][0], 5)
            x[::4, ::2] = value
            out, wanted = self.run(x, hag, reduce), self.reference(x, graph, reduce)
            assert not out[~wanted.isfinite()].isfinite().any()
            assert_close(out[:, 1::2], wanted[:, 1::2])


def is_signed(graph):
    return signed_hag(graph[0], size=graph[1]).is_signed


class ConvContract:
    """A layer of ours is PyG's layer, on a HAG as well as on an edge_index."""

    reference: type
    conv: type
    variants: tuple = ({},)
    bipartite = False
    compiles = True

    def build(self, edge_index, *args, **kwargs):
        """The HAG to run on."""
        return fewest_hag(edge_index, *args, **kwargs)

    def transform(self, data):
        return FewestTransform()(data)

    def make(self, cls, options):
        return cls(8, 6, **options)

    def pair(self, options):
        """PyG's layer and ours with the same parameters, loaded both ways."""
        theirs, ours = (self.make(c, options) for c in (self.reference, self.conv))
        assert list(theirs.state_dict()) == list(ours.state_dict())
        ours.load_state_dict(theirs.state_dict())
        theirs.load_state_dict(ours.state_dict())
        return theirs, ours

    def call(self, layer, x, graph):
        return layer(x, graph)

    def compiled(self, layer, x, hag):
        return torch.compile(layer, backend="aot_eager", fullgraph=True)

    def compare(self, theirs, ours, inputs, edge_index, hag):
        results = []
        for layer, graph in ((theirs, edge_index), (ours, hag)):
            layer.zero_grad()
            leaves = [t if t is None else t.clone().requires_grad_() for t in inputs]
            x = tuple(leaves) if len(leaves) > 1 else leaves[0]
            out = self.call(layer, x, graph)
            torch.manual_seed(7)
            out.backward(torch.randn_like(out))
            grads = [t.grad for t in leaves if t is not None]
            results.append([out, *grads, *(p.grad for p in layer.parameters())])
        for wanted, got in zip(*results, strict=True):
            assert (wanted is None) == (got is None)
            if wanted is not None:
                assert_close(got, wanted)

    @classmethod
    def can_run(cls, test, known):
        """Whether a test applies to PyG's layer."""
        if test == "test_bipartite":
            return cls.bipartite and "flow" not in known["options"]
        return cls.compiles or test != "test_torch_compile"

    @each_telling_square_graph
    def test_forward_and_backward(self, graph, options, ran):
        edge_index, (n, _) = graph
        theirs, ours = self.pair(options)
        hag = self.build(edge_index, n)
        self.compare(theirs, ours, [torch.randn(n, 8)], edge_index, hag)
        assert set(ran) == {"numba"}

    @each_telling_graph
    def test_bipartite(self, graph, options):
        edge_index, size = graph
        theirs, ours = self.pair(options)
        hag = self.build(edge_index, size=size)
        x = [torch.randn(n, 8) for n in size]
        self.compare(theirs, ours, x, edge_index, hag)

    def test_edge_index_still_works(self, options):
        edge_index, (n, _) = SQUARE["dense"]
        theirs, ours = self.pair(options)
        x = torch.randn(n, 8)
        wanted = self.call(theirs, x, edge_index)
        assert torch.equal(wanted, self.call(ours, x, edge_index))

    def test_batch_of_graphs(self, options):
        graphs = [
            SQUARE[name] for name in ("dense", "one node without edges", "clique")
        ]
        batch = Batch.from_data_list(
            [
                self.transform(Data(torch.randn(n, 8), edge_index))
                for edge_index, (n, _) in graphs
            ]
        )
        theirs, ours = self.pair(options)
        self.compare(theirs, ours, [batch.x], batch.edge_index, batch.hag)

    def test_more_dimensions(self, options):
        edge_index, (n, _) = SQUARE["dense"]
        theirs, ours = self.pair(options)
        x = torch.randn(3, n, 8)
        try:
            wanted = self.call(theirs, x, edge_index)
        except (RuntimeError, IndexError):  # PyG's layer takes matrices
            return
        assert_close(self.call(ours, x, self.build(edge_index, n)), wanted)

    @pytest.mark.at_most(4)
    def test_torch_compile(self, options):
        edge_index, (n, _) = SQUARE["near-cliques"]  # of which signed HAGs subtract
        theirs, ours = self.pair(options)
        x = torch.randn(n, 8)
        torch._dynamo.reset()
        hag = self.build(edge_index, n)
        assert hag.is_signed == isinstance(self, SignedConvContract)
        compiled = self.compiled(ours, x, hag)
        assert_close(self.call(compiled, x, hag), self.call(theirs, x, edge_index))

    def test_copies(self, options):
        edge_index, (n, _) = SQUARE["dense"]
        _, ours = self.pair(options)
        x, hag = torch.randn(n, 8), self.build(edge_index, n)
        for other in (copy.deepcopy(ours), pickle.loads(pickle.dumps(ours))):
            assert torch.equal(self.call(ours, x, hag), self.call(other, x, hag))

    @pytest.mark.each_value
    def test_subclass_that_changes_the_message_is_refused(self, options):
        class Doubled(self.conv):
            def message(self, x_j):
                return 2 * x_j

        edge_index, (n, _) = SQUARE["clique"]
        layer = self.make(Doubled, {**options})
        with pytest.raises(ValueError, match="'Doubled' overrides 'message'"):
            self.call(layer, torch.randn(n, 8), self.build(edge_index, n))

    @pytest.mark.each_value
    def test_subclass_works(self, options):
        # PyG keeps what it compiles under the name of the class.
        Named = type(f"Named{self.conv.__name__}", (self.conv,), {})
        edge_index, (n, _) = SQUARE["dense"]
        theirs, ours = self.pair(options)
        named = self.make(Named, options)
        named.load_state_dict(ours.state_dict())
        x = torch.randn(n, 8)
        wanted = self.call(theirs, x, edge_index)
        assert_close(self.call(named, x, self.build(edge_index, n)), wanted)
        assert torch.equal(self.call(named, x, edge_index), wanted)

    def test_hag_of_another_size_is_refused(self, options):
        _, ours = self.pair(options)
        with pytest.raises(ValueError, match="the HAG has 7"):
            hag = self.build(*SQUARE["clique"][:1], num_nodes=7)
            self.call(ours, torch.randn(9, 8), hag)

    def test_hooks_and_explanations_are_refused(self, options):
        edge_index, (n, _) = SQUARE["clique"]
        x, hag = torch.randn(n, 8), self.build(edge_index, n)
        _, ours = self.pair(options)
        handle = ours.register_message_forward_pre_hook(lambda module, inputs: None)
        with pytest.raises(ValueError, match="hooks"):
            self.call(ours, x, hag)
        handle.remove()
        wanted = self.call(ours, x, hag)
        ours.explain = True
        with pytest.raises(ValueError, match="explained"):
            self.call(ours, x, hag)
        ours.explain = False
        assert torch.equal(self.call(ours, x, hag), wanted)


class SignedConvContract(ConvContract):
    """The same on HAGs that subtract."""

    def build(self, edge_index, *args, **kwargs):
        return signed_hag(edge_index, *args, **kwargs)

    def transform(self, data):
        return FewestTransform(subtract=True)(data)
