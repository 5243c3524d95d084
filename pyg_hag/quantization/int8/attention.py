"""INT8GAT: attention on quantized features, in INT8."""

from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.utils import add_self_loops, remove_self_loops

from pyg_hag.hag import AbstractHAG
from pyg_hag.nn.mixins.checks import check_size, checked_paths
from pyg_hag.nn.mixins.edges import features_with_loops
from pyg_hag.ops.attention.quantized import attention_quantized, quantized_on_edges
from pyg_hag.ops.attention.rounding import QuantizedAttention, order_of
from pyg_hag.ops.cpu.attention.layout import Layout
from pyg_hag.ops.qparams import changed
from pyg_hag.ops.quantized import Epilogue, QParams, prepack_weight, qlinear
from pyg_hag.ops.quantized_launch import float32
from pyg_hag.quantization.int8.deferred import Deferred, apply_epilogue
from pyg_hag.quantization.int8.modules import INT8Linear
from pyg_hag.quantization.int8.quantizer import NOT_OBSERVED, Quantizer
from pyg_hag.quantization.int8.tensor import materialize
from pyg_hag.quantization.qat.attention import QuantizedGAT

_OPTIONS = (
    *("heads", "out_channels", "concat", "negative_slope", "add_self_loops"),
    *("fill_value", "flow"),
)


