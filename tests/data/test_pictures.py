"""Single image files: damaged, with damaged metadata, turned, greyscale, animated."""

import io
import struct
import warnings
import zlib

import numpy as np
import pytest
from pictures import write_images

from fastnet.data import image_folder, read_picture

image = pytest.importorskip("PIL.Image")

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 5, 3), np.uint8)


def encoded(kind="PNG", **options):
    file = io.BytesIO()
    image.fromarray(PIXELS).save(file, kind, **options)
    return file.getvalue()


def with_chunk(kind, body, crc=None):
    """A PNG file with another chunk after its header."""
    png, check = encoded(), zlib.crc32(kind + body) if crc is None else crc
    return png[:33] + struct.pack(">I", len(body)) + kind + body + struct.pack(">I", check) + png[33:]


DAMAGED_METADATA = {
    "exif": with_chunk(b"eXIf", b"\x00\x08\x00\x02\x01\x12\x00\x03"),
    "exif cut": with_chunk(b"eXIf", b"MM\x00*\x00\x00\x00\x08\x00\x02\x01\x12"),
    "text without its checksum": with_chunk(b"tEXt", b"a\0b", crc=1),
    "text too long": with_chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(2**24))),
    "broken colour profile": with_chunk(b"iCCP", b"a\0\0" + b"not zlib"),
    "huge colour profile": with_chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(2**24))),
    "short resolution": with_chunk(b"pHYs", b"\0"),
}


@pytest.mark.parametrize("kind", DAMAGED_METADATA)
def test_damaged_metadata_costs_no_image(tmp_path, kind):
    write_images(tmp_path)
    (tmp_path / "cat" / "x.png").write_bytes(DAMAGED_METADATA[kind])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        data = image_folder(tmp_path, test="all")
    np.testing.assert_array_equal(data.X_test[3], PIXELS.transpose(2, 0, 1))
    if caught:
        assert [str(warning.message) for warning in caught] == [
            f"1 of 7 images have unreadable metadata, which was ignored: {tmp_path}/cat/x.png"
        ]


def test_jpeg_with_damaged_exif(tmp_path):
    (tmp_path / "x.jpg").write_bytes(encoded("JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x12\x01\x03"))
    assert read_picture(tmp_path / "x.jpg").shape == (3, 6, 5)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["png", "jpeg", "tiff", "webp"])
def test_orientation(tmp_path, orientation, kind):
    from PIL import ImageOps

    exif = image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"x.{kind}"
    image.fromarray(PIXELS).save(path, exif=exif)
    expected = np.asarray(ImageOps.exif_transpose(image.open(path)).convert("RGB")).transpose(2, 0, 1)
    np.testing.assert_array_equal(read_picture(path), expected)
    assert expected.shape == ((3, 6, 5) if orientation < 5 else (3, 5, 6))


def test_all_bad_files_are_named_at_once(tmp_path):
    write_images(tmp_path / "train", 5)
    write_images(tmp_path / "test", 2)
    bad = {
        "train/cat/empty.jpg": b"",
        "train/dog/text.png": b"<html>404</html>",
        "test/dog/cut.png": encoded()[:60],
        "test/cat/cut.jpg": encoded("JPEG")[:-40],
    }
    for name, content in bad.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "train" / "dog" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    image.fromarray(np.zeros((4, 4), np.float32)).save(tmp_path / "train" / "dog" / "deep.tif")
    with pytest.raises(
        ValueError, match="cannot read 6 of 20 images: .*use skip_bad=True to leave them out$"
    ) as caught:
        image_folder(tmp_path)
    for name in (*bad, "train/dog/gone.png", "train/dog/deep.tif"):
        assert f"{tmp_path / name} (" in str(caught.value)
    for reason in (
        "empty.jpg (the file is empty)",
        "text.png (not an image that",
        "broken link",
        "deep.tif (its mode is F",
    ):
        assert reason in str(caught.value)
    with pytest.warns(UserWarning, match="left out 6 of 20 images, unreadable: .*empty.jpg"):
        data = image_folder(tmp_path, skip_bad=True)
    assert len(data.X_train) == 10 and len(data.X_test) == 4
    clean = tmp_path / "clean"
    write_images(clean / "train", 5)
    write_images(clean / "test", 2)
    for part in ("train", "test"):
        for name in ("X", "y"):
            got, expected = (getattr(d, f"{name}_{part}") for d in (data, image_folder(clean)))
            np.testing.assert_array_equal(got, expected)


def test_other_problems_are_told_together(tmp_path):
    write_images(tmp_path, 2)
    write_images(tmp_path, 1, ("emu",), size=(7, 7))
    (tmp_path / "cat" / "x.png").touch()
    with pytest.raises(
        ValueError, match=r"cannot read 1 of 6 .*x.png \(the file is empty\).*; and the images have 2 sizes"
    ):
        image_folder(tmp_path)


def test_a_class_of_bad_files_only(tmp_path):
    write_images(tmp_path)
    (tmp_path / "emu").mkdir()
    (tmp_path / "emu" / "x.png").touch()
    with pytest.warns(UserWarning, match="the training part has no image of 1 of 3 classes: emu"):
        assert image_folder(tmp_path, skip_bad=True).classes == ("cat", "dog", "emu")
    for name in ("cat", "dog"):
        for file in (tmp_path / name).iterdir():
            file.write_bytes(b"")
    with pytest.warns(UserWarning), pytest.raises(ValueError, match="holds no images that can be read"):
        image_folder(tmp_path, skip_bad=True)


