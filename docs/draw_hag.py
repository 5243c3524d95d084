"""Draws docs/hag.png: a graph, and its HAG. Run it in docs/."""

import matplotlib.pyplot as plt
import torch

from pyg_hag import build_hag

# Nodes 0, 1 and 2 send to all four; 3 and 4 to some of them:
dst = torch.tensor([0, 0, 0, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 3])
src = torch.tensor([0, 1, 2, 0, 1, 2, 0, 1, 2, 3, 0, 1, 2, 3, 4])
edge_index = torch.stack([src, dst])
plain = build_hag(edge_index, size=(5, 4), capacity=0)
hag = build_hag(edge_index, size=(5, 4), objective="aggregations")

figure, (left, right) = plt.subplots(
    1, 2, figsize=(8, 2.7), width_ratios=[3, 4], layout="constrained"
)
plain.plot(left)
hag.plot(right)
left.set_title(f"the graph: {plain.stats.reads} reads")
right.set_title(f"its HAG: {hag.stats.reads} reads")
figure.savefig("hag.png", dpi=100)
