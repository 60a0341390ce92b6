"""fastnet's costs besides arithmetic: import time, the Python overhead of an op, the size of the wheel.

    python benches/overhead.py [--rounds N]

Targets: import <= NumPy + 30 ms, <= 10 microseconds per op, wheel <= 5 MB.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np

# like a training program: loads everything lazy
_USE = "import fastnet; fastnet.Conv2d, fastnet.Solver, fastnet.optim.Adam, fastnet.models.lenet5, fastnet.data.npz"
_TIMER = "import time, numpy; start = time.perf_counter(); {code}; print(time.perf_counter() - start)"


def import_ms(code: str, rounds: int) -> float:
    """ms of `code` in a new interpreter that has already loaded NumPy: the best of all rounds."""
    command = [sys.executable, "-c", _TIMER.format(code=code)]
    times = [float(subprocess.run(command, capture_output=True, text=True, check=True).stdout) for _ in range(rounds)]
    return 1e3 * min(times)


def op_microseconds() -> dict[str, float]:
    """The time of one call of an op on a tiny array, where arithmetic is negligible: the best of many."""
    import fastnet as fn
    from fastnet.bench import best_time
    from fastnet.geometry import Conv2dGeometry, Pool2dGeometry

    ops = fn.backends.current()
    x, w, b = ops.zeros((1, 4, 4, 4), "float32"), ops.zeros((4, 4, 3, 3), "float32"), ops.zeros((4,), "float32")
    flat, dense = ops.zeros((1, 4), "float32"), ops.zeros((4, 4), "float32")
    conv = Conv2dGeometry.make(x.shape, w.shape, padding=1)
    pool = Pool2dGeometry.make(x.shape, 2)
    calls = {
        "ops.relu": lambda: ops.relu(x),
        "ops.conv2d": lambda: ops.conv2d(x, w, b, conv),
        "ops.max_pool2d": lambda: ops.max_pool2d(x, pool),
        "ops.batch_norm (inference)": lambda: ops.batch_norm(x, b, b, b, b, False),
        "ops.linear": lambda: ops.linear(flat, dense, b),
        "functional.relu": lambda: fn.functional.relu(x),
        "functional.conv2d": lambda: fn.functional.conv2d(x, w, b, padding=1),
    }
    layer = fn.Conv2d(4, 3, padding=1)
    layer.build((4, 4, 4))
    calls["Conv2d, inference"] = lambda: layer(x)
    return {name: 1e6 * best_time(call, 0.2, 1000) for name, call in calls.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15, help="interpreters started for each import time")
    args = parser.parse_args()
    print(f"NumPy {np.__version__}")
    print(f"{'import fastnet, beyond NumPy':<40} {import_ms('import fastnet', args.rounds):8.1f} ms   (to reach: 30)")
    print(f"{'and all that training loads':<40} {import_ms(_USE, args.rounds):8.1f} ms")
    for name, microseconds in op_microseconds().items():
        print(f"{name:<40} {microseconds:8.1f} us   (to reach: 10)")
    for wheel in sorted((Path(__file__).resolve().parent.parent / "dist").glob("*.whl")):
        print(f"{wheel.name:<40} {wheel.stat().st_size / 1e6:8.2f} MB   (to reach: 5)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
