import io
import os
import re
import zipfile

import numpy as np
import pytest
from graphs import (
    ODD_GRAPHS,
    clique,
    edge_index_of,
    fewest_hag,
    signed_hag,
    tiny_graph,
)
from numpy.lib import format as npy

from pyg_hag import HAG
from pyg_hag.hag import FIELDS


def build(graph):
    edge_index, size = graph
    return fewest_hag(edge_index, size=size)


SMALL = build(ODD_GRAPHS["equal rows"])


@pytest.fixture
def path(tmp_path):
    return tmp_path / "small.hag"


def refused(path, match=""):
    """Loading is a ValueError that names the path and, somewhere, `match`."""
    return pytest.raises(ValueError, match=f"{re.escape(str(path))}.*{match}")


def npy_bytes(array, **header):
    """The array as a .npy file, whose header may claim something else."""
    buffer = io.BytesIO()
    npy.write_array_header_1_0(
        buffer, {**npy.header_data_from_array_1_0(array), **header}
    )
    return buffer.getvalue() + array.tobytes()


def npy_with_header(header):
    """A .npy file of SMALL's sources with a header of this text."""
    data = SMALL.src.numpy().tobytes()
    text = header.encode()
    return b"\x93NUMPY\1\0" + len(text).to_bytes(2, "little") + text + data


def members(**changes):
    """The members of SMALL's file as bytes, some changed (an array or bytes)."""
    arrays = {"format": np.array([1]), "num_src": np.array([SMALL.num_src])}
    arrays |= {name: getattr(SMALL, name).numpy() for name in FIELDS}
    return {
        name: value if isinstance(value, bytes) else npy_bytes(np.asarray(value))
        for name, value in {**arrays, **changes}.items()
    }


