"""Attacks on pickles that `torch.load(weights_only=True)` lets through."""

import io
import pickle
import random
import zipfile

import torch
from attack.hags import KINDS, use
from torch_geometric.data import Data
from torch_geometric.nn import GCN

from pyg_hag import HAG, HAGData, HAGTransform, aggregate, to_hag
from pyg_hag.ops.qparams import QMAX
from pyg_hag.quantization import calibrate, convert

EXPECTED = (Exception,)  # anything but the end of the process


def saved(value):
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def load(data):
    return torch.load(io.BytesIO(data), weights_only=True)


def small_data():
    edge_index = KINDS["plain"].to_edge_index()
    return HAGTransform(objective="aggregations")(
        Data(x=torch.randn(11, 3), edge_index=edge_index)
    )


def int8_model():
    data = small_data()
    model = to_hag(GCN(3, 4, 2)).eval()
    arguments = data.x, data.hag
    return convert(calibrate(model, [arguments]), arguments), arguments


def members(data):
    """The files of an archive: each may be changed without the archive's own checks."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {info.filename: archive.read(info) for info in archive.infolist()}


def packed(files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def altered(files, rng):
    """The files, with a number, some bytes or the instructions changed."""
    files = dict(files)
    name = rng.choice([n for n in files if n.endswith("data.pkl") or "/data/" in n])
    data = bytearray(files[name])
    for _ in range(rng.randrange(1, 4)):
        if not data:
            break
        i = rng.randrange(len(data))
        if name.endswith("data.pkl"):
            data[i] = rng.randrange(256)
        else:
            i -= i % 8
            number = rng.choice([-1, 0, 1, 5, 2**30, 2**31, 2**62, rng.randrange(40)])
            data[i : i + 8] = number.to_bytes(8, "little", signed=True)[: len(data) - i]
    files[name] = bytes(data)
    return packed(files)


def changed_hags(count):
    rng = random.Random(2)
    good = [members(saved(hag)) for hag in KINDS.values()]
    loaded = 0
    for _ in range(int(count)):
        data = altered(rng.choice(good), rng)
        try:
            hag = load(data)
        except EXPECTED:
            continue
        loaded += 1
        if isinstance(hag, HAG):
            use(hag)
    print(f"loaded={loaded}")


def changed_data(count):
    """Data are stored as dictionaries, as data sets do."""
    rng = random.Random(3)
    good = members(saved(small_data().to_dict()))
    loaded = 0
    for _ in range(int(count)):
        try:
            hag = HAGData.from_dict(load(altered(good, rng))).hag
        except EXPECTED:
            continue
        loaded += 1
        use(hag)
    print(f"loaded={loaded}")


def changed_models(count):
    rng = random.Random(4)
    model, arguments = int8_model()
    good = members(saved(model.state_dict()))
    loaded = 0
    for _ in range(int(count)):
        try:
            model.load_state_dict(load(altered(good, rng)))
            loaded += 1
            model(*arguments)
        except EXPECTED:
            continue
    print(f"loaded={loaded}")


def forged_models():
    """Parameters of quantizers that are none are refused, whatever comes of others."""
    model, arguments = int8_model()
    good = model.state_dict()
    wrong = (
        *(
            (scale, 3, QMAX)
            for scale in (0.0, -1.0, float("nan"), float("inf"), 1, "1")
        ),
        *((0.1, zero_point, QMAX) for zero_point in (-1, QMAX + 1, 2**40, 1.5, None)),
        *((0.1, 3, qmax) for qmax in (0, 2, QMAX - 1, 2**40, float(QMAX), True)),
        (0.1, 3),
        (0.1, 3, QMAX, 4),
        "abc",
        [torch.tensor(0.1), 3, QMAX],
    )
    refused = loaded = 0
    for name, value in good.items():
        if not isinstance(value, torch.Tensor):
            for state in wrong:
                try:
                    model.load_state_dict(load(saved(good | {name: state})))
                except ValueError as error:
                    assert "scale" in str(error), error
                    refused += 1
                else:
                    raise AssertionError((name, state))
            continue
        nan = torch.full_like(value, -1).to(torch.float32) * torch.nan
        for other in (value[:-1], value[None], nan, value.flip(0), value.double()):
            try:
                model.load_state_dict(load(saved(good | {name: other})))
                loaded += 1
                model(*arguments)
            except EXPECTED:
                refused += 1
    print(f"loaded={loaded}\nrefused={refused}")


class _Forged:
    """Is pickled as a call of HAG with other arguments and another state."""

    def __init__(self, arguments, state):
        self.parts = HAG, arguments, state

    def __reduce__(self):
        return self.parts


def forged(arguments, state):
    buffer = io.BytesIO()
    torch.save(_Forged(arguments, state), buffer)
    return buffer.getvalue()


def states():
    """States that take the place of what the constructor has checked."""
    for kind in ("set", "sequential", "signed", "factors", "edge weights"):
        hag = KINDS[kind]
        arguments = (hag.num_src, *hag.tensors)
        for name in HAG.__annotations__ | vars(hag):
            for value in (
                torch.full_like(hag.src, 2**40),
                torch.empty(0, dtype=torch.long),
                2**31,
                -1,
                True,
                None,
                "text",
                {},
            ):
                yield arguments, {name: value}
        far = torch.full_like(hag.src, 2**30)
        yield arguments, {"src": far, "agg": far, "_num_src": 2**31, "host": None}
        yield arguments, {"decisions": ("a",)}
        yield arguments, {"decisions": (2**70, -1)}
        yield arguments, {"weights": (far, far, far, 1, 2)}
        yield arguments, {"weights": (far.float(), None, None, True, False)}
        yield arguments, {"_sequential": "yes"}
        yield arguments, {"_sequential": True}
        for i, tensor in enumerate(hag.tensors, 1):
            for wrong in (far, tensor.float(), tensor[:-1], tensor[None], None, 7):
                yield (*arguments[:i], wrong, *arguments[i + 1 :]), None
        for wrong in (-1, 0, 2**31, 2**70, 1.5, "1", None):
            yield (wrong, *arguments[1:]), None


def forged_states():
    """Whatever comes out is a HAG that can be used, and equals one that was checked."""
    loaded = refused = 0
    for arguments, state in states():
        try:
            hag = load(forged(arguments, state))
        except EXPECTED:
            refused += 1
            continue
        loaded += 1
        HAG(hag.num_src, *hag.tensors, sequential=hag.is_sequential)
        assert all(type(code) is int for code in hag.decisions)
        use(hag)
    print(f"loaded={loaded}\nrefused={refused}")


def rewritten_tensors():
    """Tensors change after a HAG was made of them, as `set_` in a pickle may do."""
    hag, x = KINDS["set"], torch.ones(11, 3)
    for i in range(len(hag.tensors)):
        given = [t.clone() for t in hag.tensors]
        held = HAG(hag.num_src, *given)
        given[i].fill_(2**40)  # the caller's
        assert held == hag
        use(held)
    for i, tensor in enumerate(hag.tensors):
        if tensor.numel() == 0:
            continue
        held = HAG(hag.num_src, *hag.tensors)
        planned = HAG(hag.num_src, *hag.tensors)
        wanted = aggregate(x, planned)
        for changed in (held, planned):
            changed.tensors[i].fill_(2**40)  # what nobody should do
        assert torch.equal(aggregate(x, planned), wanted)
        for attempt in (
            lambda held=held: aggregate(x, held),
            held.to_edge_index,
            held.validate,
            held.t,
            lambda held=held: held.stats,
        ):
            try:
                attempt()
            except RuntimeError as error:
                assert "changed in place" in str(error)
            else:
                raise AssertionError("no error")
    print("refused=all")


def stored_cache():
    """A pickle of data may hold what is kept on them in memory."""
    data, other = small_data(), KINDS["signed"]
    wanted = data.hag
    data.__dict__["_hag_cache"]["hag"] = other
    HAGData.__getstate__ = lambda self: self.__dict__  # that of a stranger
    found = pickle.loads(pickle.dumps(data))
    assert isinstance(found, HAGData) and "_hag_cache" not in found.__dict__
    assert found.hag == wanted
    print("refused=1")
