"""Attacks on files: changed bytes, truncated files, and disks that are full."""

import random
import resource
import signal
from pathlib import Path

import matplotlib
import numpy as np
import torch
from attack.hags import KINDS

from pyg_hag import HAG, analyze, plot_savings
from pyg_hag.benchmark._report import write_csv
from pyg_hag.cost import DEFAULT_COST
from pyg_hag.utils.figures import save_figure

matplotlib.use("Agg")


def judge(path, wanted):
    """Whether a file is refused; if not, it must hold the same HAG."""
    try:
        found = HAG.load(path)
    except ValueError as error:
        assert str(path) in str(error), error
        return True
    assert found == wanted and found.decisions == wanted.decisions
    return False


def single_bytes(folder, share, *kinds):
    """Every byte of a file takes some other values; or of a share of the bytes."""
    path = Path(folder) / "a.hag"
    counts = [0, 0]
    for kind in kinds:
        KINDS[kind].save(path)
        _change_single_bytes(path, path.read_bytes(), KINDS[kind], share, counts)


def old_single_bytes(folder, share, *files):
    """The same of files without a checksum."""
    counts = [0, 0]
    for file in map(Path, files):
        path = Path(folder) / file.name
        _change_single_bytes(path, file.read_bytes(), HAG.load(file), share, counts)


def _change_single_bytes(path, good, wanted, share, counts):
    rng = random.Random(len(good))
    path.write_bytes(good)
    assert not judge(path, wanted)
    for i in range(len(good)):
        if rng.random() >= float(share):
            continue
        values = {good[i] ^ 1 << bit for bit in range(8)} | {0, 255, good[i] - 1 & 255}
        for value in values - {good[i]}:
            path.write_bytes(good[:i] + bytes([value]) + good[i + 1 :])
            counts[judge(path, wanted)] += 1
    print(f"same={counts[0]}\nrefused={counts[1]}")


def rewritten_members(folder):
    """Numbers of the arrays change, and arrays go, in archives that are whole."""
    path = Path(folder) / "a.hag"
    for hag in KINDS.values():
        hag.save(path)
        with np.load(path) as file:
            arrays = dict(file)
        for name, array in arrays.items():
            others = [arrays | {name: _plus_one(array, i)} for i in range(array.size)]
            others.append({n: a for n, a in arrays.items() if n != name})
            for other in others:
                with path.open("wb") as file:
                    np.savez(file, **other)
                assert judge(path, hag), name
    print("refused=all")


def _plus_one(array, i):
    changed = array.copy()
    changed.flat[i] += 1
    return changed


def random_changes(folder, count):
    """Several bytes at once, cuts, and pieces that are moved or repeated."""
    path, rng = Path(folder) / "a.hag", random.Random(1)
    good = {}
    for kind, hag in KINDS.items():
        hag.save(path)
        good[kind] = path.read_bytes()
    counts = [0, 0]
    for _ in range(int(count)):
        kind = rng.choice([*good])
        data = bytearray(good[kind])
        for _ in range(rng.randrange(1, 5)):
            i, j = sorted(rng.randrange(len(data) + 1) for _ in range(2))
            j = min(j, i + 64)
            action = rng.randrange(5)
            if action == 0:
                del data[i:j]
            elif action == 1:
                data[i:i] = data[i:j]
            elif action == 2:
                del data[i:]
            else:
                data[i:j] = rng.randbytes(j - i)
            if not data:
                break
        path.write_bytes(data)
        counts[judge(path, KINDS[kind])] += 1
    print(f"same={counts[0]}\nrefused={counts[1]}")


def full_disk(folder):
    """A disk that becomes full leaves the old file, and no other."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    big = HAG.load(_file(folder, "first", KINDS["set"].save))
    rows = [{"a": i} for i in range(2000)]
    analysis = analyze(torch.randint(50, (2, 400)), (50, 50), (16,))
    figure = plot_savings(analysis).figure
    writers = {
        "x.hag": big.save,
        "x.json": DEFAULT_COST.save,
        "x.csv": lambda path: write_csv(path, rows),
        "x.png": lambda path: save_figure(figure, path, 100),
    }
    (Path(folder) / "first").unlink()
    for name, write in writers.items():
        path = Path(folder) / name
        path.write_text("old")
        write(path)
        whole = path.stat().st_size
        for limit in (0, 1, whole // 2, whole - 1):
            path.write_text("old")
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
            try:
                write(path)
                print(f"{name}=written")
            except OSError as error:
                assert error.errno is not None or str(error)
            finally:
                unlimited = (resource.RLIM_INFINITY,) * 2
                resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
            assert path.read_text() == "old", (name, limit)
            assert {p.name for p in Path(folder).iterdir()} <= {*writers}
    print("kept=all")


def _file(folder, name, write):
    path = Path(folder) / name
    write(path)
    return path
