"""Real weights: they are the ones that Keras loads, and they see what is on real photos."""

import json
import os
import shutil
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from kft import errors
from kft.models import make_backbone

V1 = "weights/mobilenet_v1_025/mobilenet_2_5_224_tf_no_top.h5"
V2 = "weights/mobilenet_v2_035/mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.35_224_no_top.h5"


@pytest.mark.parametrize(
    ("name", "file", "make", "width"),
    [
        ("mobilenet_0.25", V1, keras.applications.MobileNet, 0.25),
        ("mobilenet_v2_0.35", V2, keras.applications.MobileNetV2, 0.35),
    ],
)
def test_a_file_gives_what_keras_loads(test_data, name, file, make, width):
    path = str(test_data / file)
    backbone = make_backbone(name, image_size=96, weights=path)
    expected = make(alpha=width, weights=path, include_top=False, input_shape=(96, 96, 3))
    for weight, value in zip(backbone.model.weights, expected.weights):
        np.testing.assert_array_equal(weight.numpy(), value.numpy())


def test_weights_load_under_a_mirrored_strategy(test_data, mirrored_pair):
    path = test_data / V1
    with mirrored_pair.scope():
        mirrored = make_backbone("mobilenet_0.25", image_size=32, weights=path)
    expected = make_backbone("mobilenet_0.25", image_size=32, weights=path)
    for weight, value in zip(mirrored.model.weights, expected.model.weights):
        for copy in weight.value.values:
            np.testing.assert_array_equal(copy.numpy(), value.numpy())


@pytest.mark.parametrize(("name", "file"), [("mobilenet_v2_0.35", V1), ("mobilenet_0.5", V1)])
def test_the_file_of_another_model_is_refused_with_its_variables(test_data, name, file):
    with pytest.raises(errors.InputError, match="conv1"):
        make_backbone(name, image_size=32, weights=test_data / file)


SCRIPT = """
import json, sys
import numpy as np
from kft import errors
from kft.models import make_backbone
file = sys.argv[1]
a = make_backbone("mobilenet_0.25", weights="imagenet").model.get_weights()
b = make_backbone("mobilenet_0.25", weights=file).model.get_weights()
try:
    make_backbone("mobilenet_v2_0.35", image_size=160, weights="imagenet")
except errors.InputError as error:
    message = str(error)
try:
    make_backbone("mobilenet_v2_0.35", weights="imagenet")
except errors.InputError as error:
    wrong = str(error)
same = all((x == y).all() for x, y in zip(a, b))
print(json.dumps({"same": same, "num": len(a), "message": message, "wrong": wrong}))
"""


def test_imagenet_is_keras_home_and_without_network_an_error_with_the_remedy(test_data, tmp_path):
    (tmp_path / "models").mkdir()
    shutil.copy(test_data / V1, tmp_path / "models")
    shutil.copy(test_data / V1, tmp_path / "models" / V2.rpartition("/")[2])  # another model's file in its place
    no_network = {"https_proxy": "http://127.0.0.1:9", "HTTPS_PROXY": "http://127.0.0.1:9"}
    environment = {**os.environ, **no_network, "KERAS_HOME": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(test_data / V1)], env=environment, capture_output=True, text=True, check=True
    )
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["same"]
    assert result["num"] == 135
    file = "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.35_160_no_top.h5"
    assert str(tmp_path / "models" / file) in result["message"]
    assert "could not be downloaded" in result["message"]
    assert "Delete the file there" in result["wrong"]


def test_pretrained_features_tell_flowers_apart(test_data):
    """The nearest mean of 10 training photos a class, on 10 others a class; chance is 0.2."""

    def photos(split):
        batches = []
        for folder in sorted((test_data / "flowers" / split).iterdir()):
            images = [tf.image.decode_jpeg(file.read_bytes(), 3) for file in sorted(folder.glob("*.jpg"))[:10]]
            batches.append(tf.stack([tf.image.resize(image, (128, 128)) for image in images]))
        return tf.stack(batches)

    backbone = make_backbone("mobilenet_v2_0.35", image_size=128, weights=test_data / V2)
    features = keras.Model(backbone.model.input, backbone.features(backbone.model.output).pooled)
    train = np.stack([features(backbone.preprocess(batch)) for batch in photos("train")])
    val = np.stack([features(backbone.preprocess(batch)) for batch in photos("val")])
    means = train.mean(axis=1)
    distances = np.square(val[:, :, None] - means).sum(-1)
    accuracy = np.mean(distances.argmin(-1) == np.arange(5)[:, None])
    assert accuracy >= 0.6
