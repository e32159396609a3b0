"""How fast the losses are, beside plain automatic differentiation, other libraries, and bare matrix products.

    pip install --group peers                       # the other libraries, as far as wanted
    python benchmarks/losses.py                     # every case
    python benchmarks/losses.py --case nt_xent --temperature 0.01 --rounds 9

The long form of `temperance bench`: many sizes, as a table in markdown. How it is measured stands in
`temperance.speed`.
"""

import argparse

import torch

from temperance.speed import Case, machine, measure

CASES = (
    Case("info_nce", 8192, 128),
    Case("clip", 8192, 128),
    Case("nt_xent", 16384, 128),
    Case("moco", 256, 128, 65536),
    Case("info_nce", 8192, 512),
    Case("clip", 8192, 512),
    Case("nt_xent", 8192, 512),
    Case("nt_xent", 131072, 128),
    Case("info_nce", 256, 128),
    Case("clip", 256, 128),
    Case("nt_xent", 512, 128),
    Case("info_nce", 1024, 128),
    Case("clip", 1024, 128),
    Case("nt_xent", 2048, 128),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--case", help="only losses of this name")
    parser.add_argument("--largest", type=int, default=1 << 20, help="only so many rows at most")
    parser.add_argument("--temperature", type=float, default=0.07)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"))
    options = parser.parse_args()
    print(f"τ = {options.temperature:g}; {machine(options.device)}; {options.rounds} rounds\n")
    print("| case | implementation | ms | × dense | × floor | peak MB | gradient error |")
    print("|---|---|---|---|---|---|---|")
    for case in CASES:
        if (options.case and case.loss != options.case) or case.rows > options.largest:
            continue
        rounds = options.rounds if case.rows < 100_000 else 1
        for one in measure(case, options.temperature, rounds, options.device):
            cells = one.cells() if one.fault is None else [f"cannot: {one.fault}", *[""] * 4]
            print(f"| {case.name} | {one.name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
