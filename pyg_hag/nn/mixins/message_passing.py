"""`propagate` over a HAG, for layers whose message is `x_j` or a multiple of it."""

from typing import Any

from torch import Tensor
from torch_geometric.data.data import BaseData
from torch_geometric.nn.conv import MessagePassing

from pyg_hag.hag import HAG, AbstractHAG
from pyg_hag.nn.mixins.adjacency import Adjacency, weighted_adjacency
from pyg_hag.nn.mixins.aggregation import (
    run_aggregation,
    unsupported_aggregation_reason,
)
from pyg_hag.nn.mixins.checks import (
    check_shareable,
    check_size,
    overridden_method,
    refuse_torchscript,
    used_weights,
    warn_of_unread_weights,
)
from pyg_hag.nn.mixins.display import noted

_uncompiled_propagate = MessagePassing.propagate


class HAGMessagePassing(MessagePassing):
    """Makes `propagate` of a PyG layer accept a HAG.

    Must come before the PyG layer in the bases. The layer's message must be `x_j`, or
    `x_j` times a weight. With an `edge_index`, PyG's own code runs.
    """

    def _set_jittable_templates(self, raise_on_error: bool = False) -> None:
        # PyG compiles `propagate` of each class on its first instance: let it, and
        # dispatch to the result.
        cls: Any = type(self)
        if "_edge_propagate" in cls.__dict__:
            return
        custom = "propagate" in cls.__dict__
        super()._set_jittable_templates(raise_on_error)
        if cls.propagate is _propagate:  # inherited: PyG could not compile the class
            inherited = getattr(cls, "_edge_propagate", None)
            if inherited is None or overridden_method(cls) is not None:
                inherited = _uncompiled_propagate
            cls._edge_propagate = inherited
        else:
            cls._edge_propagate = cls.propagate
        if not custom:
            install_propagate(cls)

    def __repr__(self) -> str:
        return noted(super().__repr__(), self._sharing())

    def _sharing(self) -> str:
        """Whether the layer shares sums on a HAG as it is configured, for its text."""
        reason = self.unsupported_reason(self)
        return "shares sums" if reason is None else f"on edges: {reason}"

    factors_weights = False
    """Whether weights become factors of nodes where nothing is shared, too."""

    __prepare_scriptable__ = refuse_torchscript

    @staticmethod
    def unsupported_reason(conv: Any) -> str | None:
        """Why a layer cannot use a HAG as it is configured, or None if it can.

        Args:
            conv (MessagePassing): A layer of PyG's class or of this one.
        """
        return unsupported_aggregation_reason(conv)

    @staticmethod
    def runs_of(conv: Any) -> tuple[str, str]:
        """What a supported layer does on a HAG, and why: see :class:`Support`.

        Args:
            conv (MessagePassing): A layer of PyG's class or of this one.
        """
        return "shared", "messages are features of sources"

    def adjacency_of(
        self, hag: AbstractHAG, x: Tensor, edge_weight: Tensor | None
    ) -> Adjacency:
        """The graph that the layer sums over, with its weights.

        Args:
            hag (HAG): The graph, in the direction of the messages.
            x (torch.Tensor): Features of the sources.
            edge_weight (torch.Tensor, optional): The weights that were passed with it.
        """
        hag = used_weights(self, hag)
        name = type(self).__name__
        return weighted_adjacency(hag, edge_weight, name, self.factors_weights)

    def oriented(self, hag: AbstractHAG) -> AbstractHAG:
        """The graph in the direction of the messages (see PyG's `flow`)."""
        return hag.t() if self.flow == "target_to_source" else hag

    def num_messages(self, hag: AbstractHAG) -> Tensor:
        """The number of messages that each node receives."""
        if self.flow == "target_to_source":
            hag = hag.transposed()
        return hag.in_degree

    def _propagate_hag(
        self,
        hag: "HAG | Adjacency",
        x: Any,
        edge_weight: Tensor | None = None,
        size: Any = None,
        **kwargs: Any,
    ) -> Tensor:
        """Computes `propagate` on a HAG."""
        given = [name for name, value in kwargs.items() if value is not None]
        if given:
            raise ValueError(
                f"{given} of '{type(self).__name__}' cannot be used with a HAG, which "
                f"shares sums between neighbourhoods: pass 'edge_index' instead"
            )
        return propagate_hag(self, hag, x, edge_weight, size)


