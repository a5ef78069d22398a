"""What is predicted stands in the order of the data, without padding."""

import keras
import numpy as np
import pytest

from kft import data, training
from kft.data.token_table import TokenTable
from tests.training.prefix_models import image_batches, residual_model

LENGTHS = (3, 9, 2, 5, 1, 7, 4)


@pytest.mark.parametrize("per_token", [False, True])
def test_texts_stand_in_the_order_of_the_table_though_batches_go_by_length(per_token):
    total = sum(LENGTHS)
    table = TokenTable(
        token_ids=np.arange(1, total + 1, dtype=np.int32),
        segment_ids=np.zeros(total, np.int8),
        offsets=np.cumsum([0, *LENGTHS]),
        targets=np.zeros(total if per_token else len(LENGTHS), np.int64),
        record=np.arange(len(LENGTHS)),
        per_token=per_token,
    )
    batches = data.token_batches(table, pad_id=0, global_batch_size=2, inputs=("token_ids",))
    tokens = keras.Input((None,), dtype="int32", name="token_ids")
    own = keras.layers.Embedding(total + 1, 1, embeddings_initializer="normal")
    outputs = own(tokens) if per_token else keras.layers.GlobalMaxPooling1D()(own(tokens)[:, :1])
    model = training.FineTuneModel(tokens, outputs, blocks=(".*",))
    asked = table.token_ids if per_token else table.token_ids[table.offsets[:-1]]
    np.testing.assert_array_equal(training.predict(model, batches, per_token=per_token), own.embeddings.numpy()[asked])


def test_images_are_predicted_as_by_keras():
    model, batches = residual_model(), image_batches(shuffle=False)
    np.testing.assert_array_equal(training.predict(model, batches), model.predict(batches, verbose=0))
