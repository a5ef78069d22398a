"""Images: what is not the same for every classification."""

from kft.tasks import make_task


def test_images_are_not_tokenized():
    assert make_task("image_classification", label_names="ab").tokenize is None
