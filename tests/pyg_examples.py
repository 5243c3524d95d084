"""Runs PyG's examples as they are and with the README's change, and compares losses.

    python tests/pyg_examples.py --pyg PATH --data PATH [--markdown FILE]

PATH of `--pyg` is the folder with PyG's `examples/`, that of `--data` holds the data
sets in the layout of PyG's classes. Both versions start from the same seed; every value
that `backward` is called on counts as a loss.
"""

import argparse
import difflib
import json
import os
import random
import re
import runpy
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from statistics import median

HAG = "HAGTransform({options})"
IMPORT = "from pyg_hag import HAGTransform, to_hag\n"
NORMALIZED = [
    (
        "transform=T.NormalizeFeatures()",
        f"transform=T.Compose([T.NormalizeFeatures(), {HAG}])",
    )
]
EDGES = [("data.edge_index", "data.hag")]
CONVERTED = [(r"(?m)^((\w+_)?optimizer = .*)", r"model = to_hag(model)\n\1")]


def unnormalized(loading):
    """The change of a data set that is loaded without a transform."""
    return [(re.escape(loading), loading[:-1] + f", transform={HAG})")]


def stored(loading):
    """The change of a data set whose HAGs are built once, and stored with it."""
    return [(re.escape(loading), loading[:-1] + f", pre_transform={HAG})")]


def split(names="train_data, val_data, test_data"):
    """The changes of link prediction: a HAG for each of three graphs."""
    return [
        (rf"{names} = dataset\[0\]", f"{names} = map({HAG}, dataset[0])"),
        (r"encode\((\w+)\.x, \1\.edge_index\)", r"encode(\1.x, \1.hag)"),
        *CONVERTED,
    ]


def plain(changes):
    """Changes of text, as patterns."""
    return [(re.escape(old), new) for old, new in changes]


USUAL = [*plain(NORMALIZED + EDGES), *CONVERTED]
CHANGES = {
    "agnn.py": USUAL,
    "ar_link_pred.py": [
        (
            r"data = train_test_split_edges\(data\)\n",
            "\\g<0>    graph = Data(x=data.x, "
            "edge_index=data.train_pos_edge_index)\n"
            f"    data.hag = {HAG}(graph).hag\n",
        ),
        (
            r"encoder\(data\.x, data\.train_pos_edge_index\)",
            "encoder(data.x, data.hag)",
        ),
        (r"(?m)^    optimizer = ", r"    encoder = to_hag(encoder)\n\g<0>"),
        (
            r"import torch_geometric.transforms as T\n",
            "\\g<0>from torch_geometric.data import Data\n",
        ),
    ],
    "argva_node_clustering.py": split(),
    "arma.py": USUAL,
    "autoencoder.py": split(),
    "autoencoder.py --variational": split(),
    "compile/gcn.py": [
        (r"T\.GCNNorm\(\),\n", f"\\g<0>        {HAG},\n"),
        *plain(EDGES),
        (r"(?m)^model = torch\.compile\(model", "model = torch.compile(to_hag(model)"),
    ],
    "compile/gin.py": [
        *stored("TUDataset(path, name='MUTAG')"),
        *plain(EDGES),
        (r"(?m)^model = torch\.compile\(model", "model = torch.compile(to_hag(model)"),
    ],
    "dna.py": [*unnormalized("Planetoid(path, dataset)"), *plain(EDGES), *CONVERTED],
    "gat.py": USUAL,
    "gcn.py": USUAL,
    "gcn2_cora.py": [
        (r"T\.ToSparseTensor\(\)\]", f"T.ToSparseTensor(), {HAG}]"),
        (r"data\.adj_t", "data.hag"),
        *CONVERTED,
    ],
    "glnn.py": [
        *plain(NORMALIZED + EDGES),
        (r"(?m)^gnn_optimizer = ", r"gnn = to_hag(gnn)\n\g<0>"),
    ],
    "graph_sage_unsup.py": [
        (r"    num_neighbors=\[10, 10\],\n", f"\\g<0>    transform={HAG},\n"),
        (r"batch\.edge_index", "batch.hag"),
        *CONVERTED,
    ],
    "infomax_transductive.py": [
        *unnormalized("Planetoid(path, dataset)"),
        *plain(EDGES),
        *CONVERTED,
    ],
    "link_pred.py": split(),
    "mixhop.py": [
        *unnormalized("Planetoid(path, name='Cora')"),
        *plain(EDGES),
        *CONVERTED,
    ],
    "mutag_gin.py": [
        *stored("TUDataset(path, name=args.dataset)"),
        *plain(EDGES),
        *CONVERTED,
    ],
    "pmlp.py": USUAL,
    "proteins_gmt.py": [
        *stored("TUDataset(path, name='PROTEINS')"),
        *plain(EDGES),
        *CONVERTED,
    ],
    "proteins_mincut_pool.py": [
        *stored("TUDataset(path, name='PROTEINS')"),
        *plain(EDGES),
        (r"to_dense_adj\(edge_index,", "to_dense_adj(edge_index.to_edge_index(),"),
        *CONVERTED,
    ],
    "proteins_topk_pool.py": [
        *stored("TUDataset(path, name='PROTEINS')"),
        *plain(EDGES),
        *CONVERTED,
    ],
    "rect.py": [
        (r"    T\.GDC\(\),\n", f"\\g<0>    {HAG},\n"),
        *plain(EDGES),
        *CONVERTED,
    ],
    "sgc.py": [*unnormalized("Planetoid(path, dataset)"), *plain(EDGES), *CONVERTED],
    "super_gat.py": USUAL,
    "tagcn.py": USUAL,
}
"""What the README changes in each example: patterns and what replaces them."""

