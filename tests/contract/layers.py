"""What the contract says of layers."""

import copy
import pickle

import pytest
import torch
from graphs import (
    FewestTransform,
    fewest_hag,
    signed_hag,
)
from torch_geometric.data import Batch, Data

from contract.cases import (
    SQUARE,
    assert_close,
    each_telling_graph,
    each_telling_square_graph,
)
from pyg_hag.nn.layer_classes import hag_layer_class


class ConvContract:
    """A layer of ours is PyG's layer, on a HAG as well as on an edge_index."""

    reference: type
    conv: type
    variants: tuple = ({},)
    bipartite = False
    compiles = True
    matrices_only = False

    def build(self, edge_index, *args, **kwargs):
        """The HAG to run on."""
        return fewest_hag(edge_index, *args, **kwargs)

    def transform(self, data):
        return FewestTransform()(data)

    def make(self, cls, options):
        return cls(8, 6, **options)

    def pair(self, options):
        """PyG's layer and ours with the same parameters, loaded both ways."""
        theirs, ours = (self.make(c, options) for c in (self.reference, self.conv))
        assert list(theirs.state_dict()) == list(ours.state_dict())
        ours.load_state_dict(theirs.state_dict())
        theirs.load_state_dict(ours.state_dict())
        return theirs, ours

    def call(self, layer, x, graph):
        return layer(x, graph)

    def kernels(self, hag):
        """What computes the layer."""
        return {"numba"}

    def compiled(self, layer, x, hag):
        return torch.compile(layer, backend="aot_eager", fullgraph=True)

    def compare(self, theirs, ours, inputs, edge_index, hag):
        results = []
        for layer, graph in ((theirs, edge_index), (ours, hag)):
            layer.zero_grad()
            leaves = [t if t is None else t.clone().requires_grad_() for t in inputs]
            x = tuple(leaves) if len(leaves) > 1 else leaves[0]
            out = self.call(layer, x, graph)
            torch.manual_seed(7)
            out.backward(torch.randn_like(out))
            grads = [t.grad for t in leaves if t is not None]
            results.append([out, *grads, *(p.grad for p in layer.parameters())])
        for wanted, got in zip(*results, strict=True):
            assert (wanted is None) == (got is None)
            if wanted is not None:
                assert_close(got, wanted)

    @classmethod
    def can_run(cls, test, known):
        """Whether a test applies to PyG's layer."""
        if test == "test_bipartite":
            return cls.bipartite and "flow" not in known["options"]
        if test == "test_more_dimensions":
            return not cls.matrices_only
        return cls.compiles or test != "test_torch_compile"

    @each_telling_square_graph
    def test_forward_and_backward(self, graph, options, ran):
        edge_index, (n, _) = graph
        theirs, ours = self.pair(options)
        hag = self.build(edge_index, n)
        self.compare(theirs, ours, [torch.randn(n, 8)], edge_index, hag)
        assert set(ran) == self.kernels(hag)

    @each_telling_graph
    def test_bipartite(self, graph, options):
        edge_index, size = graph
        theirs, ours = self.pair(options)
        hag = self.build(edge_index, size=size)
        x = [torch.randn(n, 8) for n in size]
        self.compare(theirs, ours, x, edge_index, hag)

    def test_edge_index_still_works(self, options):
        edge_index, (n, _) = SQUARE["dense"]
        theirs, ours = self.pair(options)
        x = torch.randn(n, 8)
        wanted = self.call(theirs, x, edge_index)
        assert torch.equal(wanted, self.call(ours, x, edge_index))

    def test_batch_of_graphs(self, options):
        graphs = [
            SQUARE[name] for name in ("dense", "one node without edges", "clique")
        ]
        batch = Batch.from_data_list(
            [
                self.transform(Data(torch.randn(n, 8), edge_index))
                for edge_index, (n, _) in graphs
            ]
        )
        theirs, ours = self.pair(options)
        self.compare(theirs, ours, [batch.x], batch.edge_index, batch.hag)

    def test_more_dimensions(self, options):
        edge_index, (n, _) = SQUARE["dense"]
        theirs, ours = self.pair(options)
        x = torch.randn(3, n, 8)
        try:
            wanted = self.call(theirs, x, edge_index)
        except (RuntimeError, IndexError):  # PyG's layer takes matrices
            return
        assert_close(self.call(ours, x, self.build(edge_index, n)), wanted)

    @pytest.mark.at_most(4)
    def test_torch_compile(self, options):
        edge_index, (n, _) = SQUARE["near-cliques"]  # of which signed HAGs subtract
        theirs, ours = self.pair(options)
        x = torch.randn(n, 8)
        torch._dynamo.reset()
        hag = self.build(edge_index, n)
        assert hag.is_signed == isinstance(self, SignedConvContract)
        compiled = self.compiled(ours, x, hag)
        assert_close(self.call(compiled, x, hag), self.call(theirs, x, edge_index))

    def test_copies(self, options):
        edge_index, (n, _) = SQUARE["dense"]
        _, ours = self.pair(options)
        x, hag = torch.randn(n, 8), self.build(edge_index, n)
        for other in (copy.deepcopy(ours), pickle.loads(pickle.dumps(ours))):
            assert torch.equal(self.call(ours, x, hag), self.call(other, x, hag))

    @pytest.mark.each_value
    def test_subclass_that_changes_the_message_is_refused(self, options):
        class Doubled(self.conv):
            def message(self, x_j):
                return 2 * x_j

        edge_index, (n, _) = SQUARE["clique"]
        layer = self.make(Doubled, {**options})
        with pytest.raises(ValueError, match="'Doubled' overrides 'message'"):
            self.call(layer, torch.randn(n, 8), self.build(edge_index, n))

    @pytest.mark.each_value
    def test_subclass_works(self, options):
        # PyG keeps what it compiles under the name of the class.
        Named = type(f"Named{self.conv.__name__}", (self.conv,), {})
        edge_index, (n, _) = SQUARE["dense"]
        theirs, ours = self.pair(options)
        named = self.make(Named, options)
        named.load_state_dict(ours.state_dict())
        x = torch.randn(n, 8)
        wanted = self.call(theirs, x, edge_index)
        assert_close(self.call(named, x, self.build(edge_index, n)), wanted)
        assert torch.equal(self.call(named, x, edge_index), wanted)

    def test_hag_of_another_size_is_refused(self, options):
        _, ours = self.pair(options)
        with pytest.raises(ValueError, match="the HAG has 7"):
            hag = self.build(*SQUARE["clique"][:1], num_nodes=7)
            self.call(ours, torch.randn(9, 8), hag)

    def test_hooks_and_explanations_are_refused(self, options):
        edge_index, (n, _) = SQUARE["clique"]
        x, hag = torch.randn(n, 8), self.build(edge_index, n)
        _, ours = self.pair(options)
        handle = ours.register_message_forward_pre_hook(lambda module, inputs: None)
        with pytest.raises(ValueError, match="hooks"):
            self.call(ours, x, hag)
        handle.remove()
        wanted = self.call(ours, x, hag)
        ours.explain = True
        with pytest.raises(ValueError, match="explained"):
            self.call(ours, x, hag)
        ours.explain = False
        assert torch.equal(self.call(ours, x, hag), wanted)


class Converted(ConvContract):
    """A layer of the class that `to_hag` makes."""

    arguments: tuple = (8, 6)

    def __init_subclass__(cls):
        super().__init_subclass__()
        if "reference" in cls.__dict__:
            cls.conv = hag_layer_class(cls.reference)

    def make(self, cls, options):
        return cls(*self.arguments, **options)


class SignedConvContract(ConvContract):
    """The same on HAGs that subtract."""

    def build(self, edge_index, *args, **kwargs):
        return signed_hag(edge_index, *args, **kwargs)

    def transform(self, data):
        return FewestTransform(subtract=True)(data)
