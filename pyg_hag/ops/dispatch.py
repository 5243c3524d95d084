"""Which backend runs: the table of them, and the choice."""

import functools
import warnings

import torch

from pyg_hag.ops.backend import Backend
from pyg_hag.ops.cpu.backend import NumbaBackend
from pyg_hag.ops.torch.reference import TorchBackend
from pyg_hag.ops.torch.scatter import TorchScatterBackend
from pyg_hag.ops.torch.segment_reduce import SegmentReduceBackend
from pyg_hag.ops.triton.backend import TritonBackend

BACKENDS: dict[str, Backend] = {
    backend.name: backend
    for backend in (
        NumbaBackend(),
        TritonBackend(),
        TorchScatterBackend(),
        SegmentReduceBackend(),
        TorchBackend(),
    )
}
"""The backends of :func:`pyg_hag.aggregate` by name, the preferred ones first."""


def select(device: torch.device, name: str | None = None) -> str:
    """The backend for features on a device.

    Args:
        device (torch.device): Where the features are.
        name (str, optional): The one that was asked for. Without it the first that can
            run there; if that is PyTorch's own `segment_reduce`, with one warning.

    Raises:
        ValueError: If there is no such backend, or it cannot run there.
    """
    if name is None:
        for backend in BACKENDS.values():
            if not backend.why_not(device):
                if backend.name == "segment_reduce":
                    _warn(device.type)
                return backend.name
    if name not in BACKENDS:
        raise ValueError(f"'backend' must be one of {list(BACKENDS)} (got {name!r})")
    reason = BACKENDS[name].why_not(device)
    if reason:
        raise ValueError(f"backend {name!r} {reason}")
    return name


@torch.compiler.assume_constant_result  # so that it also warns where this is compiled
def _warn(device: str) -> None:
    _warn_of_segment_reduce(device)


@functools.cache
def _warn_of_segment_reduce(device: str) -> None:
    better = "'pip install triton'" if device == "cuda" else "install torch_scatter"
    warnings.warn(
        f"no kernels of pyg_hag run on {device!r} here: sums are those of "
        f"'torch.segment_reduce', level by level, which is slower; {better}",
        stacklevel=2,
    )
