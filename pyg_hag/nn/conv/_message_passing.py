"""The one mechanism: `propagate` over a HAG, for layers whose message is x_j."""

from typing import Any

import torch
from torch import Tensor
from torch_geometric.nn import aggr
from torch_geometric.nn.conv import MessagePassing

from pyg_hag.hag import HAG
from pyg_hag.nn.aggr import HAGLSTMAggregation
from pyg_hag.nn.conv._adjacency import Adjacency, weighted
from pyg_hag.ops import aggregate
from pyg_hag.ops._compute import per_row
from pyg_hag.ops.degrees import in_degree
from pyg_hag.ops.weighted import weighted_sum

_REDUCES: dict[type, str] = {
    aggr.SumAggregation: "sum",
    aggr.MeanAggregation: "mean",
    aggr.MaxAggregation: "max",
    aggr.MinAggregation: "min",
    aggr.VarAggregation: "var",
    aggr.StdAggregation: "std",
}
PER_EDGE = ("message", "aggregate", "message_and_aggregate", "update", "edge_update")
"""What PyG calls edge by edge, and a HAG does not."""
_HOOKS = (
    "_propagate_forward_pre_hooks",
    "_propagate_forward_hooks",
    "_message_forward_pre_hooks",
    "_message_forward_hooks",
    "_aggregate_forward_pre_hooks",
    "_aggregate_forward_hooks",
    "_message_and_aggregate_forward_pre_hooks",
    "_message_and_aggregate_forward_hooks",
)
_SIZES = (
    "'x' or 'size' has {} {}, but the HAG has {}: was the HAG built with the right "
    "'num_nodes' or 'size'?"
)
_uncompiled_propagate = MessagePassing.propagate


class HAGMessagePassing(MessagePassing):
    """Makes `propagate` of a PyG layer accept a HAG.

    Comes before the PyG layer in the bases. The layer's message must be `x_j`, or that
    times a weight. With an `edge_index` everything is PyG's own.
    """

    def _set_jittable_templates(self, raise_on_error: bool = False) -> None:
        # PyG compiles `propagate` for each class on its first instance: let it, and
        # put ours in front.
        cls: Any = type(self)
        if "_edge_propagate" in cls.__dict__:
            return
        custom = "propagate" in cls.__dict__
        super()._set_jittable_templates(raise_on_error)
        if cls.propagate is _propagate:  # inherited: PyG could not compile the class
            cls._edge_propagate = _uncompiled_propagate
        else:
            cls._edge_propagate = cls.propagate
        if not custom:
            put_in_front(cls)

    @staticmethod
    def _unshared(conv: Any) -> str | None:
        """Why this layer, as it is set up, cannot share sums; None if it can."""
        return unshared_aggregation(conv)

    def _adjacency(self, hag: HAG, x: Tensor, edge_weight: Tensor | None) -> Adjacency:
        """The graph over whose edges the layer sums, with its weights.

        Args:
            hag (HAG): The graph, from the sources of messages to where they go.
            x (torch.Tensor): Features of the sources.
            edge_weight (torch.Tensor, optional): What came with the graph.
        """
        return weighted(hag, edge_weight, _name(self))

    def _walked(self, hag: HAG) -> HAG:
        """The graph from where messages come to where they go."""
        return hag.t() if self.flow == "target_to_source" else hag

    def _propagate_hag(
        self,
        hag: "HAG | Adjacency",
        x: Any,
        edge_weight: Tensor | None = None,
        size: Any = None,
        **kwargs: Any,
    ) -> Tensor:
        """What `propagate` gives on the graph of a HAG."""
        given = [name for name, value in kwargs.items() if value is not None]
        if given:
            raise ValueError(
                f"{given} of '{_name(self)}' cannot be used with a HAG, which shares "
                f"sums between neighbourhoods: pass 'edge_index' instead"
            )
        return propagate_hag(self, hag, x, edge_weight, size)


def put_in_front(cls: Any) -> None:
    """Has `propagate` of a class look for HAGs first."""
    # PyG also puts the last two in place when an explanation begins and ends.
    cls.propagate = cls._jinja_propagate = _propagate
    cls._orig_propagate = _explained_propagate


