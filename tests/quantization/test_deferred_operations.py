"""A deferred tensor is a tensor in every operation of PyTorch, in place too."""

import copy
import io
import math
import pickle
import warnings
from inspect import isbuiltin

import numpy as np
import pytest
import torch
from test_deferred import QPARAMS, tensor_of
from torch.overrides import get_overridable_functions
from torch.utils._pytree import tree_flatten
from torch_geometric import nn

from pyg_hag import build_hag
from pyg_hag.quantization import DegreeQuantConfig, calibrate, convert
from pyg_hag.quantization.int8.tensor import DeferredTensor, materialize

OTHER = torch.linspace(-1, 2, 24).view(6, 4)
MASK = OTHER > 0.3
ROWS = torch.tensor([0, 2, 5])
PATTERNS = {
    "alone": lambda h: (h,),
    "number": lambda h: (h, 0.5),
    "index": lambda h: (h, 1),
    "two indices": lambda h: (h, 0, 1),
    "tensor": lambda h: (h, OTHER),
    "second": lambda h: (OTHER, h),
    "itself": lambda h: (h, h),
    "vector": lambda h: (h, OTHER[0]),
    "mask": lambda h: (h, MASK),
    "mask, number": lambda h: (h, MASK, 0.5),
    "two tensors": lambda h: (h, OTHER, OTHER + 1),
    "list": lambda h: ([h, OTHER],),
    "shape": lambda h: (h, (3, 8)),
    "rows": lambda h: (h, 0, ROWS),
    "dtype": lambda h: (h, torch.float64),
}
NAMESPACES = {
    "torch": torch,
    "torch.functional": torch.functional,
    "torch.nn.functional": torch.nn.functional,
    "torch.linalg": torch.linalg,
    "torch.special": torch.special,
    "torch.Tensor": torch.Tensor,
}
# They answer with addresses, objects or memory that is not initialised, or take the
# memory of another tensor:
EXCLUDED = {
    *("data_ptr", "__hash__", "storage", "untyped_storage", "_typed_storage"),
    *("__dlpack__", "__dlpack_device__", "__array_interface__", "set_"),
    *("share_memory_",),
    *("empty_like", "empty_permuted", "new_empty", "new_empty_strided", "resize_"),
    *("resize_as_", "resize_as_sparse_", "__cuda_array_interface__", "is_shared"),
    *("__reduce_ex__", "__setstate__", "as_subclass", "_make_subclass", "pin_memory"),
    *("resize", "resize_as", "register_hook", "register_post_accumulate_grad_hook"),
    *("cartesian_prod", "combinations", "__iter__", "dsplit", "rrelu", "rrelu_"),
    *("const_data_ptr", "chalf", "fbgemm_pack_gemm_matrix_fp16", "linalg_lstsq"),
}


def functions_of(namespace):
    """The functions of a namespace that tensors may override, by name."""
    module = NAMESPACES[namespace]
    return {
        name: function
        for function in get_overridable_functions()[module]
        if (name := getattr(function, "__name__", "")) not in EXCLUDED
        and not name.startswith(("_cudnn", "cudnn", "miopen", "_mkldnn", "_nested"))
    }


def outcome(function, arguments):
    """The result of a call, or None if it raises."""
    torch.manual_seed(0)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return [function(*arguments)]
    except Exception:
        return None


def same(got, wanted):
    got, wanted = (tree_flatten(x)[0] for x in (got, wanted))
    if len(got) != len(wanted):
        return False
    for a, b in zip(got, wanted, strict=True):
        if isinstance(b, torch.Tensor):
            a = materialize(a)
            if a.shape != b.shape or a.dtype != b.dtype or a.layout != b.layout:
                return False
            dense = b.layout == torch.strided and not b.is_quantized
            if dense and not torch.equal(a.nan_to_num(), b.nan_to_num()):
                return False
        elif isinstance(b, np.ndarray):
            if not np.array_equal(a, b):
                return False
        elif isinstance(b, float | int | bool | str | torch.dtype | torch.Size):
            if not (a == b or (isinstance(b, float) and math.isnan(b))):
                return False
        elif type(a) is not type(b) and not isbuiltin(b):
            return False
    return True


