"""Small HAGs as nodes and arrows."""

from collections import defaultdict
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from pyg_hag.drawing.diagram import AGGREGATE, DESTINATION, SOURCE, Diagram, Node
from pyg_hag.drawing.layout import Layout, Link, layout
from pyg_hag.utils.figures import new_axes

MAX_NODES = 100
MAX_ARROWS = 1000
COLORS = {SOURCE: "#3b6ea8", AGGREGATE: "#e08e2b", DESTINATION: "#4a8f63"}
SUBTRACTED = "#c0392b"
_LINE = "#9a9a9a"
_RADIUS = 0.36  # of a node, where neighbours are 1 apart
_INCHES = 0.42, 0.17  # between neighbours, at most and at least
_HEIGHT, _WIDTH = 11.0, 15.0  # of a figure, in inches, if lines stay readable
_GAP = 2.4, 9.0  # between columns: at least, and at most
_LISTED = 0.75  # half the height of an aggregate with what it reads above it
_SMALLEST = 2.5  # points of a font that is worth drawing
_LEFT = 0.8  # of the first column


class _Scale(NamedTuple):
    """Distances: that of columns next to that of neighbours, and this in points."""

    gap: float
    points: float


class _Frame(NamedTuple):
    """What has to fit into the axes; neighbours are 1 apart."""

    num_columns: int
    top: float
    bottom: float
    right: float  # of the last column

    @property
    def height(self) -> float:
        return self.bottom - self.top

    def width(self, gap: float) -> float:
        return _LEFT + (self.num_columns - 1) * gap + self.right


def draw_graph(diagram: Diagram, ax: Any = None) -> Any:
    """Draws all nodes and inputs: sources on the left, destinations on the right.

    Args:
        diagram: The HAG.
        ax: Matplotlib's axes; a new figure if None.

    Returns:
        The axes.
    """
    copies = defaultdict[Link, list[int]](list)
    for tail, head, sign, order in diagram.arrows:
        copies[tail, head, sign].append(order)
    nodes = diagram.nodes
    is_listed = [diagram.is_sequential and n.kind == AGGREGATE for n in nodes]
    sizes = [_LISTED if listed else 0.5 for listed in is_listed]
    placed = layout([node.level for node in nodes], sizes, copies)
    num_columns = max([node.level for node in nodes] + [1]) + 1
    subtracts = any(arrow.sign < 0 for arrow in diagram.arrows)
    lists = _lists(diagram) if diagram.is_sequential else {}
    y = placed.y or [0.0]
    frame = _Frame(
        num_columns,
        top=min(y) - 1.3,
        bottom=max(y) + (1.2 if subtracts else 0.6),
        right=0.8 + 0.19 * max(map(len, lists.values()), default=0),
    )
    if ax is None:
        ax = _new_axes(frame)
    scale = _scale(ax, frame)
    ax.set_xlim(-_LEFT, (num_columns - 1) * scale.gap + frame.right)
    ax.set_ylim(frame.bottom, frame.top)
    ax.set_aspect("equal")
    ax.set_axis_off()
    _draw_arrows(ax, diagram, placed, copies, scale)
    _draw_nodes(ax, diagram, placed, lists, scale)
    _draw_heads(ax, diagram, frame.top + 0.55, scale)
    if subtracts:
        middle = (num_columns - 1) * scale.gap / 2, frame.bottom - 0.35
        points = min(9.0, max(0.42 * scale.points, 6.0))
        font = {"fontsize": points, "color": SUBTRACTED, "ha": "center"}
        ax.text(*middle, "- - subtracted", va="center", **font)
    return ax


def _lists(diagram: Diagram) -> dict[int, str]:
    """What each row of a sequential HAG reads, in order."""
    names: dict[int, list[str]] = defaultdict(list)
    for tail, head, _, _ in diagram.arrows:
        names[head].append(_name(diagram.nodes[tail]))
    out = {}
    for head, inputs in names.items():
        longest = 20 if diagram.nodes[head].kind == DESTINATION else 10
        text = ", ".join(inputs)
        if len(text) > longest:
            text = text[: longest - 1].rpartition(",")[0] + ", …"
        out[head] = text
    return out


def _name(node: Node) -> str:
    return f"a{node.number}" if node.kind == AGGREGATE else str(node.number)


def _new_axes(frame: _Frame) -> Any:
    wanted = 1.2 * frame.height / (frame.num_columns - 1)
    most = max(_GAP[1], 0.35 * frame.height)
    width = frame.width(min(max(wanted, _GAP[0]), most))
    inches = max(min(_INCHES[0], _HEIGHT / frame.height, _WIDTH / width), _INCHES[1])
    return new_axes(max(width * inches, 2.5), frame.height * inches + 0.35)


def _scale(ax: Any, frame: _Frame) -> _Scale:
    """The distances with which the nodes fill the axes."""
    box = ax.get_window_extent()
    room = frame.height * box.width / box.height - frame.width(0)
    gap = min(
        max(room / (frame.num_columns - 1), _GAP[0]), max(2 * _GAP[1], frame.height)
    )
    pixels = min(box.height / frame.height, box.width / frame.width(gap))
    return _Scale(gap, 72 * pixels / ax.figure.dpi)


