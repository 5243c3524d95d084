"""Graphs of people in groups, and of authors at venues."""

import numpy as np
import torch
from torch_geometric.data import Batch, Data

_GROUPS = ((3, 8, 20), (5, 4, 14))  # number, smallest and largest, of each class
_LARGE_GROUPS = ((2, 25, 60), (4, 15, 30))  # as dense as COLLAB


def generate_ego_networks(
    num_graphs: int, seed: int = 0, large: bool = False
) -> list[Data]:
    """Generates ego networks: groups of people who all know each other, and an ego.

    They replace collaboration data sets where these cannot be downloaded. Node 0 knows
    everyone; each of the others belongs to one of several groups, a few to two. Graphs
    of class 0 have fewer and larger groups than those of class 1.

    Args:
        num_graphs (int): Number of graphs.
        seed (int): Seed of the random numbers.
        large (bool): Whether they are as large and dense as those of COLLAB, rather
            than those of IMDB-BINARY.
    """
    rng = np.random.default_rng(seed)
    graphs = []
    for i in range(num_graphs):
        label = i % 2
        count, smallest, largest = (_LARGE_GROUPS if large else _GROUPS)[label]
        sizes = rng.integers(smallest, largest, count, endpoint=True)
        group = np.repeat(np.arange(count), sizes)
        member = group[:, None] == np.arange(count)
        guests = rng.random(group.size) < 0.1
        member[guests, rng.integers(0, count, int(guests.sum()))] = True
        known = member @ member.T
        adjacency = np.ones((group.size + 1, group.size + 1), np.bool_)
        adjacency[1:, 1:] = known
        np.fill_diagonal(adjacency, False)
        edge_index = torch.from_numpy(np.stack(adjacency.nonzero()))
        graphs.append(Data(edge_index=edge_index, num_nodes=group.size + 1, y=label))
    return graphs


def generate_social_graph(num_graphs: int, seed: int = 0) -> Data:
    """Generates one graph of ego networks, with node classes and noisy features.

    The class of a node is that of its ego network. There are 16 features, two of which
    depend weakly on the class. Half of the nodes are for training.
    """
    batch = Batch.from_data_list(generate_ego_networks(num_graphs, seed))
    generator = torch.Generator().manual_seed(seed)
    y = batch.y[batch.batch]
    x = torch.randn(y.numel(), 16, generator=generator, device="cpu")
    x[:, :2] += 0.5 * torch.nn.functional.one_hot(y, 2)
    train = torch.rand(y.numel(), generator=generator, device="cpu") < 0.5
    return Data(
        x=x, edge_index=batch.edge_index, y=y, train_mask=train, test_mask=~train
    )


def generate_meta_path(num_nodes: int, num_venues: int = 20, seed: int = 0) -> Data:
    """Generates the graph of a meta-path: authors who publish at the same venue.

    Most authors have one venue, some two; venues differ in size. A third of all pairs
    are edges, as in author-paper-conference-paper-author of DBLP. The class of a node
    is that of its venue; two of its 16 features depend weakly on it.

    Args:
        num_nodes (int): Number of authors.
        num_venues (int): Number of venues.
        seed (int): Seed of the random numbers.
    """
    rng = np.random.default_rng(seed)
    size = 1 / np.arange(1, num_venues + 1) ** 1.5
    first, second = rng.choice(num_venues, (2, num_nodes), p=size / size.sum())
    member = first[:, None] == np.arange(num_venues)
    guests = rng.random(num_nodes) < 0.2
    member[guests, second[guests]] = True
    edge_index = torch.from_numpy(np.stack((member @ member.T).nonzero()))
    y = torch.from_numpy(first % 2)
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(num_nodes, 16, generator=generator, device="cpu")
    x[:, :2] += 0.5 * torch.nn.functional.one_hot(y, 2)
    return Data(x=x, edge_index=edge_index, y=y)
