"""The notebook's checks on an unmodified folder: on the command line, in IPython, in a new Jupyter kernel."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from compat import assignment

import fastnet
from fastnet.cli import main
from fastnet.compat import jupyter

ROOT = Path(fastnet.__file__).parents[1]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An assignment folder; whatever the test does, the course's and the student's files may not change."""
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")  # so that any bytecode found at the end is a shim's
    folder = tmp_path / "assignment2"
    assignment.lay_out(folder)
    before = assignment.tree(folder / "cs231n")
    yield folder
    assert assignment.tree(folder / "cs231n") == before
    assert not list(folder.rglob("fast_layers*.pyc"))


@pytest.fixture(autouse=True)
def paths(tmp_path, monkeypatch):
    """Make new Pythons import this fastnet, and keep Jupyter and IPython out of the user's folders."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    for variable in ("JUPYTER_DATA_DIR", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR"):
        monkeypatch.setenv(variable, str(tmp_path / variable.lower()))
    monkeypatch.delenv("JUPYTER_PATH", raising=False)


def run(folder, *arguments):
    return subprocess.run([sys.executable, *arguments], cwd=folder, capture_output=True, text=True)


# ---------------------------------------------------------------- python -m fastnet.compat run


@pytest.mark.parametrize("package", ["cs231n", "deeplearning"])
def test_a_script(folder, package):
    if package != "cs231n":
        assignment.lay_out(folder, package)
    (folder / "notebook.py").write_text("\n".join(assignment.CELLS).replace("cs231n", package))
    result = run(folder, "-m", "fastnet.compat", "run", "notebook.py")
    assignment.verify(result.stdout)
    assert result.returncode == 0 and result.stderr == ""


def test_a_module(folder):
    (folder / "jobs").mkdir()
    (folder / "jobs" / "train.py").write_text("import sys\n" + "\n".join(assignment.CELLS) + "\nprint(sys.argv[1:])")
    result = run(folder, "-m", "fastnet.compat", "run", "-m", "jobs.train", "--epochs", "3")
    assignment.verify(result.stdout)
    assert "['--epochs', '3']" in result.stdout


SCRIPT = """
import sys
import beside
if __name__ == "__main__":
    print(__file__, sys.argv, sys.path[0], sys.modules["__main__"].__dict__ is globals(), sorted(globals()))
    import pickle
    class Local: pass
    print(pickle.loads(pickle.dumps(Local())).__class__ is Local)
    end(sys.argv[1])
"""
ENDS = {
    "fall": "def fail():\n    raise ValueError('no')\ndef end(how):\n    try:\n        fail()\n"
    "    except ValueError as error:\n        raise KeyError(how) from error\n",
    "exit": "def end(how):\n    sys.exit(7)\n",
    "say": "def end(how):\n    sys.exit('words')\n",
    "syntax": "def end(how):\n    return return\n",
    "well": "def end(how):\n    import atexit\n    atexit.register(print, 'at the end')\n",
}


@pytest.mark.parametrize("way", ENDS)
def test_a_script_runs_as_python_would_run_it(tmp_path, way):
    """The same output, traceback, exit status and names in the main module, except those that Python's loader adds."""
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "beside.py").write_text("")
    (tmp_path / "jobs" / "script.py").write_text(ENDS[way] + SCRIPT)
    arguments = ["jobs/script.py", way, "--package", "x", "-m"]
    alone = run(tmp_path, *arguments)
    through = run(tmp_path, "-m", "fastnet.compat", "run", *arguments)
    loaders = r"'__(annotations|cached|doc|loader|package|spec)__'(, )?"
    assert re.sub(loaders, "", through.stdout) == re.sub(loaders, "", alone.stdout)
    assert (through.returncode, through.stderr) == (alone.returncode, alone.stderr)


def test_run_refuses_bad_arguments(tmp_path):
    result = run(tmp_path, "-m", "fastnet.compat", "run", "nowhere.py")
    assert result.returncode == 2 and result.stderr.splitlines()[-1].endswith("error: no such file: nowhere.py")
    result = run(tmp_path, "-m", "fastnet.compat", "run", "--package", "a/b", "nowhere.py")
    assert result.returncode == 2 and "'a/b' is not a package name" in result.stderr
    result = run(tmp_path, "-m", "fastnet.compat", "--help")
    assert result.returncode == 0 and "run -m assignment2.train" in result.stdout


