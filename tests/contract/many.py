"""What the contract says of several reductions at once."""

import pytest
import torch
from graphs import (
    fewest_hag,
    random_graph,
)
from torch.autograd import gradcheck, gradgradcheck

from contract.cases import (
    GRAPHS,
    assert_close,
    each_graph,
    features,
    is_undefined,
    on_device,
    simple,
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
