"""What ``import levelhead`` adds to ``import torch``, in fresh interpreters, interleaved.

Promise: under 100 ms, and no graph's library in ``sys.modules``. Wall time and the interpreter's own CPU time
are both shown: on a busy machine the second is the steadier one.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys

PROGRAM = """
import json, sys, time
before = time.perf_counter(), time.process_time()
import torch
between = time.perf_counter(), time.process_time()
{then}
after = time.perf_counter(), time.process_time()
print(json.dumps([between[0] - before[0], between[1] - before[1], after[0] - between[0], after[1] - between[1]]))
"""
THEN = {"nothing": "pass", "levelhead": "import levelhead", "transformers": "import transformers"}


def once(then: str) -> list[float]:
    """Seconds of wall and CPU for torch, then of wall and CPU for what comes after it."""
    program = PROGRAM.format(then=THEN[then])
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def spread(values: list[float]) -> str:
    return f"{1e3 * statistics.median(values):7.0f} ms [{1e3 * min(values):.0f}, {1e3 * max(values):.0f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    once("levelhead")  # byte code and file cache
    seen: dict[str, list[list[float]]] = {name: [] for name in THEN}
    for _ in range(rounds):
        for name in THEN:
            seen[name].append(once(name))
    torch_cpu = [row[1] for rows in seen.values() for row in rows]
    print(f"median [least, most] of {rounds} fresh interpreters, interleaved")
    print(f"  import torch                 wall {spread([r[0] for rows in seen.values() for r in rows])}")
    print(f"                               CPU  {spread(torch_cpu)}")
    for name in ("levelhead", "transformers"):
        print(f"  then import {name:<16} wall {spread([row[2] for row in seen[name]])}")
        print(f"                               CPU  {spread([row[3] for row in seen[name]])}")
    added = statistics.median(row[2] for row in seen["levelhead"])
    alone = statistics.median(row[0] for rows in seen.values() for row in rows)
    print(f"  ratio of torch + levelhead to torch: {(alone + added) / alone:.3f} (promise: under 100 ms added)")


if __name__ == "__main__":
    main()