def install_propagate(cls: Any) -> None:
    """Makes `propagate` of a class accept HAGs as well as an `edge_index`."""
    # PyG sets `propagate` to the last two when an explanation begins and ends.
    cls.propagate = cls._jinja_propagate = _propagate
    cls._orig_propagate = _explained_propagate


def _explained_propagate(
    self: Any, edge_index: Any, size: Any = None, **kwargs: Any
) -> Any:
    if isinstance(edge_index, (AbstractHAG, Adjacency)):
        return self._propagate_hag(edge_index, size=size, **kwargs)
    return _uncompiled_propagate(self, edge_index, size=size, **kwargs)


def _propagate(self: Any, edge_index: Any, size: Any = None, **kwargs: Any) -> Any:
    if isinstance(edge_index, AbstractHAG):
        if edge_index.unread_weights and kwargs.get("edge_weight") is None:
            warn_of_unread_weights(self)
        return self._propagate_hag(edge_index, size=size, **kwargs)
    if isinstance(edge_index, Adjacency):
        return self._propagate_hag(edge_index, size=size, **kwargs)
    if isinstance(edge_index, BaseData):
        raise TypeError(
            f"'edge_index' of '{type(self).__name__}' got the data itself "
            f"({type(edge_index).__name__}): pass 'data.hag' or 'data.edge_index'"
        )
    return self._edge_propagate(edge_index, size=size, **kwargs)


# Bound methods, which PyG sets on instances, are pickled by the name of the function:
_explained_propagate.__name__ = _propagate.__name__ = "propagate"


def propagate_hag(
    conv: Any,
    hag: AbstractHAG | Adjacency,
    x: Any,
    edge_weight: Tensor | None = None,
    size: tuple[int | None, int | None] | None = None,
) -> Tensor:
    """Computes `conv.propagate` on a HAG, for the message `x_j`.

    Args:
        conv (HAGMessagePassing): The layer: its flow, node dimension and aggregation.
        hag (HAG or Adjacency): The graph; an adjacency must be in the direction of the
            messages already.
        x (torch.Tensor or tuple): Features of the nodes, or a pair: of those that send
            messages, and of those that receive them.
        edge_weight (torch.Tensor, optional): Weights of the edges of a HAG.
        size (tuple, optional): `(num_src, num_dst)`, which must match the HAG.

    Raises:
        ValueError: If the layer does not support HAGs as it is configured, or if the
            sizes do not match.
    """
    check_shareable(conv)
    reason = conv.unsupported_reason(conv)
    if reason is not None:
        raise ValueError(
            f"'{type(conv).__name__}': {reason}: pass 'edge_index' instead"
        )
    sizes: list[int | None] = list(size) if size is not None else [None, None]
    if conv.flow == "target_to_source":
        sizes = sizes[::-1]
    if isinstance(x, (tuple, list)):
        x, target = x  # whatever the flow: messages are those of the first, as in PyG
        if target is not None:
            sizes = [x.size(conv.node_dim), target.size(conv.node_dim)]
    oriented = hag.hag if isinstance(hag, Adjacency) else conv.oriented(hag)
    check_size(oriented, x.size(conv.node_dim), None)
    check_size(oriented, *sizes)
    adjacency = hag
    if not isinstance(adjacency, Adjacency):
        adjacency = conv.adjacency_of(oriented, x, edge_weight)
    dim = conv.node_dim if conv.node_dim >= 0 else x.dim() + conv.node_dim
    if dim == 0:
        return run_aggregation(conv.aggr_module, x, adjacency)
    out = run_aggregation(conv.aggr_module, x.movedim(dim, 0), adjacency)
    return out.movedim(0, dim)
