import subprocess
import sys
import warnings

import pytest
import torch
from contract import (
    ACCELERATOR,
    AggregateContract,
    ManyContract,
    SignedContract,
    runs_triton,
)
from graphs import fewest_hag, forks, in_forked_child, random_graph

from pyg_hag import aggregate
from pyg_hag.ops.dispatch import BACKENDS, _warn_of_segment_reduce, select
from pyg_hag.ops.triton import backend as triton_backend
from pyg_hag.plan import gpu


class TestNumba(AggregateContract):
    backend = "numba"


class TestTorch(AggregateContract):
    backend = "torch"


installed = pytest.mark.skipif(
    not BACKENDS["torch_scatter"].is_installed, reason="no torch_scatter"
)


@pytest.mark.sparse
@installed
class TestTorchScatter(AggregateContract):
    backend = "torch_scatter"


@pytest.mark.sparse
@installed
class TestTorchScatterMany(ManyContract):
    backend = "torch_scatter"


@pytest.mark.sparse
@installed
class TestTorchScatterSigned(SignedContract):
    backend = "torch_scatter"


class TestSegmentReduce(AggregateContract):
    backend = "segment_reduce"


class TestSegmentReduceMany(ManyContract):
    backend = "segment_reduce"


class TestSegmentReduceSigned(SignedContract):
    backend = "segment_reduce"


@pytest.mark.triton
@runs_triton
class OnTriton:
    """A contract of the Triton backend."""

    backend = "triton"
    device = ACCELERATOR

    @classmethod
    def can_run(cls, test, known):
        """Whether a test applies; some take the interpreter too long."""
        large = "test_a_scratch_of_many_megabytes", "test_same_bits_for_any_number"
        if ACCELERATOR == "cpu" and test.startswith(large):
            return False
        return super().can_run(test, known)


class TestTriton(OnTriton, AggregateContract):
    pass


class TestTritonLevels(TestTriton):
    """The same where groups are launched level by level, and most rows are split."""

    dtypes = (torch.float32,)

    @pytest.fixture(autouse=True)
    def limits(self, monkeypatch):
        monkeypatch.setattr(gpu, "LOCAL_WORK", 0)
        monkeypatch.setattr(gpu, "MAX_INPUTS", 3)
        monkeypatch.setattr(gpu, "CHUNK", 2)


@pytest.mark.triton
@runs_triton
class TestTritonMany(ManyContract):
    backend = "triton"
    device = ACCELERATOR


class TestTritonSigned(OnTriton, SignedContract):
    pass


class TestNumbaMany(ManyContract):
    backend = "numba"


class TestTorchMany(ManyContract):
    backend = "torch"


class TestNumbaSigned(SignedContract):
    backend = "numba"


class TestTorchSigned(SignedContract):
    backend = "torch"


def small():
    edge_index, size = random_graph(0, 6, 4, 0.5)
    return torch.randn(6, 3), fewest_hag(edge_index, size=size)


def test_the_default_backend_of_the_cpu_is_numba(ran):
    aggregate(*small())
    assert ran == ["numba"]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"x": [[1.0]]}, TypeError, "'x' must be a torch.Tensor"),
        (
            {"x": torch.ones(6, 3).to(torch.float8_e5m2)},
            TypeError,
            r"'x' must hold floats of 16, .*float8_e5m2\); convert it with",
        ),
        (
            {"x": torch.ones(6, dtype=torch.cfloat), "reduce": "max"},
            TypeError,
            "for complex numbers, which have no order .*'max'.*complex64",
        ),
        ({"x": torch.ones(5, 3)}, ValueError, r"num_src=6 \(got \[5, 3\]\)"),
        ({"x": torch.tensor(1.0)}, ValueError, "'x' must have shape"),
        ({"x": torch.ones(6, 3, device="meta")}, ValueError, "'x' is on meta"),
        ({"hag": torch.zeros(2, 3)}, TypeError, "'hag' must be a HAG"),
        ({"reduce": "median"}, ValueError, "'reduce' must be one of .*'median'"),
        ({"reduce": ["sum", "all"]}, ValueError, "'reduce' must be one of"),
        ({"reduce": []}, ValueError, "'reduce' must be one of"),
        ({"reduce": {"sum": 1}}, ValueError, "'reduce' must be one of"),
        (
            {"reduce": "max", "self_scale": torch.ones(4)},
            ValueError,
            "'self_scale' goes",
        ),
        ({"self_scale": torch.ones(4)}, ValueError, "got 6 and 4"),
        ({"reduce": "symnorm"}, ValueError, "'symnorm', which needs .*got 6 and 4"),
        (
            {"src_scale": torch.ones(4)},
            ValueError,
            r"'src_scale' must have shape \[6\]",
        ),
        (
            {"dst_scale": torch.ones(6)},
            ValueError,
            r"'dst_scale' must have shape \[4\]",
        ),
        ({"dst_scale": torch.ones(4, 1)}, ValueError, "'dst_scale' must have shape"),
        ({"src_scale": 2.0}, TypeError, "'src_scale' must be a floating-point tensor"),
        (
            {"src_scale": torch.ones(6, dtype=torch.long)},
            TypeError,
            "'src_scale' must be a floating-point tensor",
        ),
        (
            {"src_scale": torch.ones(6, device="meta")},
            ValueError,
            "'src_scale' is on meta",
        ),
        ({"backend": "cuda"}, ValueError, "'backend' must be one of"),
    ],
)
def test_errors_name_the_argument(change, error, message):
    x, hag = small()
    with pytest.raises(error, match=message):
        aggregate(**{"x": x, "hag": hag, **change})


