"""Runs many random models: `python -m random_models --cases 20000`, in `tests/`.

Lists every difference, and every error that PyG does not raise and the documentation
does not name.
"""

import argparse
import time
from collections import Counter

import torch

from random_models.cases import case_of
from random_models.runs import run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--compiled", action="store_true")
    parser.add_argument("--show", action="store_true", help="every case")
    options = parser.parse_args()
    torch.set_num_threads(1)
    begin, counts, reasons = time.time(), Counter(), Counter()
    for seed in range(options.first, options.first + options.cases):
        case = case_of(seed, options.compiled)
        outcome = run(case)
        counts[outcome.kind] += 1
        if outcome.kind == "refused":
            reasons[outcome.reason] += 1
        if outcome.kind == "fault" or options.show:
            print(case, "->", *outcome, flush=True)
    print(f"{options.cases} cases in {time.time() - begin:.0f} s: {dict(counts)}")
    for reason, number in reasons.most_common():
        print(f"  refused: {number:5} {reason}")


if __name__ == "__main__":
    main()
