import keras
import numpy as np
import pytest
import tensorflow as tf

from kft import data, errors
from kft.data.batch_plan import BatchPlan, static_lengths
from kft.data.token_table import check_tokens, raise_if_bad


def make_table(rows=100, seed=0, longest=60, **parts):
    """Rows of random length whose first token is the number of the row."""
    lengths = np.random.default_rng(seed).integers(1, longest + 1, rows)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    token_ids = np.full(offsets[-1], 150, np.int32)
    token_ids[offsets[:-1]] = np.arange(rows)
    values = {
        "token_ids": token_ids,
        "segment_ids": np.zeros(offsets[-1], np.int8),
        "offsets": offsets,
        "targets": np.arange(rows),
        "record": np.arange(rows),
    }
    return data.TokenTable(**{**values, **parts})


OPTIONS = [
    {},
    {"static_lengths": (8, 16, 32, 64)},
    {"tokens_per_batch": 200},
    {"tokens_per_batch": 256, "static_lengths": (16, 64)},
    {"multiple_of": 2, "tokens_per_batch": 250},
]


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("rows", [1, 5, 8, 100])
def test_every_row_comes_once_in_every_epoch(options, shuffle, rows):
    plan = BatchPlan(make_table(rows).lengths, 8, 3, shuffle, **options)
    for epoch in range(3):
        batches = plan.epoch(epoch)
        assert len(batches.counts) == plan.num_batches
        assert sorted(batches.indices[batches.weights > 0]) == list(range(rows))
        for indices, count, length in zip(batches.indices, batches.counts, batches.lengths):
            longest = plan.row_lengths[indices[:count]].max()
            assert (indices[:count] >= 0).all() and (indices[count:] == -1).all() and longest <= length
            if "tokens_per_batch" in options:
                assert count * length <= options["tokens_per_batch"] and count % options.get("multiple_of", 1) == 0
            else:
                assert count == 8
            if "static_lengths" in options:
                assert length in options["static_lengths"]
            else:
                assert length == longest


def test_the_order_depends_on_seed_and_epoch_alone():
    def order(seed, epoch, shuffle=True):
        return BatchPlan(make_table().lengths, 8, seed, shuffle).epoch(epoch).indices.tolist()

    assert order(1, 2) == order(1, 2)
    assert order(1, 2) != order(1, 3) and order(1, 2) != order(2, 2)
    assert order(1, 2, False) == order(5, 7, False)


def test_batches_of_like_length_pad_little():
    lengths = make_table(5000).lengths
    assert BatchPlan(lengths, 32, 0, True).padding() < 0.05
    assert BatchPlan(lengths, 32, 0, True, static_lengths(lengths)).padding() < 0.2


