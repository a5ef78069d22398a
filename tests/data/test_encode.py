import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from kft import data, errors

SEED = tf.constant([3, 4], tf.int64)


@pytest.fixture
def encode_file(tmp_path):
    """A function from the bytes of a file, and the encoder's options, to what the encoder makes of it."""

    def run(content: bytes, *, seed=SEED, **options) -> np.ndarray:
        path = tmp_path / "one.image"
        path.write_bytes(content)
        source = data.image_files([str(path)])
        return data.image_encoder(**options)(source.load(tf.constant(0, tf.int64)), seed).numpy()

    return run


def bilinear(image, height, width):
    """Bilinear interpolation between the centres of pixels, in float64."""

    def weights(old, new):
        places = np.clip((np.arange(new) + 0.5) * old / new - 0.5, 0, old - 1)
        low = np.floor(places).astype(int)
        matrix = np.zeros((new, old))
        matrix[np.arange(new), low] += 1 - (places - low)
        matrix[np.arange(new), np.minimum(low + 1, old - 1)] += places - low
        return matrix

    rows, columns = weights(image.shape[0], height), weights(image.shape[1], width)
    return np.einsum("ab,bcd,ec->aed", rows, image.astype(np.float64), columns)


@pytest.mark.parametrize("form", ["PNG", "BMP", "JPEG"])
@pytest.mark.parametrize("size", [(20, 30), (16, 32), (33, 29)])
def test_the_whole_image_bilinear(encode_file, noise, encoded, form, size):
    content = encoded(noise(20, 30), form)
    pixels = tf.io.decode_image(content).numpy()
    got = encode_file(content, image_size=size)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, bilinear(pixels, *size), atol=1e-3)


def test_the_first_frame_of_a_gif(encode_file, noise, encoded):
    frames = [noise(8, 8, seed).quantize(4) for seed in (0, 1)]
    content = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(encode_file(content, image_size=(8, 8)), np.array(frames[0].convert("RGB")))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["PNG", "JPEG"])
def test_every_exif_orientation(encode_file, noise, encoded, orientation, form):
    """Pillow turns the decoded image; we turn it after resizing."""
    image = noise(20, 30)
    exif = image.getexif()
    exif[0x0112] = orientation
    content = encoded(image, form, exif=exif)
    stored = Image.fromarray(tf.io.decode_image(content).numpy())
    stored.getexif()[0x0112] = orientation
    seen = np.array(ImageOps.exif_transpose(stored))
    assert seen.shape[:2] == ((30, 20) if orientation > 4 else (20, 30))
    np.testing.assert_allclose(encode_file(content, image_size=(14, 26)), bilinear(seen, 14, 26), atol=1e-3)


@pytest.mark.parametrize("mode, form", [("L", "JPEG"), ("L", "PNG"), ("LA", "PNG"), ("L", "BMP"), ("1", "PNG")])
def test_grey_is_repeated(encode_file, noise, encoded, mode, form):
    got = encode_file(encoded(noise(9, 9).convert(mode), form), image_size=(9, 9))
    assert got.shape == (9, 9, 3)
    np.testing.assert_array_equal(got[..., 0], got[..., 1])
    np.testing.assert_array_equal(got[..., 0], got[..., 2])
    assert got.std() > 10


def test_alpha_is_dropped(encode_file, noise, encoded):
    image = noise(9, 9)
    image.putalpha(77)
    np.testing.assert_array_equal(encode_file(encoded(image, "PNG"), image_size=(9, 9)), np.array(image)[..., :3])


@pytest.mark.parametrize("mode, form", [("RGBA", "PNG"), ("LA", "PNG"), ("RGB", "PNG"), ("L", "PNG"), ("RGB", "JPEG")])
def test_four_channels_of_a_file_are_those_with_alpha(encode_file, noise, encoded, mode, form):
    """As Pillow converts: grey is repeated, and what has no alpha is not transparent."""
    image = noise(9, 9).convert(mode)
    if mode in ("RGBA", "LA"):
        image.putalpha(noise(9, 9, 1).convert("L"))
    content = encoded(image, form)
    expected = np.array(Image.open(io.BytesIO(content)).convert("RGBA"))
    np.testing.assert_allclose(encode_file(content, image_size=(9, 9), channels=4), expected, atol=3 * (form == "JPEG"))


