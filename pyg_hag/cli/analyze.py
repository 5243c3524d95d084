"""The command `pyg-hag analyze`: prints tables and draws a figure."""

import re
import sys
from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor
from torch_geometric.utils import to_undirected

from pyg_hag.analysis import WIDTHS, Analysis, analyze, plot_savings
from pyg_hag.analysis.figure import draw_degrees
from pyg_hag.cost import CostModel
from pyg_hag.datasets import as_one_graph, find_root, load_graphs
from pyg_hag.graph.files import SUFFIXES, read_edges, suffix_of
from pyg_hag.utils.figures import new_figure, save_figure

_SIZE = 10.0, 4.2  # of the figure, in inches


def run_analysis(
    graph: str,
    root: str | None = None,
    widths: list[int] | None = None,
    cost: str | None = None,
    plot: str | None = None,
    add_self_loops: bool = False,
    markdown: bool = False,
    measure: bool = False,
    undirected: bool = False,
) -> str:
    """Analyses a graph and returns the tables.

    Args:
        graph (str): A file with an edge list, or a data set.
        root (str, optional): Folder of data sets in PyG's layout.
        widths (list[int], optional): Numbers of features to predict times for.
        cost (str, optional): JSON file with a :class:`pyg_hag.CostModel`.
        plot (str, optional): Image file to write.
        add_self_loops (bool): Whether to add a self-loop to every node first.
        markdown (bool): Whether to format the tables as Markdown.
        measure (bool): Whether to measure times rather than predict them.
        undirected (bool): Whether to add the reverse of every edge that lacks it.

    Returns:
        str: The tables.

    Raises:
        ValueError: If the graph or the cost model cannot be read, or if the figure
            cannot be written.
    """
    model = None if cost is None else _load_cost(cost)
    if plot is not None:
        _check_plot(Path(plot))  # before a long search rather than after
    edge_index, size = load_graph(graph, root)
    if undirected:
        edge_index = _undirected(edge_index, size)
    if add_self_loops:
        edge_index = _with_self_loops(edge_index, size)
    edges = edge_index.size(1)
    print(f"searching a graph of {edges:,} edges ...", file=sys.stderr, flush=True)
    analysis = analyze(edge_index, size, tuple(widths or WIDTHS), model, measure)
    name = Path(graph).name + (" with self-loops" if add_self_loops else "")
    if plot is not None:
        draw(analysis, name, plot)
    return analysis.to_table(name, markdown)


def _undirected(edge_index: Tensor, size: tuple[int, int]) -> Tensor:
    if size[0] != size[1]:
        raise ValueError(
            f"'--undirected' needs a graph with the same nodes at both ends (got "
            f"{size[0]} sources and {size[1]} destinations)"
        )
    out: Tensor = to_undirected(edge_index, num_nodes=size[0])
    return out


def load_graph(graph: str, root: str | None = None) -> tuple[Tensor, tuple[int, int]]:
    """Reads a file, or loads a data set if there is no such file.

    Args:
        graph (str): See :func:`pyg_hag.graph.files.read_edges` and
            :func:`pyg_hag.datasets.load_graphs`.
        root (str, optional): Folder of data sets in PyG's layout.

    Returns:
        tuple[torch.Tensor, tuple[int, int]]: `edge_index`, and the numbers of
        sources and destinations. All graphs of a data set form one graph.

    Raises:
        ValueError: If it is neither a file nor a data set, or if it cannot be read.
    """
    if Path(graph).is_file():
        return read_edges(graph)
    is_name = re.fullmatch(r"\w[\w.-]*", graph) is not None
    if (
        graph
        and Path(graph).is_dir()
        and not (is_name and (find_root(root) / graph).is_dir())
    ):
        raise ValueError(
            f"'{graph}' is a folder: name a file in it, or a data set and, with "
            f"--root, the folder that holds it"
        )
    if suffix_of(Path(graph)) in SUFFIXES or not is_name:
        raise ValueError(f"no file '{graph}' (and no data set has such a name)")
    folder = find_root(root) / graph
    is_new = not folder.exists()
    try:
        edge_index, num_nodes = as_one_graph(load_graphs(graph, root))
    except ImportError as error:
        raise ValueError(
            f"PyG cannot read '{graph}': {error}; pip install 'pyg_hag[demo]'"
        ) from error
    except Exception as error:  # a download or a broken file can raise anything
        if is_new:  # PyG makes folders before it downloads
            for empty in (folder / "raw", folder / "processed", folder):
                with suppress(OSError):
                    empty.rmdir()
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise ValueError(
            f"'{graph}' is neither a file nor a data set that can be loaded: tried the "
            f"file '{Path(graph).absolute()}', the folder '{folder}', and a download "
            f"by PyG ({reason})"
        ) from error
    return edge_index, (num_nodes, num_nodes)


def draw(analysis: Analysis, name: str, path: str) -> None:
    """Draws the in-degrees and the predicted times.

    Args:
        analysis (Analysis): The analysis to draw.
        name (str): Name of the graph, for the title.
        path (str): Image file to write.

    Raises:
        ImportError: If Matplotlib is not installed.
        ValueError: If it cannot write the file.
    """
    figure = new_figure(*_SIZE)
    left, right = figure.subplots(1, 2)
    draw_degrees(analysis, left)
    plot_savings(analysis, right)
    figure.suptitle(
        f"{name}: {analysis.num_edges:,} edges, "
        f"{analysis.stats.aggregation_reduction:.2f}x fewer aggregations"
    )
    try:
        save_figure(figure, path, dpi=150)
    except (OSError, ValueError) as error:
        raise ValueError(f"'--plot': cannot write '{path}': {error}") from error


def _check_plot(path: Path) -> None:
    try:
        known = new_figure(*_SIZE).canvas.get_supported_filetypes()
    except ImportError as error:
        raise ValueError(f"'--plot': {error}") from error
    if path.suffix[1:].lower() not in known:
        endings = ", ".join(f".{name}" for name in known)
        raise ValueError(f"'--plot': '{path}' must end in one of {endings}")
    if not path.parent.is_dir():
        raise ValueError(f"'--plot': no folder '{path.parent}'")


def _load_cost(path: str) -> CostModel:
    try:
        return CostModel.load(path)
    except OSError as error:
        raise ValueError(f"cannot read '{path}': {error.strerror}") from error


def _with_self_loops(edge_index: Tensor, size: tuple[int, int]) -> Tensor:
    if size[0] != size[1]:
        raise ValueError(
            f"'--add-self-loops' needs as many sources as destinations (got {size[0]} "
            f"sources and {size[1]} destinations)"
        )
    return torch.cat([edge_index, torch.arange(size[0]).expand(2, -1)], dim=1)
