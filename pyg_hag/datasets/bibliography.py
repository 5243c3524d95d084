"""Papers with their authors, venues and terms."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch_geometric.data import HeteroData

_WIDTH = 16  # features


def generate_bibliography(
    num_papers: int,
    num_authors: int,
    num_venues: int,
    num_terms: int = 0,
    *,
    authors_each: tuple[int, int] = (1, 5),
    terms_each: int = 10,
    author_sigma: float = 1.0,
    venue_sigma: float = 0.8,
    term_sigma: float = 1.5,
    loyalty: float = 0.85,
    seed: int = 0,
) -> HeteroData:
    """Generates papers with their authors, venues and terms.

    Numbers of papers are skewed: authors, venues and terms are drawn by weights with a
    log-normal distribution. A paper has one venue, and an author belongs to one, at
    which most of the author's papers appear. The meta-paths of such a graph have up to
    thousands of times more edges than the graph.

    The edge types are `("paper", "to", "author")`, `("paper", "to", "venue")`,
    `("paper", "to", "term")` and their reverses. Papers and authors have 16 features
    that depend weakly on their class, the venue, and half of each are for training.

    Args:
        num_papers (int): Number of papers.
        num_authors (int): Number of authors.
        num_venues (int): Number of venues, the classes.
        num_terms (int): Number of terms; without any, papers have none.
        authors_each (tuple[int, int]): The smallest and the largest number of authors
            that are drawn for a paper. One that is drawn twice is one author.
        terms_each (int): Number of terms that are drawn for a paper.
        author_sigma (float): Standard deviation of the logarithm of the weight by
            which an author is drawn; 0 for equal weights.
        venue_sigma (float): That of a venue.
        term_sigma (float): That of a term.
        loyalty (float): Probability of drawing an author among those who belong to the
            venue of the paper, rather than among all; 0 for authors who are
            independent of venues.
        seed (int): Seed of the random numbers.

    Returns:
        HeteroData: The graph, without duplicate edges, sorted by paper.

    Raises:
        ValueError: If a number of nodes or of draws is too small.
    """
    counts = {"num_papers": num_papers, "num_authors": num_authors}
    counts |= {"num_venues": num_venues, "terms_each": terms_each}
    for name, value in counts.items():
        if value < 1:
            raise ValueError(f"'{name}' must be at least 1 (got {value})")
    if num_terms < 0:
        raise ValueError(f"'num_terms' must be at least 0 (got {num_terms})")
    least, most = authors_each
    if not 1 <= least <= most:
        raise ValueError(
            f"'authors_each' must be the smallest and the largest number, from 1 on "
            f"(got {authors_each!r})"
        )
    rng = np.random.default_rng(seed)
    venues = _ends(rng, num_venues, venue_sigma)
    venue, home = (_draw(rng, venues, n) for n in (num_papers, num_authors))
    paper = np.repeat(
        np.arange(num_papers), rng.integers(least, most, num_papers, endpoint=True)
    )
    author = _draw_at(rng, home, venue[paper], num_venues, author_sigma, loyalty)
    data = HeteroData()
    for name, label in (("paper", venue), ("author", home)):
        _describe(data[name], label, num_venues, seed)
    data["venue"].num_nodes = num_venues
    _connect(data, "author", _distinct(paper, author, num_authors))
    _connect(data, "venue", np.stack([np.arange(num_papers), venue]))
    if num_terms:
        data["term"].num_nodes = num_terms
        paper = np.repeat(np.arange(num_papers), terms_each)
        term = _draw(rng, _ends(rng, num_terms, term_sigma), paper.size)
        _connect(data, "term", _distinct(paper, term, num_terms))
    return data


def _ends(rng: np.random.Generator, number: int, sigma: float) -> NDArray[np.float64]:
    """Where the weight of each begins and ends, if they lie side by side."""
    weight = np.exp(sigma * rng.standard_normal(number))
    return np.concatenate([[0.0], np.cumsum(weight)])


def _at(ends: NDArray[np.float64], place: NDArray[np.float64]) -> NDArray[np.int64]:
    """Whose weights lie at some places."""
    return np.minimum(np.searchsorted(ends, place, side="right") - 1, ends.size - 2)


def _draw(
    rng: np.random.Generator, ends: NDArray[np.float64], count: int
) -> NDArray[np.int64]:
    """Draws numbers by their weights, which lie side by side."""
    return _at(ends, rng.random(count) * ends[-1])


def _draw_at(
    rng: np.random.Generator,
    home: NDArray[np.int64],
    venue: NDArray[np.int64],
    num_venues: int,
    sigma: float,
    loyalty: float,
) -> NDArray[np.int64]:
    """Draws an author for each of some venues, mostly of those at home there."""
    order = np.argsort(home, kind="stable")
    ends = _ends(rng, home.size, sigma)
    if loyalty == 0:
        return order[_draw(rng, ends, venue.size)]
    first = np.searchsorted(home[order], np.arange(num_venues + 1))
    low, high = ends[first[venue]], ends[first[venue + 1]]
    anywhere = (rng.random(venue.size) >= loyalty) | (low == high)
    low[anywhere], high[anywhere] = 0.0, ends[-1]
    return order[_at(ends, low + rng.random(venue.size) * (high - low))]


def _distinct(
    paper: NDArray[np.int64], other: NDArray[np.int64], number: int
) -> NDArray[np.int64]:
    """The edges to `number` other nodes, each once."""
    codes = paper * number + other
    codes.sort()
    codes = codes[np.concatenate([[True], codes[1:] != codes[:-1]])]
    return np.stack(np.divmod(codes, number))


def _connect(data: HeteroData, name: str, edges: NDArray[np.int64]) -> None:
    """Adds edges from papers to nodes of a type, and back."""
    edge_index = torch.from_numpy(edges)
    data["paper", "to", name].edge_index = edge_index
    data[name, "to", "paper"].edge_index = edge_index.flip(0)


def _describe(store: Any, label: NDArray[np.int64], number: int, seed: int) -> None:
    """Adds features, classes and masks to the nodes of a type."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.from_numpy(label)
    center = torch.randn(number, _WIDTH, generator=generator, device="cpu")
    x = torch.randn(y.numel(), _WIDTH, generator=generator, device="cpu")
    train = torch.rand(y.numel(), generator=generator, device="cpu") < 0.5
    store["x"], store["y"] = x.add_(center[y], alpha=0.5), y
    store["train_mask"], store["test_mask"] = train, ~train
