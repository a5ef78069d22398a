import json

import numpy as np
import pytest

from kft import data, errors


def kinds(findings):
    return sorted(finding.kind for finding in findings)


@pytest.fixture
def write(tmp_path):
    def write(name, content):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(path)

    return write


ROWS = [("Who was Galileo ?", "human"), ('A "far", place\nor two', "place"), ("café", "place")]


@pytest.fixture
def specs(write, tmp_path):
    """The same rows in every format."""
    import csv
    import io

    stream = io.StringIO()
    csv.writer(stream).writerows([("text", "label"), *ROWS])
    flat = [(text.replace("\n", " "), label) for text, label in ROWS]
    files = {
        "csv": (stream.getvalue(), ROWS),
        "tsv": ("\n".join("\t".join(row) for row in [("text", "label"), *flat]), flat),
        "jsonl": ("\n".join(json.dumps({"text": text, "label": label}) for text, label in ROWS), ROWS),
        "lines": ("\n".join(f"{label} {text}" for text, label in flat) + "\n", flat),
    }
    return {kind: (f"{kind}:{write('file.' + kind, content)}", rows) for kind, (content, rows) in files.items()}


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "lines"])
def test_every_format_gives_the_same_rows(specs, kind):
    spec, rows = specs[kind]
    source = data.load(spec)
    assert [source.records[index]["texts"][0] for index in range(3)] == [text for text, _ in rows]
    assert [source.label_names[label] for label in source.labels] == [label for _, label in rows]
    assert data.check(source).ok and len(set(source.keys)) == 3


def test_parquet(tmp_path):
    pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed: pip install kft[text]")
    from pyarrow import parquet

    table = {"text": [*(text for text, _ in ROWS), None], "label": [*(label for _, label in ROWS), "place"]}
    parquet.write_table(pyarrow.table(table), tmp_path / "some.parquet")
    source = data.load(f"parquet:{tmp_path}/some.parquet")
    assert source.records[1]["texts"] == (ROWS[1][0],)
    assert source.labels.tolist() == [0, 1, 1, 1]
    assert [(finding.kind, finding.index) for finding in source.problems] == [("text missing", 3)]


def test_pairs_and_columns_by_name(write):
    path = write("pairs.csv", "premise,other,gold\na,b,1\nc,d,0\n")
    names = data.TextFormat(text_columns=("premise", "other"), label_column="gold")
    source = data.load(f"csv:{path}", text_format=names)
    assert source.records[0] == {"texts": ("a", "b")} and source.label_names == ("0", "1")
    with pytest.raises(errors.InputError, match="Got column 'premis'.*Did you mean 'premise'.*text_columns"):
        data.load(f"csv:{path}", text_format=data.TextFormat(text_columns=("premis",)))
    with pytest.raises(errors.InputError, match="Got column 'text'.*'gold', 'other', 'premise'"):
        data.load(f"csv:{path}")


def test_trec_with_coarse_and_fine_labels(test_data):
    spec = f"lines:{test_data}/trec/raw_TREC.train"
    coarse = data.load(spec, text_format=data.TextFormat(encoding="latin-1", line_format="{label}:{fine} {text}"))
    assert coarse.num_examples == 5452 and coarse.label_names == ("ABBR", "DESC", "ENTY", "HUM", "LOC", "NUM")
    assert coarse.records[0]["texts"] == ("How did serfdom develop in and then leave Russia ?",)
    fine = data.load(spec, text_format=data.TextFormat(encoding="latin-1"))
    assert len(fine.label_names) == 50 and fine.label_names[0] == "ABBR:abb"


def test_sst2(test_data):
    source = data.load(f"lines:{test_data}/sst2/stsa.binary.dev", text_format=data.TextFormat(encoding="latin-1"))
    assert source.num_examples == 872 and source.label_names == ("0", "1")


def test_bytes_that_do_not_decode_are_told_by_file_line_and_byte(write):
    path = write("latin.csv", "text,label\ngood,a\ncaf\xe9,b\nlast,b\n".encode("latin-1"))
    source = data.load(f"csv:{path}")
    report = data.check(source)
    assert [(problem.kind, problem.where) for problem in report.problems] == [("not utf-8", f"{path}, line 3, byte 4")]
    assert "0xe9" in report.text() and "latin-1 takes every byte" in report.text()
    skipped = data.check(source, on_bad_example="skip")
    assert skipped.skipped["train"] == (1,)
    assert data.load(f"csv:{path}", text_format=data.TextFormat(encoding="latin-1")).records[1]["texts"] == ("café",)


def test_other_encodings(write):
    assert data.load(f"csv:{write('bom.csv', 'text,label' + chr(10) + 'a,b')}").num_examples == 1
    marked = write("marked.csv", "text,label\na,b\n".encode("utf-8-sig"))
    assert data.load(f"csv:{marked}").records[0]["texts"] == ("a",)
    wide = write("wide.csv", "text,label\na,b\n".encode("utf-16"))
    assert data.load(f"csv:{wide}", text_format=data.TextFormat(encoding="utf-16")).label_names == ("b",)
    with pytest.raises(errors.InputError, match="Got encoding='latin-one'"):
        data.TextFormat(encoding="latin-one")