# ---------------------------------------------------------------- IPython

SHELL = """
import os, sys, time
from IPython.core.interactiveshell import InteractiveShell

sys.path.insert(0, "")
shell = InteractiveShell.instance()

def cell(text):
    shell.run_cell(text).raise_error()

def edit(name, text):
    with open(f"cs231n/{name}", "a") as file:
        file.write(text)
    later = time.time() + 10
    os.utime(f"cs231n/{name}", (later, later))
"""


def ipython(folder, code):
    pytest.importorskip("IPython")
    (folder / "shell.py").write_text(SHELL + code)
    result = run(folder, "shell.py")
    assert result.returncode == 0, result.stdout + result.stderr
    return result


def test_load_ext(folder):
    result = ipython(folder, f"cell('%load_ext fastnet')\nfor text in {assignment.CELLS!r}:\n    cell(text)")
    assignment.verify(result.stdout)


def test_load_ext_after_the_first_import(folder):
    first, *others = assignment.CELLS
    result = ipython(folder, f"for text in ({first!r}, '%load_ext fastnet', *{others!r}):\n    cell(text)")
    assignment.verify(result.stdout)
    assert re.search(
        r"replaced in .*__main__.*cs231n.layer_utils|replaced in .*cs231n.layer_utils.*__main__", result.stderr
    )


def test_unload_ext(folder):
    code = f"cell('%load_ext fastnet')\ncell({assignment.IMPORTS!r})\ncell('%unload_ext fastnet')\n"
    result = ipython(folder, code + "cell('print(conv_forward_fast.__module__)')")
    assert result.stdout.splitlines()[-1] == "cs231n.fast_layers"


def test_autoreload(tmp_path):
    """With %autoreload 2, as in every notebook of the course: a student's edit takes effect, and the hook stays."""
    folder = tmp_path / "assignment"
    assignment.lay_out(folder)
    code = f"""
for text in ("%load_ext autoreload", "%autoreload 2", "%load_ext fastnet", *{assignment.CELLS!r}):
    cell(text)
edit("layers.py", "def relu_forward(x):\\n    return 0 * x, x\\n")
edit("layer_utils.py", "def added():\\n    return conv_forward_fast.__module__\\n")
edit("fast_layers.py", "conv_forward_fast = None\\n")
cell("print('edited', np.abs(relu_forward(np.ones(3))[0]).sum(), np.abs(model.loss(X) - model.params['b2']).max())")
cell("from cs231n.layer_utils import added; import cs231n.fast_layers; print(added(), cs231n.fast_layers.__file__)")
"""
    printed = ipython(folder, code).stdout
    assignment.verify(printed)
    assert "edited 0.0 0.0" in printed
    last = printed.splitlines()[-1].split()
    assert last[0].startswith("fastnet.") and not last[1].startswith(str(tmp_path))


# ---------------------------------------------------------------- Jupyter


def execute(folder, cells):
    """Run cells in a new kernel, like `jupyter execute --kernel_name=fastnet`, and return their output."""
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    client = NotebookClient(notebook, kernel_name="fastnet", timeout=120, resources={"metadata": {"path": str(folder)}})
    client.execute()
    outputs = [output for cell in notebook.cells for output in cell.outputs]
    return "".join(output.text for output in outputs if output.output_type == "stream" and output.name == "stdout")


@pytest.fixture
def kernel():
    pytest.importorskip("ipykernel")


def test_a_fresh_jupyter_kernel(folder, kernel, capsys):
    pytest.importorskip("nbclient")
    assert main(["course", "kernel"]) == 0
    assert "Kernel > Change Kernel" in capsys.readouterr().out
    printed = execute(folder, ["%load_ext autoreload\n%autoreload 2", *assignment.CELLS])
    assignment.verify(printed)
    assert "not built" not in printed


