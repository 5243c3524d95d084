"""Attacks by signals, threads and forks."""

import faulthandler
import os
import pickle
import random
import signal
import tempfile
import threading
import time

import numpy as np
import torch
from graphs import random_graph
from torch_geometric.data import Data
from torch_geometric.loader import DataLoader

from pyg_hag import HAG, HAGTransform, aggregate, build_hag

SEARCHES = {
    "time": {},
    "aggregations": {"objective": "aggregations"},
    "greedy": {"objective": "aggregations", "method": "greedy"},
    "subtract": {"subtract": True},
    "sequential": {"order": "sequential"},
    "shared": {"order": "sequential", "neighbor_order": "shared"},
}


def graph(num_edges, num_nodes=4000):
    generator = torch.Generator().manual_seed(0)
    groups = torch.randint(num_nodes // 40, (num_nodes, 3), generator=generator)
    index = torch.randint(num_nodes, (2, 4 * num_edges), generator=generator)
    near = (groups[index[0]] == groups[index[1]]).any(1)
    near |= torch.rand(near.numel(), generator=generator) < 0.2
    return index[:, near][:, :num_edges]


def interrupted(rounds):
    """Ctrl-C at random times: a KeyboardInterrupt, every time, and soon."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # may be ignored
    edge_index = graph(300_000)
    rng = random.Random(0)
    for name, options in SEARCHES.items():

        def call(options=options):
            build_hag(edge_index, 4000, progress=False, **options)

        call()
        begin = time.perf_counter()
        call()
        duration = time.perf_counter() - begin
        delays = [rng.random() * duration for _ in range(int(rounds))]
        waited = [_interrupt(call, delay) for delay in delays]
        processor = time.process_time()
        time.sleep(1.0)
        idle = time.process_time() - processor
        print(f"{name}={max(waited):.3f} s of {duration:.3f}, then {idle:.3f}")


def _interrupt(call, delay):
    sent = []

    def send():
        sent.append(time.perf_counter())
        os.kill(os.getpid(), signal.SIGINT)

    timer = threading.Timer(delay, send)
    try:
        timer.start()
        call()
        while True:  # it was done before
            time.sleep(0.01)
    except KeyboardInterrupt:
        return time.perf_counter() - sent[0]


def forked(rounds, dtype):
    """A child of a process that has used all threads gets what the parent gets."""
    torch.set_num_threads(2)
    edge_index = graph(2_000_000, 60_000).to(getattr(torch, dtype))
    wanted = work_of(edge_index)
    edge_index[0].aminmax()  # PyTorch's pool
    for _ in range(int(rounds)):
        child = os.fork()
        if child == 0:
            faulthandler.dump_traceback_later(100, exit=True)
            os._exit(0 if work_of(edge_index) == wanted else 3)
        _await(child, 120)
    print("children=" + rounds)


def work_of(edge_index):
    """What a child may do with a large graph: search, sum, compare, copy and keep."""
    x = torch.from_numpy(np.arange(60_000 * 16, dtype=np.float32).reshape(-1, 16))
    hag = build_hag(edge_index, 60_000, progress=False, objective="aggregations")
    data = HAGTransform(capacity=0)(Data(x=x, edge_index=edge_index))
    copies = HAG(hag.num_src, *hag.tensors), pickle.loads(pickle.dumps(hag))
    plain = build_hag(edge_index, 60_000, capacity=0)
    with tempfile.TemporaryDirectory() as folder:
        hag.save(f"{folder}/a.hag")
        loaded = HAG.load(f"{folder}/a.hag")
    return [
        hag == loaded == copies[0] == copies[1],
        data.hag == plain,
        hag.stats.reads,
        aggregate(x, hag).numpy().tobytes(),
        aggregate(x, plain, "max").numpy().tobytes(),
        hag.t().stats.reads,
        hag.to_edge_index().numpy().tobytes(),
    ]


def _await(child, seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            assert os.waitstatus_to_exitcode(status) == 0, status
            return
        time.sleep(0.02)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    raise AssertionError("the child hangs")


class Graphs(torch.utils.data.Dataset):
    """A data set that is rewritten in the workers."""

    def __init__(self):
        self.transform = HAGTransform(objective="aggregations")

    def __len__(self):
        return 24

    def __getitem__(self, i):
        edge_index, (n, _) = random_graph(i, 30, 30, 0.4)
        return self.transform(Data(x=torch.randn(n, 2), edge_index=edge_index))


def loaders(context):
    """Workers that are forked, spawned or served."""
    wanted = [Graphs()[i].hag for i in range(24)]
    loader = DataLoader(
        Graphs(), batch_size=4, num_workers=2, multiprocessing_context=context
    )
    begin, first, found = time.perf_counter(), None, []
    for batch in loader:
        first = first or time.perf_counter() - begin
        found += [data.hag for data in batch.to_data_list()]
    assert found == wanted
    print(f"first={first:.2f}")


def threads(count):
    """Threads that search, sum and derive at once get what one alone gets."""
    edge_index = graph(60_000)
    x = torch.randn(4000, 24)
    hag = build_hag(edge_index, 4000, objective="aggregations")
    wanted = [aggregate(x, hag), aggregate(x, hag.t()), aggregate(x, hag, "max")]
    errors = []

    def work():
        try:
            for _ in range(5):
                mine = build_hag(edge_index, 4000, objective="aggregations")
                got = [aggregate(x, mine), aggregate(x, hag.t())]
                got.append(aggregate(x, mine, "max"))
                assert mine == hag and all(map(torch.equal, got, wanted))
        except BaseException as error:  # told to the main thread
            errors.append(error)

    workers = [threading.Thread(target=work) for _ in range(int(count))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not errors, errors
    print(f"threads={count}")
