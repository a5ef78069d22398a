"""RunConfig: one definition of every setting, its limits, its text forms, and what is refused."""

import dataclasses
import subprocess
import sys

import pytest
from hypothesis import given, settings

from kft import errors
from kft.run import (
    RunConfig,
    config_hash,
    flat,
    from_flat,
    from_json,
    parse_options,
    redact,
    to_json,
    validate,
)
from kft.run.config import LEAVES, ROOMS
from tests.run.strategies import configs

# The names other things rely on.
CONTRACT = {
    "run": "workdir resume seed seeds length global_batch_size keep monitor early_stopping",
    "data": "task train_data eval_data test_data data_root image_size augmentation mixup cutmix max_examples sampling "
    "augmentation_options max_megapixels preflight_cache image_column on_bad_example allow_leakage "
    "text_columns label_column line_format multi_label encoding sequence_length "
    "tokens_per_batch",
    "models": "backbone backbone_weights pooling head_dropout head_hidden_units head_activation batchnorm "
    "reinitialize_top_blocks",
    "optimizers": "optimizer optimizer_options learning_rate weight_decay decay_to_start layer_decay clip_global_norm "
    "accumulate_steps ema l1 l2 label_smoothing",
    "schedules": "schedule schedule_options warmup plateau trainable cache cache_budget cache_views",
    "execution": "strategy workers worker_index xla precision steps_per_execution checkpoint_every on_nan",
}


def problem(**values):
    with pytest.raises(errors.InputError) as caught:
        validate(from_flat(values))
    return str(caught.value)


def test_every_setting_of_the_contract_is_there_in_its_room():
    found = {room: [name for name, leaf in LEAVES.items() if leaf.room == room] for room in ROOMS}
    for room, names in CONTRACT.items():
        assert set(names.split()) <= set(found[room]), room
    assert sum(map(len, found.values())) == len(LEAVES), "a name is in two rooms"


def test_every_setting_has_a_help_and_a_default_of_its_type():
    for leaf in LEAVES.values():
        assert leaf.metadata["help"].endswith("."), leaf.name
        assert leaf.convert(leaf.default) == leaf.default
        if not isinstance(leaf.metadata["choices"], str) and leaf.names() and leaf.item is None:
            assert leaf.default in leaf.names(), leaf.name


def test_the_defaults_are_valid():
    validate(RunConfig())


def test_the_config_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        RunConfig().run.seed = 1


def test_required_settings_are_asked_for():
    with pytest.raises(errors.InputError, match=r"Got no train_data.*--train_data="):
        validate(RunConfig(), required=("train_data",))


def test_all_problems_come_in_one_error():
    text = problem(length="10 parsecs", keep="bset", steps_per_execution=-1, head_dropout=1.5)
    assert len(text.splitlines()) == 4
    assert "parsecs" in text and "Did you mean 'best'?" in text and "steps_per_execution" in text and "[0, 1)" in text


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"optimizer": "momentun"}, "Did you mean 'momentum'"),
        ({"schedule": "cosin"}, "Did you mean 'cosine'"),
        ({"task": "image_clasification"}, "Did you mean 'image_classification'"),
        ({"trainable": "lpft(1 epoch)"}, "Did you mean 'lp_ft'"),
        ({"backbone": "resnet5O"}, "Did you mean 'resnet50'"),
        ({"strategy": "mirored"}, "Did you mean 'mirrored'"),
        ({"train_data": "flder:x"}, "Did you mean 'folder'"),
        ({"train_data": "photos"}, "use 'folder:photos'"),
        ({"augmentation": ("flip", "crap")}, "Did you mean 'crop'"),
        ({"augmentation": ("flip", "flip")}, "each name once"),
        ({"optimizer_options": "beta_1:0.9"}, "name=value"),
        ({"warmup": "10"}, "a number and a unit"),
        ({"learning_rate": 0.0}, "(0, inf)"),
        ({"learning_rate": float("nan")}, "(0, inf)"),
        ({"layer_decay": 1.5}, "(0, 1]"),
        ({"global_batch_size": 0}, "[1, inf)"),
        ({"head_hidden_units": (128, 0)}, "[1, inf)"),
        ({"workdir": "a\nb"}, "printable"),
        ({"train_data": "folder:[redacted]"}, "Give --train_data again"),
    ],
)
def test_a_value_that_cannot_be_is_refused_with_the_remedy(values, words):
    text = problem(**values)
    assert words in text and next(iter(values)) in text