@pytest.mark.parametrize("mode", ["L", "1", "LA"])
def test_greyscale_is_asked_about(tmp_path, mode):
    write_images(tmp_path, mode=mode)
    with pytest.raises(ValueError, match="all images are greyscale; use gray=True for one channel, or gray=False for"):
        image_folder(tmp_path)
    one, three = (image_folder(tmp_path, gray=gray, test="all") for gray in (True, False))
    assert one.image_shape == (1, 6, 5) and three.image_shape == (3, 6, 5)
    np.testing.assert_array_equal(np.repeat(one.X_test, 3, axis=1), three.X_test)


def test_a_few_greyscale_images_are_no_question(tmp_path):
    write_images(tmp_path)
    write_images(tmp_path, 9, ("emu",), mode="L")
    assert image_folder(tmp_path).image_shape == (3, 6, 5)


def test_frames_are_counted(tmp_path):
    write_images(tmp_path)
    frames = [image.new("RGB", (5, 6), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "cat" / "x.gif", save_all=True, append_images=frames[1:])
    with pytest.warns(UserWarning, match="1 of 7 images have several frames, of which the first was taken: .*x.gif"):
        data = image_folder(tmp_path, test="all")
    assert data.X_test[3, :, 0, 0].tolist() == [255, 0, 0] or data.X_test[3, 0, 0, 0] > 200


def test_transparency_is_told_where_there_is_any(tmp_path):
    write_images(tmp_path, mode="RGBA")
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        image_folder(tmp_path, test="all")
    pixels = np.dstack([PIXELS, np.full((6, 5), 255, np.uint8)])
    pixels[0, 0, 3] = 0
    image.fromarray(pixels).save(tmp_path / "cat" / "x.png")
    with pytest.warns(
        UserWarning, match="1 of 7 images have transparent pixels, which were taken with the colours that"
    ):
        data = image_folder(tmp_path, test="all")
    np.testing.assert_array_equal(data.X_test[3], PIXELS.transpose(2, 0, 1))


@pytest.mark.parametrize("size", [4, np.int64(4), np.uint8(4), (4, 4), [np.int32(4), 4], np.array([4, 4])])
def test_sizes(tmp_path, size):
    write_images(tmp_path)
    assert image_folder(tmp_path, size).image_shape == (3, 4, 4)


@pytest.mark.parametrize("size", [0, -1, 2.5, "4", (4,) * 3, (4, 0), ()])
def test_no_sizes(tmp_path, size):
    write_images(tmp_path)
    with pytest.raises(ValueError, match="size must be an int or"):
        image_folder(tmp_path, size)


def test_read_picture(tmp_path):
    (tmp_path / "x.png").write_bytes(encoded())
    np.testing.assert_array_equal(read_picture(tmp_path / "x.png"), PIXELS.transpose(2, 0, 1))
    assert read_picture(str(tmp_path / "x.png"), (3, 9), gray=True).shape == (1, 3, 9)
    with pytest.raises(ValueError, match="cannot read .*nowhere.png"):
        read_picture(tmp_path / "nowhere.png")


def test_sizes_that_memory_cannot_hold(tmp_path):
    write_images(tmp_path)
    with pytest.raises(ValueError, match="6 images of 200000x200000 take .*more than half .*; choose a smaller size"):
        image_folder(tmp_path, 200000)


def test_images_that_memory_cannot_hold(tmp_path, monkeypatch):
    write_images(tmp_path)
    monkeypatch.setattr("os.sysconf", lambda name: 16, raising=False)  # 16 pages of 16 bytes
    with pytest.raises(ValueError, match="6 images of 6x5 take .*more than half of .*; use size=.* to scale them down"):
        image_folder(tmp_path)


@pytest.mark.parametrize("name", ["x.png", "x.tif", "x.pgm"])
def test_of_16_bits_the_upper_8_are_taken(tmp_path, name):
    values = np.array([[0, 255, 256], [0x7FFF, 0x8000, 0xFFFF]], np.uint16)
    image.fromarray(values).save(tmp_path / name)
    expected = np.array([[0, 0, 1], [0x7F, 0x80, 0xFF]], np.uint8)
    np.testing.assert_array_equal(read_picture(tmp_path / name, gray=True)[0], expected)
    np.testing.assert_array_equal(read_picture(tmp_path / name), np.stack([expected] * 3))


def test_inks_become_colours(tmp_path):
    image.new("CMYK", (5, 6), (255, 0, 0, 0)).save(tmp_path / "x.tif")
    np.testing.assert_array_equal(read_picture(tmp_path / "x.tif")[:, 0, 0], [0, 255, 255])


def test_lab_in_grey(tmp_path):
    """Pillow converts it to colours only."""
    pixels = np.zeros((6, 5, 3), np.uint8)
    pixels[:, :, 0] = np.arange(6)[:, None] * 40  # lightness; a and b are those of greys
    lab = image.frombytes("LAB", (5, 6), pixels.tobytes())
    lab.save(tmp_path / "x.tif")
    colours, grey = read_picture(tmp_path / "x.tif"), read_picture(tmp_path / "x.tif", gray=True)
    expected = image.fromarray(colours.transpose(1, 2, 0)).convert("L")
    np.testing.assert_array_equal(grey, np.asarray(expected)[None])
    assert grey[0, 0, 0] == 0 and (np.diff(grey[0, :, 0].astype(int)) > 20).all()
