"""Stand-ins for libraries that old assignments import and new Pythons lack, as far as the course uses them.

`future`, `past.builtins`, `six.moves`, `scipy.misc.imread` and `imresize`, `imageio.imread`, `imp`, `google.colab`.
The finder that serves them comes last, so installed libraries take precedence; a `scipy.misc` without `imread` is
completed.  Only notebooks, scripts and modules in ordinary folders see the stand-ins: an installed library that tests
for scipy must not find one.
"""

from __future__ import annotations

import builtins
import functools
import importlib
import importlib.util
import sys
import types

__all__ = ["install", "missing", "uninstall"]


def install() -> None:
    """Serve stand-ins for missing libraries as they are imported."""
    for finder in (_first, _last):
        if finder in sys.meta_path:
            sys.meta_path.remove(finder)
    sys.meta_path.insert(0, _first)
    sys.meta_path.append(_last)
    if "scipy.misc" in sys.modules:
        _complete(sys.modules["scipy.misc"])


def uninstall() -> None:
    """Stop serving stand-ins and unload them; names that were imported from them keep their values."""
    for finder in (_first, _last):
        if finder in sys.meta_path:
            sys.meta_path.remove(finder)
    for name in _MODULES:
        if isinstance(getattr(getattr(sys.modules.get(name), "__spec__", None), "loader", None), _Loader):
            del sys.modules[name]
            parent, _, child = name.rpartition(".")
            vars(sys.modules.get(parent, types.ModuleType(parent))).pop(child, None)
    misc = vars(sys.modules.get("scipy.misc", types.ModuleType("scipy.misc")))
    for name, value in _scipy_misc().items():
        if misc.get(name) is value:
            del misc[name]


def missing() -> list[str]:
    """The names of those libraries that this Python lacks."""
    libraries = ("future", "google.colab", "imageio", "imp", "past", "scipy", "six")
    return [name for name in libraries if not _is_there(name)]


def _is_there(name: str) -> bool:
    try:
        spec = importlib.util.find_spec(name)
    except ModuleNotFoundError:  # for its parent package
        return False
    return spec is not None and not isinstance(spec.loader, _Loader)


# ---------------------------------------------------------------- contents of the stand-ins


def _past_builtins():
    old = {"basestring": str, "long": int, "raw_input": input, "unichr": chr, "unicode": str, "xrange": range}
    return {**old, "reduce": functools.reduce}


def _six():
    import io

    kinds = {"string_types": (str,), "integer_types": (int,), "text_type": str, "binary_type": bytes}
    return {"PY2": False, "PY3": True, **kinds, **_dict_methods(), "StringIO": io.StringIO, "BytesIO": io.BytesIO}


def _six_moves():
    import pickle
    import queue

    same = {name: getattr(builtins, name) for name in ("filter", "input", "map", "range", "zip")}
    return {**same, "xrange": range, "reduce": functools.reduce, "cPickle": pickle, "queue": queue}


def _dict_methods():
    return {f"iter{part}": lambda d, part=part: iter(getattr(d, part)()) for part in ("items", "keys", "values")}


def _old_div(a, b):
    """a / b as in Python 2: integers are divided with floor division."""
    return a // b if isinstance(a, int) and isinstance(b, int) else a / b


def _imp():
    def load_source(name, path):
        spec = importlib.util.spec_from_file_location(name, path)
        sys.modules[name] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return {"reload": importlib.reload, "new_module": types.ModuleType, "load_source": load_source}


def _scipy_misc():
    from fastnet.compat import pictures

    return {name: getattr(pictures, name) for name in pictures.__all__}


def _urllib(part):
    return lambda: _public(importlib.import_module(f"urllib.{part}"))


def _public(module):
    return {name: value for name, value in vars(module).items() if not name.startswith("_")}


class _Drive:
    """google.colab.drive, off Colab."""

    @staticmethod
    def mount(mountpoint, force_remount=False, **options):
        print(f"This is not Colab: nothing was mounted at {mountpoint}; the notebook works in its own folder.")

    @staticmethod
    def flush_and_unmount(**options):
        print("This is not Colab: nothing was mounted.")


