"""The picture of a schedule."""

from matplotlib import image

from kft import schedules


def test_the_picture_is_a_png_that_shows_something(tmp_path):
    path = schedules.picture(schedules.Warmup(schedules.Cosine(0.1, 90), 10), 100, tmp_path / "schedule.png")
    pixels = image.imread(path)
    assert pixels.shape[0] > 100 and pixels.std() > 0
