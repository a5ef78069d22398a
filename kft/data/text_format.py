"""How a file of text is read: its encoding, its columns, and what its labels are."""

import codecs
import dataclasses
import re

from kft import errors
from kft.data.tag_scheme import SCHEMES

LABEL_KINDS = ("classes", "sets", "numbers")
TAG_SCHEMES = ("auto", "any", *SCHEMES)
LINE_FORMAT = "{label} {text}"


@dataclasses.dataclass(frozen=True)
class TextFormat:
    """What a file of text does not tell about itself.

    Args:
      text_columns: names of the column with the text, or of two for a pair; () for "text".
      label_column: name of the column with the label; "" for "label".
      encoding: of the file, such as "utf-8" or "latin-1".
      line_format: for `lines:`, how a line is made of columns, such as "{label}:{fine} {text}". Each column but the
        last ends where what follows it first comes.
      labels: "classes", one name or number each; "sets", any number of names each, as a list or with commas between;
        "numbers", for regression.
      tag_scheme: of `conll:`, a key of `kft.data.tag_scheme.SCHEMES`, which the pre-flight holds tags against; "auto"
        finds it; with "any" no sequence is illegal.
      data_root: of `tfds:`, the folder of the prepared data sets; "" for tensorflow-datasets' own.

    Raises: InputError for a value that cannot be used.
    """

    text_columns: tuple[str, ...] = ()
    label_column: str = ""
    encoding: str = "utf-8"
    line_format: str = LINE_FORMAT
    labels: str = "classes"
    tag_scheme: str = "auto"
    data_root: str = ""

    def __post_init__(self):
        if len(self.text_columns) > 2:
            raise errors.InputError(
                f"Got text_columns={self.text_columns!r}. Expected one column, or two for a pair. Leave the others out."
            )
        if self.labels not in LABEL_KINDS:
            raise errors.unknown_name("kind of labels", self.labels, LABEL_KINDS)
        if self.tag_scheme not in TAG_SCHEMES:
            raise errors.unknown_name("tag_scheme", self.tag_scheme, TAG_SCHEMES)
        check_encoding(self.encoding)
        line_pattern(self.line_format)

    @property
    def texts(self) -> tuple[str, ...]:
        """The columns with text."""
        return self.text_columns or ("text",)

    @property
    def label(self) -> str:
        """The column with the label."""
        return self.label_column or "label"


def check_encoding(encoding: str) -> None:
    """Raises InputError for an encoding that Python does not know."""
    try:
        b"".decode(codecs.lookup(encoding).name)
    except LookupError as error:
        raise errors.InputError(
            f"Got encoding={encoding!r}. Expected a name such as 'utf-8' or 'latin-1'. Correct it."
        ) from error


def line_pattern(line_format: str) -> re.Pattern[str]:
    """The pattern of a line whose columns stand where their names are in braces.

    Raises: InputError for a format without columns, with a name that is none or is there twice, or without something
      between two columns.

    Example:
      >>> line_pattern("{label}:{fine} {text}").fullmatch("NUM:dist How far is it ?").groupdict()
      {'label': 'NUM', 'fine': 'dist', 'text': 'How far is it ?'}
    """
    parts = re.split(r"\{(\w*)\}", line_format)
    names, between = parts[1::2], parts[2:-1:2]
    if not names or not all(map(str.isidentifier, names)) or len(set(names)) < len(names) or not all(between):
        raise errors.InputError(
            f"Got line_format={line_format!r}. Expected names of columns in braces, each once, with something between "
            f"them. Write it as in {LINE_FORMAT!r} or '{{label}}:{{fine}} {{text}}'."
        )
    pattern = re.escape(parts[0])
    for name, literal in zip(names, parts[2::2], strict=True):
        pattern += f"(?P<{name}>{'.*' if name == names[-1] else '.*?'}){re.escape(literal)}"
    return re.compile(pattern, re.DOTALL)
