"""From the factors of a product of graphs to its HAG."""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

from pyg_hag.graph.formats import to_edges
from pyg_hag.graph.read import Graph, read_graph
from pyg_hag.hag import HAG
from pyg_hag.hag.edge_weights import EdgeWeights
from pyg_hag.search.options import (
    SearchOptions,
    collect_options,
    takes_search_options,
)
from pyg_hag.search.product.factors import Factor, to_factor
from pyg_hag.search.product.find import find_product
from pyg_hag.search.progress import run
from pyg_hag.utils.arrays import I64
from pyg_hag.utils.checks import check_choice, check_count
from pyg_hag.utils.tensors import as_int64, ends

REDUCES = "sum", "max"


@takes_search_options
def build_hag_of_product(
    *factors: Any,
    sizes: Sequence[int] | None = None,
    weighted: bool = False,
    reduce: str = "sum",
    self_loops: bool = True,
    options: SearchOptions | None = None,
    **search_options: Any,
) -> HAG:
    r"""Makes a HAG of a product of graphs from its factors, without the product.

    The product of :math:`\mathbf{A}_1, \dots, \mathbf{A}_k` has an edge from u to v
    where a path leads from u through one edge of each factor in turn to v: a meta-path
    graph (Wang et al., *Heterogeneous Graph Attention Network*, WWW 2019), the graph of
    two hops, of items with a common user, of authors with a common paper, of the pins
    of a net. It can have thousands of times more edges than its factors, whose middle
    nodes are aggregates that share its sums.

    Several paths from u to v are one edge. Since sums over the middle nodes would
    count them as often, each row is made of disjoint parts: nodes with the same middle
    nodes are one, and what a middle node reaches is taken without what those before it
    have reached, from a tree of partial sums, or by subtraction where `subtract` allows
    it. A small product is searched as well (:func:`pyg_hag.build_hag`), and the HAG
    that is predicted to be faster is returned.

    Args:
        *factors: Two graphs or more in any format of :func:`pyg_hag.build_hag`. The
            destinations of one are the sources of the next.
        sizes (Sequence[int], optional): The numbers of nodes: of the sources of the
            first factor, and of the destinations of each. If None, those of matrices,
            and the largest number in an `edge_index` plus one.
        weighted (bool): Whether an edge weighs the number of its paths. Sums over the
            HAG are then products with the matrix :math:`\mathbf{A}_k^\top \cdots
            \mathbf{A}_1^\top`, and layers use the counts as their `edge_weight`.
        reduce (str): `"sum"` for a HAG over which everything can be reduced; `"max"`
            for a smaller one for maximum and minimum alone, to which several paths make
            no difference. Its gradient is divided between sources of the same value by
            their numbers of paths.
        self_loops (bool): Whether nodes that reach themselves have a self-loop.
            False leaves them out, which takes as many sources as destinations.
        options (SearchOptions, optional): How to search.
        **search_options: The fields of :class:`pyg_hag.search.SearchOptions`, as
            keywords in place of `options`. `subtract` needs an unweighted sum.
            `memory_limit` must hold what the factors need.

    Returns:
        HAG: On the device of the first factor.

    Raises:
        TypeError: If an argument has the wrong type or an unknown name.
        ValueError: If factors do not fit together, have weights, or an option has no
            effect with the others; the message names it.
        MemoryError: If `memory_limit` is too small for the factors.

    Example:
        >>> from pyg_hag import build_hag_of_product
        >>> paper = torch.tensor([0, 0, 1, 1, 2])  # papers and their authors
        >>> author = torch.tensor([0, 1, 1, 2, 2])
        >>> written_by = torch.stack([paper, author])
        >>> hag = build_hag_of_product(written_by, written_by.flip(0))
        >>> hag.to_edge_index()
        tensor([[0, 1, 0, 1, 2, 1, 2],
                [0, 0, 1, 1, 1, 2, 2]])
    """
    chosen = collect_options(build_hag_of_product, options, search_options)
    graphs = _read(factors, sizes)
    check_choice("reduce", reduce, REDUCES)
    for name, value in (("weighted", weighted), ("self_loops", self_loops)):
        if not isinstance(value, bool):
            raise TypeError(f"'{name}' must be a bool (got {value!r})")
    check_effects(chosen, len(factors), weighted, reduce, self_loops)
    size = graphs[0].size[0], graphs[-1].size[1]
    if not self_loops and size[0] != size[1]:
        raise ValueError(
            f"'self_loops' is False, which needs as many sources as destinations (got "
            f"{size[0]} and {size[1]})"
        )
    read = [_factor(graph, not weighted) for graph in graphs]
    is_max = reduce == "max"

    def search(control: I64) -> HAG:
        return find_product(read, chosen, weighted, is_max, self_loops, control)

    num_edges = sum(factor.idx.size for factor in read)
    hag = run(search, num_edges, chosen.time_limit, chosen.progress)
    hag = hag.to(graphs[0].edge_index.device)
    if weighted:
        return hag.weighted_by(EdgeWeights.counts())
    return hag.weighted_by(EdgeWeights.cover()) if is_max else hag


