"""What the benchmark of the frozen part compares: the same training by Keras, by kft, and of what is above the cut."""

import functools
import glob
import os
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kft import data, models, optimizers, tasks, trainable, training
from kft.data.text_format import TextFormat
from kft.training import split_graph

LEARNING_RATE = 1e-3
QUESTIONS = TextFormat(encoding="latin-1", line_format="{label}:{fine} {text}")


def with_keras(settings: Any) -> Any:
    """The function that trains as Keras' guides do: what is frozen by `trainable=False`, and `fit`.

    Photos come from `image_dataset_from_directory`, with the scaling inside the model; questions are tokenised before,
    and each batch is padded to its longest.
    """
    model, backbone, train, validation, _ = _parts(settings)
    trained = {variable.path for variable in model.trainable_variables}
    for layer in backbone.model.layers:
        layer.trainable = any(weight.path in trained for weight in layer.weights) and not isinstance(
            layer, keras.layers.BatchNormalization
        )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    if settings.photos:
        size = (settings.image_size or 224,) * 2
        load = functools.partial(
            keras.utils.image_dataset_from_directory,
            image_size=size,
            batch_size=settings.global_batch_size,
            verbose=False,
        )
        batches = load(f"{settings.photos}/train", seed=0), load(f"{settings.photos}/val", shuffle=False)
        inputs = keras.Input((*size, 3))
        features = backbone.model(keras.applications.mobilenet_v2.preprocess_input(inputs))
        features = keras.layers.GlobalAveragePooling2D()(features)
    else:
        batches = [_ragged(part, settings.global_batch_size) for part in (train, validation)]
        inputs = backbone.model.input
        features = backbone.features(backbone.model.output).pooled
    model = keras.Model(inputs, keras.layers.Dense(len(train.source.label_names))(features))
    model.compile(keras.optimizers.Adam(LEARNING_RATE), loss, metrics=["accuracy"])
    train, validation = (part.prefetch(tf.data.AUTOTUNE) for part in batches)
    return functools.partial(model.fit, train, validation_data=validation)


def _ragged(batches: Any, size: int) -> tf.data.Dataset:
    table = batches.table
    ids = tf.RaggedTensor.from_row_splits(table.token_ids, table.offsets)

    def inputs(ids, y):
        mask = tf.cast(tf.sequence_mask(ids.row_lengths()), tf.int32)
        ids = ids.to_tensor()
        return {"token_ids": ids, "segment_ids": tf.zeros_like(ids), "padding_mask": mask}, y

    dataset = tf.data.Dataset.from_tensor_slices((ids, table.targets))
    dataset = dataset.shuffle(table.num_rows, seed=0) if batches.shuffle else dataset
    return dataset.batch(size).map(inputs)


def with_kft(settings: Any, cache: str) -> Any:
    """The function that trains with kft."""
    model, _, train, validation, schedule = _parts(settings)
    return functools.partial(
        training.fine_tune,
        model,
        train,
        schedule,
        validation_data=validation,
        cache=cache,
        cache_budget=settings.cache_budget,
    )


def on_arrays(settings: Any) -> Any:
    """The function that trains what is above the cut, on random arrays: the least that an epoch can take."""
    model, _, train, _, _ = _parts(settings)
    _, suffix, crossing = split_graph.split_at_frozen_prefix(model, model.inference_operations())
    inputs = [keras.Input(tensor.shape[1:], dtype=tensor.dtype) for tensor in crossing]
    (outputs,) = suffix(tuple({"value": tensor} for tensor in inputs))
    alone = training.FineTuneModel(inputs, outputs["value"], blocks=model.blocks)
    alone.compile(model.optimizer, loss=model.loss, metrics=["accuracy"])
    if train.plan.row_lengths is None:
        random = np.random.default_rng(0)
        arrays = [random.random((train.num_examples, *tensor.shape[1:]), np.float32) for tensor in crossing]
        return functools.partial(alone.fit, arrays, train.source.labels, batch_size=settings.global_batch_size)

    def batch(indices, weights, count, length):
        shapes = [tf.stack([count, *(length if side is None else side for side in t.shape[1:])]) for t in crossing]
        x = tuple(tf.cast(tf.random.uniform(shape) > 0.1, t.dtype) for shape, t in zip(shapes, crossing, strict=True))
        for value, tensor in zip(x, crossing, strict=True):
            value.set_shape((settings.global_batch_size, *tensor.shape[1:]))
        return x, *train.targets(indices, weights, count, length)

    plan = tf.data.Dataset.from_tensor_slices(tuple(train.plan.epoch(0)))
    return functools.partial(alone.fit, plan.map(batch).cache().prefetch(2))


def _parts(settings: Any) -> tuple[Any, ...]:
    """Model, backbone, training and validation batches, and what trains."""
    if settings.photos:
        train = data.load(f"folder:{settings.photos}/train")
        validation = data.load(f"folder:{settings.photos}/val", label_names=train.label_names)
        task = tasks.make_task("image_classification", label_names=train.label_names)
        backbone = models.make_backbone(
            f"mobilenet_v2_{settings.alpha}",
            image_size=settings.image_size or None,
            weights=(glob.glob(settings.backbone_weights) or [settings.backbone_weights])[0],
        )
    else:
        train = data.load(f"lines:{settings.questions}/raw_TREC.train", text_format=QUESTIONS)
        validation = data.load(
            f"lines:{settings.questions}/raw_TREC.test", text_format=QUESTIONS, label_names=train.label_names
        )
        task = tasks.make_task("text_classification", label_names=train.label_names)
        backbone = models.make_backbone(settings.text_backbone, pooling="mean")
    model = training.build_model(backbone, task)
    schedule = trainable.make_trainable_schedule(f"top_blocks({settings.top_blocks})", model.blocks)
    model.set_trainable(schedule[0].trainable)
    optimizer = optimizers.make_optimizer("adam", learning_rate=LEARNING_RATE)
    model.compile(optimizer, loss=task.loss, metrics=task.metrics())

    def batches(source: Any, shuffle: bool = False) -> Any:
        if settings.photos:
            return data.batches(
                source,
                encode=data.image_encoder(image_size=backbone.image_size),
                preprocess=backbone.preprocess,
                global_batch_size=settings.global_batch_size,
                shuffle=shuffle,
            )
        table = task.tokenize(source, backbone.tokenizer, max_length=backbone.tokenizer.max_length)
        return data.token_batches(
            table,
            pad_id=backbone.tokenizer.pad_id,
            global_batch_size=settings.global_batch_size,
            shuffle=shuffle,
            inputs=[name for name in ("token_ids", "segment_ids", "padding_mask") if name in backbone.model.input],
            source=source,
        )

    return model, backbone, batches(train, shuffle=True), batches(validation), schedule


def peak_memory_mb() -> int:
    """The most memory that this process ever had."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def set_up() -> None:
    """Once in a process, before all else."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    keras.utils.set_random_seed(0)
