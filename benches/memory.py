"""Peak memory of training steps: fastnet against PyTorch.  For Linux with glibc.

    python benches/memory.py [--net vgg11_bn] [--batch 128] [--quick] [--torch-python PATH]

Each side runs in a process of its own.  Steps of a small batch, on a network that is then deleted, first load the
libraries, so that their memory does not count.  The result is the peak of the resident memory (VmHWM) during the steps
minus the resident memory before the first, when model and images exist, but gradients and SGD's velocities do not.
fastnet's allocator also reports its own count.  The sides must agree on the losses.  The target is that fastnet takes
no more than PyTorch in the better of its two layouts.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import peers
import vs_torch
import workloads

STEPS, MIB = 3, 2**20
SIDES = ("fastnet", "torch NCHW", "torch NHWC")


# ---------------------------------------------------------------- in the worker


def resident(name: str) -> int:
    """Bytes of VmRSS or VmHWM of this process."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return 1024 * int(line.split()[1])
    raise RuntimeError(f"/proc/self/status has no {name}: memory.py needs Linux")


def settle() -> int:
    """Return free memory to the system, reset the peak, and return the bytes that remain."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # resets VmHWM to VmRSS
    return resident("VmRSS")


def fastnet_side(case: dict):
    """(step, start, count): start() precedes the first step; count(its result) is what the allocator counted since."""
    import fastnet_worker

    from fastnet.backends import _native

    def start():
        _native.empty_cache()
        _native.reset_peak()
        return _native.memory_stats()["live"]

    def count(before):
        after = _native.memory_stats()
        return {"used": after["peak"] - before, "kept": after["live"] + after["cached"] - before}

    return fastnet_worker.step(case)[0], start, count


def torch_side(case: dict, layout: str):
    import torch_worker

    return torch_worker.Torch(layout, compiled=False).step(case)[0], lambda: None, lambda before: {}


def prepare(side: str, case: dict):
    return fastnet_side(case) if side == "fastnet" else torch_side(case, side.removeprefix("torch "))


def measure(side: str, case: dict) -> dict:
    """The losses of the steps, and the bytes by which they raise the peak."""
    small = {**case, "shape": [2, *case["shape"][1:]]}
    for _ in range(2):
        prepare(side, small)[0]()
    call, start, count = prepare(side, case)
    before = start()
    base = settle()
    losses = [float(call()) for _ in range(STEPS)]
    return {"losses": losses, "resident": resident("VmHWM") - base, **count(before)}


# ---------------------------------------------------------------- in the parent


def ask(python: str, side: str, case: dict, threads: int) -> dict:
    """Run `measure` for a side in a new process."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "FASTNET_NUM_THREADS": str(threads)}
    words = [python, str(Path(__file__).resolve()), "--worker", side, json.dumps(case)]
    done = subprocess.run(words, capture_output=True, text=True, env=environment)
    if done.returncode:
        raise peers.PeerError(f"{side}: {(done.stderr.strip().splitlines() or ['?'])[-1]}")
    return json.loads(done.stdout.splitlines()[-1])


def compare(case: dict, threads: int, torch_python: str) -> dict[str, dict]:
    """What `measure` returns for each side.

    Raises
    ------
    PeerError
        A side fails, or its losses differ from fastnet's.
    """
    found = {}
    for side in SIDES:  # fastnet first: it writes the weights
        found[side] = ask(sys.executable if side == "fastnet" else torch_python, side, case, threads)
        mine, other = found["fastnet"]["losses"], found[side]["losses"]
        if not all(abs(a - b) <= 1e-3 * abs(a) for a, b in zip(mine, other, strict=True)):
            raise peers.PeerError(f"{side} and fastnet train differently: losses {other} and {mine}")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    nets = {net: images for _, net, options, *images in workloads.STEPS if not options}
    add("--torch-python", default=sys.executable, metavar="PATH", help="an interpreter that has torch")
    add("--net", choices=nets, default="vgg11_bn")
    add("--batch", type=int, help="images per step (default: as in vs_torch.py)")
    add("--dtype", choices=workloads.TOLERANCE, default="float32")
    add("--threads", type=int, default=peers.cores(), help="threads of each side (default: all processors)")
    add("--quick", action="store_true", help="8 images per step, unless --batch is given")
    add("--worker", nargs=2, metavar=("SIDE", "CASE"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        print(json.dumps(measure(args.worker[0], json.loads(args.worker[1]))))
        return 0
    N, C, H = nets[args.net]
    shape = [args.batch or (8 if args.quick else N), C, H, H]
    try:
        version = peers.said(args.torch_python, vs_torch.VERSION)
        with tempfile.TemporaryDirectory() as folder:
            weights = str(Path(folder) / "weights.npz")
            case = {"kind": "step", "net": args.net, "options": {}, "dtype": args.dtype, "shape": shape}
            found = compare({**case, "weights": weights}, args.threads, args.torch_python)
    except peers.PeerError as error:
        print(f"memory: {error}", file=sys.stderr)
        return 1
    print(f"{vs_torch.machine(version, args.threads)}; {args.dtype}")
    print(f"MiB that {STEPS} training steps of {args.net} with {shape[0]} images add to the process:")
    for side, its in found.items():
        print(f"  {side:<12} {its['resident'] / MIB:>8.1f}")
    mine = found["fastnet"]
    used, kept = mine["used"] / MIB, mine["kept"] / MIB
    print(f"fastnet's allocator: {used:.1f} MiB in use at the peak, {kept:.1f} MiB kept after the steps")
    share = mine["resident"] / min(its["resident"] for side, its in found.items() if side != "fastnet")
    reached = "reached" if share <= 1 else "not reached"
    print(f"fastnet takes {share:.2f} of PyTorch's better layout (to reach: at most 1; {reached})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
