"""The flags of every command, made from RunConfig; `python -m experiments.flags` writes their table for the docs."""

import difflib
import gc
import os
import re
import sys
import tempfile
import textwrap
from collections.abc import Callable, Sequence
from typing import Any

from absl import flags

from kft import errors
from kft.run.config import LEAVES, ROOMS, RunConfig, from_flat
from kft.run.setting import Leaf

EXIT_INPUT_ERROR = 2
EXIT_NON_FINITE = 3
EXIT_INTERRUPTED = 130
SOME = -1  # words of the command line: one at least
_HELP = ("-h", "-help", "--help", "--helpshort", "--helpfull")


class _Parser(flags.ArgumentParser):
    """Reads the text of a flag as its setting does, so that flags and config have one set of rules."""

    def __init__(self, leaf: Leaf):
        self.leaf = leaf
        self.syntactic_help = leaf.expected

    def parse(self, argument: Any) -> Any:
        return self.leaf.parse(argument) if isinstance(argument, str) else argument

    def flag_type(self) -> str:
        return self.leaf.type.__name__


class _Serializer(flags.ArgumentSerializer):
    def __init__(self, leaf: Leaf):
        self.leaf = leaf

    def serialize(self, value: Any) -> str:
        return self.leaf.unparse(value)


def define_flags(names: Sequence[str] | None = None, *, flag_values: flags.FlagValues = flags.FLAGS) -> None:
    """Makes one flag for each setting of RunConfig.

    Args:
      names: the settings that the command takes; all if None.
      flag_values: where the flags go.
    """
    for name in LEAVES if names is None else names:
        leaf = LEAVES[name]
        if leaf.type is bool:
            flags.DEFINE_bool(name, leaf.default, leaf.metadata["help"], flag_values=flag_values, module_name=leaf.room)
        else:
            flags.DEFINE(
                _Parser(leaf), name, leaf.default, leaf.metadata["help"], flag_values, _Serializer(leaf), leaf.room
            )


def define_verbose(flag_values: flags.FlagValues) -> None:
    """The flag of every command that trains."""
    flags.DEFINE_integer(
        "verbose",
        1,
        "0: silent; 1: summary, a live line and result; 2: one line an epoch.",
        0,
        2,
        flag_values=flag_values,
    )


def check_output(file: str) -> None:
    """Raises InputError for a file whose folder is not there, before the work that it is to hold is done."""
    folder = os.path.dirname(file) or "."
    if file and (os.path.isdir(file) or not os.path.isdir(folder)):
        raise errors.InputError(f"Got output={file!r}. Expected a file in a folder that is there. Make the folder.")


def config_from_flags(flag_values: flags.FlagValues = flags.FLAGS, *, base: RunConfig | None = None) -> RunConfig:
    """The config that the flags say; settings without a flag on the command line are as in `base`.

    Args:
      flag_values: parsed flags.
      base: RunConfig, such as that of a finished run; the defaults if None.
    """
    given = {name: flag_values[name].value for name in LEAVES if name in flag_values and flag_values[name].present}
    return from_flat(given, base=base)


def app_run(
    main: Callable[..., int | None],
    *,
    description: str,
    names: Sequence[str] | None = None,
    define: Callable[[flags.FlagValues], None] | None = None,
    num_arguments: int = 0,
    argv: Sequence[str] | None = None,
) -> int:
    """Parses the flags, calls the command and turns what a user can mend into a text and exit code 2.

    Each call has flags of its own: nothing global is changed, and tests can call commands as functions.

    Args:
      main: called with the config, all parsed flags, and the arguments; returns the exit code, None for 0.
      description: what the command does, the first part of its `--help`.
      names: the settings of RunConfig that it takes as flags; all if None.
      define: adds flags of the command's own to the FlagValues it is given.
      num_arguments: int >= 0, words of the command line that are no flags; or SOME.
      argv: the command line, with the program's name first; `sys.argv` if None.

    Returns: the exit code: 0, what main returns, 2 for an InputError or a wrong flag, 3 for a NonFiniteError, 130
      for SIGINT.
    """
    argv = list(sys.argv if argv is None else argv)
    flag_values = flags.FlagValues()
    define_flags(names, flag_values=flag_values)
    if define is not None:
        define(flag_values)
    if any(argument in _HELP for argument in argv[1:]):
        print(help_text(description, flag_values), end="")
        return 0
    try:
        arguments = _parse(flag_values, [_recipe_of_the_package(word) for word in argv], num_arguments)
        _prepare()
        return main(config_from_flags(flag_values), flag_values, *arguments) or 0
    except errors.InputError as error:
        print(f"{_program(argv)}: {error}", file=sys.stderr)
        return EXIT_INPUT_ERROR
    except errors.NonFiniteError as error:
        print(f"{_program(argv)}: {error}", file=sys.stderr)
        return EXIT_NON_FINITE
    except KeyboardInterrupt as error:
        text = f": {error}; the same command goes on" if str(error) else ""
        print(f"{_program(argv)}: interrupted{text}.", file=sys.stderr)
    gc.collect()  # data sets that were read end here, and not while Python takes itself apart
    return EXIT_INTERRUPTED


def _recipe_of_the_package(word: str) -> str:
    """A --flagfile below experiments/recipes that is not there from here is the one that was installed."""
    flag, _, path = word.partition("=")
    installed = os.path.join(os.path.dirname(os.path.dirname(__file__)), path)
    recipe = flag in ("--flagfile", "-flagfile") and path.startswith("experiments/recipes/")
    return f"{flag}={installed}" if recipe and not os.path.exists(path) and os.path.exists(installed) else word


