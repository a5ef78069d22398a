"""Raw examples of text, a million of them in little memory: nothing is a Python object before it is asked for."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

SEPARATOR = "\x1f"  # parts the texts of one example where they are joined; a control character that no text has


class Texts(Sequence[str]):
    """Strings in one buffer of UTF-8.

    Args:
      texts: strings. What UTF-8 cannot hold (half of a surrogate pair) becomes a question mark.
    """

    def __init__(self, texts: Iterable[str]):
        buffer, lengths = bytearray(), []
        for text in texts:
            encoded = text.encode("utf-8", "replace")
            buffer += encoded
            lengths.append(len(encoded))
        self._buffer = bytes(buffer)
        self._ends = np.cumsum(np.array(lengths, np.int64))
        self._rows: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self._ends if self._rows is None else self._rows)

    def __getitem__(self, index):
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        row = index % len(self) if self._rows is None else self._rows[index]
        return self._buffer[self._ends[row - 1] if row else 0 : self._ends[row]].decode("utf-8")

    def take(self, indices: np.ndarray) -> "Texts":
        """The strings at these places, in this order, of the same buffer."""
        part = Texts(())
        part._buffer, part._ends = self._buffer, self._ends
        part._rows = np.asarray(indices, np.int64) if self._rows is None else self._rows[indices]
        return part


class Records(Sequence[dict[str, Any]]):
    """Raw examples of text by index, each a dict; see the members for its keys."""

    def take(self, indices: np.ndarray) -> "Records":
        """The examples at these places, in this order."""
        raise NotImplementedError

    def content(self, index: int) -> bytes:
        """All that the example is, its label excepted where the source holds it."""
        raise NotImplementedError

    def text(self, index: int) -> str:
        """What of it has to be new in data that a model is scored on."""
        raise NotImplementedError

    def unlabelled(self) -> "Records":
        """The same examples as they are where nothing is labelled."""
        return self

    def class_counts(self, label_names: Sequence[str]) -> np.ndarray | None:
        """How often each class is there, where the records hold the labels; else None."""
        return None


class TextRecords(Records):
    """Examples of one text, or of a pair: {"texts": ("A question?",)}.

    Args:
      columns: the first texts of all examples, and the second ones if there are any.
    """

    def __init__(self, columns: Sequence[Texts]):
        self.columns = tuple(columns)

    def __len__(self) -> int:
        return len(self.columns[0])

    def __getitem__(self, index):
        return {"texts": tuple(column[index] for column in self.columns)}

    def take(self, indices: np.ndarray) -> "TextRecords":
        return TextRecords([column.take(indices) for column in self.columns])

    def content(self, index: int) -> bytes:
        return self.text(index).encode()

    def text(self, index: int) -> str:
        return SEPARATOR.join(column[index] for column in self.columns)


class RowKeys(Sequence[str]):
    """What rows are called in messages: "FILE, line 17".

    Args:
      name: of the file or the data.
      unit: "line" or "row".
      numbers: of the rows.
    """

    def __init__(self, name: str, unit: str, numbers: np.ndarray):
        self.name, self.unit, self.numbers = name, unit, np.asarray(numbers, np.int64)

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index):
        if isinstance(index, slice):
            return tuple(self[place] for place in range(*index.indices(len(self))))
        return f"{self.name}, {self.unit} {self.numbers[index]}"

    def take(self, indices: np.ndarray) -> "RowKeys":
        """The names of some of the rows."""
        return RowKeys(self.name, self.unit, self.numbers[indices])


def normalized(text: str) -> bytes:
    """The text without what does not make it another one: case, and the number and kind of spaces.

    Example:
      >>> normalized("Who  was\\tGalileo ?")
      b'who was galileo ?'
    """
    return " ".join(text.casefold().split()).encode("utf-8", "replace")
