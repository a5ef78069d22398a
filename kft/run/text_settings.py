"""The settings of text: a part of those of the data, which are in `kft.run.data_settings`."""

import dataclasses

from kft.run.setting import setting


@dataclasses.dataclass(frozen=True)
class TextSettings:
    """How texts are read, cut, batched and answered."""

    text_columns: tuple[str, ...] = setting((), "The column with the text, or two for a pair. Empty: text.")
    label_column: str = setting("", "The column or feature with the label. Empty: label.")
    multi_label: bool = setting(
        False, "Any number of labels for each example: a list of names in jsonl and parquet, else commas between them."
    )
    tag_scheme: str = setting(
        "auto",
        "How tags mark entities, by which the pre-flight tells what is illegal. auto finds it; any allows all.",
        choices=("auto", "any", "iob1", "bio", "bioes", "bmes"),
    )
    class_weights: str = setting(
        "",
        "How much the examples of each class count in the loss: balanced, for as much as those of any other; numbers "
        "in the order of the classes; or NAME=number, 1 for those left out. Empty: 1 each.",
    )
    window_overlap: int = setting(
        0,
        "Tokens that neighbouring windows over a long sentence or context share. 0: 32, or 128 for questions.",
        unit="tokens",
        limits="[0, inf)",
    )
    max_answer_length: int = setting(
        30, "The most tokens of an answer to a question.", unit="tokens", limits="[1, inf)"
    )
    line_format: str = setting(
        "{label} {text}",
        "How a line of lines:FILE is made of columns, such as '{label}:{fine} {text}'; each but the last ends where "
        "what follows it first comes.",
    )
    encoding: str = setting("utf-8", "How text files are encoded, such as latin-1.")
    sequence_length: int = setting(
        0,
        "The most tokens of one example. 0: what the backbone allows.",
        unit="tokens",
        limits="[0, inf)",
    )
    tokens_per_batch: int = setting(
        0,
        "Train on batches of at most so many tokens, padding included, instead of global_batch_size examples. 0: off.",
        unit="tokens",
        limits="[0, inf)",
    )