def write(path, contents, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in contents.items():
            archive.writestr(f"{name}.npy", data)


# What was saved ###############################################################


@pytest.mark.parametrize("graph", ODD_GRAPHS.values(), ids=ODD_GRAPHS)
def test_round_trip(graph, path):
    hag = build(graph)
    for saved in (hag, hag.t()):
        saved.save(path)
        loaded = HAG.load(path)
        assert loaded == saved
        assert loaded.t() == saved.t()
    assert HAG.load(path).t() == hag
    os.remove(path)  # nothing keeps it open


def test_round_trip_of_a_signed_hag(path):
    hag = signed_hag(edge_index_of(clique(range(6))))
    hag.save(path)
    assert HAG.load(path).is_signed
    assert HAG.load(path) == hag
    with np.load(path) as arrays:
        assert arrays["src_minus"].sum() == 6


def test_round_trip_of_many_graphs(path):
    for seed in range(50):
        edge_index, size = tiny_graph(seed)
        build((edge_index, size)).save(str(path))
        HAG.load(str(path)).validate(edge_index)


def test_what_is_loaded_can_be_written_to(path):
    SMALL.save(path)
    loaded = HAG.load(path)
    loaded.src.add_(1).sub_(1)  # a tensor of read-only memory would warn
    assert loaded == SMALL


def test_the_file_is_plain_arrays(path):
    SMALL.save(path)
    with np.load(path, allow_pickle=False) as arrays:
        others = "checksum", "decisions", "format", "num_src"
        assert sorted(arrays) == sorted([*others, *FIELDS])
        for name in FIELDS:
            assert arrays[name].tolist() == getattr(SMALL, name).tolist()


def test_members_written_here_are_those_of_a_file(path):
    write(path, members())
    assert HAG.load(path) == SMALL


# What was damaged #############################################################


def test_missing_file(path):
    with pytest.raises(FileNotFoundError, match=re.escape(str(path))):
        HAG.load(path)


def test_a_folder(tmp_path):
    with refused(tmp_path):
        HAG.load(tmp_path)


@pytest.mark.parametrize("size", [0, 1, 21, 22, 100, 5000])
def test_bytes_that_are_no_zip(size, path):
    for data in (bytes(size), np.random.default_rng(size).bytes(size)):
        path.write_bytes(data)
        with refused(path):
            HAG.load(path)


def test_truncated_file(path):
    SMALL.save(path)
    data = path.read_bytes()
    for size in {*range(0, len(data), 64), len(data) - 1}:
        path.write_bytes(data[:size])
        with refused(path):
            HAG.load(path)


@pytest.mark.at_most(1)
@pytest.mark.parametrize("mask", [0x01, 0xFF])
def test_a_changed_byte_is_noticed_or_does_no_harm(mask, path):
    SMALL.save(path)
    data = path.read_bytes()
    noticed = 0
    for i in range(len(data)):
        path.write_bytes(data[:i] + bytes([data[i] ^ mask]) + data[i + 1 :])
        try:
            assert HAG.load(path) == SMALL
        except ValueError as error:
            assert str(path) in str(error)
            noticed += 1
    assert noticed > len(data) / 2


# What was forged ##############################################################

HEADER = "{'descr': '<i8', 'fortran_order': False, 'shape': (3,), }".ljust(117) + "\n"
BAD_HEADERS = {
    "empty": "",
    "cut": HEADER[:30],
    "unclosed": HEADER.replace("}", ""),
    "unclosed string": HEADER.replace("'shape'", "'shape"),
    "unclosed triple quotes": "'''" + HEADER,
    "null byte": HEADER.replace("3", "\0"),
    "not ASCII": HEADER.replace("3", "\u0663"),
    "a call": HEADER.replace("(3,)", "tuple([3])"),
    "keys of two types": HEADER.replace("'shape'", "b'shape'"),
    "key twice": HEADER.replace("'descr'", "'shape'"),
    "key too many": HEADER.replace("}", "'more': 1}"),
    "long integer of Python 2": HEADER.replace("3", "3L"),
    "nested parentheses": "(" * 5000 + HEADER,
    "nested signs": HEADER.replace("3", "-" * 5000 + "3"),
    "longer than allowed": HEADER + " " * 20000,
}
BAD_MEMBERS = {
    "float64": {"src": np.zeros(SMALL.src.numel())},
    "int32": {"src": SMALL.src.int().numpy()},
    "uint64": {"agg": SMALL.agg.numpy().view(np.uint64)},
    "big-endian": {"dst": SMALL.dst.numpy().astype(">i8")},
    "2-D": {"src": SMALL.src.numpy()[None]},
    "0-D": {"num_src": SMALL.num_src},
    "0-D format": {"format": 1},
    "structured": {"src": SMALL.src.numpy().view([("a", "<i8")])},
    "too long": {"src": npy_bytes(SMALL.src.numpy()) + bytes(8)},
    "odd length": {"src": npy_bytes(SMALL.src.numpy())[:-1]},
    "no data": {"src": npy_bytes(SMALL.src.numpy()[:0], shape=(7,))},
    "empty": {"src": b""},
    "no array": {"src": b"PK\3\4" * 50},
    "huge shape": {"src": npy_bytes(SMALL.src.numpy(), shape=(2**60,))},
    "shape that wraps": {"src": npy_bytes(SMALL.src.numpy(), shape=(2**64 + 3,))},
    "negative shape": {"src": npy_bytes(SMALL.src.numpy(), shape=(-1,))},
    "no shape": {"src": npy_bytes(SMALL.src.numpy(), shape=())},
    "shape of no number": {"src": npy_bytes(SMALL.src.numpy(), shape=("3",))},
    "unknown dtype": {"src": npy_bytes(SMALL.src.numpy(), descr="what")},
    "deep header": {"src": npy_bytes(SMALL.src.numpy(), descr="(" * 900)},
    "array version": {"src": b"\x93NUMPY\x02" + npy_bytes(SMALL.src.numpy())[7:]},
    "no num_src": {"num_src": np.array([], np.int64)},
    "two num_src": {"num_src": np.array([7, 7])},
    "negative num_src": {"num_src": np.array([-1])},
    "huge num_src": {"num_src": np.array([2**31])},
    "astronomic num_src": {"num_src": np.array([2**62])},
    "too few sources": {"num_src": np.array([1])},
    "no format": {"format": np.array([], np.int64)},
    "two formats": {"format": np.array([1, 1])},
    "source out of range": {"src": np.array([1, 3, 7])},
    "negative source": {"src": np.array([1, 3, -4])},
    "aggregate out of range": {"agg": np.array([0, 0, 0, 1])},
    "destination out of range": {"dst": np.array([0, 2, 5, 6, 1, 3, 9])},
    "count out of range": {"src_count": np.array([2**62, 0, 0, 0, 0, 0, 0, 0])},
    "no groups": {"group_aggs": np.array([], np.int64)},
    "one group less": {"group_dsts": np.array([4])},
    "one group more": {"group_dsts": np.array([4, 3, 5])},
    "one row less": {"agg_count": SMALL.agg_count.numpy()[:-1]},
    "one row more": {"agg_count": np.append(SMALL.agg_count.numpy(), 0)},
}


@pytest.mark.parametrize("changes", BAD_MEMBERS.values(), ids=BAD_MEMBERS)
def test_members_that_are_no_hag(changes, path):
    assert set(changes) <= set(members())
    write(path, members(**changes))
    with refused(path):
        HAG.load(path)


@pytest.mark.parametrize("header", BAD_HEADERS.values(), ids=BAD_HEADERS)
def test_headers_that_are_none(header, path):
    assert npy_with_header(HEADER) == members()["src"]
    write(path, members(src=npy_with_header(header)))
    with refused(path):
        HAG.load(path)


@pytest.mark.parametrize("name", ["format", "num_src", *FIELDS])
def test_wrong_members(name, path):
    missing = members()
    del missing[name]
    write(path, missing)
    with refused(path, f"must hold.*{name}.npy"):
        HAG.load(path)
    write(path, {**missing, f"{name}2": members()[name]})
    with refused(path, "must hold"):
        HAG.load(path)
    write(path, members(another=np.array([1])))
    with refused(path, "must hold"):
        HAG.load(path)


def test_a_member_twice(path):
    write(path, members())
    with zipfile.ZipFile(path, "a") as archive:
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("src.npy", members()["src"])
    with refused(path, "must hold"):
        HAG.load(path)


@pytest.mark.parametrize(
    "compression", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
)
def test_a_compressed_file(compression, path):
    write(path, members(), compression)
    with refused(path, "compressed"):
        HAG.load(path)


@pytest.mark.parametrize("version", [0, 3, -1, 2**62])
def test_another_format(version, path):
    write(path, members(format=np.array([version])))
    with refused(path, rf"format {version}, .* reads formats 1 to 2"):
        HAG.load(path)


def test_a_later_format_may_have_other_members(path):
    write(path, members(format=np.array([3]), more=np.array([1.5])))
    with refused(path, r"format 3, .* reads formats 1 to 2"):
        HAG.load(path)


class _Payload:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("name", ["format", "num_src", *FIELDS])
def test_nothing_in_the_file_is_executed(name, path, tmp_path):
    buffer = io.BytesIO()
    np.save(buffer, np.array([_Payload(tmp_path / "run")]), allow_pickle=True)
    write(path, members(**{name: buffer.getvalue()}))
    with refused(path, "int64"):
        HAG.load(path)
    assert not (tmp_path / "run").exists()
    with np.load(path, allow_pickle=True) as arrays:  # the payload does work:
        arrays[name]
    assert (tmp_path / "run").exists()
