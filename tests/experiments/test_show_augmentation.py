"""The picture of what training sees."""

import numpy as np
from PIL import Image

from experiments import show_augmentation


def test_it_draws_a_row_for_each_way(tmp_path, capsys):
    np.savez(tmp_path / "some.npz", x=np.stack([show_augmentation.scene(kind, 24) for kind in (0, 1)]), y=[0, 1])
    arguments = ["--augmentation=crop,erasing", "--augmentation_options=crop_area=0.9", "--mixup=1", "--image_size=16"]
    sizes = []
    for some in (arguments, arguments[2:]):
        output = tmp_path / "picture.png"
        given = [f"--train_data=arrays:{tmp_path}/some.npz", f"--output={output}", *some]
        assert show_augmentation.main(["show_augmentation", *given]) == 0
        sizes.append(Image.open(output).size)
    assert sizes[1][1] > sizes[0][1], "without augmentation, every operation has a row"


def test_an_example_that_is_not_there(capsys):
    assert show_augmentation.main(["show_augmentation", "--example=2"]) == 2
    assert "Expected one of 2 images" in capsys.readouterr().err


def test_the_views_of_epochs_differ():
    from kft import data

    source = data.from_arrays(np.stack([show_augmentation.scene(0, 24)]), [0], label_names=("a", "b"))
    views = show_augmentation.views(source, 0, size=(16, 16), seed=0, augmentation="crop")
    assert len({view.tobytes() for view in views}) == show_augmentation.COLUMNS
    plain = show_augmentation.views(source, 0, size=(16, 16), seed=0, augmentation="none")
    assert len({view.tobytes() for view in plain}) == 1