def test_an_unknown_setting_is_refused_with_the_nearest_name():
    with pytest.raises(errors.InputError, match="Did you mean 'learning_rate'"):
        from_flat({"learning_rat": 0.1})
    with pytest.raises(errors.InputError, match="Did you mean 'backbone'"):
        from_json('{"models": {"bacbone": "resnet50"}}')
    with pytest.raises(errors.InputError, match="Did you mean 'models'"):
        from_json('{"model": {}}')


@pytest.mark.parametrize("text", ["{", "[]", '{"run": 3}', '{"run": {"seed": "x"}}', '{"run": {"seed": true}}'])
def test_json_of_another_shape_is_refused(text):
    with pytest.raises(errors.InputError):
        from_json(text)


def test_python_values_are_taken_in_the_settings_own_type():
    config = from_flat({"learning_rate": 1, "head_hidden_units": [256, 128]})
    assert isinstance(config.optimizers.learning_rate, float)
    assert config.models.head_hidden_units == (256, 128)


def test_options_are_typed():
    assert parse_options("a=1, b=0.5,c=false,d=True,e=text,f=1e-3", what="x") == {
        "a": 1,
        "b": 0.5,
        "c": False,
        "d": True,
        "e": "text",
        "f": 1e-3,
    }
    assert parse_options("", what="x") == {}
    with pytest.raises(errors.InputError, match="each name once"):
        parse_options("a=1,a=2", what="x")


def test_the_users_own_backbone_and_recipe_arguments_pass():
    validate(from_flat({"backbone": "python:my.module:make", "trainable": "lp_ft(3 epochs)"}))


@settings(max_examples=50, deadline=None)
@given(configs)
def test_json_round_trip(config):
    assert from_json(to_json(config)) == config
    assert from_flat(flat(config)) == config


def test_the_hash_says_what_the_result_depends_on():
    base = config_hash(RunConfig())
    assert config_hash(from_flat({"workdir": "/somewhere"})) == base
    assert config_hash(from_flat({"seed": 1})) != base
    # In another process the same: nothing of Python's own hash is in it.
    code = "from kft.run import RunConfig, config_hash; print(config_hash(RunConfig()))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == base


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("folder:https://me:s3cr3tpass@host/x", "s3cr3tpass"),
        ("https://host/x?token=abc123&size=3", "abc123"),
        ("https://host/x?X-Amz-Signature=0a1b2c", "0a1b2c"),
        ("/data/hf_AbCdEfGhIjKlMnOpQr/x", "hf_AbCdEfGhIjKlMnOpQr"),
        ("ghp_0123456789abcdefghij", "0123456789"),
        ("Authorization: Bearer abcdefgh12345678", "abcdefgh12345678"),
        ("x=eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", "eyJhbGciOiJIUzI1NiJ9"),
        ("wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY12", "wJalrXUtnFEMI"),
    ],
)
def test_secrets_are_in_no_written_form(text, secret):
    assert secret not in redact(text)
    assert secret not in to_json(from_flat({"train_data": text, "workdir": text}))


@pytest.mark.parametrize(
    "text",
    [
        "folder:/home/me/photos/train",
        "/models/mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.35_128_no_top.weights.h5",
        "runs/9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "python:my_package.my_module:make_model",
        "beta_1=0.9,bias_correction=false",
    ],
)
def test_what_is_no_secret_is_kept(text):
    assert redact(text) == text


def test_the_config_needs_no_tensorflow():
    code = (
        "import sys; from kft.run import RunConfig, to_json; to_json(RunConfig()); print('tensorflow' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"
