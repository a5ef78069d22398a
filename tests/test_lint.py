"""What no file of kft may do with a file that somebody else made."""

import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
FILES = sorted(path for room in ("kft", "experiments") for path in (ROOT / room).rglob("*.py"))

# A model file gives arrays only; none of these reads a file without the chance of running what is in it.
FORBIDDEN = {
    "pickle": r"\b(import|from)\s+(c?pickle|dill|cloudpickle|joblib|marshal|shelve)\b",
    "allow_pickle": r"allow_pickle\s*=\s*(?!False\b)",
    "unsafe deserialization": r"safe_mode\s*=\s*False|enable_unsafe_deserialization",
    "yaml.load": r"\byaml\.(unsafe_|full_)?load\b",
    "eval and exec": r"(?<![\w.])(eval|exec)\s*\(",
    "torch.load": r"\btorch\.load\b",
    "whole models from files": r"\b(saved_model\.load|keras\.(models|saving)\.load_model|TFSMLayer)\b",
    "the shell": r"shell\s*=\s*True|\bos\.system\b",
    "the whole environment": r"(dict|print|str|dumps)\(os\.environ",
}


@pytest.mark.parametrize("rule", FORBIDDEN)
def test_no_file_uses(rule):
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in FILES
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if re.search(FORBIDDEN[rule], line)
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("rule", "line"),
    [
        ("pickle", "import pickle"),
        ("allow_pickle", "np.load(path, allow_pickle=True)"),
        ("unsafe deserialization", "load_model(path, safe_mode=False)"),
        ("yaml.load", "yaml.load(text)"),
        ("eval and exec", "value = eval(text)"),
        ("whole models from files", "model = keras.models.load_model(path)"),
        ("the whole environment", "json.dumps(os.environ.copy())"),
    ],
)
def test_the_rule_finds_what_it_is_for(rule, line):
    assert re.search(FORBIDDEN[rule], line)


def test_no_array_file_is_read_with_pickle_allowed_by_default():
    """NumPy's default is False, which this suite relies on."""
    import inspect

    import numpy as np

    assert inspect.signature(np.load).parameters["allow_pickle"].default is False


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_stay_readable(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 320, "split it: one thing, one file"
