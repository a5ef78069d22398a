import json

import pytest

from kft import data, errors
from kft.data import conll


def load_conll(tmp_path, text, **arguments):
    path = tmp_path / "some.conll"
    path.write_text(text)
    return data.load(f"conll:{path}", **arguments)


def problems(source):
    return [(problem.kind, problem.where.rpartition("/")[2]) for problem in data.check(source).problems]


def test_sentences_of_tagged_words(tmp_path):
    source = load_conll(tmp_path, "-DOCSTART- -X- O\n\nEU NNP B-ORG\nsays VB O\n\n\nJohn NNP B-PER\nSmith NNP I-PER\n")
    assert [source.records[index] for index in range(2)] == [
        {"words": ["EU", "says"], "tags": ["B-ORG", "O"]},
        {"words": ["John", "Smith"], "tags": ["B-PER", "I-PER"]},
    ]
    assert source.label_names == ("O", "B-ORG", "I-ORG", "B-PER", "I-PER")
    assert source.num_examples_per_class() == {"O": 1, "B-ORG": 1, "I-ORG": 0, "B-PER": 1, "I-PER": 1}
    assert source.keys[1].endswith("line 7") and data.check(source).ok
    assert data.subset(source, [1]).records[0]["words"] == ["John", "Smith"]


def test_words_without_tags_are_for_prediction(tmp_path):
    source = load_conll(tmp_path, "EU\nsays\n\nJohn\n")
    assert source.records[1] == {"words": ["John"], "tags": None} and source.label_names == ()


@pytest.mark.parametrize(
    "lines, kind, line",
    [
        ("a O\nb I-X\nc B-X", "illegal tags", 2),
        ("a B-X\nb I-Y\nc B-Y", "illegal tags", 2),
        ("a B-X\nb\nc O", "tags do not fit", 2),
    ],
)
def test_tags_that_no_scheme_allows(tmp_path, lines, kind, line):
    source = load_conll(tmp_path, f"x B-Y\ny I-Y\n\n{lines}\n")
    assert problems(source) == [(kind, f"some.conll, line {line + 3}")]
    assert data.check(source, on_bad_example="skip").skipped["train"] == (1,)


def test_names_of_tags():
    assert conll.tag_names([["I-X", "O"]], ("O", "B-Y", "I-Y")) == ("O", "B-Y", "I-Y", "I-X")
    assert conll.tag_names([["I-X", "O"]]) == ("O", "B-X", "I-X")
    assert conll.tag_names([["NOUN", "ADJ"]]) == ("ADJ", "NOUN")


def test_a_class_may_miss_a_prefix_in_train_but_not_its_type(tmp_path):
    train = load_conll(tmp_path, "a B-X\nb I-X\n\nc B-Y\n")
    evaluation = load_conll(tmp_path, "d B-Y\ne I-Y\n", label_names=train.label_names)
    assert data.check(train, evaluation).ok
    other = load_conll(tmp_path, "d B-Z\ne O\n", label_names=train.label_names)
    assert "class missing in train" in data.check(train, other).counts


@pytest.mark.parametrize("name, count", [("wnut17train.conll", 3394), ("emerging.dev.conll", 1009)])
def test_wnut17_is_good(test_data, name, count):
    source = data.load(f"conll:{test_data}/wnut17/{name}")
    assert source.num_examples == count and len(source.label_names) == 13
    assert data.check(source).ok, data.check(source).text()


def squad(tmp_path, answers, **record):
    record = {"id": "q1", "question": "Who?", "answers": answers} | record
    content = {"data": [{"paragraphs": [{"context": "北京 is the capital.", "qas": [record]}]}]}
    (tmp_path / "some.json").write_text(json.dumps(content))
    return data.load(f"squad:{tmp_path}/some.json")


def test_questions(tmp_path):
    source = squad(tmp_path, [{"text": "the capital", "answer_start": 6}])
    assert source.records[0] == {
        "id": "q1",
        "question": "Who?",
        "context": "北京 is the capital.",
        "answers": [(6, "the capital")],
    }
    assert source.problems == () and source.keys[0].endswith("some.json, question q1")


@pytest.mark.parametrize("text, start", [("the capital", 5), ("the capital", 12), ("capital. And", 10), ("x", -1)])
def test_an_answer_outside_its_context(tmp_path, text, start):
    source = squad(tmp_path, [{"text": text, "answer_start": start}])
    assert [problem.kind for problem in source.problems] == ["answer not in its context"]


def test_files_of_another_layout(tmp_path):
    (tmp_path / "a.json").write_text('{"data": [{"paragraphs": [{"qas": []}]}]}')
    assert data.load(f"squad:{tmp_path}/a.json").num_examples == 0
    for content in ("{", '{"data": [{}]}', '{"data": [{"paragraphs": [{"qas": [{}]}]}]}'):
        (tmp_path / "a.json").write_text(content)
        with pytest.raises(errors.InputError, match="Got .*a.json.*Expected .*paragraphs"):
            data.load(f"squad:{tmp_path}/a.json")


def test_the_given_squad_is_good(test_data):
    source = data.load(f"squad:{test_data}/squad/split_eval_12articles.json")
    assert source.num_examples == 2569 and source.problems == ()


@pytest.mark.parametrize(("scheme", "count"), [("auto", 0), ("iob1", 0), ("bio", 2), ("bioes", 2), ("any", 0)])
def test_tags_are_held_against_the_scheme_that_is_given(tmp_path, scheme, count):
    text_format = data.TextFormat(tag_scheme=scheme)
    source = load_conll(tmp_path, "x I-A\ny I-A\n\nz O\nx I-B\n", text_format=text_format)
    assert len(source.problems) == count


def test_an_unknown_scheme():
    with pytest.raises(errors.InputError, match="Did you mean 'bioes'"):
        data.TextFormat(tag_scheme="boies")
