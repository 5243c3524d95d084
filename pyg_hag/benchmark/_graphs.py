"""The graphs to measure: those that were named, or that are there."""

from collections.abc import Iterable

from torch import Tensor
from torch_geometric.data import Data

from pyg_hag.benchmark._benchmark import Settings
from pyg_hag.datasets import (
    GENERATED,
    GENERATED_SMALL,
    as_one_graph,
    find_root,
    is_there,
    load_graphs,
)

WIDTHS = [16, 64, 128, 256, 512]
GRAPHS = [
    *("MUTAG", "BZR", "BZR_MD", "ENZYMES", "PROTEINS", "IMDB-BINARY", "IMDB-MULTI"),
    *("REDDIT-BINARY", "COLLAB", "Cora", "CS", "Photo", "Computers", "cornell5"),
    *("ego-Facebook", "ca-AstroPh", "email-Enron", "Gowalla_bip", "HeCo_DBLP_APCPA"),
    *("cnr-2000", "products"),
]
"""The default graphs; those that are not in the data folder are left out."""
QUICK = ["ego-networks", "communities"]
"""The graphs of `--quick`, which are generated."""
WAYS_OUT = (
    "name its folder by --root or $PYG_HAG_DATA, or measure generated graphs by --quick"
)


def graph_names(settings: Settings, default: Iterable[str] | None = None) -> list[str]:
    """The graphs that were named, or the default ones that are there.

    Raises:
        ValueError: If there are none.
    """
    if settings.graphs:
        return [*settings.graphs]
    if settings.quick:
        return QUICK
    wanted = [*(GRAPHS if default is None else default)]
    names = [name for name in wanted if is_available(name, settings)]
    if not names:
        raise ValueError(
            f"none of the data sets ({', '.join(wanted)}) is in "
            f"'{find_root(settings.root)}': {WAYS_OUT}"
        )
    return names


def is_available(name: str, settings: Settings) -> bool:
    """Whether a graph is generated or in the folder of data sets."""
    generated = name in GENERATED or name in GENERATED_SMALL
    return generated or is_there(name, settings.root)


def load(name: str, settings: Settings) -> list[Data]:
    """The graphs of a data set.

    Raises:
        ValueError: If they are not in the folder and cannot be downloaded.
    """
    try:
        return load_graphs(name, settings.root)
    except Exception as error:  # of any library that reads or downloads
        reason = " ".join(str(error).split()) or type(error).__name__
        if isinstance(error, ValueError) and "'root'" in reason:
            raise
        raise ValueError(
            f"cannot read data set '{name}' in '{find_root(settings.root)}', nor "
            f"download it ({reason}): {WAYS_OUT}"
        ) from error


def load_one(name: str, settings: Settings) -> tuple[Tensor, int]:
    """The edges and the number of nodes of all graphs side by side."""
    return as_one_graph(load(name, settings))