def test_arrays_have_the_channels_that_they_have():
    x = np.random.default_rng(0).integers(0, 256, (1, 9, 9, 6), np.uint8)
    raw = data.from_arrays(x, [0]).load(tf.constant(0, tf.int64))
    encode = data.image_encoder(image_size=(9, 9), channels=6)
    np.testing.assert_array_equal(encode(raw, SEED), x[0])
    encode = data.image_encoder(image_size=(7, 5), channels=6, augmentation="flip,crop,randaugment,color,erasing")
    assert encode(raw, SEED).shape == (7, 5, 6)
    for channels in (1, 3, 4, 5):
        with pytest.raises(errors.InputError, match=f"6 channels for a model of {channels}. .*image_channels=6"):
            data.image_encoder(image_size=(9, 9), channels=channels)(raw, SEED)


def test_files_have_no_five_channels(encode_file, noise, encoded):
    with pytest.raises(errors.InputError, match="image files for a model of 5 .*image_channels"):
        encode_file(encoded(noise(9, 9), "PNG"), image_size=(9, 9), channels=5)


@pytest.mark.parametrize("form", ["PNG", "JPEG"])
def test_colour_becomes_grey_after_bt_601(encode_file, noise, encoded, form):
    content = encoded(noise(9, 9), form)
    expected = tf.io.decode_image(content).numpy() @ np.array([0.299, 0.587, 0.114])
    got = encode_file(content, image_size=(9, 9), channels=1)
    np.testing.assert_allclose(got[..., 0], expected, atol=1e-3)


def test_cmyk_decodes(encode_file, noise, encoded):
    content = encoded(Image.new("RGB", (8, 8), (200, 30, 90)).convert("CMYK"), "JPEG")
    np.testing.assert_allclose(encode_file(content, image_size=(4, 4))[0, 0], (200, 30, 90), atol=4)


@pytest.mark.parametrize("factor", [1, 2, 3, 4, 8, 20])
@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_shrinking_averages_pixels(encode_file, encoded, factor, form):
    """Averaging k x k pixels of independent noise divides its deviation by k; picking single pixels leaves it at 50."""
    pixels = np.random.default_rng(0).integers(0, 2, (32 * factor, 48 * factor, 1)) * 100 + 78
    image = Image.fromarray(np.repeat(pixels, 3, 2).astype(np.uint8))
    got = encode_file(encoded(image, form, quality=95), image_size=(32, 48))
    assert got.mean() == pytest.approx(pixels.mean(), abs=1)
    assert got.std() < 1.1 * 50 / min(2 ** int(np.log2(factor)), 8)


