import pytest
import torch
from graphs import fewest_hag, random_graph
from torch_geometric import nn
from torch_geometric.data import Data
from torch_geometric.loader import DataLoader

from pyg_hag import HAGTransform
from pyg_hag.quantization import DegreeQuantConfig, FakeQuantize, calibrate


@pytest.fixture
def model():
    return nn.GCN(8, 16, 2, 4, dropout=0.5, norm="batch_norm").eval()


@pytest.fixture
def data():
    edge_index, _ = random_graph(3, 40, 40, 0.3)
    return Data(torch.randn(40, 8), edge_index)


def test_is_near_the_model(model, data):
    before = {key: value.clone() for key, value in model.state_dict().items()}
    config = DegreeQuantConfig(ranges="minmax")
    quantized = calibrate(model, data, config)
    assert not quantized.training and not quantized.config.protect
    with torch.no_grad():
        wanted = model(data.x, data.edge_index)
        out = quantized(data.x, data.edge_index)
    assert (out - wanted).abs().max() < 0.05 * wanted.abs().max()
    for key, value in model.state_dict().items():  # dropout and norms were off
        assert torch.equal(value, before[key])
    assert all(not m.training for m in quantized.modules())


def test_forms_of_items(model, data):
    hag = fewest_hag(data.edge_index, 40)
    config = DegreeQuantConfig(ranges="minmax")
    loaders = [
        [(data.x, data.edge_index)],
        [(data.x, hag)],
        [{"x": data.x, "edge_index": data.edge_index}],
        data,
        [data],
        HAGTransform()(data),
        DataLoader([data, data], batch_size=1),
    ]
    outs = [calibrate(model, loader, config)(data.x, hag) for loader in loaders]
    for out in outs[1:]:
        torch.testing.assert_close(out, outs[0])


def test_data_as_a_whole(data):
    class Whole(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.GCNConv(8, 4)

        def forward(self, data):
            return self.conv(data.x, data.edge_index)

    assert calibrate(Whole(), [data])(data).shape == (40, 4)


def test_data_with_a_hag_passes_that(data):
    class Watching(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.seen = nn.GCNConv(8, 4), []

        def forward(self, x, edge_index, edge_weight=None):
            self.seen.append(edge_index)
            return self.conv(x, edge_index)

    data = HAGTransform()(data)
    quantized = calibrate(Watching(), [data, Data(data.x, data.edge_index)])
    assert quantized.model.seen[0] is data.hag
    assert quantized.model.seen[1] is data.edge_index


def test_ranges_are_those_of_the_data(data):
    conv = nn.GCNConv(8, 4, normalize=False)
    small, large = data, Data(10 * data.x, data.edge_index)
    quantized = calibrate(conv, [small, large], DegreeQuantConfig(ranges="minmax"))
    observer = quantized.model.quantizers["input"]
    assert isinstance(observer, FakeQuantize)
    assert float(observer.high) == float(large.x.max())
    assert float(observer.low) == float(large.x.min())
    assert int(observer.num_observed) == 2


def test_errors(model, data):
    with pytest.raises(ValueError, match="'loader' is empty"):
        calibrate(model, [])
    with pytest.raises(TypeError, match="'loader' must yield tuples"):
        calibrate(model, [3])
    with pytest.raises(ValueError, match="'loader' yields data without 'x'"):
        calibrate(model, [Data(edge_index=data.edge_index)])
    with pytest.raises(TypeError, match="'config' must be a DegreeQuantConfig"):
        calibrate(model, [data], {"bits": 8})