def _draw_nodes(
    ax: Any, diagram: Diagram, placed: Layout, lists: dict[int, str], scale: _Scale
) -> None:
    from matplotlib.patches import Circle, FancyBboxPatch

    for i, node in enumerate(diagram.nodes):
        x, y = scale.gap * placed.x[i], placed.y[i]
        style: dict[str, Any] = {
            "facecolor": COLORS[node.kind],
            "edgecolor": "white",
            "zorder": 3,
        }
        if node.kind == AGGREGATE:
            corner, side = (x - 0.28, y - 0.28), 0.56
            box = "round,pad=0.05,rounding_size=0.12"
            ax.add_patch(FancyBboxPatch(corner, side, side, boxstyle=box, **style))
        else:
            ax.add_patch(Circle((x, y), _RADIUS, **style))
        label = _name(node)
        points = scale.points * min(0.42, 0.9 / len(label))
        if points >= _SMALLEST:
            font = {"fontsize": points, "color": "white", "zorder": 4}
            ax.text(x, y, label, ha="center", va="center_baseline", **font)
        if i in lists and 0.32 * scale.points >= _SMALLEST:
            is_last = node.kind == DESTINATION
            at = (x + 0.5, y) if is_last else (x, y - 0.55)
            ha, va = ("left", "center") if is_last else ("center", "center")
            back = {"facecolor": "white", "edgecolor": "none", "pad": 0.3}
            font = {"fontsize": 0.32 * scale.points, "color": "0.3", "bbox": back}
            ax.text(*at, lists[i], ha=ha, va=va, zorder=2.5, **font)


def _draw_heads(ax: Any, diagram: Diagram, y: float, scale: _Scale) -> None:
    """The names of the columns."""
    names = {node.level: f"{node.kind}s" for node in diagram.nodes}
    levels = {node.level for node in diagram.nodes if node.kind == AGGREGATE}
    if len(levels) > 1:
        names |= {level: f"level {level}" for level in levels}
    longest = max(map(len, names.values()), default=1)
    points = min(9.0, 1.7 * scale.points * scale.gap / longest)
    for level, name in names.items():
        x = scale.gap * level
        ax.text(x, y, name, ha="center", va="center", fontsize=points, color="0.3")


def _draw_arrows(
    ax: Any,
    diagram: Diagram,
    placed: Layout,
    copies: dict[Link, list[int]],
    scale: _Scale,
) -> None:
    from matplotlib.patches import FancyArrowPatch

    width = min(0.5 if len(diagram.arrows) > 150 else 1.0, scale.points / 18)
    for link, orders in copies.items():
        tail, _, sign = link
        kind = diagram.nodes[tail].kind
        color = COLORS[AGGREGATE] if kind == AGGREGATE else _LINE
        color = color if sign > 0 else SUBTRACTED
        path, label_at = _curve(placed, placed.route[link], scale)
        arrow = FancyArrowPatch(
            path=path,
            arrowstyle="-|>",
            mutation_scale=max(0.34 * scale.points, 1.5),
            linewidth=width * (1.4 if len(orders) > 1 else 1.0),
            linestyle="-" if sign > 0 else (0, (4, 2)),
            facecolor=color,
            edgecolor=color,
            zorder=2 if sign < 0 else 1 + 0.5 * (kind == AGGREGATE),
        )
        ax.add_patch(arrow)
        if len(orders) > 1 and 0.32 * scale.points >= _SMALLEST:
            back = {"facecolor": "white", "edgecolor": "none", "pad": 0.4}
            font = {"fontsize": 0.32 * scale.points, "color": color, "bbox": back}
            text = f"{len(orders)}x"
            ax.text(*label_at, text, ha="center", va="center", zorder=2.5, **font)


def _curve(placed: Layout, route: list[int], scale: _Scale) -> tuple[Any, Any]:
    """The way of an arrow, and a point near its head."""
    from matplotlib.path import Path

    at = np.array([(scale.gap * placed.x[p], placed.y[p]) for p in route])
    bend = 0.45 * scale.gap
    # It arrives from where it comes, so that the heads of a node's arrows are apart:
    toward = at[-2] - at[-1]
    angle = 0.75 * np.arctan2(toward[1], -toward[0])
    direction = np.array([-np.cos(angle), np.sin(angle)])
    at[0, 0] += _RADIUS
    at[-1] += (_RADIUS + 0.02) * direction
    points, codes = [at[0]], [Path.MOVETO]
    for i, (a, b) in enumerate(pairwise(at)):
        is_last = i == len(at) - 2
        end = b + bend * (direction if is_last else np.array([-1.0, 0.0]))
        points += [a + np.array([bend, 0.0]), end, b]
        codes += [Path.CURVE4] * 3
    t = 0.6
    a, b, c, d = points[-4:]
    label_at = (
        (1 - t) ** 3 * a + 3 * (1 - t) ** 2 * t * b + 3 * (1 - t) * t**2 * c + t**3 * d
    )
    return Path(points, codes), label_at
