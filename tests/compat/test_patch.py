"""Shims in a folder, and restoring it byte for byte: after interruptions, and with a student's changes in between."""

from __future__ import annotations

import importlib.machinery
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from compat import assignment

from fastnet.cli import main
from fastnet.compat import patch

ROOT = Path(patch.__file__).parents[2]
SO = f"im2col_cython{importlib.machinery.EXTENSION_SUFFIXES[0]}"
STALE = "im2col_cython.cpython-27-m68k.so"


@pytest.fixture
def folder(tmp_path):
    """An assignment in tmp_path, with two builds of the extension, caches, odd permissions and old time stamps."""
    package = assignment.lay_out(tmp_path / "assignment2")
    (package / SO).write_bytes(b"\x7fELF for some other build")
    (package / STALE).write_bytes(b"\x00\xff")
    (package / "__pycache__").mkdir()
    (package / "__pycache__" / f"fast_layers.{sys.implementation.cache_tag}.pyc").write_bytes(b"old cache")
    (package / "fast_layers.py").chmod(0o640)
    os.utime(package / "fast_layers.py", ns=(10**18, 10**18 + 123456789))
    return tmp_path / "assignment2"


def everything(folder):
    """Every path with its content, permissions and, for files, modification time."""
    return {
        path.relative_to(folder).as_posix(): (path.stat().st_mode, path.stat().st_mtime_ns, path.read_bytes())
        if path.is_file()
        else "folder"
        for path in folder.rglob("*")
    }


def without_caches_of_others(folder):
    """The same without Python's caches of files that are not patched."""
    ours = ("fast_layers.", "im2col_cython.")
    return {
        name: what
        for name, what in everything(folder).items()
        if not name.endswith(("__pycache__", ".pyc")) or name.rpartition("/")[2].startswith(ours)
    }


def run(folder, *arguments, **more):
    env = {**os.environ, "PYTHONPATH": str(ROOT), **more}
    return subprocess.run([sys.executable, *arguments], cwd=folder, env=env, capture_output=True, text=True)


def test_a_patched_folder_runs_on_fastnet_and_unpatch_restores_it(folder, capsys):
    before = without_caches_of_others(folder)
    assert main(["course", "patch", str(folder)]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in ("fast_layers.py", "im2col_cython.py", SO, STALE))
    package = folder / "cs231n"
    assert not (package / SO).exists() and not (package / STALE).exists()
    for name in ("layers.py", "solver.py", "layer_utils.py", "classifiers/cnn.py"):
        assert without_caches_of_others(folder)[f"cs231n/{name}"] == before[f"cs231n/{name}"]
    (folder.parent / "notebook.py").write_text("\n".join(assignment.CELLS))
    result = run(folder, "../notebook.py", PYTHONPATH=f"{ROOT}{os.pathsep}{folder}", PYTHONDONTWRITEBYTECODE="")
    assignment.verify(result.stdout)
    assert list(package.glob("__pycache__/fast_layers.*.pyc")), "Python cached the shim"
    assert main(["course", "unpatch", str(folder)]) == 0
    assert without_caches_of_others(folder) == before


def test_new_caches_are_removed(tmp_path):
    package = assignment.lay_out(tmp_path)
    before = everything(tmp_path)
    patch.patch(package)
    (package / "__pycache__").mkdir()
    (package / "__pycache__" / "fast_layers.cpython-312.pyc").write_bytes(b"the shim's")
    patch.unpatch(package)
    assert everything(tmp_path) == before


def test_twice_is_harmless(folder, capsys):
    before = everything(folder)
    main(["course", "patch", str(folder)])
    once = everything(folder)
    assert main(["course", "patch", str(folder)]) == 0
    assert everything(folder) == once
    assert "nothing to do" in capsys.readouterr().out
    for _ in range(2):
        assert main(["course", "unpatch", str(folder)]) == 0
        assert everything(folder) == before
    assert "nothing to do" in capsys.readouterr().out