@pytest.mark.each_value
@pytest.mark.parametrize("namespace", NAMESPACES)
@pytest.mark.parametrize("pattern", PATTERNS)
def test_every_function_gives_what_it_gives_on_values(namespace, pattern):
    values = torch.randn(6, 4)
    wrong, compared = [], 0
    for name, function in functions_of(namespace).items():
        x = values.clone()
        wanted = outcome(function, PATTERNS[pattern](x))
        if wanted is None:
            continue
        h = tensor_of(values.clone())
        got = outcome(function, PATTERNS[pattern](h))
        compared += 1
        if (
            got is None
            or not same(got[0], wanted[0])
            or not same(h, x)  # after what happened in place
            or (wanted[0] is x) != (got[0] is h)
        ):
            wrong.append(name)
    assert not wrong
    assert compared >= 5 or pattern != "alone"


IN_PLACE = {
    "mul_": lambda h: h.mul_(0.5),
    "masked_fill_": lambda h: h.masked_fill_(h > 0, -0.25),
    "item": lambda h: h.__setitem__((slice(None), 0), 1.0),
    "item of a mask": lambda h: h.__setitem__(h < 0, 0.125),
    "augmented": lambda h: h.__imul__(2.0),
    "augmented sum": lambda h: h.__iadd__(0.5),
    "augmented bias": lambda h: h.__iadd__(torch.full((16,), 0.5)),
    "out": lambda h: torch.add(h, 1.0, out=h),
    "out of others": lambda h: torch.mul(torch.ones(60, 16), 0.3, out=h),
    "view": lambda h: h[:, :3].zero_(),
    "transposed view": lambda h: h.t().add_(0.25),
    "detached": lambda h: h.detach().clamp_(min=0.1),
    "data": lambda h: h.data.neg_(),
    "numpy": lambda h: np.negative(h.numpy(), out=h.numpy()),
    "relu_": lambda h: h.relu_(),
    "functional relu": lambda h: torch.nn.functional.relu(h, inplace=True),
    "elu": lambda h: torch.nn.functional.elu(h, inplace=True),
    "copy_": lambda h: h.copy_(torch.ones(60, 16)),
    "foreach": lambda h: torch._foreach_mul_([h], 2.0),
    "read, then in place": lambda h: (h.mean(), h.sub_(0.2)),
    "relu, then in place": lambda h: (h.relu(), h.sub_(0.2)),
    "bias, changed later": lambda h: None,
}


class Between(torch.nn.Module):
    """Two layers, and something in between."""

    def __init__(self, change, first):
        super().__init__()
        self.first = torch.nn.Linear(8, 16) if first == "Linear" else nn.GCNConv(8, 16)
        self.last, self.change, self.known = nn.GCNConv(16, 4), change, False
        self.takes_graph = first == "GCN"

    def forward(self, x, graph):
        h = self.first(x, graph) if self.takes_graph else self.first(x)
        h = materialize(h).clone() if self.known else h
        assert isinstance(h, torch.Tensor) and torch.is_tensor(h)
        self.change(h)
        return self.last(h, graph)


def make_converted(change, first="GCN"):
    edge_index = torch.randint(0, 60, (2, 400))
    hag, x = build_hag(edge_index, num_nodes=60), torch.randn(60, 8)
    model = Between(change, first)
    config = DegreeQuantConfig(ranges="minmax", protect=False)
    with torch.no_grad():
        fast = convert(calibrate(model, [(x, hag)], config), (x, hag))
    return fast, x, hag