def _explained_propagate(self: Any, edge_index: Any, *args: Any, **kwargs: Any) -> Any:
    if isinstance(edge_index, HAG | Adjacency):
        check_shareable(self)
    return _uncompiled_propagate(self, edge_index, *args, **kwargs)


def _propagate(self: Any, edge_index: Any, size: Any = None, **kwargs: Any) -> Any:
    if isinstance(edge_index, HAG | Adjacency):
        return self._propagate_hag(edge_index, size=size, **kwargs)
    return self._edge_propagate(edge_index, size=size, **kwargs)


def propagate_hag(
    conv: Any,
    hag: HAG | Adjacency,
    x: Any,
    edge_weight: Tensor | None = None,
    size: tuple[int | None, int | None] | None = None,
) -> Tensor:
    """What `conv.propagate` gives on the graph of a HAG, for the message `x_j`.

    Args:
        conv (HAGMessagePassing): The layer: its flow, node dimension and aggregation.
        hag (HAG or Adjacency): The graph; the latter has the direction in which
            messages go.
        x (torch.Tensor or tuple): Features of the nodes, or of sources and
            destinations.
        edge_weight (torch.Tensor, optional): Weights of its edges.
        size (tuple, optional): `(num_src, num_dst)`, which must be the HAG's.
    """
    check_shareable(conv)
    reason = conv._unshared(conv)
    if reason is not None:
        raise ValueError(f"'{_name(conv)}': {reason}: pass 'edge_index' instead")
    sizes: list[int | None] = list(size) if size is not None else [None, None]
    source = 0
    if conv.flow == "target_to_source":
        source, sizes = 1, sizes[::-1]
    if isinstance(x, (tuple, list)):
        x, target = x[source], x[1 - source]
        if target is not None:
            sizes = [x.size(conv.node_dim), target.size(conv.node_dim)]
    walked = hag.hag if isinstance(hag, Adjacency) else conv._walked(hag)
    for got, wanted, name in (
        (x.size(conv.node_dim), walked.num_src, "sources"),
        (sizes[0], walked.num_src, "sources"),
        (sizes[1], walked.num_dst, "destinations"),
    ):
        if got is not None and got != wanted:
            raise ValueError(_SIZES.format(got, name, wanted))
    graph = hag
    if not isinstance(graph, Adjacency):
        graph = conv._adjacency(walked, x, edge_weight)
    dim = conv.node_dim if conv.node_dim >= 0 else x.dim() + conv.node_dim
    if dim == 0:
        return _aggregated(conv.aggr_module, x, graph)
    return _aggregated(conv.aggr_module, x.movedim(dim, 0), graph).movedim(0, dim)


def _aggregated(module: Any, x: Tensor, graph: Adjacency) -> Tensor:
    hag, a, b, own, weight = graph
    if isinstance(module, HAGLSTMAggregation):
        if graph[1:] != (None, None, None, None):
            raise ValueError(
                "'edge_weight' cannot be used with an LSTM over neighbours: leave it "
                "out"
            )
        return module(x, hag)
    reduce = reduction_of(module)
    if weight is not None:
        return _summed(module, x, graph)
    if reduce is not None:
        if reduce == "sum" or (a is None and b is None):
            return aggregate(x, hag, reduce, a, b, own)
        return _scaled(x, hag, reduce, a, b)
    reduces = [str(reduction_of(part)) for part in module.aggrs]
    out = _scaled(x, hag, reduces, a, b)
    return out if module.mode == "cat" else module.combine(out.chunk(len(reduces), -1))


def _summed(module: Any, x: Tensor, graph: Adjacency) -> Tensor:
    """A sum with a weight for each edge."""
    hag, a, b, own, weight = graph
    assert weight is not None
    reduce = reduction_of(module)
    if reduce not in ("sum", "mean"):
        raise ValueError(
            f"'edge_weight' goes with 'aggr' sum and mean on a HAG whose edges have "
            f"weights of their own (got {type(module).__name__}): pass 'edge_index' "
            f"instead"
        )
    out = weighted_sum(x if a is None else x * per_row(a, x), weight, hag)
    if reduce == "mean":
        degree = in_degree(hag).clamp(min=1).to(out.dtype)
        out = out / per_row(degree, out)
    if b is not None:
        out = out * per_row(b, out)
    return out if own is None else out + x * per_row(own, x)


