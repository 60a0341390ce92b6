"""The Jupyter kernel "Python (fastnet)": IPython's kernel with the hook installed, so that notebooks stay as they are.

A kernelspec is a folder ``kernels/<name>`` in one of Jupyter's data folders, whose ``kernel.json`` has the command that
starts the kernel; here ``python -m fastnet.compat.jupyter``.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from fastnet.compat import hook
from fastnet.storage import atomic_write

__all__ = ["DISPLAY_NAME", "install_kernel", "remove_kernel"]

DISPLAY_NAME = "Python (fastnet)"


def install_kernel(
    name: str = "fastnet",
    display_name: str = DISPLAY_NAME,
    prefix: str | os.PathLike | None = None,
    package: Iterable[str] = hook.PACKAGES,
    level: int = 2,
) -> Path:
    """Write a kernelspec that starts this Python.

    Parameters
    ----------
    name : str
        The folder's name, which ``jupyter --kernel`` takes: letters, digits, ``.``, ``_`` and ``-``.
    display_name : str
        What Jupyter's menus show.
    prefix : path, optional
        Write to ``prefix/share/jupyter`` (with ``sys.prefix``: for this environment), not to the user's data folder.
    package, level
        For :func:`fastnet.compat.install`, when the kernel starts.

    Returns
    -------
    path
        The folder of the kernelspec.

    Raises
    ------
    ImportError
        ipykernel is not installed in this Python.
    ValueError
        A name that cannot be, or one that another kernel has.
    RuntimeError
        A kernel would not find this fastnet: it is imported from the working folder, and not installed.
    """
    if importlib.util.find_spec("ipykernel") is None:
        raise ImportError(f"a kernel needs ipykernel in its Python: {sys.executable} -m pip install ipykernel")
    folder = _folder(name, prefix)
    if folder.exists() and not _is_ours(folder):
        raise ValueError(f"{folder} is another kernel's; choose a different --name, or remove that one first")
    _check_that_it_starts()
    from ipykernel.kernelspec import get_kernel_dict

    options = [f"--package={one}" for one in package] + [f"--level={level}"]
    spec = get_kernel_dict(extra_arguments=options)
    spec["argv"] = [__name__ if word == "ipykernel_launcher" else word for word in spec["argv"]]
    spec["display_name"] = display_name
    folder.mkdir(parents=True, exist_ok=True)
    atomic_write(folder / "kernel.json", lambda file: file.write(json.dumps(spec, indent=1).encode() + b"\n"))
    return folder


def remove_kernel(name: str = "fastnet", prefix: str | os.PathLike | None = None) -> Path:
    """Remove a kernelspec that :func:`install_kernel` wrote, and return its folder.

    Raises
    ------
    FileNotFoundError
        There is none.
    ValueError
        It is another kernel's.
    """
    folder = _folder(name, prefix)
    if not folder.exists():
        raise FileNotFoundError(f"there is no kernel {name!r} in {folder.parent}")
    if not _is_ours(folder):
        raise ValueError(f"{folder} is another kernel's, and stays")
    shutil.rmtree(folder)
    return folder


def _folder(name: str, prefix) -> Path:
    if not re.fullmatch(r"[A-Za-z0-9._-]+", name) or set(name) == {"."}:
        raise ValueError(f"a kernel's name has letters, digits, '.', '_' and '-' only, got {name!r}")
    return (Path(prefix, "share", "jupyter") if prefix else _data_folder()) / "kernels" / name.lower()


def _data_folder() -> Path:
    try:
        from jupyter_core.paths import jupyter_data_dir
    except ImportError as error:
        raise ImportError("Jupyter is not installed in this Python; with --prefix DIR the kernel goes there") from error
    return Path(jupyter_data_dir())


def _is_ours(folder: Path) -> bool:
    try:
        return __name__ in json.loads((folder / "kernel.json").read_text(encoding="utf-8"))["argv"]
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _check_that_it_starts() -> None:
    """Ask a new Python, which does not look into the working folder, for this module."""
    command = [sys.executable, "-P", "-c", f"import importlib.util as u; print(u.find_spec({__name__!r}).origin)"]
    found = subprocess.run(command, capture_output=True, text=True).stdout.strip()
    if not found or not os.path.samefile(found, __file__):
        tree = Path(__file__).parents[2]
        raise RuntimeError(
            f"a kernel would not find this fastnet, which was imported from {tree} and is not installed; "
            f"{sys.executable} -m pip install {tree}"
        )


def main(argv: list[str]) -> None:
    """Start a kernel; arguments that are not the hook's are IPython's."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    hook.add_options(parser)
    args, rest = parser.parse_known_args(argv)
    if sys.path[0] == "" or Path(sys.path[0]) == Path.cwd():
        del sys.path[0]  # so that no file of the notebook's folder hides a library; the shell puts it further back
    hook.install(args.package or hook.PACKAGES, args.level)
    from ipykernel.kernelapp import IPKernelApp

    sys.argv[1:] = rest
    IPKernelApp.launch_instance(argv=rest)


if __name__ == "__main__":
    main(sys.argv[1:])
