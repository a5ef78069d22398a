"""What mixing makes of images and targets, and that it is a function of (seed, epoch, example)."""

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from kft import data, errors
from kft.data.order import balanced_order

NUM, CLASSES = 22, 3


def flat_images():
    """Each image one value that tells which it is: its row."""
    x = np.broadcast_to(np.arange(NUM, dtype=np.float32).reshape(-1, 1, 1, 1), (NUM, 8, 8, 1))
    return data.from_arrays(x, np.arange(NUM) % CLASSES)


def encode(raw, seed):
    del seed
    return tf.ensure_shape(raw["image"], (8, 8, 1))


def batches(source, batch_size, **options):
    return data.batches(source, encode=encode, preprocess=lambda x: x, global_batch_size=batch_size, **options)


def epoch_of(dataset, epoch=0):
    """x, y and weight of all examples of an epoch, by their index."""
    parts = [[part.numpy() for part in batch] for batch in dataset.from_epoch(epoch).take(dataset.steps_per_epoch)]
    x, y, weight = (np.concatenate(part) for part in zip(*parts, strict=True))
    order = data.epoch_order(dataset.num_examples, seed=dataset.seed, epoch=epoch, shuffle=dataset.shuffle)
    return [part[weight == 1][np.argsort(order)] for part in (x, y)]


def draws(count, function):
    seeds = tf.stack([tf.fill((count,), tf.constant(5, tf.int64)), tf.range(count, dtype=tf.int64)], 1)
    return tf.function(lambda: tf.map_fn(function, seeds, fn_output_signature=(tf.float32, tf.float32)))()


@pytest.mark.parametrize("alpha", [0.1, 1.0, 4.0])
def test_the_shares_of_mixup_are_beta(alpha):
    mixing = data.Mixing(mixup=alpha)
    image, share = draws(
        2000,
        lambda seed: mixing.mix(tf.ones((2, 2, 1)), tf.zeros((2, 2, 1)), tf.constant([1.0]), tf.constant([0.0]), seed),
    )
    for place in (0.01, 0.1, 0.3, 0.5, 0.8, 0.95):
        expected = stats.beta(alpha, alpha).cdf(place)
        assert abs((share.numpy() < place).mean() - expected) < 4 * np.sqrt(expected * (1 - expected) / 2000)
    np.testing.assert_allclose(image.numpy()[:, 0, 0], share, atol=1e-6)


def test_a_tiny_alpha_mixes_next_to_nothing_and_stays_finite():
    mixing = data.Mixing(mixup=1e-3)
    _, share = draws(
        500, lambda seed: mixing.mix(tf.ones((1, 1, 1)), tf.zeros((1, 1, 1)), tf.ones(1), tf.zeros(1), seed)
    )
    assert np.isfinite(share).all() and (np.abs(np.round(share) - share) < 1e-2).mean() > 0.98


def test_cutmix_pastes_a_box_and_the_target_has_its_share():
    mixing = data.Mixing(cutmix=1.0)
    image, share = draws(
        500, lambda seed: mixing.mix(tf.ones((20, 30, 2)), tf.zeros((20, 30, 2)), tf.ones(1), tf.zeros(1), seed)
    )
    image, share = image.numpy(), share.numpy()[:, 0]
    assert set(np.unique(image)) == {0.0, 1.0}
    np.testing.assert_allclose(image.mean((1, 2, 3)), share, atol=1e-5)
    assert share.min() < 0.2 and share.max() > 0.95
    for one in image:
        rows, columns = np.nonzero(one[..., 0] == 0)
        if len(rows):
            assert len(rows) == (np.ptp(rows) + 1) * (np.ptp(columns) + 1)


@pytest.mark.parametrize("ways", [{"mixup": 0.8}, {"cutmix": 1.0}, {"mixup": 0.8, "cutmix": 1.0}])
def test_the_partner_is_another_example_of_the_epoch(ways):
    dataset = batches(flat_images(), 4, shuffle=True, mixing=data.Mixing(**ways))
    for epoch in (0, 3):
        x, y = epoch_of(dataset, epoch)
        partners = data.partners(NUM, seed=0, epoch=epoch)
        assert sorted(partners) == list(range(NUM))
        share = (x.mean((1, 2, 3)) - partners) / np.where(np.arange(NUM) == partners, 1, np.arange(NUM) - partners)
        expected = share[:, None] * np.eye(CLASSES)[np.arange(NUM) % 3]
        expected += (1 - share)[:, None] * np.eye(CLASSES)[partners % 3]
        np.testing.assert_allclose(y, expected, atol=1e-4)
        assert ((share > 0.02) & (share < 0.98)).sum() > 5


class Replacing(data.Mixing):
    """Shows the partner."""

    def mix(self, image, partner, target, partner_target, seed):
        return partner, partner_target