@pytest.mark.parametrize("factor", [1, 2, 4, 8, 16])
def test_scaled_decoding_keeps_the_picture_in_place(encode_file, encoded, factor):
    """A smooth picture shrinks to itself, whatever the scale it is decoded at."""
    rows, columns = np.mgrid[0 : 32 * factor, 0 : 48 * factor] / factor
    pixels = np.stack([rows * 7, columns * 5, 255 - rows * 7], -1)
    content = encoded(Image.fromarray(np.rint(pixels).astype(np.uint8)), "JPEG", quality=100, subsampling=0)
    got = encode_file(content, image_size=(32, 48))
    shift = (factor - 1) / (2 * factor)
    rows, columns = np.mgrid[0:32, 0:48] + shift
    expected = np.stack([rows * 7, columns * 5, 255 - rows * 7], -1)
    # Moved by half a pixel, red and blue are off by 3.5 and green by 2.5; the fast DCT is off by less.
    assert (np.abs((got - expected)[2:-2, 2:-2].mean((0, 1))) < 1.7).all()


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
@pytest.mark.parametrize("factor", [1, 2, 8])
def test_a_crop_shows_the_box_of_its_seed(encode_file, encoded, form, factor):
    """Of a picture whose colours tell rows and columns, the corners tell the box."""
    height, width = 64 * factor, 96 * factor
    rows, columns = np.mgrid[0:height, 0:width]
    pixels = np.stack([rows * 255 / height, columns * 255 / width, rows * 0], -1).astype(np.uint8)
    content = encoded(Image.fromarray(pixels), form, **({"quality": 98, "subsampling": 0} if form == "JPEG" else {}))
    atol = 255 * (0.5 / 24 + 1 / 32)  # half a pixel of the result, and scaled decoding rounds the box by less than 1/32
    boxes = set()
    for example in range(8):
        seed = tf.constant([3, example], tf.int64)
        begin, size = data.augment.crop_box(tf.constant([height, width]), seed)
        top, left = (begin / [height, width] * 255).numpy()
        bottom, right = ((begin + size) / [height, width] * 255).numpy()
        got = encode_file(content, seed=seed, image_size=(24, 24), augmentation="crop")
        np.testing.assert_allclose(got[0, 0, :2], (top, left), atol=atol)
        np.testing.assert_allclose(got[-1, -1, :2], (bottom, right), atol=atol)
        boxes.add((int(top), int(left)))
    assert len(boxes) > 4


def test_a_crop_of_an_array_and_of_the_same_png_are_equal(encode_file, noise, encoded):
    image = noise(40, 50)
    source = data.from_arrays(np.array(image)[None], [0])
    options = {"image_size": (16, 16), "augmentation": "crop,flip"}
    np.testing.assert_array_equal(
        data.image_encoder(**options)(source.load(0), SEED), encode_file(encoded(image, "PNG"), **options)
    )


def test_no_augmentation_is_no_function_of_the_seed(encode_file, noise, encoded):
    """So prediction sees the pixels that training sees."""
    content = encoded(noise(40, 50), "JPEG")
    first = encode_file(content, image_size=(16, 16))
    np.testing.assert_array_equal(first, encode_file(content, seed=SEED + 1, image_size=(16, 16)))


@pytest.mark.parametrize("size", [(20, 30), (90, 60), (400, 500)])
@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_what_the_graph_leaves_out_changes_nothing(tmp_path, noise, encoded, size, form):
    """With raw examples as its arguments the graph cannot know their bounds, and has a branch for everything."""
    (tmp_path / "one.image").write_bytes(encoded(noise(*size), form))
    raw = data.image_files([str(tmp_path / "one.image")]).load(tf.constant(0, tf.int64))
    encode = data.image_encoder(image_size=(20, 24), augmentation="crop,flip")
    np.testing.assert_array_equal(tf.function(encode)(raw, SEED), encode(raw, SEED))


def test_flowers_at_their_own_size_are_what_keras_decodes(test_data):
    import keras

    path = sorted((test_data / "flowers" / "val" / "roses").iterdir())[0]
    source = data.image_files([str(path)])
    got = data.image_encoder(image_size=(128, 128))(source.load(tf.constant(0, tf.int64)), SEED)
    image = tf.io.decode_image(tf.io.read_file(str(path)), channels=3)
    keras_way = keras.ops.image.resize(tf.cast(image, tf.float32), (128, 128), interpolation="bilinear")
    np.testing.assert_allclose(got, keras_way, atol=1e-3)


def test_arguments_out_of_range():
    with pytest.raises(errors.InputError, match=r"image_size=\(0, 8\)"):
        data.image_encoder(image_size=(0, 8))
    with pytest.raises(errors.InputError, match="channels=0"):
        data.image_encoder(image_size=(8, 8), channels=0)
    with pytest.raises(errors.InputError, match="Did you mean 'crop'"):
        data.image_encoder(image_size=(8, 8), augmentation="flip,corp")