def _parse(flag_values: flags.FlagValues, argv: list[str], num_arguments: int) -> list[str]:
    """The words that are no flags; an InputError in three parts for whatever absl says against the command line."""
    try:
        rest = flag_values(argv)
    except flags.UnrecognizedFlagError as error:
        near = difflib.get_close_matches(error.flagname, list(flag_values), n=1)
        remedy = f"Did you mean '--{near[0]}'?" if near else "Leave it out."
        raise errors.InputError(
            f"Got flag '--{error.flagname}'. Expected one of the flags that --help lists. {remedy}"
        ) from error
    except flags.IllegalFlagValueError as error:
        if isinstance(error.__context__, errors.InputError):
            raise error.__context__ from None
        raise errors.InputError(
            f"Got {error.args[0].removeprefix('flag ')}. Expected what --help says of it. Correct the value."
        ) from error
    except (flags.Error, ValueError) as error:
        raise errors.InputError(
            f"Got a command line that cannot be read: {error}. Expected --name=value for each flag. Correct it."
        ) from error
    if num_arguments == SOME and len(rest) < 2:
        raise errors.InputError("Got no arguments. Expected one at least. See --help.")
    if num_arguments > 0 and len(rest) - 1 != num_arguments:
        raise errors.InputError(f"Got {len(rest) - 1} arguments. Expected {num_arguments}. See --help.")
    if rest[1:] and not num_arguments:
        raise errors.InputError(
            f"Got {rest[1]!r}. Expected --name=value for each setting. Put the flag's name before it."
        )
    return rest[1:]


def _prepare() -> None:
    """Imports TensorFlow without its notes on the machine, and lets `python:` find the modules of this folder.

    The notes go to the file descriptor before any setting of TensorFlow's is read; they are shown if the import fails.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.path.append(os.getcwd())
    with tempfile.TemporaryFile() as notes:
        stderr = os.dup(2)
        os.dup2(notes.fileno(), 2)
        try:
            import keras  # noqa: F401
            import tensorflow  # noqa: F401
        except BaseException:
            notes.seek(0)
            os.write(stderr, notes.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


def help_text(description: str, flag_values: flags.FlagValues) -> str:
    """What `--help` prints: the description, the command's own flags, then those of RunConfig, room by room."""
    rooms = flag_values.flags_by_module_dict()
    lines = [
        description.strip(),
        "",
        "Flags are given as --name=value; --flagfile=FILE reads them from a file.",
        "experiments/recipes/NAME.flags is found wherever kft is installed.",
    ]
    for room in [room for room in rooms if room not in ROOMS] + [room for room in ROOMS if room in rooms]:
        lines += ["", f"{room}: {ROOMS[room]}" if room in ROOMS else "this command:"]
        for flag in rooms[room]:
            lines += _flag_help(flag)
    return "\n".join(lines) + "\n"


def _flag_help(flag: flags.Flag) -> list[str]:
    leaf = LEAVES.get(flag.name)
    title = f"  --[no]{flag.name}" if flag.boolean else f"  --{flag.name}"
    if leaf is None:
        parts = [flag.help, f"(default: {flag.default})" if flag.default is not None else ""]
    else:
        default = leaf.unparse(leaf.default) or "empty"
        parts = [leaf.metadata["help"], _expected(leaf, list_tables=True), f"(default: {default})"]
    text = " ".join(filter(None, parts))
    indent = " " * 6
    return [title, *textwrap.wrap(text, 110, initial_indent=indent, subsequent_indent=indent, break_long_words=False)]


def _expected(leaf: Leaf, *, list_tables: bool) -> str:
    """Names or type, limits and unit of a setting, in one short sentence."""
    metadata = leaf.metadata
    if isinstance(metadata["choices"], str) and not list_tables:
        text = f"A name in `{metadata['choices'].replace(':', '.')}`."
    elif metadata["choices"]:
        text = ("One of: " if leaf.item is None else "Some of: ") + ", ".join(leaf.names()) + "."
    elif leaf.type is bool or (leaf.type is str and metadata["unit"] != "duration"):
        text = ""
    else:
        text = leaf.expected[0].upper() + leaf.expected[1:] + "."
    return text


def docs_table() -> str:
    """`docs/flags.md`: every setting by room, with default and meaning."""
    lines = [
        "# Flags",
        "",
        "Made by `python -m experiments.flags > docs/flags.md`; the settings are in `kft/run/*settings.py`.",
    ]
    for room, doc in ROOMS.items():
        lines += ["", f"## {room}", "", doc, "", "| flag | default | meaning |", "|---|---|---|"]
        for leaf in LEAVES.values():
            if leaf.room == room:
                default = leaf.unparse(leaf.default)
                meaning = f"{leaf.metadata['help']} {_expected(leaf, list_tables=False)}".strip().replace("|", "\\|")
                lines.append(f"| `--{leaf.name}` | {f'`{default}`' if default else 'empty'} | {meaning} |")
    return "\n".join(lines) + "\n"


def _program(argv: Sequence[str]) -> str:
    return re.sub(r"\.py$", "", os.path.basename(argv[0]))


if __name__ == "__main__":
    print(docs_table(), end="")
