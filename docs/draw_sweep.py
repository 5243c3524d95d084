"""Draws docs/sweep.png: the scores of an aggregate. Run it in docs/."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import ListedColormap

LEAVES, READERS = 24, 14
rng = np.random.default_rng(3)
s, t = rng.normal(size=LEAVES), rng.normal(size=READERS)


def draw(axes, s, t, title):
    """One square for each pair, coloured by the side of its score."""
    positive = t[:, None] + s[None] > 0
    colors = ListedColormap(["#d9e3f0", "#f2b36b"])
    axes.pcolormesh(positive, cmap=colors, edgecolors="white", linewidth=0.8)
    axes.set(title=title, xlabel="leaves j", ylabel="readers i", xticks=[], yticks=[])
    axes.invert_yaxis()
    return positive


figure, (left, right) = plt.subplots(
    1, 2, figsize=(8.6, 3.1), sharey=True, layout="constrained"
)
draw(left, s, t, f"edge by edge: {LEAVES} x {READERS} = {LEAVES * READERS} steps")
order, readers = np.argsort(-s), np.argsort(t)
title = f"sorted, one sweep a side: {LEAVES} + {READERS} steps"
positive = draw(right, s[order], t[readers], title)
counts = positive.sum(1)
path = [(0, 0)]
for i, count in enumerate(counts):
    path += [(count, i), (count, i + 1)]
right.plot(*zip(*path, strict=True), color="#b3541e", linewidth=2.2)
right.text(1.0, READERS - 1.2, "exp(s) exp(t)", fontsize=9)
right.text(LEAVES - 8.5, 1.6, "exp(0.2 s) exp(0.2 t)", fontsize=9)
figure.savefig("sweep.png", dpi=110)
