"""Sentences of tagged words, in the columns of CoNLL."""

import json
from collections.abc import Iterator, Sequence

import numpy as np

from kft.data import tag_scheme, text_lines
from kft.data.records import SEPARATOR, Records, RowKeys, Texts
from kft.data.source import Finding, Source
from kft.data.text_format import TextFormat
from kft.data.texts import source_of_records

_PREFIXES = "BIMES"  # begin, inside, middle, end, single
_DOCUMENT = "-DOCSTART-"


def conll_file(path: str, *, label_names: Sequence[str] | None = None, text: TextFormat) -> Source:
    """A word in each line, first the word, last its tag, with tabs or spaces between; sentences end at empty lines.

    Tags are of any scheme of `kft.data.tag_scheme`, or have no prefixes. Label names are "O" and each type with every
    prefix that the file has. Lines of -DOCSTART- are passed over.

    Args:
      path: of the file. One without any tag is for prediction.
      label_names: of the training data.
      text: the encoding and the scheme of tags are used.

    Returns: a source whose records are {"words": [...], "tags": [...]}. Words without a tag, and tags that no scheme
      allows there, are noted in it for the pre-flight.
    Raises: InputError if the file is not there.
    """
    text_lines.existing_file(path, what="a file of tagged words")
    wrong: dict[int, Finding] = {}
    sentences, starts = [], []
    within = False
    for number, line in enumerate(text_lines.decoded_lines(path, text.encoding, wrong), 1):
        columns = line.rstrip("\r\n").split("\t") if "\t" in line else line.split()
        if not line.strip() or columns[0] == _DOCUMENT:
            within = False
            continue
        if not within:
            sentences.append([])
            starts.append(number)
            within = True
        sentences[-1].append((columns[0], columns[-1].strip() if len(columns) > 1 else None, number))
    tagged = any(tag is not None for sentence in sentences for _, tag, _ in sentence)
    words = [[word for word, *_ in sentence] for sentence in sentences]
    tags = [[tag or "O" for _, tag, _ in sentence] for sentence in sentences] if tagged else None
    names, problems = (), {}
    if tagged:
        names = tag_names(tags, label_names)
        problems = dict(_problems(path, sentences, text.tag_scheme))
    for number, finding in wrong.items():
        problems[int(np.searchsorted(starts, number, side="right")) - 1] = finding
    return source_of_records(
        WordRecords.of(words, tags),
        keys=RowKeys(path, "line", np.array(starts, np.int64)),
        name=f"conll:{path}",
        label_names=names,
        problems=[_at(finding, index) for index, finding in sorted(problems.items())],
    )


class WordRecords(Records):
    """Sentences of words: {"words": ["EU", "rejects"], "tags": ["B-ORG", "O"]}; tags is None where there are none.

    Args:
      words: all words of all sentences.
      offsets: (num_sentences + 1,), where each sentence begins.
      tags: a tag for each word, or None.
      rows: the sentences that there are; None for all.
    """

    def __init__(self, words: Texts, offsets: np.ndarray, tags: Texts | None, rows: np.ndarray | None = None):
        self.words, self.offsets, self.tags = words, offsets, tags
        self.rows = np.arange(len(offsets) - 1) if rows is None else rows

    @classmethod
    def of(cls, words: Sequence[Sequence[str]], tags: Sequence[Sequence[str]] | None = None) -> "WordRecords":
        """From lists of words, and as many tags."""
        offsets = np.cumsum([0, *map(len, words)])
        flat = None if tags is None else Texts(tag for sentence in tags for tag in sentence)
        return cls(Texts(word for sentence in words for word in sentence), offsets, flat)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index):
        span = slice(*self.offsets[self.rows[index] : self.rows[index] + 2].tolist())
        return {"words": self.words[span], "tags": None if self.tags is None else self.tags[span]}

    def take(self, indices: np.ndarray) -> "WordRecords":
        return WordRecords(self.words, self.offsets, self.tags, self.rows[indices])

    def unlabelled(self) -> "WordRecords":
        return WordRecords(self.words, self.offsets, None, self.rows)

    def content(self, index: int) -> bytes:
        return json.dumps(self[index]).encode()

    def text(self, index: int) -> str:
        return SEPARATOR.join(self[index]["words"])

    def class_counts(self, label_names: Sequence[str]) -> np.ndarray:
        places = {name: place for place, name in enumerate(label_names)}
        counts = np.zeros(len(label_names), np.int64)
        for index in range(len(self)):
            for tag in self[index]["tags"] or ():
                counts[places[tag]] += 1
        return counts


def tag_names(tags: Sequence[Sequence[str]], label_names: Sequence[str] | None = None) -> tuple[str, ...]:
    """ "O" first, then each type with each prefix that is there; after `label_names` what they lack.

    Example:
      >>> tag_names([["B-person", "I-person", "O"], ["B-group"]])
      ('O', 'B-group', 'I-group', 'B-person', 'I-person')
    """
    found = {tag for sentence in tags for tag in sentence}
    outside = tag_scheme.OUTSIDE
    entities = found - {outside}
    if tag_scheme.marks_entities(found):
        prefixes = {tag_scheme.parts(tag)[0] for tag in entities}
        prefixes |= {"B"} if prefixes == {"I"} else set()
        prefixes = sorted(prefixes, key=_PREFIXES.find)
        types = sorted({tag_scheme.parts(tag)[1] for tag in entities})
        names = (outside, *(f"{prefix}-{kind}" if kind else prefix for kind in types for prefix in prefixes))
    else:
        names = (*sorted(found & {outside}), *sorted(entities))
    if label_names is None:
        return names
    return (*label_names, *(name for name in names if name in found and name not in label_names))


def _problems(
    path: str, sentences: Sequence[Sequence[tuple[str, str | None, int]]], scheme: str
) -> Iterator[tuple[int, Finding]]:
    """The first thing that is wrong in a sentence, by its index."""
    tags = [[tag for _, tag, _ in sentence] for sentence in sentences]
    whole = [sentence for sentence in tags if None not in sentence]
    marked = scheme != "any" and tag_scheme.marks_entities(tag for sentence in whole for tag in sentence)
    if marked and scheme == "auto":
        scheme = tag_scheme.detect(whole)
    for index, sentence in enumerate(tags):
        if None in sentence:
            word, _, number = sentences[index][sentence.index(None)]
            reason = f"Got the word {word!r} without a tag. Expected a tag for each word."
            remedy = "Add it after a tab, 'O' for none."
            yield index, Finding("tags do not fit", f"{path}, line {number}", reason, remedy)
            continue
        illegal = tag_scheme.illegal_places(sentence, scheme) if marked else []
        if illegal:
            before = sentence[illegal[0] - 1] if illegal[0] else "the start of the sentence"
            after = sentence[illegal[0] + 1] if illegal[0] + 1 < len(sentence) else "its end"
            reason = f"Got tag {sentence[illegal[0]]!r} between {before} and {after}, which {scheme} does not allow."
            reason += " Expected a legal sequence."
            where = f"{path}, line {sentences[index][illegal[0]][2]}"
            yield index, Finding("illegal tags", where, reason, "Correct one of the tags.")


def _at(finding: Finding, index: int) -> Finding:
    return Finding(finding.kind, finding.where, finding.reason, finding.remedy, index=index)
