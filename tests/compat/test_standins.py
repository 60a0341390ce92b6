"""Stand-ins: old imports work, installed libraries take precedence, and libraries do not see stand-ins."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from compat import assignment

from fastnet.compat import pictures, standins

ROOT = Path(standins.__file__).parents[2]
HIDE = """
import sys
from importlib.machinery import PathFinder

class Hidden:
    def find_spec(self, name, path=None, target=None):
        hidden = ("future", "past", "six", "scipy", "imageio", "imp", "google", "PIL")
        return None if name.split(".")[0] in hidden else PathFinder.find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = Hidden()
from fastnet.compat import standins
"""


def python(code, folder=None, hide=True):
    """The output of a new Python process that has none of the libraries."""
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    result = subprocess.run(
        [sys.executable, "-c", (HIDE if hide else "from fastnet.compat import standins\n") + code],
        capture_output=True, text=True, env=env, cwd=folder,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


IMPORTS = """
import builtins
import imp
import six
from builtins import range, object
from future import standard_library
from future.builtins import zip
from future.utils import iteritems
from google.colab import drive, files
from imageio import imread as read
from past.builtins import basestring, xrange, reduce
from past.utils import old_div
from scipy.misc import imread, imresize
from six.moves import cPickle as pickle, queue
from six.moves.urllib.request import urlretrieve
import six.moves.urllib.parse
import scipy.misc

standard_library.install_aliases()
drive.mount("/content/drive", force_remount=True)
assert list(xrange(3)) == [0, 1, 2] and isinstance("", basestring) and reduce(max, [1, 3, 2]) == 3
assert old_div(7, 2) == 3 and old_div(7.0, 2) == 3.5
assert sorted(iteritems({1: 2})) == [(1, 2)] == list(six.iteritems({1: 2}))
assert pickle.loads(pickle.dumps([1])) == [1] and six.moves.xrange(2) == range(2)
assert six.moves.urllib.parse.quote("a b") == "a%20b"
assert scipy.misc.imread is imread is read
assert imp.reload(imp) is imp
"""


def test_old_imports_work():
    printed = python("standins.install()\n" + IMPORTS)
    assert printed == "This is not Colab: nothing was mounted at /content/drive; the notebook works in its own folder."


def test_missing_lists_them():
    everything = ["future", "google.colab", "imageio", "imp", "past", "scipy", "six"]
    assert json.loads(python("import json; print(json.dumps(standins.missing()))")) == everything
    code = "import json; standins.install(); import six, scipy.misc; print(json.dumps(standins.missing()))"
    assert json.loads(python(code)) == everything


def test_an_assignments_own_module(tmp_path):
    assignment.lay_out(tmp_path)
    code = "import fastnet.compat; fastnet.compat.install(); from cs231n.data_utils import *"
    assert python(f"{code}; print(small_data(0)[0].shape)", tmp_path) == "(40, 3, 8, 8)"


@pytest.mark.parametrize("statement", ["import scipy", "import six.moves", "from scipy.misc import imread"])
def test_without_install_there_are_no_stand_ins(statement):
    assert python(f"try:\n    {statement}\nexcept ImportError:\n    print('missing')") == "missing"


def test_an_installed_library_sees_no_stand_ins(tmp_path):
    library = tmp_path / "site-packages" / "library.py"
    library.parent.mkdir()
    library.write_text("try:\n    import scipy.misc\n    found = True\nexcept ImportError:\n    found = False\n")
    code = "import sys; sys.path.append('site-packages'); standins.install(); import library; import scipy.misc"
    assert python(f"{code}; print(library.found, scipy.misc.imread.__module__)", tmp_path).startswith("False fastnet")


def test_installed_libraries_take_precedence(tmp_path):
    (tmp_path / "six.py").write_text("mine = 1\n")
    (tmp_path / "scipy").mkdir()
    (tmp_path / "scipy" / "__init__.py").write_text("__version__ = '0'\n")
    (tmp_path / "scipy" / "misc.py").write_text("imread = 'mine'\n")
    (tmp_path / "google" / "protobuf").mkdir(parents=True)
    code = """
standins.install()
import six, scipy.misc, google.colab, google.protobuf
print(six.mine, scipy.__version__, scipy.misc.imread, scipy.misc.imresize.__module__, len(google.__path__))
try:
    import six.moves
except ImportError as error:
    print(error)
