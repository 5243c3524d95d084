"""What the contract says of a backend of `aggregate`."""

import pytest
import torch
from graphs import (
    fewest_hag,
    num_threads,
    random_graph,
    signed_hag,
)
from torch.autograd import forward_ad, gradcheck, gradgradcheck
from torch.fx.experimental.proxy_tensor import make_fx
from torch_geometric.data import Batch, Data

from contract.cases import (
    GRAPHS,
    MOMENTS,
    assert_close,
    each_graph,
    each_square_graph,
    features,
    is_undefined,
    on_device,
    simple,
    skewed,
)
from contract.numbers import NumbersContract
from pyg_hag.ops.library import max_operator, sum_operator


class AggregateContract(NumbersContract):
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
