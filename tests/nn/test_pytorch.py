"""What PyTorch and PyG do with a model, they do with one that `to_hag` has made."""

import os
import subprocess
import sys
from functools import partial
from importlib.util import find_spec

import pytest
import torch
from graphs import fewest_hag, random_graph
from torch.utils.checkpoint import checkpoint
from torch_geometric import nn
from torch_geometric.data import Data
from torch_geometric.loader import (
    GraphSAINTRandomWalkSampler,
    LinkNeighborLoader,
    NeighborLoader,
)
from torch_geometric.typing import (
    WITH_PYG_LIB,
    WITH_TORCH_SPARSE,
)

from pyg_hag import HAGData, HAGTransform, build_hag
from pyg_hag.nn import to_hag

SIZE = 40
MODELS = {
    "GCN": lambda: nn.GCN(8, 8, 2, 4, norm="layer"),
    "GraphSAGE": lambda: nn.GraphSAGE(8, 8, 2, 4, aggr=["mean", "max"]),
    "GIN": lambda: nn.GIN(8, 8, 2, 4, jk="cat"),
    "GAT": lambda: nn.GAT(8, 8, 2, 4),
}


@pytest.fixture(params=MODELS)
def case(request):
    edge_index, _ = random_graph(3, SIZE, SIZE, 0.3)
    model = MODELS[request.param]()
    x = torch.randn(SIZE, 8)
    return model, to_hag(model), x, edge_index, fewest_hag(edge_index, SIZE)


def close(got, wanted):
    torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.at_most(2)
def test_compile(case):
    model, ours, x, edge_index, hag = case
    torch._dynamo.reset()
    close(torch.compile(ours, fullgraph=True)(x, hag), model(x, edge_index))


# PyTorch cannot compile the gradient of PyG's own attention.
@pytest.mark.unless(lambda case: case == "GAT")
@pytest.mark.at_most(1)
def test_compiled_training(case):
    model, ours, x, edge_index, hag = case
    torch._dynamo.reset()
    compiled = torch.compile(ours, fullgraph=True)
    grads = []
    for m, graph in ((model, edge_index), (compiled, hag)):
        model.zero_grad()
        m(x, graph).square().sum().backward()
        grads.append([p.grad.clone() for p in model.parameters()])
    for wanted, got in zip(*grads, strict=True):
        close(got, wanted)


