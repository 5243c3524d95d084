"""Cuts features into tiles, for each of which there is a variant of the code."""

import functools
from dataclasses import dataclass


@dataclass(frozen=True)
class Variant:
    """The code for tiles that take some number of vectors.

    Attributes:
        vectors: How many vectors hold the features.
        layout: `"exact"` if the features fill the vectors; `"masked"` if they fill
            less than one; `"overlapping"` if the last vectors start early enough to
            end with the last feature, and overlap the vectors before them.
        min_full: The number of vectors that never overlap.
    """

    vectors: int
    layout: str
    min_full: int = 0


@functools.cache
def variants(max_vectors: int) -> list[Variant]:
    """The variants of a kernel that holds up to `max_vectors` vectors in registers."""
    sizes = [n for n in (1, 2, 3, 4, 6, 8, 12, 16) if n <= max_vectors]
    powers = [n for n in sizes if n & (n - 1) == 0]
    overlapping = zip(sizes[1:], sizes, strict=False)
    return [
        Variant(1, "masked"),
        *(Variant(n, "exact", n) for n in powers),
        *(Variant(n, "overlapping", full) for n, full in overlapping),
    ]


@functools.lru_cache(1000)
def tile_features(
    width: int, lanes: int, max_vectors: int, limit: int = 64
) -> list[tuple[int, int, int]]:
    """Cuts features into tiles of about equal size.

    Args:
        width: Number of features.
        lanes: Features in a vector.
        max_vectors: See :func:`variants`.
        limit: The largest number of vectors in a tile.

    Returns:
        Per tile its first feature, its width, and the index of its variant.
    """
    known = variants(max_vectors)
    max_vectors = min(limit, max(variant.vectors for variant in known))
    vectors = -(-width // lanes)
    passes = max(1, -(-vectors // max_vectors))
    step = max(1, -(-vectors // passes) * lanes)
    tiles = []
    for f in range(0, width, step):
        w = min(step, width - f)
        tiles.append((f, w, known.index(_variant_of(w, lanes, known))))
    return tiles


def _variant_of(width: int, lanes: int, known: list[Variant]) -> Variant:
    """The variant for a tile: the smallest that holds it."""
    if width < lanes:
        return known[0]
    vectors = -(-width // lanes)
    exact = Variant(vectors, "exact", vectors)
    if width % lanes == 0 and exact in known:
        return exact
    overlapping = (v for v in known if v.layout == "overlapping")
    return next(v for v in overlapping if v.vectors >= vectors)
