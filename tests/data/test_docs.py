"""What docs/data.md shows works as it stands there."""

import pathlib
import re
import shlex

from absl import flags as absl_flags
from PIL import Image

from experiments import flags
from kft import data

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")


def test_the_page_names_every_source_of_images():
    assert [kind for kind in {**data.SOURCES, **data.IMAGE_SOURCES} if f"`{kind}:" not in PAGE] == []


def test_the_code_of_the_page_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    rows = ["path,label"]
    for number in range(24):
        Image.new("RGB", (12, 12), (number * 10, 0, 0)).save(tmp_path / "photos" / f"{number}.png")
        rows.append(f"{number}.png,{'ab'[number % 2]}")
    (tmp_path / "train.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    names = {}
    for code in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        exec(code, names)
    assert names["report"].ok and names["part"].num_examples == 20


def test_the_commands_of_the_page_have_flags_that_exist():
    lines = re.findall(r"^ {4}(kft-(?:.*\\\n)*.*)", PAGE, re.MULTILINE)
    values = absl_flags.FlagValues()
    flags.define_flags(flag_values=values)
    for line in lines:
        for word in shlex.split(line.replace("\\\n", " "))[1:]:
            assert word.removeprefix("--").partition("=")[0] in values, word
    assert len(lines) == 3
    assert set(re.findall(r"`--(\w+)", PAGE)) - {"input"} <= {*values}
