"""The page on schedules names all of them, and its code runs."""

import pathlib
import re

from kft import schedules

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "schedules.md"


def test_the_page_names_every_schedule():
    text = PAGE.read_text(encoding="utf-8")
    assert [name for name in schedules.SCHEDULES if f"`{name}`" not in text] == []


def test_the_code_of_the_page_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for code in re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL):
        exec(code, {})
    assert list(tmp_path.glob("*.png"))