DATA = [
    (r"(Planetoid|TUDataset)\((\s*)path", r"\1(\2DATA"),
    # Stored sets are made again, as both versions store theirs:
    (r"(TUDataset\(DATA(?:[^()]|\([^()]*\))*)\)", r"\1, force_reload=True)"),
    (r"in range\(1, (\d+|args\.epochs \+ 1|1 \+ args\.epochs)\)", "in EPOCHS()"),
]
"""What both versions need: where the data sets are, and how many epochs to run."""


def changed(text, name, options):
    """The text of an example with the README's change, and the number of new lines."""
    new = text
    for pattern, replacement in CHANGES[name]:
        found = re.search(pattern, new)
        if not found:
            raise ValueError(f"{name} has nothing like {pattern!r}")
        new = re.sub(pattern, replacement.replace("{options}", options), new)
    new = re.sub(r"(?m)^from torch_geometric", IMPORT + r"\g<0>", new, count=1)
    lines = difflib.ndiff(text.splitlines(), new.splitlines())
    return new, sum(line.startswith("+ ") for line in lines)


class Finished(Exception):
    """All epochs have run."""


def run_here(path, arguments, data, epochs):
    """Runs the text of an example; prints its losses and seconds per epoch."""
    import numpy as np
    import torch

    losses, times = [], []
    backward = torch.Tensor.backward

    def noted(self, *args, **kwargs):
        losses.append(float(self.detach()))
        return backward(self, *args, **kwargs)

    def numbers():
        for epoch in range(1, epochs + 1):
            times.append(time.perf_counter())
            yield epoch
        times.append(time.perf_counter())
        raise Finished

    torch.Tensor.backward = noted
    random.seed(0)
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002
    sys.argv = [path, *arguments]
    try:
        runpy.run_path(path, {"DATA": data, "EPOCHS": numbers}, "__main__")
    except Finished:
        pass
    seconds = [b - a for a, b in pairwise(times)]
    print("\n" + json.dumps({"losses": losses, "seconds": seconds}))


def run_text(text, name, options):
    """The losses and seconds of an example, run in a process of its own."""
    for pattern, replacement in DATA:
        text = re.sub(pattern, replacement, text)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, Path(name.split()[0]).name)
        path.write_text(text)
        command = [sys.executable, __file__, "--run", str(path), "--data", options.data]
        command += ["--epochs", str(options.epochs), *name.split()[1:]]
        ran = subprocess.run(
            command, capture_output=True, text=True, env={**os.environ}, check=False
        )
    if ran.returncode:
        raise RuntimeError((ran.stderr or ran.stdout).strip().splitlines()[-1])
    return json.loads(ran.stdout.splitlines()[-1])


def compare(name, options):
    """A row of the table: an example before and after."""
    text = Path(options.pyg, "examples", name.split()[0]).read_text()
    before = run_text(text, name, options)
    new, lines = changed(text, name, "")
    after = run_text(new, name, options)
    shared, _ = changed(text, name, 'objective="aggregations"')
    fewest = run_text(shared, name, options)
    row = {
        "example": name,
        "changed lines": lines,
        "losses": len(before["losses"]),
        "last loss": f"{before['losses'][-1]:.4f}",
        "max. diff.": f"{difference(before, after):.1e}",
        "fewest aggregations": f"{difference(before, fewest):.1e}",
    }
    if options.seconds:
        for title, run in (("before", before), ("after", after)):
            row[f"epoch {title}"] = f"{1e3 * median(run['seconds'][1:]):.1f} ms"
    return row


def row_of(name, options):
    """A row of the table, or None if the example does not run; prints either."""
    try:
        row = compare(name, options)
    except (RuntimeError, ValueError) as error:
        print(name, error, sep="\t", flush=True)
        return None
    print(*row.values(), sep="\t", flush=True)
    return row


def difference(a, b):
    """The largest difference of two runs' losses, relative to the loss."""
    pairs = zip(a["losses"], b["losses"], strict=True)
    return max(abs(x - y) / max(1.0, abs(x)) for x, y in pairs)


def table(rows):
    """Rows as a table in Markdown."""
    header = list(rows[0])
    lines = [header, ["---", *["--:"] * (len(header) - 1)]]
    lines += [[str(row[name]) for name in header] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--run", help="the text of an example, to run in this process")
    parser.add_argument("--pyg", help="the folder with PyG's `examples/`")
    parser.add_argument("--data", required=True, help="the folder of the data sets")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--only", nargs="*", default=list(CHANGES))
    parser.add_argument("--markdown", help="write the table between its markers here")
    parser.add_argument("--seconds", action="store_true", help="also compare times")
    options, others = parser.parse_known_args()
    if options.run:
        run_here(options.run, others, options.data, options.epochs)
        return
    rows = [row for name in options.only if (row := row_of(name, options))]
    if options.markdown and rows:
        path = Path(options.markdown)
        text = re.sub(
            r"(?s)\| example.*?\n\n",
            lambda _: table(rows) + "\n\n",
            path.read_text(),
            count=1,
        )
        path.write_text(text)
    sys.exit(len(rows) < len(options.only))


if __name__ == "__main__":
    main()