def _scaled(
    x: Tensor, hag: HAG, reduce: str | list[str], a: Tensor | None, b: Tensor | None
) -> Tensor:
    """Reduces messages with weights, of which the destination's must come out."""
    reduces = [reduce] if isinstance(reduce, str) else reduce
    signed = [name for name in reduces if name in ("max", "min", "std")]
    if b is not None and signed:
        wrong = (
            f"'edge_weight' is negative for some destinations, which 'aggr' "
            f"{signed[0]!r} cannot share: pass 'edge_index' instead"
        )
        if torch.compiler.is_compiling():
            torch._assert_async((b >= 0).all(), wrong)
        elif not bool((b >= 0).all()):
            raise ValueError(wrong)
    if b is not None and {"var", "std"} & {*reduces}:
        raise ValueError(
            "'edge_weight' goes with 'aggr' sum, mean, max and min on a HAG (got "
            f"{reduce!r}): pass 'edge_index' instead"
        )
    return aggregate(x, hag, reduce, a, b)


def reduction_of(module: Any) -> str | None:
    """The reduction that a module of PyG is; None if it is another one."""
    for base in type(module).__mro__:  # tracers derive classes
        if base in _REDUCES:
            same = type(module).forward is base.forward  # type: ignore[attr-defined]
            return _REDUCES[base] if same else None
    return None


def unshared_aggregation(conv: Any) -> str | None:
    """Why the aggregation of a layer cannot be shared; None if it can."""
    module = conv.aggr_module
    if isinstance(module, HAGLSTMAggregation):
        return None
    several = isinstance(module, aggr.MultiAggregation)
    for part in module.aggrs if several else [module]:
        name = reduction_of(part)
        if name is None:
            return (
                f"'aggr' must be one of {list(_REDUCES.values())} on a HAG, or a list "
                f"of them (got {conv.aggr!r})"
            )
        moments = part.var_aggr if name == "std" else part
        if getattr(moments, "semi_grad", False):
            return f"'aggr' {name!r} with 'semi_grad' has a gradient of its own"
    return None


def unshared_sum(conv: Any) -> str | None:
    """Why a layer that adds nodes to their own sums cannot share; None if it can."""
    if reduction_of(conv.aggr_module) == "sum":
        return None
    return f"'aggr' must be 'add' on a HAG (got {conv.aggr!r})"


def check_shareable(conv: Any) -> None:
    """Raises if a layer wants to see messages, which a HAG does not have."""
    if conv._explain:
        raise ValueError(
            f"'{_name(conv)}' cannot be explained on a HAG, which has no messages per "
            f"edge: explain the original model on its 'edge_index'"
        )
    for name in _HOOKS:
        if getattr(conv, name):
            raise ValueError(
                f"'{_name(conv)}' has hooks ('{name}'), which a HAG cannot call: "
                f"remove them or pass 'edge_index'"
            )
    changed = overridden(type(conv))
    if changed is not None:
        raise ValueError(
            f"'{_name(conv)}' overrides '{changed}', which a HAG does not call: pass "
            f"'edge_index' instead"
        )


def overridden(cls: type) -> str | None:
    """What a class changes of what PyG calls edge by edge."""
    for name in PER_EDGE:
        if not getattr(cls, name).__module__.startswith("torch_geometric."):
            return name
    return None


def check_sources(hag: HAG, got: int) -> None:
    """Raises unless there are features for every source."""
    if got != hag.num_src:
        raise ValueError(_SIZES.format(got, "sources", hag.num_src))


def check_square(conv: Any, hag: HAG) -> None:
    """Raises unless there are as many sources as destinations."""
    if hag.num_src != hag.num_dst:
        raise ValueError(
            f"'{_name(conv)}' needs as many sources as destinations (got "
            f"{hag.num_src} and {hag.num_dst})"
        )


def _name(conv: object) -> str:
    return type(conv).__name__