"""
    printed = python(code, tmp_path, hide=False).splitlines()
    assert printed[0] == "1 0 mine fastnet.compat.pictures 1"
    assert "'six' is not a package" in printed[1]


def test_a_scipy_misc_that_is_loaded_is_completed_and_left_as_it_was(tmp_path):
    (tmp_path / "scipy").mkdir()
    for name in ("__init__", "misc"):
        (tmp_path / "scipy" / f"{name}.py").write_text("face = 1\n")
    code = """
import scipy.misc
standins.install()
from scipy.misc import imread, face
standins.uninstall()
print(hasattr(scipy.misc, "imread"), scipy.misc.face)
"""
    assert python(code, tmp_path, hide=False) == "False 1"


def test_uninstall_unloads_them():
    code = """
before = list(sys.meta_path)
standins.install()
standins.install()
import six.moves, scipy.misc
standins.uninstall()
assert sys.meta_path == before
print([name for name in sys.modules if name.split(".")[0] in ("six", "scipy")])
"""
    assert python(code) == "[]"


def test_a_missing_name_raises_an_error():
    code = """
standins.install()
import past.builtins, scipy, six
for module, name in ((scipy, "stats"), (six, "wraps"), (past.builtins, "execfile")):
    try:
        getattr(module, name)
    except AttributeError as error:
        print(error)
try:
    import scipy.ndimage
except ImportError as error:
    print(error)
"""
    printed = python(code).splitlines()
    assert printed[0] == "fastnet's stand-in for scipy has no 'stats'; it is in scipy"
    assert printed[2].endswith("has no 'execfile'; it is in future")
    assert printed[3] == "No module named 'scipy.ndimage'"


def test_imp_loads_a_source_file(tmp_path):
    (tmp_path / "file.py").write_text("value = 7\n")
    code = "standins.install(); import imp; print(imp.load_source('it', 'file.py').value, sys.modules['it'].value)"
    assert python(code, tmp_path) == "7 7"


# ---------------------------------------------------------------- pictures


def test_without_pillow_the_error_names_the_extra():
    code = """
standins.install()
from scipy.misc import imread
try:
    imread("a.png")
except ImportError as error:
    print(error)
"""
    assert python(code) == 'imread needs Pillow: pip install "fastnet-cnn[images]"'


@pytest.fixture
def picture():
    pytest.importorskip("PIL")
    rows, columns = np.mgrid[:6, :8]
    return np.stack([rows * 40, columns * 30, rows + columns], axis=2).astype(np.uint8)


def test_imread(picture, tmp_path):
    from PIL import Image

    Image.fromarray(picture).save(tmp_path / "a.png")
    Image.fromarray(picture).convert("P").save(tmp_path / "p.png")
    Image.fromarray(picture[:, :, 0] > 90).save(tmp_path / "1.png")
    read = pictures.imread(tmp_path / "a.png")
    assert read.dtype == np.uint8 and np.array_equal(read, picture) and read.flags.writeable
    grey = pictures.imread(str(tmp_path / "a.png"), flatten=True)
    weights = np.array([299, 587, 114]) / 1000
    assert grey.dtype == np.float32 and np.allclose(grey, picture @ weights, atol=1)
    assert pictures.imread(tmp_path / "a.png", mode="L").shape == (6, 8)
    assert pictures.imread(tmp_path / "p.png").shape == (6, 8, 3)
    assert set(pictures.imread(tmp_path / "1.png").ravel()) == {0, 255}


def test_imresize(picture):
    assert np.array_equal(pictures.imresize(picture, (6, 8)), picture)
    nearest = pictures.imresize(picture, 200, interp="nearest")
    assert np.array_equal(nearest, picture.repeat(2, axis=0).repeat(2, axis=1))
    assert pictures.imresize(picture, 0.5).shape == (3, 4, 3)
    assert np.array_equal(pictures.imresize(picture.transpose(2, 0, 1), (6, 8)), picture)
    stretched = pictures.imresize(np.array([[-1.0, 0.0], [1.0, 3.0]]), (2, 2))
    assert stretched.dtype == np.uint8 and np.array_equal(stretched, [[0, 64], [128, 255]])
    assert np.array_equal(pictures.imresize(np.full((2, 2), 3.5), 1.0), np.zeros((2, 2)))
    for arguments, message in (
        ((picture, 50, "linear"), "interp must be"),
        ((np.zeros((2, 2, 5)), 50), "got .2, 2, 5."),
    ):
        with pytest.raises(ValueError, match=message):
            pictures.imresize(*arguments)
