"""What is particular to native kernels: tiles, checked indices, memory."""

import os
import platform
import subprocess
import sys
from itertools import chain, combinations

import numpy as np
import pytest
import torch
from graphs import (
    clique,
    disjoint_union,
    edge_index_of,
    fewest_hag,
    near_cliques,
    random_graph,
    signed_hag,
)

from pyg_hag import aggregate, build_hag
from pyg_hag.ops.cpu import program
from pyg_hag.ops.cpu.backend import _rows_of_a_task
from pyg_hag.ops.cpu.reduction import Reduction
from pyg_hag.ops.cpu.tiling import tile_features, variants
from pyg_hag.ops.reductions import REDUCES
from pyg_hag.plan import cpu as plans
from pyg_hag.plan.cpu import (
    MAX_SCRATCH_BYTES,
    MIN_TILE,
    forward_plan,
    group_plan,
    max_tile,
)


@pytest.mark.parametrize("lanes", [2, 4, 8, 16])
@pytest.mark.parametrize("max_vectors", [1, 2, 3, 4, 5, 6, 8, 10, 12, 16])
@pytest.mark.parametrize("limit", [4, 5, 64])
def test_tiles_cover_every_feature_once(lanes, max_vectors, limit):
    known = variants(max_vectors)
    for width in range(400):
        end = 0
        for first, size, number in tile_features(width, lanes, max_vectors, limit):
            assert size <= limit * lanes
            variant = known[number]
            room = variant.vectors * lanes
            assert first == end and size <= room and variant.vectors <= max_vectors
            assert (variant.layout == "masked") == (size < lanes)
            assert (variant.layout == "exact") <= (size == room)
            assert variant.layout != "overlapping" or size > variant.min_full * lanes
            end += size
        assert end == width


@pytest.mark.parametrize("max_vectors", [1, 3, 4, 5, 6, 8, 10, 12, 16])
def test_tiles_are_narrow_where_aggregates_need_much_room(max_vectors):
    limits = [max_tile(size, max_vectors) for size in 2 ** np.arange(30)]
    assert limits[0] == max_vectors and limits[-1] == min(MIN_TILE, max_vectors)
    assert limits == sorted(limits, reverse=True)
    for size, limit in zip(2 ** np.arange(30), limits, strict=True):
        assert size * limit <= MAX_SCRATCH_BYTES or limit <= MIN_TILE


@pytest.mark.parametrize("num_dst", [0, 1, 127, 128, 129, 1000])
def test_rows_of_few_features_are_sorted_by_length(num_dst):
    """In windows, and each row as it was, with its own destination."""
    edge_index, size = random_graph(num_dst, 50, num_dst, 0.1, 2)
    hag = build_hag(edge_index, size=size, capacity=0)
    narrow, wide = forward_plan(hag, 32, 1), forward_plan(hag, 33, 1)
    length = np.diff(narrow.ptr)
    for begin in range(0, num_dst, 128):
        window = length[begin : begin + 128]
        assert (np.diff(window) >= 0).all()
        ours, theirs = narrow.target, wide.target
        assert {*ours[begin : begin + 128]} == {*theirs[begin : begin + 128]}

    def rows(plan):
        cut = np.split(plan.inputs, plan.ptr[1:-1])
        return dict(zip(plan.target.tolist(), map(np.ndarray.tolist, cut), strict=True))

    assert num_dst == 0 or rows(narrow) == rows(wide)


@pytest.mark.parametrize("reduce", REDUCES)
def test_few_features_give_the_bits_of_many(reduce):
    edge_index, size = random_graph(3, 300, 300, 0.03, 2)
    hag = build_hag(edge_index, size=size, capacity=0)
    x = torch.randn(300, 40)
    wanted = aggregate(x, hag, reduce)
    for width in (1, 16, 31, 32):
        assert torch.equal(aggregate(x[:, :width], hag, reduce), wanted[:, :width])


@pytest.mark.parametrize("reduce", sorted({*REDUCES} - {"symnorm"}))
@pytest.mark.parametrize("num_dst", [1, 31, 32, 33, 500])
def test_many_features_give_the_bits_of_few(reduce, num_dst):
    """Also where some rows of all tiles come before the next rows."""
    edge_index, size = random_graph(4, 300, num_dst, 0.03, 2)
    hag = build_hag(edge_index, size=size, capacity=0)
    assert _rows_of_a_task(group_plan(hag)) == 32
    x = torch.randn(300, 700)
    parts = [aggregate(part, hag, reduce) for part in x.split(50, 1)]
    assert torch.equal(aggregate(x, hag, reduce), torch.cat(parts, 1))


