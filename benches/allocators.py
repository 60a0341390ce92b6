"""Memory allocators that PyTorch's tuning guide recommends, for the processes of a comparison's other sides.

glibc returns large blocks to the system and page-faults them in again, step after step; the other two keep them.  The
settings are the guide's (https://docs.pytorch.org/tutorials/recipes/recipes/tuning_guide.html), with transparent huge
pages for PyTorch's own tensors.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import NamedTuple

import peers

HUGE_PAGES = {"THP_MEM_ALLOC_ENABLE": "1"}
MALLOC_CONF = "oversize_threshold:1,background_thread:true,metadata_thp:auto,dirty_decay_ms:-1,muzzy_decay_ms:-1"


class Allocator(NamedTuple):
    """Names of its shared library, the best first, the Debian package that has it, and environment variables."""

    libraries: tuple[str, ...] = ()
    package: str = ""
    settings: dict[str, str] = {}


UNTUNED = "glibc"  # what a process has without LD_PRELOAD
ALLOCATORS = {
    UNTUNED: Allocator(),
    "tcmalloc": Allocator(("libtcmalloc_minimal.so.4", "libtcmalloc.so.4"), "libtcmalloc-minimal4", HUGE_PAGES),
    "jemalloc": Allocator(("libjemalloc.so.2",), "libjemalloc2", {**HUGE_PAGES, "MALLOC_CONF": MALLOC_CONF}),
}


def installed() -> dict[str, str]:
    """The path of each shared library in the dynamic linker's cache; empty where there is no ldconfig."""
    program = shutil.which("ldconfig", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"]))
    listing = subprocess.run([program, "-p"], capture_output=True, text=True).stdout if program else ""
    found: dict[str, str] = {}
    for line in listing.splitlines()[1:]:
        name, _, path = line.strip().partition(" => ")
        found.setdefault(name.split()[0], path)
    return found


def environment(name: str) -> dict[str, str]:
    """The environment variables that give a process an allocator.

    Raises
    ------
    PeerError
        Its library is not installed.
    """
    allocator = ALLOCATORS[name]
    if not allocator.libraries:
        return {}
    found = installed()
    paths = [found[library] for library in allocator.libraries if library in found]
    if not paths:
        expected, package = " or ".join(allocator.libraries), allocator.package
        raise peers.PeerError(f"ldconfig lists no {expected} (on Debian: apt install {package})")
    return {"LD_PRELOAD": paths[0], **allocator.settings}


def available() -> dict[str, dict[str, str]]:
    """The environments of the allocators that are installed; prints where each is, or what to install."""
    found = {}
    for name in ALLOCATORS:
        try:
            found[name] = environment(name)
            print(f"allocator {name}: {found[name].get('LD_PRELOAD', 'the default')}")
        except peers.PeerError as error:
            print(f"allocator {name} is left out: {error}")
    return found
