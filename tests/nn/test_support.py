from pathlib import Path

from torch_geometric.nn import conv

from pyg_hag.nn.layer_table import (
    CONTAINERS,
    LIMITS,
    MIXINS,
    UNSUPPORTED,
    conv_table,
)
from pyg_hag.utils.tables import markdown_table

DOCS = Path(__file__).parents[2] / "docs" / "layers.md"


def test_the_table_in_the_docs_is_that_of_pyg():
    """To update the docs, paste the result of `conv_table`."""
    assert markdown_table(conv_table()) in DOCS.read_text()


def test_every_layer_of_pyg_is_in_one_class():
    supported = {cls.__name__ for cls in MIXINS} - {*CONTAINERS}
    assert not supported & {*UNSUPPORTED} and {*LIMITS} <= supported
    others = {"MessagePassing", "LabelPropagation"}
    assert {*conv.__all__} - others == {*UNSUPPORTED, *CONTAINERS, *supported} - others
