"""Images in zip and tar files, and in CSV lists."""

from __future__ import annotations

import io
import tarfile
import zipfile

import numpy as np
import pytest

from fastnet import data
from fastnet.cli import main
from fastnet.data.inside import open_archive

Image = pytest.importorskip("PIL.Image")


def png(value):
    file = io.BytesIO()
    Image.fromarray(np.full((6, 5, 3), value, np.uint8)).save(file, "PNG")
    return file.getvalue()


FILES = {f"photos/{part}/{kind}/{n}.png": png(10 * n + shift)
         for part, count in (("train", 4), ("test", 2))
         for kind, shift in (("cats", 0), ("dogs", 100))
         for n in range(count)}  # fmt: skip


def archive(path, files, mode="w"):
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as made:
            for name, content in files.items():
                made.writestr(name, content)
    else:
        with tarfile.open(path, mode) as made:
            for name, content in files.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                made.addfile(info, io.BytesIO(content))
    return path


def unpacked(folder, files):
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


@pytest.mark.parametrize("name, mode", [("a.zip", ""), ("a.tar", "w"), ("a.tar.gz", "w:gz"), ("a.TGZ", "w:gz")])
def test_an_archive_is_the_folder_that_it_holds(tmp_path, name, mode):
    found = data.image_folder(archive(tmp_path / name, FILES, mode))
    plain = data.image_folder(unpacked(tmp_path, FILES) / "photos")
    for part in ("X_train", "y_train", "X_test", "y_test"):
        np.testing.assert_array_equal(getattr(found, part), getattr(plain, part))
    assert found.classes == plain.classes == ("cats", "dogs")
    assert {file.name for file in tmp_path.iterdir()} == {name, "photos"}


def test_names_that_lead_out_are_left_out(tmp_path):
    odd = {"../cats/evil.png": png(1), "/cats/root.png": png(2), "photos/train/cats/..\\..\\up.png": png(3)}
    with pytest.warns(UserWarning, match="left out 3 links and odd names"):
        found = data.image_folder(archive(tmp_path / "a.zip", {**FILES, **odd}))
    assert len(found.y_train) == 8


def test_links_in_a_tar_file_are_left_out(tmp_path):
    path = archive(tmp_path / "a.tar", FILES)
    with tarfile.open(path, "a") as made:
        info = tarfile.TarInfo("photos/train/cats/link.png")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        made.addfile(info)
    with pytest.warns(UserWarning, match="link.png"):
        assert len(data.image_folder(path).y_train) == 8