def _factor(graph: Graph, distinct: bool) -> Factor:
    src, dst = as_int64(graph.edge_index.detach().cpu()).numpy()
    return to_factor(src, dst, graph.size, distinct)


def _read(factors: Sequence[Any], sizes: Sequence[int] | None) -> list[Graph]:
    """The factors, with sizes that fit together."""
    if len(factors) < 2:
        raise ValueError(
            f"'factors' must be two graphs or more (got {len(factors)}): for one, use "
            f"'build_hag'"
        )
    if sizes is not None:
        if not isinstance(sizes, Iterable) or isinstance(sizes, str):
            raise TypeError(
                f"'sizes' must be a sequence of numbers of nodes (got {sizes!r})"
            )
        sizes = [check_count("sizes", size, 0) for size in sizes]
        if len(sizes) != len(factors) + 1:
            raise ValueError(
                f"'sizes' must have one number more than there are factors "
                f"({len(factors) + 1}), of the sources of the first one and the "
                f"destinations of each (got {len(sizes)})"
            )
        pairs = pairwise(sizes)
        graphs = [
            _read_one(i, *args)
            for i, args in enumerate(zip(factors, pairs, strict=True))
        ]
    else:
        graphs = _fitted(factors)
    for i, graph in enumerate(graphs):
        if graph.weight is not None:
            raise ValueError(
                f"factor {i} has weights, which sums over middle nodes cannot share: "
                f"remove its values, or multiply the matrices and use 'build_hag'"
            )
    for i, (one, other) in enumerate(pairwise(graphs)):
        if one.size[1] != other.size[0]:
            raise ValueError(
                f"the destinations of factor {i} are the sources of factor {i + 1}, "
                f"but there are {one.size[1]} and {other.size[0]}: pass 'sizes'"
            )
    return graphs


def _read_one(i: int, graph: Any, size: tuple[int, int] | None = None) -> Graph:
    """Factor i; errors name it."""
    try:
        return read_graph(graph, size=size)
    except (TypeError, ValueError) as error:
        raise type(error)(f"factor {i}: {error}") from None


def _fitted(factors: Sequence[Any]) -> list[Graph]:
    """The factors with the sizes of the matrices among them, or as large as needed."""
    alone = [_read_one(*pair) for pair in enumerate(factors)]
    known: list[int | None] = [None] * (len(factors) + 1)
    needed = [0] * (len(factors) + 1)
    for i, (factor, graph) in enumerate(zip(factors, alone, strict=True)):
        edges = to_edges(factor)
        for end in range(2):
            if edges is not None and edges.size is not None:
                known[i + end] = edges.size[end]
            elif graph.edge_index.numel():
                largest = ends(graph.edge_index[end])[1]
                needed[i + end] = max(needed[i + end], largest + 1)
    sizes = [n if k is None else k for k, n in zip(known, needed, strict=True)]
    own = [getattr(to_edges(f), "size", None) for f in factors]
    return [
        graph
        if own[i] is not None
        else _read_one(i, factors[i], (sizes[i], sizes[i + 1]))
        for i, graph in enumerate(alone)
    ]


def check_effects(
    options: SearchOptions,
    num_factors: int,
    weighted: bool,
    reduce: str,
    loops: bool = True,
) -> None:
    """Refuses options that have no effect with the others, or cannot be met."""
    if options.order == "sequential":
        raise ValueError(
            "'order' is 'sequential', but the neighbours in a product have no order: "
            "use order='set'"
        )
    for name, value, wrong in (
        ("weighted", True, weighted and reduce == "max"),
        ("self_loops", False, not loops and reduce == "max"),
        ("subtract", True, options.subtract and reduce == "max"),
    ):
        if wrong:
            raise ValueError(
                f"'{name}' is {value}, which has no effect with reduce='max' or is "
                f"lost in it: use reduce='sum'"
            )
    if weighted and options.subtract:
        raise ValueError(
            "'subtract' has no effect with weighted=True, which needs no corrections: "
            "leave it out"
        )
    if weighted and not loops and num_factors > 2:
        raise ValueError(
            f"'self_loops' is False and 'weighted' is True, for which there must be "
            f"two factors (got {num_factors}): the paths from a node to itself cannot "
            f"be left out otherwise"
        )
