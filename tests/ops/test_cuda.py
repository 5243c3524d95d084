"""What only a GPU can show; skipped where there is none."""

import pytest
import torch
from contract import GRAPHS
from graphs import fewest_hag
from test_data import hag_graphs
from torch_geometric import nn as pyg
from torch_geometric.data import Batch

from pyg_hag import aggregate, to_hag
from pyg_hag.quantization import calibrate, convert

pytestmark = [
    pytest.mark.triton,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"),
]


@pytest.fixture
def case():
    edge_index, (n, _) = GRAPHS["near-cliques"]
    hag = fewest_hag(edge_index, n).to("cuda")
    return torch.randn(n, 40, device="cuda", requires_grad=True), hag


REDUCES = ["sum", "mean", "max", "std", ["sum", "max", "std"]]


@pytest.mark.parametrize("reduce", REDUCES, ids=str)
def test_nothing_waits_for_the_device(case, reduce):
    x, hag = case
    aggregate(x, hag, reduce).sum().backward()  # which makes the plans
    torch.cuda.set_sync_debug_mode("error")
    try:
        aggregate(x, hag, reduce).sum().backward()
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("reduce", REDUCES, ids=str)
def test_calls_are_captured_into_graphs(case, reduce):
    x, hag = case
    grad = torch.randn_like(aggregate(x, hag, reduce))

    def both():
        out = aggregate(x, hag, reduce)
        return out, *torch.autograd.grad(out, x, grad)

    wanted = both()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = both()
    for _ in range(2):
        graph.replay()
    torch.cuda.synchronize()
    for got, known in zip(captured, wanted, strict=True):
        assert torch.equal(got, known)


@pytest.mark.parametrize("reduce", REDUCES, ids=str)
def test_same_bits_every_time_and_on_every_stream(case, reduce):
    x, hag = case
    wanted = aggregate(x, hag, reduce)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        outs = [aggregate(x, hag, reduce) for _ in range(5)]
    torch.cuda.synchronize()
    assert all(torch.equal(out, wanted) for out in outs)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="one GPU")
@pytest.mark.parametrize("reduce", REDUCES, ids=str)
def test_a_device_that_is_not_the_current_one(case, reduce):
    x, hag = case
    wanted = aggregate(x, hag, reduce)
    out = aggregate(x.to("cuda:1"), hag.to("cuda:1"), reduce)
    assert torch.equal(out.cpu(), wanted.cpu())


def test_batches_and_models():
    batch = Batch.from_data_list(hag_graphs())
    model = to_hag(pyg.GIN(4, 8, 2, 3)).eval()
    wanted = model(batch.x, batch.hag)
    there = batch.clone().to("cuda")
    out = model.to("cuda")(there.x, there.hag)
    assert there.hag.device.type == "cuda"
    torch.testing.assert_close(out.cpu(), wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("model", [pyg.GCN, pyg.GraphSAGE, pyg.GIN])
def test_int8_models_are_converted_there(model):
    edge_index, (n, _) = GRAPHS["near-cliques"]
    x, hag = torch.randn(n, 12), fewest_hag(edge_index, n)
    quantized = calibrate(model(12, 20, 2, 5, norm="batch_norm"), [(x, hag)])
    wanted = convert(quantized, (x, hag))(x, hag)
    there = x.cuda(), hag.to("cuda")
    assert torch.equal(convert(quantized.cuda(), there)(*there).cpu(), wanted)
