"""Sources of text as tasks see them."""

import types

import numpy as np


def text_source(records, *, labels=None, label_names=(), targets=None):
    """Records with labels or targets."""
    labels = np.full(len(records), -1) if labels is None else np.asarray(labels)
    return types.SimpleNamespace(
        records=records, num_examples=len(records), labels=labels, label_names=label_names, targets=targets
    )


def texts(*texts):
    """Records of one text or of two."""
    return [{"texts": text if isinstance(text, tuple) else (text,)} for text in texts]
