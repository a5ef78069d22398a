"""Trains a small model as one of the workers that TF_CONFIG names, or alone, and writes what it came to."""

import json
import sys

import keras
import numpy as np
import tensorflow as tf


def main(file: str, batchnorm: str, plain: str) -> None:
    from kft import data, distribute, optimizers, training
    from tests.training.models import crossentropy, examples, make_model, padded

    strategy = distribute.make_strategy("auto")
    worker, num_workers = distribute.worker_of(strategy)
    read = []

    def batches(count, seed, shuffle):
        x, y = examples(count, seed=seed)
        if plain == "plain":
            dataset = padded(x, y, 8)
            options = tf.data.Options()
            options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
            return dataset.with_options(options)
        source = data.from_arrays(np.zeros((count, 1, 1), np.uint8), y)

        def encode(raw, example_seed):
            index = example_seed[1]
            note = tf.numpy_function(lambda i: read.append(int(i)) or np.int64(0), [index], tf.int64)
            return tf.ensure_shape(tf.gather(x, index + note), (8,))

        return data.batches(source, encode=encode, preprocess=lambda x: x, global_batch_size=8, seed=3, shuffle=shuffle)

    model = make_model(strategy, penalty="l2", batchnorm=batchnorm, dropout=0.0)
    with strategy.scope():
        optimizer = optimizers.make_rule(
            "adamw", learning_rate=1e-2, weight_decay=0.01, global_clipnorm=0.5, options={"accumulate_steps": 2}
        )
        model.compile(optimizer, crossentropy(), metrics=["accuracy"])
    train, evaluation = batches(22, 0, True), batches(13, 1, False)
    history = model.fit(train, epochs=3, validation_data=evaluation, shuffle=False, verbose=0).history
    scores = model.evaluate(evaluation, verbose=0, return_dict=True)
    predicted = model.predict(evaluation, verbose=0)
    local = [strategy.experimental_local_results(weight.value)[0].numpy() for weight in model.weights]
    result = {
        "worker": worker,
        "num_workers": num_workers,
        "history": history,
        "scores": scores,
        "predicted": predicted.tolist(),
        "weights": [value.tolist() for value in local],
        "read": sorted(set(read)),
        "sha256": training.variables_sha256([*model.weights, *optimizer.variables]),
    }
    with open(f"{file}.{worker}", "w", encoding="utf-8") as stream:
        json.dump(result, stream)


if __name__ == "__main__":
    keras.utils.set_random_seed(0)
    main(*sys.argv[1:])