def test_export(case):
    """With the HAG in a module of its own: an exported program takes tensors."""
    model, ours, x, edge_index, hag = case

    class Fixed(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = ours.eval()

        def forward(self, x):
            return self.model(x, hag)

    program = torch.export.export(Fixed(), (x,))
    close(program.module()(x), model.eval()(x, edge_index))


def test_autocast(case):
    model, ours, x, edge_index, hag = case
    with torch.autocast("cpu", torch.bfloat16):
        wanted, got = model(x, edge_index), ours(x, hag)
    assert got.dtype == wanted.dtype
    torch.testing.assert_close(got, wanted, rtol=0.1, atol=0.1)
    got.float().sum().backward()


def test_checkpointing(case):
    model, ours, x, edge_index, hag = case
    leaves = [x.clone().requires_grad_() for _ in range(2)]
    model(leaves[0], edge_index).square().sum().backward()
    checkpoint(ours, leaves[1], hag, use_reentrant=False).square().sum().backward()
    close(leaves[1].grad, leaves[0].grad)


@pytest.mark.skipif(find_spec("tabulate") is None, reason="PyG prints it with that")
def test_summary(case):
    _, ours, x, _, hag = case
    shown = nn.summary(ours, x, hag)
    assert "HAG" in shown or "EdgesGATConv" in shown


def test_functional_call_and_vmap_of_parameters(case):
    _, ours, x, _, hag = case
    twice = {name: 2 * value for name, value in ours.named_parameters()}
    out = torch.func.functional_call(ours, twice, (x, hag))
    assert not torch.allclose(out, ours(x, hag))


DISTRIBUTED = """
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel
from torch_geometric import nn
from pyg_hag import build_hag
from pyg_hag.nn import to_hag

dist.init_process_group("gloo")
torch.set_num_threads(1)
torch.manual_seed(0)
model = nn.GCN(8, 8, 2, 4)
ours = DistributedDataParallel(to_hag(model))
torch.manual_seed(1 + dist.get_rank())
edge_index, x = torch.randint(30, (2, 200)), torch.randn(30, 8)
hag = build_hag(edge_index, 30, objective="aggregations")
model(x, edge_index).square().sum().backward()
wanted = [p.grad.clone() for p in model.parameters()]
for grad in wanted:
    dist.all_reduce(grad)
    grad /= 2
model.zero_grad()
ours(x, hag).square().sum().backward()
for p, grad in zip(model.parameters(), wanted):
    torch.testing.assert_close(p.grad, grad, rtol=1e-4, atol=1e-4)
dist.destroy_process_group()
print("equal")
"""


@pytest.mark.full
def test_two_processes():
    base = {**os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29517"}
    base["GLOO_SOCKET_IFNAME"] = "lo"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", DISTRIBUTED],
            env={**base, "RANK": str(rank), "WORLD_SIZE": "2"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    for process in processes:
        out, error = process.communicate(timeout=300)
        assert "equal" in out, error


@pytest.mark.at_most(2)
@pytest.mark.parametrize("aggr", ["sum", "mean", "max"])
@pytest.mark.parametrize("own", [False, True])
def test_edge_weights_in_compiled_code(aggr, own):
    edge_index, (n, _) = random_graph(3, 30, 30, 0.4)
    a, b = torch.rand(2, n) + 0.5
    weight = a[edge_index[0]] * b[edge_index[1]]
    build = partial(build_hag, capacity=0) if own else fewest_hag
    hag, x = build(edge_index, n), torch.randn(n, 8)
    if own and aggr == "max":
        return  # weights of single edges are for sums
    torch._dynamo.reset()
    conv = nn.GraphConv(8, 4, aggr=aggr)
    compiled = torch.compile(to_hag(conv), backend="aot_eager", fullgraph=True)
    for factor in (1.0, 2.0, 3.0):  # weights that change
        close(compiled(x, hag, weight * factor), conv(x, edge_index, weight * factor))
    if not own:
        with pytest.raises(ValueError, match="not the product of a source factor"):
            compiled(x, hag, torch.rand_like(weight))
        if aggr == "max":
            b[0] = -b[0]
            with pytest.raises(RuntimeError, match="negative for some destinations"):
                compiled(x, hag, a[edge_index[0]] * b[edge_index[1]])


# Loaders ######################################################################


def data(seed=0, size=200):
    edge_index, _ = random_graph(seed, size, size, 0.1)
    return Data(torch.randn(size, 8), edge_index, y=torch.arange(size))


def check(batch):
    assert isinstance(batch, HAGData)
    batch.hag.validate(batch.edge_index)
    model = nn.GCN(8, 8, 2, 4)
    close(to_hag(model)(batch.x, batch.hag), model(batch.x, batch.edge_index))


old_sampler = pytest.mark.filterwarnings("ignore:Using.*without a 'pyg-lib'")
sampling = pytest.mark.skipif(
    not (WITH_PYG_LIB or WITH_TORCH_SPARSE), reason="PyG cannot sample here"
)


@pytest.mark.sparse
@sampling
@old_sampler
@pytest.mark.parametrize(
    "options",
    [{}, {"objective": "aggregations"}, {"num_passes": 4}, {"num_passes": 10**9}],
    ids=str,
)
def test_neighbor_loader(options):
    transform = HAGTransform(**options)
    loader = NeighborLoader(data(), [5, 5], batch_size=50, transform=transform)
    for batch in loader:
        check(batch)


@pytest.mark.sparse
@sampling
@old_sampler
def test_link_neighbor_loader():
    loader = LinkNeighborLoader(
        data(), [5, 5], batch_size=300, transform=HAGTransform(objective="aggregations")
    )
    for batch in loader:
        check(batch)
        assert batch.edge_label_index.size(1) > 0


@pytest.mark.sparse
@pytest.mark.skipif(not WITH_TORCH_SPARSE, reason="GraphSAINT needs torch_sparse")
def test_graph_saint():
    transform = HAGTransform(objective="aggregations")
    for batch in GraphSAINTRandomWalkSampler(data(), 40, 2, num_steps=2):
        check(transform(batch))