def test_damaged_archives_are_named(tmp_path):
    whole = archive(tmp_path / "a.zip", FILES).read_bytes()
    (tmp_path / "b.zip").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "b.tar").write_bytes(b"no archive" * 100)
    whole = archive(tmp_path / "a.tar.gz", FILES, "w:gz").read_bytes()
    (tmp_path / "b.tar.gz").write_bytes(whole[: len(whole) // 2])
    for name in ("b.zip", "b.tar", "b.tar.gz"):
        with pytest.raises(ValueError, match=f"{name} is not a (zip|tar) file, or damaged"):
            data.image_folder(tmp_path / name)


def test_a_bad_image_in_an_archive_is_named_or_skipped(tmp_path):
    path = archive(
        tmp_path / "a.zip", {**FILES, "photos/train/cats/bad.png": png(3)[:40], "photos/train/cats/no.png": b""}
    )
    with pytest.raises(ValueError, match=r"cannot read 2 of 14 images: .*bad.png .*no.png \(the file is empty\)"):
        data.image_folder(path)
    with pytest.warns(UserWarning, match="left out 2 of 14 images"):
        assert len(data.image_folder(path, skip_bad=True).y_train) == 8


def test_files_too_large_for_images_are_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr("fastnet.data.inside._LARGEST", 5000)
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in {**FILES, "photos/train/cats/zeros.png": bytes(10**6)}.items():
            made.writestr(name, content)
    with pytest.raises(ValueError, match=r"zeros.png \(it has 1 MiB; images of more than 0 MiB are not read\)"):
        data.image_folder(path)


def test_the_top_of_an_archive(tmp_path):
    top, strange = open_archive(archive(tmp_path / "a.zip", FILES))
    assert str(top) == f"{tmp_path}/a.zip/photos" and strange == []


@pytest.mark.parametrize(
    "text",
    [
        "{a},cat\r\n{b},dog\r\n{c},cat\r\n{d},dog\r\n",
        "\ufefffile,label\n{a},cat\n{b},dog\n\n{c},cat\n{d},dog",
        'label;x;filename\ncat;1;"{a}"\ndog;1;{b}\ncat;2;{c}\ndog;2;{d}\n',
        "path\tclass\n{a}\tcat\n{b}\tdog\n{c}\tcat\n{d}\tdog\n",
        "cat,{a}\ndog,{b}\ncat,{c}\ndog,{d}\n",
        "id,image_path,class_id\n1,{a},cat\n2,{b},dog\n3,{c},cat\n4,{d},dog\n",
        "id,label\n1,cat\nsub\\2.PNG,dog\ndrei und vier,cat\nü,dog\n",
    ],
)
def test_lists(tmp_path, text):
    names = dict(zip("abcd", ("1.png", "sub/2.PNG", "drei und vier.png", "ü.png"), strict=True))
    unpacked(tmp_path, {name: png(40 * n) for n, name in enumerate(names.values())})
    (tmp_path / "list.csv").write_bytes(text.format(**names).encode())
    found = data.image_csv(tmp_path / "list.csv", test="all")
    assert found.classes == ("cat", "dog")
    assert found.y_test.tolist() == [0, 1, 0, 1] and found.X_test[:, 0, 0, 0].tolist() == [0, 40, 80, 120]


def test_a_list_of_files_in_an_archive_and_in_utf_16(tmp_path):
    path, names = archive(tmp_path / "a.zip", FILES), sorted(FILES)
    for start in ("", "photos/"):  # the folder that the archive holds may be named, or not
        rows = [f"{name if start else name.removeprefix('photos/')},{name.split('/')[2]}" for name in names]
        (tmp_path / "list.csv").write_bytes("\n".join(["file,label", *rows]).encode("utf-16"))
        found = data.image_csv(tmp_path / "list.csv", path, test="all")
        assert found.X_test[:, 0, 0, 0].tolist() == [0, 10, 100, 110, 0, 10, 20, 30, 100, 110, 120, 130]


def test_an_archive_in_an_archive_is_named(tmp_path):
    inner = archive(tmp_path / "a.zip", FILES).read_bytes()
    with pytest.raises(ValueError, match="it holds a.zip, which is not read: give that file itself"):
        data.image_folder(archive(tmp_path / "b.zip", {"a.zip": inner}))


def test_parts_order_and_root(tmp_path):
    unpacked(tmp_path / "images", {f"{n}.png": png(n) for n in range(6)})
    rows = [(0, 10, "train"), (1, 9, "test"), (2, 9, "train"), (3, 10, "val"), (4, 9, "train"), (5, 10, "test")]
    text = "file,label,split\n" + "".join(f"{n}.png,{label},{part}\n" for n, label, part in rows)
    (tmp_path / "list.csv").write_text(text)
    with pytest.warns(UserWarning, match="no image of 1 of 2 classes"):
        found = data.image_csv(tmp_path / "list.csv", tmp_path / "images")
    assert found.classes == ("9", "10")
    assert found.y_train.tolist() == [1, 0, 0] and found.X_train[:, 0, 0, 0].tolist() == [0, 2, 4]
    assert found.y_test.tolist() == [0, 1] and found.y_val.tolist() == [1]


@pytest.mark.parametrize(
    "text, words",
    [
        ("", "has no rows"),
        ("file,label\n", "and no other row"),
        ("a,b\nc,d\n", r"expected a column of files \(file, .* and one of classes \(label, .*got a, b"),
        (b"file,label\n1.png,\xe4", r"not text in UTF-8 .*save it as such"),
        ("1.png,cat,x\n", "has 3 columns and no names"),
        ("1.png,cat\n2.png\n", "no file or no class in line 2"),
        ("file,label,split\n1.png,cat,train\n1.png,dog,later\n", "line 3: 'later' is not a part"),
        ("1.png,cat\nmissing.png,dog\n", r"cannot read 1 of 2 images: .*missing.png \(there is no such file\)"),
    ],
)
def test_lists_that_are_refused(tmp_path, text, words):
    unpacked(tmp_path, {"1.png": png(1)})
    (tmp_path / "list.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError, match=words):
        data.image_csv(tmp_path / "list.csv")


def test_the_command_takes_both(tmp_path, capsys):
    rows = [f"{name},{name.split('/')[2]}" for name in FILES]
    unpacked(tmp_path, FILES)
    (tmp_path / "list.csv").write_text("\n".join(rows))
    path = archive(tmp_path / "a.zip", FILES)
    for source in (path, tmp_path / "list.csv"):
        run = tmp_path / f"run-{source.suffix[1:]}"
        words = f"train --data {source} --image-size 12 --model three_layer_convnet --epochs 1 --quiet --out {run}"
        assert main(words.split()) == 0, capsys.readouterr()
        assert main(["evaluate", str(run)]) == 0
        assert "dogs" in capsys.readouterr().out


def test_the_command_looks_for_names_in_a_root(tmp_path, capsys, monkeypatch):
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "list.csv").write_text("\n".join(f"{name},{name.split('/')[2]}" for name in FILES))
    archive(tmp_path / "a.zip", FILES)
    monkeypatch.chdir(tmp_path)
    words = (
        "train --data lists/list.csv --root a.zip --model three_layer_convnet --epochs 1 --quiet --no-plot --out run"
    )
    assert main(words.split()) == 0, capsys.readouterr()
    monkeypatch.chdir(tmp_path / "lists")
    assert main(["evaluate", str(tmp_path / "run")]) == 0  # the card has both paths
    assert main(["train", "--data", "list.csv"]) == 2
    assert main(["train", "--data", str(tmp_path / "a.zip"), "--root", "x"]) == 2
    assert "--root is for CSV files" in capsys.readouterr().err