@pytest.mark.parametrize("first", ["GCN", "Linear"])
@pytest.mark.parametrize("name", IN_PLACE)
def test_changes_in_place_reach_the_next_layer(name, first):
    fast, x, hag = make_converted(IN_PLACE[name], first)
    outs = []
    for fast.model.known in (False, True):
        outs.append(fast(x, hag))
    scale = outs[1].abs().max()
    if name in ("relu_", "functional relu", "augmented bias", "bias, changed later"):
        # These are fused, so that values within rounding errors of a half may differ:
        assert ((outs[0] - outs[1]).abs() > 1e-5 * scale).float().mean() <= 0.02
        assert (outs[0] - outs[1]).abs().max() <= 0.03 * scale
    else:
        assert torch.equal(*outs)


def test_what_is_added_may_change_later():
    values, bias = torch.randn(6, 4), torch.ones(4)
    h = tensor_of(values) + bias
    assert isinstance(h, DeferredTensor)
    bias.zero_()
    torch.testing.assert_close(materialize(h), values + 1)
    r = tensor_of(values).relu()
    normed = torch.nn.functional.batch_norm(r, torch.zeros(4), torch.ones(4))
    r.zero_()
    assert not materialize(normed).eq(0).all()


def test_features_may_change_after_a_linear_layer():
    class Overwrites(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.linear, self.overwrites = torch.nn.Linear(8, 4), False

        def forward(self, x):
            x = x.clone()
            h = self.linear(x)
            if self.overwrites:
                x.zero_()
            return h + 1

    x = torch.randn(20, 8)
    fast = convert(calibrate(Overwrites(), [(x,)]), (x,))
    wanted = fast(x)
    fast.model.overwrites = True
    assert torch.equal(fast(x), wanted)


def test_copies_files_and_text():
    values = torch.randn(6, 4)
    file = io.BytesIO()
    torch.save(tensor_of(values), file)
    file.seek(0)
    copies = [
        torch.load(file),
        copy.deepcopy(tensor_of(values)),
        copy.deepcopy({"h": tensor_of(values)})["h"],
        pickle.loads(pickle.dumps(tensor_of(values))),
        tensor_of(values).clone(),
    ]
    for out in copies:
        assert type(out) is torch.Tensor and torch.equal(out, values)
    assert repr(tensor_of(values)) == str(tensor_of(values)) == repr(values)
    assert f"{tensor_of(values).sum():.3f}" == f"{values.sum():.3f}"
    assert np.array_equal(np.asarray(tensor_of(values)), values.numpy())
    assert [*map(float, tensor_of(values)[0])] == values[0].tolist()
    h = tensor_of(values)
    assert h in {h} and hash(h) == hash(h)


def test_gradients():
    h = tensor_of(torch.randn(6, 4))
    weight = torch.ones(4, requires_grad=True)
    (h + weight).sum().backward()
    assert torch.equal(weight.grad, torch.full((4,), 6.0))


def test_operators_of_libraries():
    """They go to the dispatcher without asking for overrides."""
    values = torch.randn(6, 4)
    got = torch.ops.aten.mul.Tensor(tensor_of(values), 2.0)
    assert torch.equal(got, 2 * values)
    h = tensor_of(values.clone())
    torch.ops.aten.mul_.Tensor(h, 2.0)
    assert torch.equal(materialize(h), 2 * values)
    assert h.deferred.quantize(QPARAMS).dtype == torch.uint8


@pytest.mark.parametrize("part", ["change", "model"])
def test_compiled(part):
    def change(h):
        return h.mul_(0.5)

    fast, x, hag = make_converted(change)
    wanted = fast(x, hag)
    torch._dynamo.reset()
    if part == "model":
        run = torch.compile(fast, backend="aot_eager", fullgraph=True)
        got = run(x, hag)
    else:
        fast.model.change = torch.compile(change, backend="aot_eager")
        got = fast(x, hag)
    assert ((got - wanted).abs() > 1e-5 * wanted.abs().max()).float().mean() <= 0.02
    assert (got - wanted).abs().max() <= 0.03 * wanted.abs().max()