def test_level_1_leaves_fast_layers(folder, capsys):
    before = everything(folder)
    assert main(["course", "patch", str(folder), "--level", "1"]) == 0
    assert everything(folder)["cs231n/fast_layers.py"] == before["cs231n/fast_layers.py"]
    code = "import cs231n.fast_layers as f; print(f.col2im_6d_cython.__module__, f.__file__)"
    assert "fastnet.compat" in run(folder, "-c", code).stdout
    assert main(["course", "patch", str(folder)]) == 2
    assert "patched at level 1; unpatch it first" in capsys.readouterr().err
    main(["course", "unpatch", str(folder)])
    assert everything(folder).keys() >= before.keys()


@pytest.mark.parametrize("name", ["fast_layers.py", "im2col_cython.py", SO])
def test_an_edited_file_is_never_overwritten(folder, capsys, name):
    before = everything(folder)
    package = folder / "cs231n"
    patch.patch(package)
    (package / name).write_bytes(b"work of a night")
    assert main(["course", "status", str(folder)]) == 0
    assert name == SO or f"{name}: changed after the patch" in capsys.readouterr().out
    assert patch.patch(package).left == ([] if name == SO else [name])
    for _ in range(2):
        assert main(["course", "unpatch", str(folder)]) == 1
        assert f"{package / name} was changed after the patch, and left as it is" in capsys.readouterr().out
        assert (package / name).read_bytes() == b"work of a night"
        others = {path: file for path, file in everything(folder).items() if patch.STORE not in path}
        assert {**others, f"cs231n/{name}": None} == {**before, f"cs231n/{name}": None}
    (package / name).unlink()  # they chose
    assert main(["course", "unpatch", str(folder)]) == 0
    assert everything(folder) == before


def test_removed_files_are_restored(folder):
    before = everything(folder)
    package = folder / "cs231n"
    patch.patch(package)
    (package / "fast_layers.py").unlink()
    (package / "im2col_cython.py").unlink()
    assert patch.unpatch(package).left == []
    assert everything(folder) == before


class Interruption(BaseException):
    pass


def interrupted(monkeypatch, change, after):
    """Run `change`, and stop it after `after` changes of the file system; return whether it was stopped."""
    left = [after]

    def counted(function, half=lambda path: None):
        def stop(*args, **options):
            if left[0] == 0:
                half(args[0])
                raise Interruption
            left[0] -= 1
            return function(*args, **options)

        return stop

    with monkeypatch.context() as context:
        context.setattr(
            patch,
            "atomic_write",
            counted(patch.atomic_write, half=lambda path: path.with_name(f".{path.name}.tmp").write_bytes(b"half")),
        )
        context.setattr(os, "replace", counted(os.replace))
        context.setattr(
            shutil,
            "rmtree",
            counted(shutil.rmtree, half=lambda store: os.remove(store / "fast_layers.py")),
        )
        context.setattr(Path, "unlink", counted(Path.unlink))
        context.setattr(Path, "mkdir", counted(Path.mkdir))
        try:
            change()
        except Interruption:
            return True
    return False


@pytest.mark.parametrize("again", [True, False])
@pytest.mark.parametrize("way", ["patch", "unpatch"])
def test_an_interruption_anywhere_can_be_continued_or_undone(folder, monkeypatch, way, again):
    package, before = folder / "cs231n", everything(folder)
    patch.patch(package)
    patched = {path for path in everything(folder) if path.endswith((".py", ".so"))}
    patch.unpatch(package)
    for after in range(100):
        if way == "unpatch":
            patch.patch(package)
        stopped = interrupted(monkeypatch, lambda: getattr(patch, way)(package), after)
        names = everything(folder)
        assert "cs231n/fast_layers.py" in names and names["cs231n/layers.py"] == before["cs231n/layers.py"]
        assert patch.describe(package)
        if again:
            patch.patch(package)
            assert {path for path in everything(folder) if path.endswith((".py", ".so"))} == patched
        patch.unpatch(package)
        assert everything(folder) == before, after
        if not stopped:
            break
    assert not stopped and after > 8


