"""QuantizedLayer: the base of layers on quantized features."""

from typing import Any

import torch
from torch import Tensor, nn

from pyg_hag.hag import AbstractHAG
from pyg_hag.hag.memo import once_per_hag
from pyg_hag.nn.layer_classes import edge_layer_class
from pyg_hag.nn.mixins.adjacency import Adjacency
from pyg_hag.nn.mixins.message_passing import HAGMessagePassing
from pyg_hag.nn.support import unsupported_reason
from pyg_hag.quantization.config import DegreeQuantConfig
from pyg_hag.quantization.qat.fake_quantize import FakeQuantize
from pyg_hag.quantization.qat.features import (
    FeatureQuantizer,
    QuantizedFeatures,
    self_counts,
)
from pyg_hag.quantization.qat.state import QATState
from pyg_hag.utils.tensors import ordinary_tensors


class QuantizedLayer(HAGMessagePassing):
    """A layer that quantizes what it reads and sums, on a HAG.

    A mix-in in front of a class of layers that take HAGs. An `edge_index` becomes a HAG
    without aggregates.
    """

    protects_linear = True
    """Whether protected nodes pass its linear layers unquantized."""
    reads_quantized: tuple[str, ...] = ()
    """Its linear layers whose inputs are quantized already."""

    def add_quantizers(self, config: DegreeQuantConfig, state: QATState) -> None:
        """Adds the quantizers, as modules."""
        names = self.quantizer_names()
        self.quantizers = nn.ModuleDict({name: FakeQuantize(config) for name in names})
        self._state = state

    factors_weights = True  # so that ranges are the same on edges and HAGs

    def quantizer_names(self) -> tuple[str, ...]:
        """What it quantizes besides the inputs and weights of linear layers."""
        return ("message",)

    @staticmethod
    def unquantizable_reason(conv: Any) -> str | None:
        """Why a layer cannot be quantized as it is configured, or None if it can.

        Args:
            conv (MessagePassing): A layer of PyG, or one that takes HAGs.
        """
        reason = unsupported_reason(conv)
        if reason is None and conv.node_dim not in (0, -2):
            reason = f"'node_dim' must be 0 or -2 (got {conv.node_dim})"
        return reason

    def reset_parameters(self) -> None:
        """Draws new parameters, and forgets the ranges of features."""
        super().reset_parameters()
        quantizers: Any = self.__dict__["_modules"].get("quantizers", {})
        for quantizer in quantizers.values():
            quantizer.reset_parameters()

    def to_float(self) -> None:
        """Makes the layer in place the one that it was before it was quantized."""
        cls: Any = type(self)
        del self.quantizers, self._state
        cls = cls.pyg_class
        if not issubclass(cls, HAGMessagePassing):  # it gets the edges of HAGs
            cls = edge_layer_class(cls)
        self.__class__ = cls
        self._set_jittable_templates()

    def float_reason(self) -> str | None:
        """Why its sums run in float32 in an INT8 model; None if they do not."""
        return None

    def quantize_features(
        self,
        name: str,
        x: Any,
        row_scale: Tensor | None = None,
        single_use: bool = False,
        graph: AbstractHAG | None = None,
    ) -> QuantizedFeatures:
        """Quantizes features of nodes.

        Args:
            name (str): The name of the quantizer.
            x: The features.
            row_scale (torch.Tensor, optional): Factors of the nodes, applied before.
            single_use (bool): Whether a single linear layer reads the result.
            graph (HAG, optional): The graph over which they are messages. They count in
                ranges as often as they are read: by each destination, and by the node
                itself.
        """
        if isinstance(x, Tensor) and x.dim() != 2:
            raise ValueError(
                f"'x' must have shape [N, F] in quantized layers (got "
                f"{list(x.shape)}): they take one graph at a time"
            )
        quantizer: FeatureQuantizer = self.quantizers[name]  # type: ignore[assignment]
        counts = None
        if graph is not None and quantizer.needs_counts:
            counts = graph.transposed().in_degree + 1
        protected = self._state.protected_rows(x)
        return quantizer.quantize(x, protected, row_scale, single_use, counts)

    def _normalized_graph(
        self, x: Any, edge_index: Any, edge_weight: Tensor | None
    ) -> tuple[Adjacency, Tensor | None]:
        """The graph without the factors of its sources, and these factors."""
        hag = self._state.hag_of(edge_index, (x.size(0), x.size(0)))
        # Its factors have the dtype in which the features are quantized:
        first: Any = next(iter(self.quantizers.values()))
        like = torch.empty(0, dtype=first.dtype_of(x), device=x.device)
        graph = self.adjacency_of(self.oriented(hag), like, edge_weight)
        if edge_weight is None and not torch.compiler.is_compiling():
            names = "normalize", "add_self_loops", "improved"
            options = tuple(getattr(self, name, None) for name in names)
            known = _self_counts_by_options(graph.hag)
            if options not in known:
                with ordinary_tensors():
                    known[options] = self_counts(graph, True)
            counts = known[options]
        else:
            counts = self_counts(graph, edge_weight is None)
        hag, src_scale, dst_scale, _, weight = graph
        return Adjacency(hag, None, dst_scale, counts, weight), src_scale


@once_per_hag
def _self_counts_by_options(
    hag: AbstractHAG,
) -> dict[tuple[Any, ...], Tensor | None]:
    """The results of :func:`self_counts` by the options of the layer."""
    return {}
