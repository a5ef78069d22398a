"""A fixed part of the training examples."""

import dataclasses
import re

import numpy as np

from kft import errors
from kft.data.source import Finding, Source, subset

FEW_EXAMPLES = "few examples"
_AMOUNT = re.compile(r"\s*([1-9]\d*)\s*(per\s+class)?\s*")


def parse_amount(amount: str) -> tuple[int, bool]:
    """How many examples "200" or "10 per class" are, and whether of each class.

    Raises: InputError for anything else.

    Example:
      >>> parse_amount("200"), parse_amount("10 per class")
      ((200, False), (10, True))
    """
    match = _AMOUNT.fullmatch(amount)
    if not match:
        raise errors.InputError(
            f"Got max_examples={amount!r}. Expected a whole number above 0, alone or 'per class'. Use '200' or '10 per "
            "class'."
        )
    return int(match[1]), match[2] is not None


def few_shot(source: Source, amount: str, *, seed: int = 0) -> Source:
    """The first examples of each class in an order that the seed alone decides.

        order = argsort(Philox(seed).random_raw(num_examples))
        "N per class":  the first N of each class in this order
        "N":            the first N * (size of the class) / num_examples of each class, the largest remainders rounded
                        up, and at least 1 where N allows it
        without one class for each example:  the first N of all

    So fewer examples "per class" are a part of more. They keep the order of the source. With any number of classes for
    each example, "N per class" takes examples, the rarest class first, until N of each class are among them.

    Args:
      source: any source.
      amount: "200" or "10 per class".
      seed: int >= 0.

    Returns: a source; where a class, or the whole, has fewer examples than asked for, all of them, and a warning more.
    Raises: InputError for another amount, and for "per class" where there are no classes.
    """
    count, per_class = parse_amount(amount)
    if seed < 0:
        raise errors.InputError(f"Got seed={seed!r}. Expected an int >= 0. Use 0.")
    words = np.random.Philox(np.random.SeedSequence(seed, spawn_key=(3,))).random_raw(source.num_examples)
    order = np.argsort(words, kind="stable")
    has_classes = source.targets is None and bool(np.any(source.labels >= 0))
    few: dict[str, int] = {}
    if has_classes:
        sizes = np.bincount(source.labels[source.labels >= 0], minlength=len(source.label_names))
        wanted = np.full(len(sizes), count) if per_class else _shares(sizes, count)
        few = {source.label_names[label]: int(sizes[label]) for label in np.flatnonzero((sizes < wanted) & (sizes > 0))}
        by_class = [order[source.labels[order] == label][: wanted[label]] for label in range(len(sizes))]
        chosen = np.concatenate(by_class)
    elif not per_class:
        chosen = order[:count]
    elif source.targets is not None and source.targets.ndim == 2:
        chosen, few = _of_sets(source, order, count)
    else:
        raise errors.InputError(
            f"Got max_examples={amount!r} for {source.name!r}, whose examples have no class. Expected a number of "
            f"examples. Use '{count}'."
        )
    part = subset(source, np.sort(chosen))
    if not per_class and count > source.num_examples:
        few = {"all": source.num_examples}
    if not few:
        return part
    lacking = ", ".join(f"{name} {size}" for name, size in few.items())
    reason = f"Got fewer examples than {amount!r} asks for: {lacking}; all of them are used."
    finding = Finding(FEW_EXAMPLES, source.name, reason, "Nothing has to be done.", count=len(few))
    return dataclasses.replace(part, warnings=(*part.warnings, finding))


def _shares(sizes: np.ndarray, count: int) -> np.ndarray:
    """How many of each class: in proportion, whole, together `count` if there are as many."""
    exact = sizes * (min(count, sizes.sum()) / max(sizes.sum(), 1))
    shares = np.floor(exact).astype(np.int64)
    if count >= np.count_nonzero(sizes):
        shares = np.maximum(shares, sizes > 0)
    for label in np.argsort(shares - exact, kind="stable"):
        if shares.sum() < min(count, sizes.sum()) and shares[label] < sizes[label]:
            shares[label] += 1
    while shares.sum() > count:
        shares[np.argmax(shares)] -= 1
    return shares


def _of_sets(source: Source, order: np.ndarray, count: int) -> tuple[np.ndarray, dict[str, int]]:
    given = source.targets > 0
    sizes, taken = given.sum(axis=0), np.zeros(source.num_examples, bool)
    for label in np.argsort(sizes, kind="stable"):
        lacking = max(count - int(given[taken, label].sum()), 0)
        taken[[index for index in order if given[index, label] and not taken[index]][:lacking]] = True
    few = {name: int(size) for name, size in zip(source.label_names, sizes) if 0 < size < count}
    return np.flatnonzero(taken), few