def test_rows_with_many_inputs_and_aggregates_are_not_cut_between_tiles():
    long, _ = random_graph(5, 300, 300, 0.5)
    hag = build_hag(long, 300, capacity=0)
    assert _rows_of_a_task(group_plan(hag)) == 300
    hag = fewest_hag(*near_cliques(3)[:1])
    plan = forward_plan(hag, 512, 1)
    assert plan.num_slots > 0 and _rows_of_a_task(plan) == plan.target.size


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("reduce", REDUCES)
@pytest.mark.parametrize("threads", [1, 2])
def test_narrow_tiles_give_the_same_bits(reduce, dtype, threads, monkeypatch, guarded):
    edge_index, (n, _) = near_cliques(30)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        for width in (1, 63, 64, 65, 200, 300, 512):
            x = torch.randn(n, width).to(dtype)
            results, memory = [], []
            for room in (1 << 60, 1):
                monkeypatch.setattr(plans, "MAX_SCRATCH_BYTES", room)
                hag = fewest_hag(edge_index, n)  # calls are kept with their HAG
                used = len(guarded)
                results.append(aggregate(x, hag, reduce))
                memory.append(sum(map(len, guarded[used:])))
            assert torch.equal(*results)
            assert memory[1] <= memory[0]
            assert memory[1] < memory[0] or width < 200
    finally:
        torch.set_num_threads(before)


SUBSETS = list(
    chain.from_iterable(combinations(REDUCES, k + 1) for k in range(len(REDUCES)))
)
GUARD = 1 << 16
"""Bytes on either side of a scratch that no kernel may touch."""


@pytest.fixture
def guarded(monkeypatch):
    """Scratch with guard bytes around it; the test ends by looking at them."""
    buffers = []

    def scratch(size):
        buffer = np.full(size + 2 * GUARD, 0xA5, np.uint8)
        buffers.append(buffer)
        return buffer[GUARD : GUARD + size]

    monkeypatch.setattr("pyg_hag.runtime.memory.scratch", scratch)
    yield buffers
    for buffer in buffers:
        assert (buffer[:GUARD] == 0xA5).all() and (buffer[-GUARD:] == 0xA5).all()


@pytest.mark.parametrize("names", SUBSETS, ids="+".join)
def test_every_set_of_reductions_stays_in_its_scratch(names, guarded):
    cliques = [(edge_index_of(clique(range(8))), (8, 8))] * 3
    edge_index, size = disjoint_union(*cliques, near_cliques(3))
    hag = fewest_hag(edge_index, size=size)
    assert hag.num_aggregates > 30
    program = Reduction(names, "float32", False, False, True, False, False, False)
    tile = program.max_vectors * program.format.lanes
    for width in (3, tile - 1, tile, 4 * tile + 5):
        x = torch.randn(size[0], width)
        out = aggregate(x, hag, list(names))
        wanted = aggregate(x.double(), hag, list(names), backend="torch")
        torch.testing.assert_close(out.double(), wanted, rtol=1e-4, atol=1e-4)
    assert guarded


@pytest.fixture
def checked(monkeypatch):
    monkeypatch.setattr("pyg_hag.runtime.openmp.checks_bounds", lambda: True)


@pytest.mark.parametrize("reduce", ["sum", "max", ["sum", "max"]])
@pytest.mark.parametrize("change", ["source", "aggregate", "destination"])
def test_checked_kernels_find_wrong_indices(checked, reduce, change):
    edge_index, size = random_graph(0, 30, 30, 0.5)
    hag = fewest_hag(edge_index, size=size)
    x = torch.randn(30, 20)
    wanted = aggregate(x, hag, reduce)
    (call,) = (c for c in hag.kept.values() if isinstance(c, program.Call))
    plan = call._plan
    array, place = {
        "source": (plan.inputs, (plan.inputs >= 0).argmax()),
        "aggregate": (plan.inputs, (plan.inputs < 0).argmax()),
        "destination": (plan.target, (plan.target >= 0).argmax()),
    }[change]
    limit = {"source": 30, "aggregate": -1 - plan.num_slots, "destination": 30}[change]
    before = array[place]
    array[place] = limit
    with pytest.raises(IndexError, match="beyond its inputs"):
        aggregate(x, hag, reduce)
    array[place] = before
    assert torch.equal(aggregate(x, hag, reduce), wanted)


@pytest.mark.parametrize("change", ["source", "aggregate", "destination"])
def test_checked_gradients_find_wrong_indices(checked, change):
    edge_index, size = random_graph(0, 30, 30, 0.5)
    hag = fewest_hag(edge_index, size=size)
    x = torch.randn(30, 20, requires_grad=True)
    out = aggregate(x, hag, "max").sum()
    out.backward(retain_graph=True)
    plan = group_plan(hag)
    array, place, value = {
        "source": (plan.inputs, (plan.inputs >= 0).argmax(), 30),
        "aggregate": (plan.inputs, (plan.inputs < 0).argmax(), -1 - plan.num_slots),
        "destination": (plan.target, (plan.target >= 0).argmax(), 30),
    }[change]
    array[place] = value
    with pytest.raises(IndexError, match="beyond its inputs"):
        out.backward()


def test_checked_kernels_give_the_same_bits(monkeypatch):
    edge_index, size = random_graph(1, 50, 50, 0.4)
    for build in (fewest_hag, signed_hag):
        hag = build(edge_index, size=size)
        x = torch.randn(50, 33)
        wanted = aggregate(x, hag)
        with monkeypatch.context() as patch:
            patch.setattr("pyg_hag.runtime.openmp.checks_bounds", lambda: True)
            assert torch.equal(aggregate(x, hag), wanted)