def test_static_lengths_are_the_best_ones():
    rng = np.random.default_rng(0)
    for _ in range(20):
        lengths = rng.integers(1, 90, 30)
        found = static_lengths(lengths, most=3)
        assert len(found) <= 3 and all(length % 8 == 0 for length in found) and found[-1] >= lengths.max()
        cost = np.array(found)[np.searchsorted(found, lengths)].sum()
        last = -(-lengths.max() // 8) * 8
        others = [sorted({a, b, last}) for a in range(8, last + 1, 8) for b in range(8, last + 1, 8)]
        assert cost == min(np.array(other)[np.searchsorted(other, lengths)].sum() for other in others)


@pytest.mark.parametrize("options", OPTIONS)
def test_batches_hold_the_rows_and_padding(options):
    table = make_table(40)
    dataset = data.token_batches(table, pad_id=9, global_batch_size=8, shuffle=True, **options)
    seen = []
    for x, y, weight in dataset:
        np.testing.assert_array_equal(x["token_ids"][:, 0], y)
        for ids, mask, row in zip(x["token_ids"].numpy(), x["padding_mask"].numpy(), y.numpy()):
            length = table.lengths[row]
            np.testing.assert_array_equal(mask, np.arange(len(mask)) < length)
            np.testing.assert_array_equal(ids[:length], table.token_ids[table.offsets[row] :][:length])
            assert (ids[length:] == 9).all()
        seen += y.numpy()[weight.numpy() > 0].tolist()
    assert sorted(seen) == list(range(40))


def test_targets_of_tokens_have_weight_where_the_loss_looks():
    table = make_table(10)
    targets = np.where(table.token_ids == 150, -1, table.token_ids)
    dataset = data.token_batches(
        make_table(10, targets=targets, per_token=True), pad_id=0, global_batch_size=4, inputs=("token_ids",)
    )
    total = 0
    for x, y, weight in dataset:
        assert list(x) == ["token_ids"] and y.shape == weight.shape == x["token_ids"].shape
        assert (y >= 0).numpy().all()
        total += float(tf.reduce_sum(weight))
        np.testing.assert_array_equal(weight[:, 1:], 0)
    assert total == 10


def test_fit_sees_every_example_once_in_every_epoch():
    class Seen(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.rows = []

        def call(self, ids):
            return tf.ensure_shape(tf.py_function(self._note, [ids], tf.float32), (None, 1))

        def _note(self, ids):
            self.rows.append(ids[:, 0].numpy())
            return tf.zeros((len(ids), 1))

    ids = keras.Input((None,), dtype="int32", name="token_ids")
    seen = Seen()
    model = keras.Model({"token_ids": ids}, keras.layers.Dense(2)(seen(ids)))
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    table = make_table(32, targets=np.arange(32) % 2)
    dataset = data.token_batches(table, pad_id=0, global_batch_size=8, shuffle=True, inputs=("token_ids",))
    model.fit(dataset, epochs=3, verbose=0)
    rows = np.concatenate(seen.rows)
    assert len(rows) == 96
    for epoch in range(3):
        assert sorted(rows[epoch * 32 :][:32]) == list(range(32))


def test_epochs_from_anywhere_and_chosen_rows():
    dataset = data.token_batches(make_table(20), pad_id=0, global_batch_size=4, shuffle=True)
    rows = lambda batches: [y.numpy().tolist() for _, y, _ in batches]  # noqa: E731
    epochs = [rows(dataset), rows(dataset)]
    assert rows(dataset.from_epoch(0, 3).take(7)) == epochs[0][3:] + epochs[1]
    assert rows(dataset.examples([(np.array([3, 1, 2]), 0), (np.arange(5), 0)])) == [
        [3, 1, 2, 3],
        [0, 1, 2, 3],
        [4, 4, 4, 4],
    ]
    plain = data.token_batches(make_table(20), pad_id=0, global_batch_size=4)
    got = np.concatenate([y.numpy()[weight.numpy() > 0] for _, y, weight in plain])
    np.testing.assert_array_equal(got, plain.order())


def test_bad_tokens_are_told_with_their_example():
    source = data.from_texts([str(number) for number in range(100)])
    table = make_table(100, longest=60)
    assert check_tokens(table, source, vocabulary_size=200, max_length=60) == []
    findings = check_tokens(table, source, vocabulary_size=99, max_length=55)
    assert {finding.kind for finding in findings} == {"token id outside the vocabulary", "too many tokens"}
    with pytest.raises(errors.InputError, match="texts, row 0: Got token id 150. Expected 0 <= id < 99"):
        raise_if_bad(findings)


def test_tables_and_plans_that_do_not_fit():
    with pytest.raises(errors.InputError, match="Got 3 record in a table of 100 rows|Got 3 record"):
        make_table(100, record=np.arange(3))
    with pytest.raises(errors.InputError, match="Got tokens_per_batch=10 with an example of"):
        BatchPlan(make_table(100).lengths, 8, tokens_per_batch=10)
    with pytest.raises(errors.InputError, match="Got no examples in the table"):
        data.token_batches(make_table(0), pad_id=0, global_batch_size=8)