class _Files:
    """google.colab.files, off Colab."""

    @staticmethod
    def download(filename):
        print(f"This is not Colab: {filename} is already on this computer.")

    @staticmethod
    def upload(*args, **options):
        raise RuntimeError("files.upload: this is not Colab; copy the files into the notebook's folder")


_MODULES = {
    "future": dict,
    "future.builtins": lambda: _public(builtins),
    "future.standard_library": lambda: {"install_aliases": lambda: None, "install_hooks": lambda: None},
    "future.utils": lambda: {"PY2": False, "PY3": True, **_dict_methods()},
    "google": dict,
    "google.colab": lambda: {"drive": _Drive, "files": _Files},
    "imageio": lambda: {"imread": _scipy_misc()["imread"]},
    "imp": _imp,
    "past": dict,
    "past.builtins": _past_builtins,
    "past.utils": lambda: {"old_div": _old_div},
    "scipy": dict,
    "scipy.misc": _scipy_misc,
    "six": _six,
    "six.moves": _six_moves,
    "six.moves.urllib": dict,
    "six.moves.urllib.error": _urllib("error"),
    "six.moves.urllib.parse": _urllib("parse"),
    "six.moves.urllib.request": _urllib("request"),
}


# ---------------------------------------------------------------- serving


class _Last:
    """The last entry of ``sys.meta_path``, so that installed libraries are found first."""

    def find_spec(self, fullname, path=None, target=None):
        if fullname not in _MODULES or (target is None and _asked_by_library()):
            return None
        is_package = any(name.startswith(f"{fullname}.") for name in _MODULES)
        spec = importlib.util.spec_from_loader(fullname, _Loader(), origin=__file__, is_package=is_package)
        spec.has_location = True  # gives it a __file__, which shows where it comes from
        return spec


class _First:
    """The first entry, which completes an installed scipy.misc that has lost its functions."""

    def find_spec(self, fullname, path=None, target=None):
        if fullname != "scipy.misc":
            return None
        for finder in sys.meta_path:
            spec = None if finder in (_first, _last) else finder.find_spec(fullname, path, target)
            if spec and spec.loader:
                spec.loader = _Completing(spec.loader)
                return spec
        return None


class _Loader:
    def create_module(self, spec):
        return None

    def exec_module(self, module):
        vars(module).update(_MODULES[module.__name__]())
        module.__doc__ = f"fastnet's stand-in for {module.__name__}, which is not installed."
        module.__getattr__ = functools.partial(_missing, module.__name__)


class _Completing:
    """Wraps another loader, and adds the missing names to the module that it loads."""

    def __init__(self, loader):
        self.loader = loader

    def __getattr__(self, name):
        return getattr(self.loader, name)

    def create_module(self, spec):
        return self.loader.create_module(spec)

    def exec_module(self, module):
        self.loader.exec_module(module)
        _complete(module)


def _complete(module) -> None:
    for name, value in _MODULES[module.__name__]().items():
        vars(module).setdefault(name, value)


def _missing(module: str, name: str):
    """A module's __getattr__: imports its submodules on first use."""
    if f"{module}.{name}" in _MODULES:
        return importlib.import_module(f"{module}.{name}")
    distribution = {"imp": "python < 3.12", "past": "future"}.get(module.split(".")[0], module.split(".")[0])
    raise AttributeError(f"fastnet's stand-in for {module} has no {name!r}; it is in {distribution}")


def _asked_by_library() -> bool:
    """Whether the current import statement is in an installed library or in fastnet."""
    frame: types.FrameType | None = sys._getframe(1)
    while frame and (_name(frame) == __name__ or _name(frame).split(".")[0] in _MACHINERY):
        frame = frame.f_back
    file = (frame and frame.f_globals.get("__file__")) or ""
    return "site-packages" in file or "dist-packages" in file or _name(frame).startswith("fastnet.")


def _name(frame) -> str:
    return (frame and frame.f_globals.get("__name__")) or ""


_MACHINERY = ("importlib", "_frozen_importlib", "_frozen_importlib_external")
_first, _last = _First(), _Last()
