"""The flags are RunConfig's settings: same names, same rules, errors that help, and a quick `--help`."""

import pathlib
import re
import subprocess
import sys

import pytest
from absl import flags as absl_flags
from hypothesis import HealthCheck, given, settings

from experiments import flags
from kft import errors
from kft.run import RunConfig, from_flat, to_flags, validate
from kft.run.config import LEAVES, ROOMS
from tests.run.strategies import configs

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


def run(*arguments, main=None, **kwargs):
    """Calls a command; returns its exit code and the configs that it saw."""
    seen = []
    main = main or (lambda config, flag_values: seen.append(config))
    return flags.app_run(main, description="A command.", argv=["command", *arguments], **kwargs), seen


def test_without_flags_the_config_is_the_default():
    assert run() == (0, [RunConfig()])


def test_flags_of_every_type():
    code, [config] = run(
        "--seed=3", "--learning_rate=1e-4", "--noallow_leakage", "--head_hidden_units=256, 128", "--augmentation=none",
        "--length", "3 epochs",
    )  # fmt: skip
    assert code == 0
    assert config == from_flat(
        {"seed": 3, "learning_rate": 1e-4, "head_hidden_units": (256, 128), "augmentation": (), "length": "3 epochs"}
    )


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(config=configs)
def test_run_flags_repeats_the_config(tmp_path, config):
    path = tmp_path / "run.flags"
    path.write_text(to_flags(config), encoding="utf-8")
    assert run(f"--flagfile={path}") == (0, [config])


def test_a_flag_after_the_flagfile_wins(tmp_path):
    path = tmp_path / "recipe.flags"
    path.write_text("# a comment\n--seed=1\n--length=2 epochs\n")
    _, [config] = run(f"--flagfile={path}", "--seed=5")
    assert (config.run.seed, config.run.length) == (5, "2 epochs")


def test_settings_that_are_not_given_come_from_the_base():
    values = absl_flags.FlagValues()
    flags.define_flags(("seed", "keep"), flag_values=values)
    values(["command", "--keep=best"])
    config = flags.config_from_flags(values, base=from_flat({"seed": 7, "keep": "last"}))
    assert (config.run.seed, config.run.keep) == (7, "best")


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("--bacbone=resnet50", "Did you mean '--backbone'?"),
        ("--seed=three", "Got seed='three'. Expected a whole number"),
        ("--head_hidden_units=1,x", "Expected a whole number"),
        ("--learning_rate", "Missing value"),
        ("--allow_leakage=maybe", "allow_leakage=maybe"),
        ("photos", "Put the flag's name before it"),
        ("--flagfile=/does/not/exist.flags", "/does/not/exist.flags"),
        ("--length=10 parsecs", "parsecs"),
    ],
)
def test_wrong_flags_end_with_code_2_and_the_remedy(argument, words, capsys):
    code, seen = run(argument, main=lambda config, flag_values: validate(config))
    assert code == 2 and not seen
    assert words in capsys.readouterr().err


def test_an_input_error_of_the_command_ends_with_code_2(capsys):
    def main(config, flag_values):
        raise errors.InputError("Got a. Expected b. Do c.")

    assert run(main=main)[0] == 2
    captured = capsys.readouterr()
    assert captured.err == "command: Got a. Expected b. Do c.\n" and captured.out == ""


def test_other_errors_are_not_hidden():
    with pytest.raises(ZeroDivisionError):
        run(main=lambda config, flag_values: 1 // 0)


def test_help_lists_all_flags_by_room_with_names_and_defaults(capsys):
    assert run("--help", define=lambda values: absl_flags.DEFINE_string("output", None, "A file.", values))[0] == 0
    text = capsys.readouterr().out
    assert "--output\n" in text
    positions = [text.index(f"\n{room}: ") for room in ROOMS]
    assert positions == sorted(positions)
    for name, leaf in LEAVES.items():
        room_text = text[text.index(f"\n{leaf.room}: ") :]
        assert re.search(rf"^  --(\[no\])?{name}$", room_text, re.MULTILINE), name
    for word in ("adamw", "randaugment", "(default: 10 epochs)"):
        assert word in text


def test_help_needs_no_tensorflow():
    code = (
        "import sys; from experiments import flags; "
        "flags.app_run(print, description='A command.', argv=['command', '--help']); "
        "print('tensorflow' in sys.modules, 'keras' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "False False", done.stderr


def test_the_docs_table_is_current():
    written = (ROOT / "docs" / "flags.md").read_text(encoding="utf-8")
    assert written == flags.docs_table(), "run: python -m experiments.flags > docs/flags.md"
