"""What a backend of :func:`pyg_hag.aggregate` is."""

from abc import ABC, abstractmethod
from importlib.util import find_spec
from typing import ClassVar

import torch
from torch import Tensor

from pyg_hag.hag import HAG

_NAMES = {"cpu": "the CPU", "cuda": "CUDA"}


class Backend(ABC):
    """Kernels that reduce over a HAG.

    Features are contiguous and of shape `[num_src, F]`; factors are contiguous and in
    the dtype in which sums are computed. Nothing here is differentiable.

    Attributes:
        name: What `backend=` calls it.
        package: What must be installed, if that is not a dependency.
        devices: The types of devices it runs on; empty if all.
        dtypes: The dtypes that it reads; features of others are widened to float32.
        reductions: Those that it computes together in one pass; others are made of
            sums and extremes.
    """

    name: ClassVar[str]
    package: ClassVar[str] = ""
    devices: ClassVar[tuple[str, ...]] = ()
    dtypes: ClassVar[tuple[torch.dtype, ...]] = (torch.float32, torch.float64)
    reductions: ClassVar[tuple[str, ...]] = ()

    def __init__(self) -> None:
        self.is_installed = not self.package or find_spec(self.package) is not None

    def why_not(self, device: torch.device) -> str:
        """Why it cannot run on a device, and what to do; empty if it can."""
        if not self.is_installed:
            return (
                f"needs that package, which is not installed: leave 'backend' out, or "
                f"'pip install {self.package}'"
            )
        if self.devices and device.type not in self.devices:
            devices = " and ".join(_NAMES[name] for name in self.devices)
            return f"runs on {devices}, but 'x' is on {device}: leave 'backend' out"
        return ""

    @abstractmethod
    def aggregate_sum(
        self,
        x: Tensor,
        src_scale: Tensor | None,
        dst_scale: Tensor | None,
        self_scale: Tensor | None,
        hag: HAG,
    ) -> Tensor:
        """`dst_scale[v] * sum_u(src_scale[u] * x[u]) + self_scale[v] * x[v]`."""

    @abstractmethod
    def aggregate_max(self, x: Tensor, hag: HAG, minimum: bool) -> Tensor:
        """Largest (or smallest) x[u] per destination, 0 where there is none."""

    @abstractmethod
    def aggregate_max_backward(
        self, grad: Tensor, x: Tensor, out: Tensor, hag: HAG, minimum: bool
    ) -> Tensor:
        """Splits each gradient evenly among the sources that reach the maximum.

        As PyTorch's `scatter_reduce` does, which also counts the zero it starts from.
        """

    def aggregate_many(
        self,
        x: Tensor,
        inverse_degree: Tensor,
        norm: Tensor | None,
        hag: HAG,
        reduces: tuple[str, ...],
    ) -> Tensor:
        """Several of :attr:`reductions` in one pass, side by side.

        Args:
            x: Features, `[num_src, F]`.
            inverse_degree: The weights of means, `[num_dst]`.
            norm: The factors of `symnorm`, if it is among them, `[num_dst]`.
            hag: The graph.
            reduces: Which, each once.

        Returns:
            Shape `[num_dst, len(reduces) * F]`.
        """
        raise NotImplementedError(f"backend {self.name!r} has no such kernel")
