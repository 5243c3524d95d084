from pathlib import Path

from torch_geometric.nn import conv

from pyg_hag._table import markdown_table
from pyg_hag.nn._support import _CONTAINERS, _LIMITS, _WHY, conv_table
from pyg_hag.nn.conv._shared import SHARED

DOCS = Path(__file__).parents[2] / "docs" / "layers.md"


def test_the_table_in_the_docs_is_that_of_pyg():
    """To renew it, put there what `conv_table` returns."""
    assert markdown_table(conv_table()) in DOCS.read_text()


def test_every_layer_of_pyg_is_in_one_class():
    shared = {cls.__name__ for cls in SHARED} - {*_CONTAINERS}
    assert not shared & {*_WHY} and {*_LIMITS} <= shared
    others = {"MessagePassing", "LabelPropagation"}
    assert {*conv.__all__} - others == {*_WHY, *_CONTAINERS, *shared} - others