class INT8GAT(nn.Module):
    """`GATConv` in INT8: see :class:`~pyg_hag.quantization.qat.attention.QuantizedGAT`.

    Features are multiplied by weights, and then by attention vectors, as bytes; scores
    are rounded as in training, their softmax is float32, and bytes are read for each
    edge. What follows is fused.

    Args:
        layer (QuantizedGAT): The trained layer.
        children (dict): Its linear layers in INT8, by name.
    """

    order: Tensor
    att: Tensor
    att_scale: Tensor
    heads: int
    out_channels: int
    concat: bool
    negative_slope: float
    add_self_loops: bool
    fill_value: Any
    flow: str

    def __init__(
        self, layer: QuantizedGAT, children: dict[str, INT8Linear | None]
    ) -> None:
        super().__init__()
        options: Any = layer
        for name in _OPTIONS:
            setattr(self, name, getattr(options, name))
        self.lin, self.res = children.get("lin"), children.get("res")
        self.lin_src, self.lin_dst = children.get("lin_src"), children.get("lin_dst")
        self.lin_edge = children.get("lin_edge")
        self.quantizers = nn.ModuleDict(
            {
                name: Quantizer(layer.quantizers[name])  # type: ignore[arg-type]
                for name in ("message", "logits", "aggregate")
            }
        )
        self.bias = options.bias
        self._state = layer._state
        with torch.no_grad():
            self._store_vectors(layer)
        self._set_order(torch.device("cpu"))

    def _store_vectors(self, layer: Any) -> None:
        """Attention vectors, int8 `[3, heads, channels]`; zeros if they never ran."""
        shape = len(layer.vectors), self.heads, self.out_channels
        self.register_buffer("att", torch.zeros(shape, dtype=torch.int8))
        self.register_buffer("att_scale", torch.zeros(shape[0]))
        self._observed: set[str] = set()
        for i, name in enumerate(layer.vectors):
            quantizer = layer.quantizers[name] if name in layer.quantizers else None
            if quantizer is not None and int(quantizer.num_observed) > 0:
                steps, scale = quantizer.quantize(getattr(layer, name).float())
                self.att[i], self.att_scale[i] = steps[0], scale.view(())
                self._observed.add(name)

    def _set_order(self, device: torch.device) -> None:
        """Makes what depends on the vectors of this machine: no file contains it."""
        layout = Layout("float32", self.heads, self.out_channels)
        self.register_buffer("order", order_of(layout).to(device), persistent=False)
        self._padded_heads = layout.heads
        self._ready: tuple[Tensor, Tensor] | None = None

    # Forward ##################################################################

    def forward(
        self,
        x: Any,
        edge_index: Any,
        edge_attr: Tensor | None = None,
        size: Any = None,
        return_attention_weights: bool | None = None,
    ) -> Any:
        """See :class:`torch_geometric.nn.GATConv`."""
        source, target = x if isinstance(x, (tuple, list)) else (x, x)
        codes = self._codes(source, self.lin_src)
        scores = own = self._scores(codes)
        if target is not None:
            self._check_observed("att_dst")
        if target is not None and (target is not source or self.lin is None):
            own = self._scores(self._codes(target, self.lin_dst))
        num_dst = None if target is None else target.size(0)
        hag = self._graph(edge_index, source.size(0), num_dst, size)
        if target is None:
            own = scores.new_zeros(hag.num_dst, scores.size(1))
        term = self._edge_term(hag, edge_attr)
        inputs = codes, scores, own, hag, term
        if return_attention_weights is not None:
            return self._with_weights(inputs, target, edge_index)
        return self._with_residual(self._deferred(*inputs), target)

    def _codes(self, x: Any, linear: Any) -> Tensor:
        """Transformed features in the layout of the kernel, uint8."""
        linear = linear if self.lin is None else self.lin
        out: Tensor = linear.codes(x, self.order, self._qparams("message"))
        return out

    def _scores(self, codes: Tensor) -> Tensor:
        """Both parts of the scores of nodes, see :func:`attention_quantized`."""
        return qlinear(codes, self._qparams("message"), *self._prepared())

    def _deferred(
        self,
        codes: Tensor,
        source_scores: Tensor,
        target_scores: Tensor,
        hag: AbstractHAG,
        edge_term: Tensor | None,
    ) -> Deferred:
        how = self._how()
        inputs = codes, source_scores, target_scores, hag, edge_term

        def compute(epilogue: Epilogue) -> Tensor:
            end = epilogue
            apart = end.residual is not None or end.next_scale is not None
            if apart:
                known = {"channel_scale": end.channel_scale, "bias": end.bias}
                end = changed(Epilogue(), **known)
            out = attention_quantized(how, *inputs, end)
            return apply_epilogue(out, epilogue) if apart else out

        shape = hag.num_dst, how.columns
        epilogue = Epilogue(bias=float32(self.bias))
        return Deferred(compute, shape, codes.device, self, epilogue)

    def _with_residual(self, out: Deferred, target: Any) -> Tensor:
        if self.res is None or target is None:
            return out.as_tensor()
        return out.float() + materialize(self.res(target))

    def _with_weights(self, inputs: Any, target: Any, graph: Any) -> Any:
        """The result with the edges and their coefficients, as PyG returns them."""
        codes, *scores, hag, term = inputs
        known = hag, codes, *scores, term
        _, coefficients = quantized_on_edges(self._how(), *known)
        out = self._with_residual(self._deferred(*inputs), target)
        return out, (self._edges(graph, hag), coefficients)

    # Graph ####################################################################

    def _graph(
        self, graph: Any, num_src: int, num_dst: int | None, size: Any
    ) -> AbstractHAG:
        """The graph in the direction of the messages."""
        turned = self.flow == "target_to_source"
        if num_dst is None:
            num_dst = num_src
            if size is not None and size[0 if turned else 1] is not None:
                num_dst = size[0 if turned else 1]
            elif isinstance(graph, AbstractHAG):
                num_dst = graph.num_src if turned else graph.num_dst
        if not isinstance(graph, AbstractHAG):
            if not isinstance(graph, Tensor) or graph.layout != torch.strided:
                raise TypeError(
                    f"'edge_index' of quantized attention must be a tensor of edges or "
                    f"a HAG (got {type(graph).__name__})"
                )
            sizes = (num_dst, num_src) if turned else (num_src, num_dst)
            graph = self._state.hag_of(graph, sizes)
        hag: AbstractHAG = checked_paths(self, graph).unweighted
        hag = hag.t() if turned else hag
        check_size(hag, num_src, num_dst)
        return hag

    def _edge_term(self, hag: AbstractHAG, edge_attr: Tensor | None) -> Tensor | None:
        """The edges' part of the scores, `[E, heads]`, with self-loops."""
        if edge_attr is None or self.lin_edge is None:
            return None
        self._check_observed("att_edge")
        hag.edge_index_in_order("edge_attr")  # or it is refused
        if self.add_self_loops:
            edge_attr = features_with_loops(self, hag, edge_attr)
        features = materialize(self.lin_edge(edge_attr.view(edge_attr.size(0), -1)))
        features = features.view(-1, self.heads, self.out_channels)
        return (features * (self.att[2] * self.att_scale[2])).sum(-1)

    def _edges(self, graph: Any, hag: AbstractHAG) -> Tensor:
        """The edges as the layer was given them, with the self-loops that it adds."""
        edges: Any = graph
        if isinstance(graph, AbstractHAG):
            edges = graph.edge_index_of_any_order()
        if not self.add_self_loops:
            return edges
        nodes = min(hag.num_src, hag.num_dst)
        return add_self_loops(remove_self_loops(edges)[0], num_nodes=nodes)[0]

    # State ####################################################################

    def _qparams(self, name: str) -> QParams:
        quantizer: Any = self.quantizers[name]
        known: QParams = quantizer.known_qparams()
        return known

    def _check_observed(self, name: str) -> None:
        if name not in self._observed:
            raise RuntimeError(NOT_OBSERVED)

    def _how(self) -> QuantizedAttention:
        return QuantizedAttention(
            self.heads,
            self.out_channels,
            self._qparams("message"),
            self._qparams("logits"),
            self._qparams("aggregate"),
            self.negative_slope,
            self.add_self_loops,
            not self.concat,
        )

    def _prepared(self) -> tuple[Tensor, Tensor]:
        """The attention vectors as the weight of a linear layer, and its scales."""
        if torch.compiler.is_compiling():
            return self._as_weight()
        if self._ready is None:
            weight, scale = self._as_weight()
            self._ready = prepack_weight(weight), scale
        return self._ready

    def _as_weight(self) -> tuple[Tensor, Tensor]:
        """Rows are the heads' scores, first of sources and then of destinations."""
        heads = self._padded_heads
        place = self.order.clamp(min=0)
        vectors = self.att[:2].flatten(1)[:, place] * (self.order >= 0)
        numbers = torch.arange(heads, device=place.device)
        belongs = numbers[:, None] == place // self.out_channels
        weight = (vectors[:, None] * belongs).view(2 * heads, place.numel())
        return weight, self.att_scale[:2].repeat_interleave(heads)

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._ready = None

    def _apply(self, *args: Any, **kwargs: Any) -> "INT8GAT":
        self._ready = None
        return super()._apply(*args, **kwargs)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_ready": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._set_order(self.att.device)

    def extra_repr(self) -> str:
        """The sizes of the layer."""
        return f"{self.out_channels}, heads={self.heads}"
