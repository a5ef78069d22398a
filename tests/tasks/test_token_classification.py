"""Words aligned to pieces, long sentences cut and put together, entities decoded and scored."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from kft import data, errors
from kft.models import Features
from kft.tasks import make_task, word_rows
from kft.tasks.losses import SmoothedCrossentropy, TokenCrossentropy
from tests.tasks.sources import text_source
from tests.tasks.tokenizers import PieceTokenizer, TwoSeparators

BIO = ("O", "B-group", "I-group", "B-person", "I-person")
WORDS = st.text(alphabet="ab,日\u200d", min_size=1, max_size=8)
SENTENCES = st.lists(st.lists(st.tuples(WORDS, st.sampled_from(BIO)), max_size=12), min_size=1, max_size=4)


def sentences(rows):
    return text_source([{"words": [word for word, _ in row], "tags": [tag for _, tag in row]} for row in rows])


def perfect_logits(table, num_labels):
    """What a model gives that knows every target and is sure of something wrong elsewhere."""
    wrong = np.arange(len(table.targets)) % num_labels
    return 9.0 * np.eye(num_labels)[np.where(table.targets >= 0, table.targets, wrong)]


def test_only_the_first_piece_of_a_word_has_a_target():
    task = make_task("token_classification", label_names=BIO)
    source = sentences([[("Johnson", "B-person"), ("of", "O"), ("Acme", "B-group")], [("no", "O")]])
    table = task.tokenize(source, PieceTokenizer(piece=3), max_length=16)
    #                                 [CLS] Joh nso  n  of Acm  e [SEP]   [CLS] no [SEP]
    assert table.targets.tolist() == [-1, 3, -1, -1, 0, 1, -1, -1, -1, 0, -1]
    assert table.words.tolist() == [-1, 0, 0, 0, 1, 2, 2, -1, -1, 0, -1]
    assert table.record.tolist() == [0, 1]
    assert table.per_token and table.num_truncated == 0


@pytest.mark.parametrize("tokenizer", [PieceTokenizer(piece=2), TwoSeparators(piece=2)])
@given(rows=SENTENCES, max_length=st.integers(3, 12), overlap=st.integers(0, 6))
def test_every_word_is_predicted_once_and_perfect_logits_give_the_tags(tokenizer, rows, max_length, overlap):
    task = make_task("token_classification", label_names=BIO, window_overlap=overlap)
    source = sentences(rows)
    table = task.tokenize(source, tokenizer, max_length=max_length)
    assert table.lengths.max() <= max_length
    record = np.repeat(table.record, table.lengths)
    looked_at = list(zip(record[table.targets >= 0], table.words[table.targets >= 0], strict=True))
    assert sorted(looked_at) == [(index, place) for index, row in enumerate(rows) for place in range(len(row))]
    predictions = task.decode(perfect_logits(table, len(BIO)), table, source)
    assert [prediction["tags"] for prediction in predictions] == task.references(source)


@given(SENTENCES)
def test_entities_tell_the_very_characters(rows):
    task = make_task("token_classification", label_names=BIO)
    source = sentences(rows)
    table = task.tokenize(source, PieceTokenizer(), max_length=64)
    for row, prediction in zip(rows, task.decode(perfect_logits(table, len(BIO)), table, source), strict=True):
        text = " ".join(word for word, _ in row)
        for entity in prediction["entities"]:
            assert text[entity["start"] : entity["end"]] == entity["text"]
            assert entity["text"].split(" ")[0] in [word for word, _ in row]


def test_a_long_sentence_is_looked_at_where_most_is_around_a_word():
    task = make_task("token_classification", label_names=BIO, window_overlap=2)
    source = sentences([[(word, "O") for word in "abcdefgh"]])
    table = task.tokenize(source, PieceTokenizer(), max_length=8)
    assert table.record.tolist() == [0, 0]
    assert table.words.tolist() == [-1, 0, 1, 2, 3, 4, 5, -1, -1, 4, 5, 6, 7, -1]
    assert table.targets.tolist() == [-1, 0, 0, 0, 0, 0, -1, -1, -1, -1, 0, 0, 0, -1]


def test_a_word_that_is_longer_than_a_row_is_counted():
    task = make_task("token_classification", label_names=BIO)
    source = sentences([[("a", "O"), ("b" * 30, "O"), ("c", "O")], [("a", "O")] * 30, [("a", "O"), ("b" * 30, "O")]])
    table = task.tokenize(source, PieceTokenizer(), max_length=7)
    assert table.num_truncated == 2
    assert (table.targets >= 0).sum() == 3 + 30 + 2


def test_raw_text_is_split_and_its_characters_are_told():
    task = make_task("token_classification", label_names=BIO)
    source = text_source([{"texts": ("Then  Ada Lovelace, of 北京.",)}])
    table = task.tokenize(source, PieceTokenizer(piece=20), max_length=16)
    #         Then  Ada  Lovelace  ,  of  北  京  .
    labels = [0, 3, 4, 0, 0, 1, 2, 0]
    logits = np.zeros((len(table.targets), 5))
    logits[np.flatnonzero(table.targets >= 0), labels] = np.log(4)
    [prediction] = task.decode(logits, table, source)
    person, group = prediction["entities"]
    assert person == {
        "type": "person",
        "text": "Ada Lovelace",
        "start": 6,
        "end": 18,
        "probability": pytest.approx(0.5),
    }
    assert (group["type"], group["text"], group["start"], group["end"]) == ("group", "北京", 23, 25)


@given(st.text())
def test_words_of_raw_text_are_all_that_is_no_space(text):
    words, spans, _ = word_rows.words_of({"texts": (text,)})
    assert [text[start:end] for start, end in spans] == words
    assert "".join(words) == "".join(text.split())


SCHEMES = {
    "iob1": ["O", "I-x", "I-x", "B-x", "I-y"],
    "bio": ["O", "B-x", "I-x", "B-x", "B-y"],
    "bioes": ["O", "B-x", "E-x", "S-x", "S-y"],
    "bmes": ["O", "B-x", "E-x", "S-x", "S-y"],
}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_scores_of_entities_by_hand(scheme):
    """Three entities; one is missed, one is found with another type, one is right: 1 of 2 found, 1 of 3 there."""
    tags = SCHEMES[scheme]
    names = tuple(dict.fromkeys([*tags, "B-x", "I-x", "M-x"] if scheme == "bmes" else tags))
    task = make_task("token_classification", label_names=names)
    wrong = [*tags[:3], "O", tags[4].replace("y", "x")]
    scores = task.corpus_scores([{"tags": wrong}], [tags])
    assert scores["precision"] == 0.5 and scores["recall"] == pytest.approx(1 / 3)
    assert scores["f1"] == pytest.approx(0.4)
    assert scores["accuracy"] == pytest.approx(0.6)
    assert scores["f1_x"] == pytest.approx(0.5) and scores["f1_y"] == 0
    assert tuple(scores) == task.score_names


def test_the_inside_of_a_long_entity_in_bmes():
    task = make_task("token_classification", label_names=("O", "B-x", "M-x", "E-x", "S-x"))
    tags = ["B-x", "M-x", "M-x", "E-x", "S-x"]
    assert task.corpus_scores([{"tags": tags}], [tags])["f1"] == 1
    assert task.corpus_scores([{"tags": ["B-x", "M-x", "O", "E-x", "S-x"]}], [tags])["f1"] == pytest.approx(2 / 5)


def test_an_illegal_inside_begins_an_entity_as_in_conll():
    task = make_task("token_classification", label_names=BIO)
    assert task.corpus_scores([{"tags": ["O", "I-person"]}], [["O", "B-person"]])["f1"] == 1


def test_no_entities_at_all():
    task = make_task("token_classification", label_names=BIO)
    assert task.corpus_scores([{"tags": ["O"]}], [["O"]])["f1"] == 0


def test_tags_that_mark_no_entities_are_scored_as_labels():
    task = make_task("token_classification", label_names=("NOUN", "VERB"))
    assert task.monitor == "val_accuracy"
    scores = task.corpus_scores([{"tags": ["NOUN", "VERB"]}, {"tags": ["VERB"]}], [["NOUN", "NOUN"], ["VERB"]])
    assert scores["accuracy"] == pytest.approx(2 / 3)
    assert tuple(scores) == task.score_names


@pytest.mark.parametrize(
    ("record", "problem"),
    [
        ({"words": ["a"], "tags": ["B-persom"]}, "Did you mean 'B-person'"),
        ({"words": ["a", "b"], "tags": ["O"]}, "1 tags for 2 words in sentence 0"),
    ],
)
def test_tags_that_do_not_fit(record, problem):
    task = make_task("token_classification", label_names=BIO)
    with pytest.raises(errors.InputError, match=problem):
        task.tokenize(text_source([record]), PieceTokenizer(), max_length=16)


def test_a_word_without_a_token_and_a_tokenizer_without_an_unknown_one():
    tokenizer = PieceTokenizer()
    tokenizer.unk_id = None
    source = sentences([[("a", "O"), ("\u200d", "O")]])
    with pytest.raises(errors.InputError, match="no token"):
        make_task("token_classification", label_names=BIO).tokenize(source, tokenizer, max_length=16)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_the_loss_does_not_look_at_minus_one(jit_compile):
    logits = tf.Variable(np.random.default_rng(0).normal(size=(2, 3, 5)), dtype="float32")
    labels = np.array([[1, -1, 4], [-1, -1, 0]], "float32")

    @tf.function(jit_compile=jit_compile)
    def gradient():
        with tf.GradientTape() as tape:
            loss = TokenCrossentropy(0.1).call(labels, logits)
        return loss, tape.gradient(loss, logits)

    loss, slope = gradient()
    known = labels >= 0
    expected = SmoothedCrossentropy(0.1).call(labels[known], logits.numpy()[known])
    np.testing.assert_allclose(loss.numpy()[known], expected, rtol=1e-5)
    assert not loss.numpy()[~known].any() and not slope.numpy()[~known].any()
    assert np.isfinite(slope).all()


def test_a_backbone_without_features_of_tokens():
    with pytest.raises(errors.InputError, match="features of each token"):
        make_task("token_classification", label_names=BIO).head(Features(tf.zeros((1, 3))))


@pytest.mark.parametrize("max_length", [16, 512])
def test_real_sentences_come_back_whole(test_data, word_piece_tokenizer, max_length):
    """WNUT17's test sentences with the pieces of MiniLM: entity F1 of perfect logits is 1."""
    source = data.load(f"conll:{test_data}/wnut17/emerging.test.annotated")
    task = make_task("token_classification", label_names=source.label_names, window_overlap=6)
    table = task.tokenize(source, word_piece_tokenizer, max_length=max_length)
    assert (table.num_rows > source.num_examples) == (max_length == 16)
    predictions = task.decode(perfect_logits(table, len(source.label_names)), table, source)
    scores = task.corpus_scores(predictions, task.references(source))
    assert scores["f1"] == scores["accuracy"] == 1
    assert sum(len(prediction["entities"]) for prediction in predictions) == 1079