@pytest.mark.parametrize("epoch", [0, 3])
def test_partners_of_a_balanced_epoch_are_balanced(epoch):
    labels = np.where(np.arange(NUM) < 3, 1, 0)
    x = np.broadcast_to(np.arange(NUM, dtype=np.float32).reshape(-1, 1, 1, 1), (NUM, 8, 8, 1))
    source = data.from_arrays(x, labels)
    order = balanced_order(labels, seed=0, epoch=epoch)
    seen = {}
    for batch_size in (4, 5, NUM):
        how = {"shuffle": True, "sampling": "balanced", "mixing": Replacing(mixup=1.0)}
        dataset = batches(source, batch_size, **how)
        rows = [[part.numpy() for part in row] for row in dataset.from_epoch(epoch).take(dataset.steps_per_epoch)]
        x, y, weight = (np.concatenate(part) for part in zip(*rows, strict=True))
        others = x[:, 0, 0, 0].astype(int)
        seen[batch_size] = others[weight == 1]
        np.testing.assert_array_equal(np.sort(seen[batch_size]), np.sort(order))
        assert (seen[batch_size] != order).mean() > 0.5
        np.testing.assert_array_equal(y, np.eye(2)[labels[others]])
        assert set(others[weight == 0]) <= set(order)  # padding has a real partner too
        np.testing.assert_array_equal(others[weight == 0], others[: (weight == 0).sum()])
        if batch_size == 4:
            halves = [dataset.from_epoch(epoch, 0, (half, half + 1, 2)).take(len(rows)) for half in (0, 1)]
            for (whole, *_), (one, *_), (two, *_) in zip(rows, *halves, strict=True):
                np.testing.assert_array_equal(whole, np.concatenate([one, two]))
    np.testing.assert_array_equal(seen[4], seen[5])
    np.testing.assert_array_equal(seen[4], seen[NUM])
    assert np.bincount(labels[seen[4]]).tolist() == [NUM // 2, NUM // 2]


def test_it_is_a_function_of_seed_epoch_and_example_alone():
    rng = np.random.default_rng(0)
    source = data.from_arrays(rng.integers(0, 256, (NUM, 9, 9, 3), np.uint8), np.arange(NUM) % CLASSES)
    encode = data.image_encoder(image_size=(8, 8), augmentation="flip,crop")

    def made(batch_size, epoch, *, seed=0, shuffle=True):
        dataset = data.batches(
            source, encode=encode, preprocess=lambda x: x, global_batch_size=batch_size, seed=seed, shuffle=shuffle,
            mixing=data.Mixing(0.5, 1.0),
        )  # fmt: skip
        return epoch_of(dataset, epoch)

    one = made(5, 2)
    for part, other in zip(one, made(22, 2, shuffle=False), strict=True):
        np.testing.assert_array_equal(part, other)
    assert (one[0] != made(5, 1)[0]).any() and (one[0] != made(5, 2, seed=1)[0]).any()


def test_shares_of_replicas_are_those_of_the_whole_batch():
    dataset = batches(flat_images(), 4, shuffle=True, mixing=data.Mixing(0.5, 1.0))
    whole = [x.numpy() for x, *_ in dataset.from_epoch(1).take(dataset.steps_per_epoch)]
    halves = [
        [x.numpy() for x, *_ in dataset.from_epoch(1, 0, (replica, replica + 1, 2)).take(dataset.steps_per_epoch)]
        for replica in range(2)
    ]
    for both, first, second in zip(whole, *halves, strict=True):
        np.testing.assert_array_equal(both, np.concatenate([first, second]))


def test_sets_of_labels_and_numbers_are_mixed_as_they_are():
    import dataclasses

    for targets in (np.eye(3, dtype=np.float32)[np.arange(NUM) % 3] + 0, np.arange(NUM, dtype=np.float32)):
        source = dataclasses.replace(flat_images(), targets=targets, labels=np.full(NUM, -1), label_names=("a",))
        x, y = epoch_of(batches(source, 5, mixing=data.Mixing(mixup=1.0)))
        partners = data.partners(NUM, seed=0, epoch=0)
        share = (x.mean((1, 2, 3)) - partners) / np.where(np.arange(NUM) == partners, 1, np.arange(NUM) - partners)
        share = share.reshape(-1, *[1] * (targets.ndim - 1))
        np.testing.assert_allclose(y, share * targets + (1 - share) * targets[partners], atol=1e-3)
    with pytest.raises(errors.InputError, match="cutmix=1.0 for the numbers"):
        batches(source, 5, mixing=data.Mixing(cutmix=1.0))


def test_what_has_no_meaning_is_refused():
    with pytest.raises(errors.InputError, match="mixup=-1"):
        data.Mixing(mixup=-1)
    with pytest.raises(errors.InputError, match="Expected labels to mix"):
        batches(data.unlabelled(flat_images()), 4, mixing=data.Mixing(mixup=1))
