"""What docs/text.md shows works as it stands there."""

import pathlib
import re
import shlex

import pytest
from absl import flags as absl_flags

from experiments import flags
from kft import tasks

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "text.md").read_text(encoding="utf-8")


def test_the_page_names_every_task_of_text():
    assert [name for name in tasks.TASKS if f"`{name}`" not in PAGE] == ["image_classification"]


def test_the_code_of_the_page_runs(tmp_path, monkeypatch, capsys):
    pytest.importorskip("keras_nlp", reason="keras-nlp is not installed: pip install kft[text]")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.conll").write_text("Rome\tB-place\nis\tO\nold\tO\n\nWho\tO\n", encoding="utf-8")
    names = {}
    for code in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        exec(code, names)
    assert 0 <= names["scores"]["f1"] <= 1
    assert [len(row["tags"]) for row in names["predictions"]] == [3, 1]


def test_the_commands_of_the_page_have_flags_that_exist():
    lines = re.findall(r"^ {4}(kft-(?:.*\\\n)*.*)", PAGE, re.MULTILINE)
    values = absl_flags.FlagValues()
    flags.define_flags(flag_values=values)
    for line in lines:
        for word in shlex.split(line.replace("\\\n", " "))[1:]:
            name, _, value = word.removeprefix("--").partition("=")
            assert name in values or name in ("flagfile", "input", "output"), word
            assert name != "flagfile" or (ROOT / value).is_file(), value
    assert len(lines) == 7
    assert set(re.findall(r"`--(\w+)", PAGE)) <= {*values}
