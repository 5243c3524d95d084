import numpy as np
import pytest
from graphs import clique, edge_index_of


@pytest.fixture
def root(tmp_path):
    """A folder of data sets with one clique of 30 nodes."""
    (tmp_path / "clique" / "raw").mkdir(parents=True)
    edges = edge_index_of(clique(range(30))).numpy()
    np.savez(tmp_path / "clique" / "raw" / "clique.npz", edge_index=edges)
    return tmp_path
