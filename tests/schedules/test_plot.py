"""The picture of a schedule."""

import keras
from matplotlib import image

from kft import schedules


def test_the_picture_is_a_png_that_shows_something(tmp_path):
    path = schedules.picture(schedules.Warmup(schedules.Cosine(0.1, 90), 10), 100, tmp_path / "schedule.png")
    pixels = image.imread(path)
    assert pixels.shape[0] > 100 and pixels.std() > 0


def test_any_schedule_can_be_drawn(tmp_path):
    """Keras' own take one step at a time where they have a warm-up."""
    schedule = keras.optimizers.schedules.CosineDecay(0.1, 100, warmup_target=0.2, warmup_steps=10)
    pixels = image.imread(schedules.picture(schedule, 100, tmp_path / "schedule.png"))
    assert pixels.std() > 0
