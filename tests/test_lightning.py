"""Lightning's Trainer, which evaluates in inference mode before training and after."""

import pytest
import pytorch_lightning as lightning
import torch
import torch.nn.functional as F
from graphs import near_cliques
from torch import nn
from torch_geometric import nn as pyg
from torch_geometric import transforms as T
from torch_geometric.data import Data
from torch_geometric.loader import ClusterData, DataLoader

from pyg_hag import HAGTransform, to_hag
from pyg_hag.loader import HAGClusterLoader
from pyg_hag.quantization import DegreeQuantTransform, convert, prepare_qat

EDGES, (NODES, _) = near_cliques(0, 3, 6)
LAYERS = {
    "GCN": lambda: pyg.GCNConv(8, 3),
    "SAGE": lambda: pyg.SAGEConv(8, 3, ["mean", "max"]),
    "SGC": lambda: pyg.SGConv(8, 3, 2),
    "TAG": lambda: pyg.TAGConv(8, 3),
    "APPNP": lambda: pyg.Sequential(
        "x, g", [(nn.Linear(8, 3), "x -> x"), (pyg.APPNP(3, 0.1), "x, g -> x")]
    ),
    "ARMA": lambda: pyg.ARMAConv(8, 3),
    "LG": lambda: pyg.Sequential(
        "x, g", [(nn.Linear(8, 3), "x -> x"), (pyg.LGConv(), "x, g -> x")]
    ),
    "EGC": lambda: pyg.EGConv(8, 3, ["symnorm", "max"], 3, 2),
    "Cheb": lambda: pyg.ChebConv(8, 3, 3),
    "GAT": lambda: pyg.GATConv(8, 3),
}


class Classifier(lightning.LightningModule):
    """Classifies nodes; the names are those of what layers get besides features."""

    def __init__(self, conv, graph, *names):
        super().__init__()
        self.conv, self.graph, self.names = conv, graph, names
        self.losses = []

    def forward(self, batch):
        known = {name: batch[name] for name in self.names}
        return self.conv(batch.x, getattr(batch, self.graph), **known)

    def loss(self, batch):
        loss = F.cross_entropy(self(batch), batch.y)
        self.losses.append(float(loss))
        return loss

    def training_step(self, batch, _):
        return self.loss(batch)

    def validation_step(self, batch, _):
        self.loss(batch)

    test_step = validation_step

    def predict_step(self, batch, _):
        return self(batch)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


@pytest.fixture
def trainer(tmp_path):
    return lambda **options: lightning.Trainer(
        max_epochs=2,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
        **options,
    )


def graphs():
    torch.manual_seed(0)
    return [
        Data(x=torch.randn(NODES, 8), edge_index=EDGES, y=torch.arange(NODES) % 3)
        for _ in range(4)
    ]


def run(make_trainer, model, loader):
    trainer = make_trainer()
    trainer.validate(model, loader, verbose=False)
    trainer.fit(model, loader, loader)
    trainer.test(model, loader, verbose=False)
    predicted = trainer.predict(model, loader)
    return model.losses, predicted


@pytest.mark.filterwarnings("ignore")  # what Lightning thinks of small data
@pytest.mark.parametrize("layer", LAYERS)
def test_a_trainer_gives_what_it_gives_on_edges(layer, trainer):
    torch.manual_seed(0)
    conv = LAYERS[layer]()
    model = Classifier(to_hag(LAYERS[layer]()), "hag")
    model.conv.load_state_dict(conv.state_dict())
    plain = run(trainer, Classifier(conv, "edge_index"), DataLoader(graphs(), 2))
    transform = HAGTransform(objective="aggregations")
    loader = DataLoader([*map(transform, graphs())], 2)
    torch.testing.assert_close(run(trainer, model, loader), plain, rtol=1e-4, atol=1e-4)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("layer", ["GCN", "SAGE", "SGC", "EGC", "GAT"])
def test_a_trainer_of_quantized_models(layer, trainer):
    transform = T.Compose(
        [DegreeQuantTransform(), HAGTransform(objective="aggregations")]
    )
    loader = DataLoader([*map(transform, graphs())], 2)
    torch.manual_seed(0)
    model = Classifier(prepare_qat(LAYERS[layer]()), "hag", "protect_prob")
    with pytest.raises(RuntimeError, match="has not observed any values"):
        trainer().validate(model, loader, verbose=False)
    model.train()  # where the error left it, it was not
    make = trainer(num_sanity_val_steps=0)  # ranges are observed in training
    make.fit(model, loader, loader)
    make.test(model, loader, verbose=False)
    batch = next(iter(loader))
    fast = Classifier(convert(model.conv, (batch.x, batch.hag)), "hag")
    out = torch.cat(trainer().predict(fast, loader))
    expected = torch.cat(make.predict(model, loader))
    assert (out - expected).abs().max() <= 0.05 * expected.abs().max()


@pytest.mark.filterwarnings("ignore")
def test_a_trainer_with_clusters(trainer, monkeypatch):
    parts = torch.arange(NODES) * 3 // NODES
    monkeypatch.setattr(ClusterData, "_metis", lambda *_: parts)  # needs no library
    clusters = ClusterData(graphs()[0], 3, log=False)
    transform = HAGTransform(objective="aggregations")
    loader = HAGClusterLoader(clusters, transform, batch_size=1)
    losses, _ = run(trainer, Classifier(to_hag(LAYERS["GCN"]()), "hag"), loader)
    assert sum(losses[-3:]) < sum(losses[:3])