def test_torch_scatter_must_be_there(monkeypatch):
    monkeypatch.setattr(BACKENDS["torch_scatter"], "is_installed", False)
    with pytest.raises(ValueError, match="'torch_scatter' needs that package"):
        aggregate(*small(), backend="torch_scatter")


def chosen(device):
    return select(torch.device(device))


def test_the_default_backends(monkeypatch):
    monkeypatch.setattr(BACKENDS["triton"], "is_installed", True)
    assert chosen("cpu") == "numba" and chosen("cuda") == "triton"
    monkeypatch.setattr(BACKENDS["triton"], "is_installed", False)
    monkeypatch.setattr(BACKENDS["torch_scatter"], "is_installed", True)
    assert chosen("cuda") == chosen("xpu") == "torch_scatter"
    monkeypatch.setattr(BACKENDS["torch_scatter"], "is_installed", False)
    _warn_of_segment_reduce.cache_clear()
    with pytest.warns(UserWarning, match="'pip install triton'"):
        assert chosen("cuda") == "segment_reduce"
    assert chosen("cuda") == "segment_reduce"  # without another warning
    with pytest.warns(UserWarning, match="install torch_scatter"):
        assert chosen("xpu") == "segment_reduce"


def test_the_default_backends_where_they_are_compiled(monkeypatch):
    monkeypatch.setattr(BACKENDS["torch_scatter"], "is_installed", False)
    for there, backend in ((True, "triton"), (False, "segment_reduce")):
        monkeypatch.setattr(BACKENDS["triton"], "is_installed", there)
        _warn_of_segment_reduce.cache_clear()
        torch._dynamo.reset()
        compiled = torch.compile(
            lambda x: x + len(select(torch.device("cuda"))),
            backend="eager",
            fullgraph=True,
        )
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            assert float(compiled(torch.tensor(0.0))) == len(backend)
        ours = [w for w in seen if "segment_reduce" in str(w.message)]
        assert len(ours) == (0 if there else 1)


@pytest.mark.full
def test_triton_is_not_imported_for_the_cpu():
    script = (
        "import sys, torch, pyg_hag\n"
        "hag = pyg_hag.build_hag(torch.tensor([[0, 1], [1, 0]]))\n"
        "pyg_hag.aggregate(torch.ones(2, 3), hag)\n"
        "assert 'pyg_hag.ops.triton.kernels' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_triton_must_be_there(monkeypatch):
    monkeypatch.setattr(BACKENDS["triton"], "is_installed", False)
    with pytest.raises(ValueError, match="'triton' needs that package"):
        aggregate(*small(), backend="triton")
    monkeypatch.setattr(BACKENDS["triton"], "is_installed", True)
    monkeypatch.setattr(triton_backend, "is_interpreted", lambda: False)
    with pytest.raises(ValueError, match="runs on CUDA, but 'x' is on cpu"):
        aggregate(*small(), backend="triton")


def test_numba_is_for_the_cpu():
    x, hag = small()
    hag = type(hag).trusted(6, [t.to("meta") for t in hag.tensors])
    with pytest.raises(ValueError, match="'numba' runs on the CPU"):
        aggregate(x.to("meta"), hag, backend="numba")


def test_narrow_dtypes_are_summed_in_float32():
    # 4096 ones and a half: in half precision the sum would stop at 2048.
    edge_index = torch.stack([torch.arange(4096), torch.zeros(4096, dtype=torch.long)])
    hag = fewest_hag(edge_index, size=(4096, 1))
    assert aggregate(torch.ones(4096, 1).half(), hag).item() == 4096


def test_the_zero_of_scatter_reduce_takes_its_part():
    hag = fewest_hag(torch.tensor([[0, 1], [2, 2]]), num_nodes=3)
    x = torch.zeros(3, 1, requires_grad=True)
    aggregate(x, hag, "max").sum().backward()
    torch.testing.assert_close(x.grad, torch.tensor([[1 / 3], [1 / 3], [0.0]]))


@forks
def test_works_in_a_forked_child_after_threads_have_run():
    edge_index, size = random_graph(1, 200, 200, 0.3)
    hag, x = fewest_hag(edge_index, size=size), torch.randn(200, 64)
    wanted = aggregate(x, hag)
    assert in_forked_child(lambda: torch.equal(aggregate(x, hag), wanted))


def test_a_garbage_collected_hag_leaves_nothing_behind():
    # The operators find a HAG by the addresses of its tensors; a later HAG may get
    # the same addresses.
    for seed in range(50):
        edge_index, size = random_graph(seed, 12, 12, 0.4)
        x = torch.randn(12, 4)
        out = aggregate(x, fewest_hag(edge_index, size=size))
        wanted = torch.zeros(12, 4).index_add_(0, edge_index[1], x[edge_index[0]])
        torch.testing.assert_close(out, wanted)


def test_gradients_reach_only_what_asks_for_them():
    x, hag = small()
    scale = torch.rand(6, requires_grad=True)
    aggregate(x, hag, "sum", scale).sum().backward()
    assert x.grad is None and scale.grad.shape == (6,)


def test_the_operators_of_what_is_known_of_a_hag():
    hag = fewest_hag(random_graph(0, 6, 6, 0.5)[0], num_nodes=6)
    operators = torch.ops.pyg_hag
    for operator in (operators.in_degree, operators.self_loops, operators.added_loops):
        for views in ("", "t.", "with_self_loops.", "with_self_loops.transposed."):
            results = torch.library.opcheck(operator.default, (hag.tensors, 6, views))
            assert set(results.values()) == {"SUCCESS"}
