"""The one mechanism: `propagate` over a HAG, for layers whose message is x_j."""

from typing import Any

import torch
from torch import Tensor
from torch_geometric.nn import aggr
from torch_geometric.nn.conv import MessagePassing

from pyg_hag.hag import HAG
from pyg_hag.ops import aggregate

_REDUCES = {
    aggr.SumAggregation: "sum",
    aggr.MeanAggregation: "mean",
    aggr.MaxAggregation: "max",
    aggr.MinAggregation: "min",
}
_PER_EDGE = ("message", "aggregate", "message_and_aggregate", "update")
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
_uncompiled_propagate = MessagePassing.propagate


class HAGMessagePassing(MessagePassing):
    """Makes `propagate` of a PyG layer accept a HAG.

    Comes before the PyG layer in the bases. The layer's message must be `x_j`. With
    an `edge_index` everything is PyG's own.
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
            # PyG also puts these two in place when an explanation begins and ends.
            cls.propagate = cls._jinja_propagate = _propagate
            cls._orig_propagate = _explained_propagate


def _explained_propagate(self: Any, edge_index: Any, *args: Any, **kwargs: Any) -> Any:
    if isinstance(edge_index, HAG):
        _check_shareable(self)
    return _uncompiled_propagate(self, edge_index, *args, **kwargs)


def _propagate(self: Any, edge_index: Any, size: Any = None, **kwargs: Any) -> Tensor:
    if not isinstance(edge_index, HAG):
        return self._edge_propagate(edge_index, size=size, **kwargs)
    x = kwargs.pop("x")
    given = [name for name, value in kwargs.items() if value is not None]
    if given:
        raise ValueError(
            f"{given} of '{_name(self)}' cannot be used with a HAG, which shares sums "
            f"between neighbourhoods: pass 'edge_index' instead"
        )
    return propagate_hag(self, edge_index, x, size=size)


def propagate_hag(
    conv: Any,
    hag: HAG,
    x: Any,
    scale: Tensor | None = None,
    size: tuple[int | None, int | None] | None = None,
    self_scale: Tensor | None = None,
) -> Tensor:
    """What `conv.propagate` gives on the graph of the HAG, for the message `x_j`.

    Args:
        conv (MessagePassing): The layer: its flow, node dimension and aggregation.
        hag (HAG): The graph.
        x (torch.Tensor or tuple): Features of the nodes, or of sources and
            destinations.
        scale (torch.Tensor, optional): Factor of every node, before and after.
        size (tuple, optional): `(num_src, num_dst)`, which must be the HAG's.
        self_scale (torch.Tensor, optional): Factor by which every node is added.
    """
    _check_shareable(conv)
    reduce = _REDUCES.get(type(conv.aggr_module))
    if reduce is None:
        raise ValueError(
            f"'aggr' of '{_name(conv)}' must be one of {list(_REDUCES.values())} on a "
            f"HAG (got {conv.aggr!r}): pass 'edge_index' instead"
        )
    sizes: list[int | None] = list(size) if size is not None else [None, None]
    source = 0
    if conv.flow == "target_to_source":
        hag, source = hag.t(), 1
        sizes = sizes[::-1]
    if isinstance(x, (tuple, list)):
        x, target = x[source], x[1 - source]
        if target is not None:
            sizes = [x.size(conv.node_dim), target.size(conv.node_dim)]
    for got, wanted, name in (
        (x.size(conv.node_dim), hag.num_src, "sources"),
        (sizes[0], hag.num_src, "sources"),
        (sizes[1], hag.num_dst, "destinations"),
    ):
        if got is not None and got != wanted:
            raise ValueError(
                f"'x' or 'size' has {got} {name}, but the HAG has {wanted}: was the "
                f"HAG built with the right 'num_nodes' or 'size'?"
            )
    dim = conv.node_dim if conv.node_dim >= 0 else x.dim() + conv.node_dim
    if dim == 0:
        return aggregate(x, hag, reduce, scale, scale, self_scale)
    out = aggregate(x.movedim(dim, 0), hag, reduce, scale, scale, self_scale)
    return out.movedim(0, dim)


def closed(hag: HAG) -> tuple[HAG, Tensor | None]:
    """:meth:`pyg_hag.HAG.closed`, for layers that add each node to its neighbours.

    While compiling, the HAG itself and None where it is not known yet.
    """
    if torch.compiler.is_compiling():
        known: tuple[HAG, Tensor | None] = hag._cache.get("closed", (hag, None))  # type: ignore[attr-defined]
        return known
    return hag.closed()


def _check_shareable(conv: Any) -> None:
    if conv._explain:
        raise ValueError(
            f"'{_name(conv)}' cannot be explained on a HAG, which has no messages per "
            f"edge: pass 'edge_index' to explain the model"
        )
    for name in _HOOKS:
        if getattr(conv, name):
            raise ValueError(
                f"'{_name(conv)}' has hooks ('{name}'), which a HAG cannot call: "
                f"remove them or pass 'edge_index'"
            )
    for name in _PER_EDGE:
        owner = getattr(type(conv), name).__module__
        if not owner.startswith("torch_geometric."):
            raise ValueError(
                f"'{_name(conv)}' overrides '{name}', which a HAG does not call: pass "
                f"'edge_index' instead"
            )


def _name(conv: object) -> str:
    return type(conv).__name__
