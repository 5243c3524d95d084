"""Random graphs, by kind."""


def _pairs(rng, num_src, num_dst, number):
    ends = [(rng.randrange(num_src), rng.randrange(num_dst)) for _ in range(number)]
    return ends, (num_src, num_dst)


def _cliques(rng):
    edges, n = [], 0
    for _ in range(rng.choice([1, 2, 3])):
        size = rng.randrange(3, 7)
        closed = rng.random() < 0.3
        nodes = range(n, n + size)
        edges += [(u, v) for u in nodes for v in nodes if closed or u != v]
        n += size
    edges += [(rng.randrange(n), rng.randrange(n)) for _ in range(rng.choice([0, 3]))]
    rng.shuffle(edges)
    return edges, (n, n)


def _biclique(rng):
    a, b = rng.randrange(2, 6), rng.randrange(2, 6)
    return [(u, a + v) for u in range(a) for v in range(b)], (a + b, a + b)


def _bipartite(rng):
    a, b = rng.randrange(1, 7), rng.randrange(1, 7)
    edges = [(u, v) for u in range(a) for v in range(b) if rng.random() < 0.8]
    return edges, (a, b)


GRAPHS = {
    "no nodes": lambda rng: ([], (0, 0)),
    "one node": lambda rng: ([(0, 0)] * rng.choice([0, 1, 2]), (1, 1)),
    "no edges": lambda rng: ([], (4, 4)),
    "random": lambda rng: _pairs(rng, *[rng.randrange(2, 12)] * 2, rng.randrange(40)),
    "dense": lambda rng: _pairs(rng, 5, 5, 60),
    "cliques": _cliques,
    "more cliques": _cliques,
    "star": lambda rng: ([(v, 0) for v in range(1, 6)], (7, 7)),
    "biclique": _biclique,
    "bipartite": _bipartite,
}
"""Edges and `(num_src, num_dst)`, by the kind of graph."""
