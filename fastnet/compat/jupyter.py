"""The Jupyter kernel "Python (fastnet)": IPython's kernel with the import hook installed, for unmodified notebooks.

A kernelspec is a folder ``kernels/<name>`` in one of Jupyter's data folders; its ``kernel.json`` holds the command that
starts the kernel, here ``python -m fastnet.compat.jupyter``.
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
        The name of the folder, as in ``jupyter --kernel``: letters, digits, ``.``, ``_`` and ``-``.
    display_name : str
        The name in Jupyter's menus.
    prefix : path, optional
        Write to ``prefix/share/jupyter`` instead of the user's data folder; ``sys.prefix`` is this environment's.
    package, level
        For :func:`fastnet.compat.install`, when the kernel starts.

    Returns
    -------
    path
        The folder of the kernelspec.

    Raises
    ------
    ImportError
        If ipykernel is not installed in this Python.
    ValueError
        If the name is invalid or belongs to another kernel.
    RuntimeError
        If a kernel would not find this fastnet, because it is imported from the working folder and not installed.
    """
    if importlib.util.find_spec("ipykernel") is None:
        raise ImportError(f"a kernel needs ipykernel in its Python: {sys.executable} -m pip install ipykernel")
    folder = _folder(name, prefix)
    if folder.exists() and not _is_ours(folder):
        raise ValueError(f"{folder} is another kernel's; choose a different --name, or remove that kernel first")
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
        If there is no such kernelspec.
    ValueError
        If it belongs to another kernel.
    """
    folder = _folder(name, prefix)
    if not folder.exists():
        raise FileNotFoundError(f"there is no kernel {name!r} in {folder.parent}")
    if not _is_ours(folder):
        raise ValueError(f"{folder} is another kernel's, and was not removed")
    shutil.rmtree(folder)
    return folder


def _folder(name: str, prefix) -> Path:
    if not re.fullmatch(r"[A-Za-z0-9._-]+", name) or set(name) == {"."}:
        raise ValueError(f"a kernel's name may only have letters, digits, '.', '_' and '-', got {name!r}")
    return (Path(prefix, "share", "jupyter") if prefix else _data_folder()) / "kernels" / name.lower()


def _data_folder() -> Path:
    try:
        from jupyter_core.paths import jupyter_data_dir
    except ImportError as error:
        raise ImportError("Jupyter is not installed in this Python; choose a folder with --prefix DIR") from error
    return Path(jupyter_data_dir())


def _is_ours(folder: Path) -> bool:
    try:
        return __name__ in json.loads((folder / "kernel.json").read_text(encoding="utf-8"))["argv"]
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _check_that_it_starts() -> None:
    """Check that a new Python, which does not search the working folder, finds this package and this module."""
    package = __name__.partition(".")[0]
    find = f"import importlib.util as u; [print(u.find_spec(name).origin) for name in ({package!r}, {__name__!r})]"
    command = [sys.executable, "-P", "-c", find]
    found = subprocess.run(command, capture_output=True, text=True).stdout.splitlines()
    expected = [Path(__file__).parents[1] / "__init__.py", __file__]
    if len(found) != 2 or not all(map(os.path.samefile, found, expected)):
        tree = Path(__file__).parents[2]
        raise RuntimeError(
            f"a kernel would not find this fastnet, which was imported from {tree} and is not installed; "
            f"{sys.executable} -m pip install {tree}"
        )


def main(argv: list[str]) -> None:
    """Start a kernel; arguments other than the hook's are passed to IPython."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    hook.add_options(parser)
    args, rest = parser.parse_known_args(argv)
    if sys.path[0] == "" or Path(sys.path[0]) == Path.cwd():
        del sys.path[0]  # so that no file there shadows a library; the shell appends it later
    hook.install(args.package or hook.PACKAGES, args.level)
    from ipykernel.kernelapp import IPKernelApp

    sys.argv[1:] = rest
    IPKernelApp.launch_instance(argv=rest)


if __name__ == "__main__":
    main(sys.argv[1:])
