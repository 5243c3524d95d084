"""What the contract says of numbers that are not floats."""

import pytest
import torch

from contract.cases import GRAPHS, assert_close, each_graph, simple
from pyg_hag.ops.reductions import INTEGERS, SIGNED_REDUCES


class NumbersContract:
    """Integers, truth values and complex numbers, as PyG sums them."""

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