def test_lost_and_damaged_manifests(folder, capsys):
    package = folder / "cs231n"
    patch.patch(package)
    manifest = package / patch.STORE / "manifest.json"
    text = manifest.read_text()
    given = (package / patch.STORE / "fast_layers.py").read_bytes()
    for damaged in ("{", "[]", json.dumps({"level": 2}), text.replace('"fast_layers.py"', '"../../fast_layers.py"')):
        manifest.write_text(damaged)
        assert main(["course", "unpatch", str(folder)]) == 2
        assert "manifest.json is damaged; the originals are beside it" in capsys.readouterr().err
    manifest.unlink()
    for action in ("patch", "unpatch"):
        assert main(["course", action, str(folder)]) == 2
        assert "already fastnet's, but there is no manifest of the originals" in capsys.readouterr().err
    assert (package / patch.STORE / "fast_layers.py").read_bytes() == given
    manifest.write_text(text)
    (package / patch.STORE / "fast_layers.py").write_bytes(b"")
    before = everything(folder)
    assert main(["course", "unpatch", str(folder)]) == 2
    assert "fast_layers.py is missing or damaged" in capsys.readouterr().err
    assert everything(folder) == before


def test_a_store_without_a_manifest_is_kept_if_it_holds_more_than_copies(folder, capsys):
    package = folder / "cs231n"
    patch.patch(package)
    (package / patch.STORE / "manifest.json").unlink()
    (package / "im2col_cython.py").unlink()
    (package / "fast_layers.py").write_text("another's")
    before = everything(folder)
    for action in ("patch", "unpatch"):
        assert main(["course", action, str(folder)]) == 2
        assert "is not a copy of a file in" in capsys.readouterr().err
    assert everything(folder) == before


def test_links_are_refused(folder, capsys):
    package = folder / "cs231n"
    (package / "fast_layers.py").rename(folder / "elsewhere.py")
    (package / "fast_layers.py").symlink_to(folder / "elsewhere.py")
    before = everything(folder)
    assert main(["course", "patch", str(folder)]) == 2
    assert "fast_layers.py is a link" in capsys.readouterr().err
    assert everything(folder) == before


def test_without_fastnet_the_shim_says_what_to_do(folder):
    patch.patch(folder / "cs231n")
    result = run(folder, "-S", "-E", "-c", "import sys; sys.path[:0] = ['']; import cs231n.fast_layers")
    assert result.stderr.splitlines()[-1].startswith(
        "ImportError: this folder was patched to run on fastnet, which this"
    )


def test_packages_are_found(tmp_path, capsys):
    for place in ("a1", "a2", ".hidden", "lib/site-packages", "fastnet/compat"):
        assignment.lay_out(tmp_path / place)
    (tmp_path / "a1" / "cs231n" / "fast_layers.py").unlink()  # as in the first assignment
    (tmp_path / "other" / "layers").mkdir(parents=True)
    assignment.lay_out(tmp_path / "hw1", "deeplearning")
    assignment.lay_out(tmp_path / "hw2", "mycourse")
    found = patch.find_packages(tmp_path)
    assert found == [tmp_path / "a2" / "cs231n", tmp_path / "hw1" / "deeplearning"]
    assert patch.find_packages(tmp_path / "a2" / "cs231n") == [tmp_path / "a2" / "cs231n"]
    assert main(["course", "patch", str(tmp_path), "--package", "mycourse"]) == 0
    assert (tmp_path / "hw2" / "mycourse" / patch.STORE).is_dir() and not (found[0] / patch.STORE).exists()
    assert main(["course", "unpatch", str(tmp_path), "--package", "mycourse"]) == 0
    assert main(["course", "patch", str(tmp_path / "a1")]) == 2
    assert "has no folder cs231n or deeplearning with a file fast_layers.py" in capsys.readouterr().err
    assert main(["course", "patch", str(tmp_path / "nowhere")]) == 2
    assert "nowhere is not a folder" in capsys.readouterr().err


def test_status(folder, capsys):
    assert main(["course", "status", str(folder)]) == 0
    printed = capsys.readouterr().out
    assert str(folder / "cs231n") in printed and "original files, no shims" in printed
    assert f"{SO}: built for this Python" in printed and f"{STALE}: built for another Python" in printed
    assert "stands in for:" in printed and "future" in printed
    patch.patch(folder / "cs231n")
    main(["course", "status", str(folder)])
    assert "patched at level 2" in capsys.readouterr().out
