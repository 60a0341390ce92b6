"""Recognises files of other software by their first bytes, and says how to get weights out of them."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

__all__ = ["explain"]

_HEAD = 512

_EXPORT = (
    "load it with the library that wrote it, save its arrays with numpy.savez under the names and shapes of "
    "model.state_dict(), and call model.load"
)
_KERAS = f"{_EXPORT}; Keras's kernels (R, S, C, K) become (K, C, R, S), its dense ones (in, out) become (out, in)"
_ONNX = f"{_EXPORT}; onnx.numpy_helper.to_array gives the arrays of model.graph.initializer"
_TORCH = "read it with model.load_state_dict(fastnet.interop.load_torch(path))"
_JIT = 'in PyTorch, torch.save(torch.jit.load(path).state_dict(), "weights.pt"), and read that file'
_PT2 = 'in PyTorch, torch.save(torch.export.load(path).state_dict, "weights.pt"), and read that file'
_OWN = "read it with model.load(path), after renaming it to end in that suffix"
_UNPACK = "unpack it, and read the file inside"
_AGAIN = "download the file itself"
_GIVE = "give the file with the weights"

# (first bytes as a regular expression, what it is, advice), the surest first
_STARTS: Sequence[tuple[bytes, str, str]] = (
    (rb"\x89HDF\r\n\x1a\n", "an HDF5 file, as Keras (.h5) or MATLAB write", _KERAS),
    (rb"version https://git-lfs", "a pointer of Git LFS, not the file itself", "run git lfs pull"),
    (rb"(?i)\s*<(!doctype html|html|head|\?xml)", "a web page or XML, perhaps an error of the server", _AGAIN),
    (rb"\x93NUMPY", "one NumPy array (.npy)", "save named arrays with numpy.savez, and call model.load"),
    (rb"GGUF|ggml|ggjt|lmgg|tjgg", "a GGUF file of llama.cpp", _EXPORT),
    (rb"(?s)....TFL3", "a TensorFlow Lite model", _EXPORT),
    (rb"MATLAB 5\.0", "a MATLAB file", f"scipy.io.loadmat reads it; {_EXPORT}"),
    (rb"\x1f\x8b", "compressed with gzip", _UNPACK),
    (rb"BZh[1-9]", "compressed with bzip2", _UNPACK),
    (rb"\xfd7zXZ\x00", "compressed with xz", _UNPACK),
    (rb"\x28\xb5\x2f\xfd", "compressed with zstd", _UNPACK),
    (rb"7z\xbc\xaf\x27\x1c", "a 7z archive", _UNPACK),
    (rb"Rar!\x1a\x07", "a RAR archive", _UNPACK),
    (rb"\x89PNG|\xff\xd8\xff|GIF8|RIFF|%PDF", "a picture or document", "expected weights"),
    (rb"\x12\x01\x00\x00\x00\x00\x00\x00", "an MXNet file", _EXPORT),
    (rb"(?s)[\x01-\x08]\x00{3}\x01\x00{3}", "a file of Lua Torch (.t7)", "convert it with torchfile, then save arrays"),
    (rb"(?s).{8}\s*\{\s*(\"|\})", "a .safetensors file", _OWN),
    (rb"\x80[\x00-\x05]|\(dp|\(lp|ccollections|c__", "a Python pickle", _TORCH + " if PyTorch wrote it"),
    # ONNX's first field, ir_version, and then a field that a model has
    (rb"\x08[\x01-\x1f][\x12\x1a\x22\x2a\x32\x3a\x42]", "an ONNX model", _ONNX),
)

# (a name in the archive as a regular expression, what it is, advice)
_MEMBERS: Sequence[tuple[str, str, str]] = (
    (r"(.*/)?constants\.pkl|[^/]*/code/.*", "a TorchScript program, which is code", _JIT),
    (r"(.*/)?(serialized_exported_program\.json|archive_format|models/model\.json)", "a torch.export program", _PT2),
    (r"(.*/)?data\.pkl", "a PyTorch file", _TORCH),
    (r"model\.weights\.h5", "a Keras model (.keras)", _KERAS),
    (r"(.*/)?Manifest\.json|.*\.mlmodel", "a Core ML model", _EXPORT),
    (r"__MACOSX/.*|.*\.(pth?|pkl|bin|ckpt|h5|onnx|safetensors|npz)", "a zip archive with a file in it", _UNPACK),
    (r"[^/]*\.npy", "an .npz file", _OWN),
)

# (the file's name as a regular expression, what it is, advice), for formats without a mark of their own
_NAMES: Sequence[tuple[str, str, str]] = (
    (r".*\.onnx", "an ONNX model", _ONNX),
    (r".*\.caffemodel", "a Caffe model", _EXPORT),
    (r".*\.pb", "a TensorFlow graph", _EXPORT),
    (
        r".*\.(index|data-\d+-of-\d+)",
        "part of a TensorFlow checkpoint",
        f"tf.train.load_checkpoint reads it; {_EXPORT}",
    ),
    (r".*\.json", "a JSON file", _GIVE),
    (r".*\.py", "a Python program", _GIVE),
)


def explain(path: str | os.PathLike[str]) -> str:
    """What the file `path` is, and how to get weights out of it, in words; "" if it is not recognised.

    Nothing but the first bytes and an archive's table of contents is read.
    """
    path = Path(path)
    if path.is_dir():
        saved = (path / "saved_model.pb").is_file()
        return f"it is a TensorFlow SavedModel: {_KERAS}" if saved else f"it is a folder: {_GIVE}"
    if not path.is_file():
        return "it is not a regular file"
    with open(path, "rb") as file:
        head = file.read(_HEAD)
    if not head.strip(b"\0"):
        return "it is empty, or all zeros: an unfinished download?"
    found = _in_archive(path) if head.startswith((b"PK\x03\x04", b"PK\x05\x06")) else _by_start(head)
    found = found or _first(_NAMES, [path.name.lower()])
    return f"it is {found[0]}: {found[1]}" if found else ""


def _by_start(head: bytes) -> tuple[str, str] | None:
    if head[257:262] == b"ustar":
        return "a tar archive", f"{_TORCH} if PyTorch 0.1 wrote it, else {_UNPACK}"
    return next(((what, advice) for start, what, advice in _STARTS if re.match(start, head)), None)


def _in_archive(path: Path) -> tuple[str, str]:
    import zipfile  # here, to keep importing fastnet fast

    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OverflowError, OSError):
        return "a zip archive without its end", "an unfinished download?"
    expected = "expected a file that torch.save, model.save or numpy.savez wrote"
    return _first(_MEMBERS, names) or ("a zip archive without weights", expected)


def _first(table: Sequence[tuple[str, str, str]], names: Sequence[str]) -> tuple[str, str] | None:
    """What the first row says whose regular expression matches one of `names`."""
    return next(
        ((what, advice) for name, what, advice in table if any(re.fullmatch(name, given) for given in names)), None
    )
