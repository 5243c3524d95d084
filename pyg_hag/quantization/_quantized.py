"""What layers on rounded features have in common."""

from typing import Any

import torch
from torch import Tensor, nn

from pyg_hag.hag import HAG
from pyg_hag.nn.conv._adjacency import Adjacency
from pyg_hag.nn.conv._message_passing import HAGMessagePassing
from pyg_hag.ops.degrees import in_degree
from pyg_hag.quantization._rounded import counts_of
from pyg_hag.quantization._state import Forward
from pyg_hag.quantization.config import DegreeQuantConfig
from pyg_hag.quantization.fake_quantize import FakeQuantize


class Quantized(HAGMessagePassing):
    """A layer that rounds what it reads and sums, on a HAG.

    Comes before a class of layers that take HAGs. An `edge_index` becomes a HAG without
    aggregates.
    """

    has_codes = True
    """Whether it runs on codes."""
    protects_inside = True
    """Whether its linear layers leave protected nodes as they are."""
    exact: tuple[str, ...] = ()
    """The linear layers that get rounded features."""

    def set_up(self, config: DegreeQuantConfig, state: Forward) -> None:
        """Adds the quantizers, as modules."""
        names = self.names_of_rounded()
        self.quantizers = nn.ModuleDict({name: FakeQuantize(config) for name in names})
        self._state = state

    def names_of_rounded(self) -> tuple[str, ...]:
        """What is rounded beside the inputs and weights of linear layers."""
        return ("message",)

    def why_float(self) -> str | None:
        """Why sums of the layer are not those of codes in INT8; None if they are."""
        return None

    def rounded(
        self,
        name: str,
        x: Any,
        factor: Tensor | None = None,
        once: bool = False,
        sent: HAG | None = None,
    ) -> Any:
        """Features of nodes, times factors, in steps of the scale of that name.

        `once` says that they go through one linear layer and nowhere else; `sent`, over
        which graph they are messages. These count in ranges as often as they are read:
        by each destination and by the node itself.
        """
        quantizer: Any = self.quantizers[name]
        counts = None
        if sent is not None and quantizer.weighs:
            counts = in_degree(sent, turned=True) + 1
        return quantizer.rounded(x, self._state.protected(x), factor, once, counts)

    def _normalized(
        self, x: Any, edge_index: Any, edge_weight: Tensor | None
    ) -> tuple[Adjacency, Tensor | None]:
        """The graph without the factors of the sources, and these."""
        hag = self._state.hag_of(edge_index, (x.size(0), x.size(0)))
        graph = self._adjacency(self._walked(hag), x, edge_weight)
        if edge_weight is None and not torch.compiler.is_compiling():
            names = "normalize", "add_self_loops", "improved"
            key = "own", *(getattr(self, name, None) for name in names)
            own = graph.hag._cached(key, lambda: counts_of(graph, True))
        else:
            own = counts_of(graph, edge_weight is None)
        return graph._replace(src_scale=None, self_scale=own), graph.src_scale