def test_a_kernel_for_another_package_and_level(tmp_path, kernel):
    pytest.importorskip("nbclient")
    for package in ("cs231n", "mycourse"):
        assignment.lay_out(tmp_path, package)
    main(["course", "kernel", "--package", "mycourse", "--level", "1"])
    code = "import cs231n.fast_layers, mycourse.fast_layers as f\nprint(f.__name__, hasattr(f, 'col2im_6d_cython'))"
    printed = execute(tmp_path, [code, "import sys\nprint(sys.argv[1], '' in sys.path)"]).splitlines()
    assert printed == ["the extension is not built", "mycourse.fast_layers True", "-f True"]


def specs():
    from jupyter_client.kernelspec import KernelSpecManager

    return {name: found["spec"] for name, found in KernelSpecManager().get_all_specs().items()}


def test_the_folder_of_a_kernelspec(tmp_path, kernel, monkeypatch, capsys):
    assert main(["course", "kernel"]) == 0
    written = json.loads((tmp_path / "jupyter_data_dir" / "kernels" / "fastnet" / "kernel.json").read_text())
    assert written.items() <= specs()["fastnet"].items()
    assert specs()["fastnet"]["display_name"] == "Python (fastnet)" and specs()["fastnet"]["argv"][0] == sys.executable
    assert main(["course", "kernel", "--user", "--name", "CS", "--display-name", "Course"]) == 0
    assert specs()["cs"]["display_name"] == "Course"
    assert main(["course", "kernel", "--prefix", str(tmp_path / "p")]) == 0
    assert (tmp_path / "p" / "share" / "jupyter" / "kernels" / "fastnet" / "kernel.json").is_file()
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "env"))
    assert main(["course", "kernel", "--sys-prefix"]) == 0
    assert (tmp_path / "env" / "share" / "jupyter" / "kernels" / "fastnet" / "kernel.json").is_file()
    assert main(["course", "kernel"]) == 0, "again, over our own"
    for arguments in ([], ["--name", "cs"], ["--prefix", str(tmp_path / "p")], ["--sys-prefix"]):
        assert main(["course", "kernel", "--remove", *arguments]) == 0
    assert not {"fastnet", "cs"} & set(specs()) and not list(tmp_path.rglob("kernel.json"))
    assert main(["course", "kernel", "--remove"]) == 2
    assert "there is no kernel 'fastnet'" in capsys.readouterr().err


def test_another_kernel_is_left_alone(tmp_path, kernel, capsys):
    folder = tmp_path / "jupyter_data_dir" / "kernels" / "fastnet"
    folder.mkdir(parents=True)
    for text in ('{"argv": ["R"]}', "no json"):
        (folder / "kernel.json").write_text(text)
        for action in ([], ["--remove"]):
            assert main(["course", "kernel", *action]) == 2
            assert "is another kernel's" in capsys.readouterr().err
        assert (folder / "kernel.json").read_text() == text


@pytest.mark.parametrize("name", ["../up", "a b", "..", ""])
def test_invalid_names_are_refused(kernel, capsys, name):
    assert main(["course", "kernel", "--name", name]) == 2
    assert "letters, digits" in capsys.readouterr().err


def test_a_kernel_that_would_not_start_is_not_installed(tmp_path, kernel, monkeypatch, capsys):
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "fastnet").mkdir()
    (tmp_path / "fastnet" / "__init__.py").write_text("")
    assert main(["course", "kernel"]) == 2
    assert "a kernel would not find this fastnet" in capsys.readouterr().err
    assert not list(tmp_path.rglob("kernel.json"))


def test_without_ipykernel(monkeypatch, capsys):
    monkeypatch.setattr(jupyter.importlib.util, "find_spec", lambda name: None)
    assert main(["course", "kernel"]) == 2
    assert f"{sys.executable} -m pip install ipykernel" in capsys.readouterr().err


def test_help(capsys):
    for arguments in (
        ["course"],
        ["course", "--help"],
        *(["course", a, "--help"] for a in ("kernel", "patch", "unpatch")),
    ):
        try:
            assert main(arguments) == 0
        except SystemExit as end:
            assert end.code == 0
        assert "examples:" in capsys.readouterr().out
    assert os.environ["PYTHONPATH"] == str(ROOT)