@pytest.mark.parametrize("limit", [0, 1 << 40])
@pytest.mark.parametrize("width", [5, 64, 200])
def test_prefetching_changes_nothing(monkeypatch, limit, width):
    edge_index, size = random_graph(2, 60, 60, 0.4)
    x = torch.randn(60, width)
    for reduce in ("sum", "max", ["sum", "std"]):
        wanted = aggregate(x, fewest_hag(edge_index, size=size), reduce)
        with monkeypatch.context() as patch:
            patch.setattr("pyg_hag.ops.cpu.backend.MAX_CACHED_BYTES", limit)
            got = aggregate(x, fewest_hag(edge_index, size=size), reduce)
        assert torch.equal(got, wanted)


@pytest.mark.parametrize("width", [16, 64, 200, 256, 507, 512])
def test_results_past_the_caches_are_the_same(monkeypatch, width):
    """Where rows are aligned; the first tile of 507 features fills its vectors."""
    edge_index, size = random_graph(2, 60, 60, 0.4)
    x = torch.randn(60, width)
    for reduce in ("sum", "max", ["sum", "std"]):
        wanted = aggregate(x, fewest_hag(edge_index, size=size), reduce)
        with monkeypatch.context() as patch:
            patch.setattr("pyg_hag.ops.cpu.backend.MIN_STREAMED_BYTES", 0)
            patch.setattr("pyg_hag.runtime.memory.MIN_BYTES", 0)  # which aligns results
            got = aggregate(x, fewest_hag(edge_index, size=size), reduce)
        assert torch.equal(got, wanted)


def test_bfloat16_is_rounded_to_nearest_even():
    values = torch.cat([torch.randn(4000), torch.tensor([torch.inf, -torch.inf, 0.0])])
    bits = torch.arange(-4, 5) + torch.tensor([0x3F808000, 0x3F818000])[:, None]
    values = torch.cat([values, bits.int().flatten().view(torch.float32)])
    n = values.numel()
    # x is exact in bfloat16, and so is twice x; the factor makes the rest.
    hag = fewest_hag(torch.stack([torch.arange(n), torch.arange(n)]), num_nodes=n)
    out = aggregate(torch.ones(n, 1).bfloat16(), hag, "sum", None, values)
    assert torch.equal(out.flatten(), values.bfloat16())
    nans = torch.tensor([0x7FC00000, 0x7FFFFFFF, 0x7FC00001 - 2**31]).int()
    nans = nans.view(torch.float32).repeat(n)[:n]
    out = aggregate(torch.ones(n, 1).bfloat16(), hag, "sum", None, nans)
    assert out.isnan().all()


NARROW = """
import sys
import torch
from pyg_hag import HAG, aggregate
from pyg_hag.ops.cpu.formats import FORMATS, VECTOR_BYTES
torch.manual_seed(0)
CASES = {
    torch.float32: ("sum", "max", "min", ["sum", "max", "var"]),
    torch.float64: ("sum", "max"),
    torch.bfloat16: ("sum",),
    torch.float16: ("sum",),
}
for file in sys.argv[1:]:
    hag = HAG.load(file)
    assert hag.num_aggregates > 0 and hag.is_signed == ("signed" in file)
    for dtype, reduces in CASES.items():
        for width in (1, 3, 4, 7, 8, 13, 16, 40, 65):
            x = torch.randn(hag.num_src, width).to(dtype)
            for reduce in reduces if not hag.is_signed else ["sum"]:
                scales = (x[:, 0], x[:, 0]) if reduce == "sum" else ()
                results = []
                for backend in ("numba", "torch"):
                    leaf = x.clone().requires_grad_(dtype == torch.float32)
                    out = aggregate(leaf, hag, reduce, *scales, backend=backend)
                    if leaf.requires_grad:
                        out.backward(torch.ones_like(out))
                    results.append([out, leaf.grad] if leaf.requires_grad else [out])
                near = 1e-3 if dtype in (torch.float32, torch.float64) else 4e-2
                torch.testing.assert_close(*results, rtol=near, atol=near)
print(VECTOR_BYTES, len(FORMATS))
"""


@pytest.mark.full
@pytest.mark.skipif(platform.machine() != "x86_64", reason="names x86 features")
@pytest.mark.parametrize(
    ("features", "vector_bytes", "formats"),
    [("", 16, 3), ("+avx,+avx2", 32, 3), ("+avx,+avx2,+f16c,+fma", 32, 4)],
)
def test_narrower_instruction_sets(features, vector_bytes, formats, tmp_path):
    told = {"NUMBA_CPU_NAME": "x86-64", "NUMBA_CPU_FEATURES": features}
    told["NUMBA_CACHE_DIR"] = str(tmp_path)
    edge_index, size = near_cliques(5)
    files = [str(tmp_path / "set.hag"), str(tmp_path / "signed.hag")]
    for file, build in zip(files, (fewest_hag, signed_hag), strict=True):
        build(edge_index, size=size).save(file)
    out = subprocess.run(
        [sys.executable, "-c", NARROW, *files],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **told},
    )
    assert out.stdout.split() == [str(vector_bytes), str(formats)]