def test_rows_that_do_not_fit(write):
    report = data.check(
        data.load(f"csv:{write('a.csv', 'text,label' + chr(10) + 'a,x' + chr(10) + 'b,y,z' + chr(10))}")
    )
    assert kinds(report.problems) == ["columns do not fit"] and "line 3" in report.text()
    report = data.check(data.load(f"jsonl:{write('a.jsonl', chr(10).join(['{', '[1]', *GOOD_JSON]))}"))
    assert kinds(report.problems) == ["not JSON", "not JSON"]
    report = data.check(data.load(f"lines:{write('a.txt', 'x a b' + chr(10) + 'word' + chr(10) + 'y c')}"))
    assert kinds(report.problems) == ["line does not fit"] and "line 2" in report.text()
    with pytest.raises(errors.InputError, match="line 2 makes no table"):
        data.load(f"csv:{write('b.csv', 'text,label' + chr(10) + chr(34) + 'a,x')}")


GOOD_JSON = ('{"text": "a", "label": 0}', '{"text": "b", "label": 1}')


@pytest.mark.parametrize(
    "row, kind",
    [
        ('{"text": null, "label": 0}', "text missing"),
        ('{"text": NaN, "label": 0}', "text missing"),
        ('{"label": 0}', "text missing"),
        ('{"text": 7, "label": 0}', "not text"),
        ('{"text": "c", "label": null}', "label missing"),
        ('{"text": "c", "label": NaN}', "label missing"),
        ('{"text": "c"}', "label missing"),
        ('{"text": "c", "label": 0.5}', "fractional label"),
    ],
)
def test_bad_values_are_problems(write, row, kind):
    source = data.load(f"jsonl:{write('bad.jsonl', chr(10).join([*GOOD_JSON, row]))}")
    report = data.check(source)
    assert [(problem.kind, problem.index) for problem in report.problems] == [(kind, 2)]
    assert "bad.jsonl, line 3: Got" in report.text()
    assert data.check(source, on_bad_example="skip").ok


def test_empty_texts_are_warned_of_with_their_count(write):
    source = data.load(f"csv:{write('e.csv', 'text,label' + chr(10) + 'a,x' + chr(10) + ',y' + chr(10) + '  ,y')}")
    report = data.check(source)
    assert report.ok and report.counts == {"empty text": 2}


def test_classes_of_very_unequal_size_are_warned_of():
    texts, labels = [str(number) for number in range(23)], ["many"] * 21 + ["few"] * 2
    assert data.check(data.from_texts(texts, labels)).counts == {"unequal classes": 1}
    assert data.check(data.from_texts(texts[1:], labels[1:])).counts == {}


def test_labels_of_lists():
    numbers = data.from_texts(["a", "b", "c"], [0, 2, 1], label_names=("x", "y"))
    assert numbers.labels.tolist() == [0, -1, 1] and kinds(numbers.problems) == ["label out of range"]
    assert "from 0, not from 1" in str(numbers.problems[0])
    assert data.from_texts(["a", "b"], [1.0, 0]).label_names == ("0", "1")
    assert data.from_texts(["a", "b"], ["10", "9"]).label_names == ("9", "10")
    evaluation = data.from_texts(["a", "b"], ["y", "new"], label_names=("x", "y"))
    assert evaluation.label_names == ("x", "y", "new")
    sets = data.from_texts(["a", "b", "c"], [["x", "y"], [], "y"], label_kind="sets")
    np.testing.assert_array_equal(sets.targets, [[1, 1], [0, 0], [0, 1]])
    assert sets.num_examples_per_class() == {"x": 1, "y": 2}
    scores = data.from_texts(["a", "b"], ["0.5", float("nan")], label_kind="numbers")
    assert scores.targets.tolist() == [0.5, 0] and kinds(scores.problems) == ["label missing"]
    with pytest.raises(errors.InputError, match="Got 1 labels for 2 texts"):
        data.from_texts(["a", "b"], [1])


def test_leaks_are_found_by_normalised_text():
    train = data.from_texts(["Who was Galileo ?", "b"], ["x", "y"])
    evaluation = data.from_texts(["c", "who  was GALILEO ?"], ["x", "y"], label_names=train.label_names)
    report = data.check(train, evaluation)
    assert kinds(report.problems) == ["leak"] and report.leaked == {"evaluation": (1,)}
    assert data.check(train, evaluation, allow_leakage=True).ok


def test_trec_has_11_leaked_questions(test_data):
    form = data.TextFormat(encoding="latin-1", line_format="{label}:{fine} {text}")
    train = data.load(f"lines:{test_data}/trec/raw_TREC.train", text_format=form)
    test = data.load(f"lines:{test_data}/trec/raw_TREC.test", text_format=form, label_names=train.label_names)
    assert len(data.check(train, test).leaked["evaluation"]) == 11


def test_a_part_keeps_rows_together_and_the_digest_sees_a_byte():
    source = data.from_texts(["a", "b", "c"], ["x", "y", "x"])
    part = data.subset(source, [2, 0])
    assert [part.records[index]["texts"] for index in range(2)] == [("c",), ("a",)]
    assert part.keys[0] == "texts, row 2" and part.content(0) == b"c"
    assert source.digest() != data.from_texts(["a", "B", "c"], ["x", "y", "x"]).digest()


def test_lines_to_predict(write):
    source = data.raw_lines([write("p.txt", "one\n\ntwo\tthree\n")])
    assert [source.records[index]["texts"] for index in range(3)] == [("one",), ("",), ("two\tthree",)]
    pairs = data.raw_lines([write("q.txt", "one\ttwo\nthree\n")], pair=True)
    assert pairs.records[0]["texts"] == ("one", "two") and kinds(pairs.problems) == ["no pair"]
