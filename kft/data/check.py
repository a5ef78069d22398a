"""The pre-flight: everything that is wrong with the data, before the first step."""

import collections
import dataclasses
import json
import os
from collections.abc import Iterable, Mapping
from typing import Any

from kft import errors
from kft.data import check_memory, examination, leaks
from kft.data.source import Finding, Source, without

ON_BAD_EXAMPLE = ("error", "skip")
MOST_OF_A_KIND = 20
MOST_UNEQUAL = 10


@dataclasses.dataclass(frozen=True)
class Report:
    """What the pre-flight found.

    Args:
      problems: what has to be mended before training; at most MOST_OF_A_KIND of a kind.
      warnings: what is worth knowing; as many.
      counts: kind -> how many examples or files, all of them.
      facts: "train", "evaluation" or "test" -> name, num_examples and num_examples_per_class, less what is skipped.
      skipped: the same keys -> indices of the bad examples that are left out; for `kft.data.without`.
      leaked: the same keys -> indices, less what is skipped, of examples that an earlier one of the sources has too.
      alike: if asked for, groups of indices of train, less what is skipped, that are the same or look alike; for
        `kft.data.split`.
    """

    problems: tuple[Finding, ...]
    warnings: tuple[Finding, ...]
    counts: Mapping[str, int]
    facts: Mapping[str, Mapping[str, Any]]
    skipped: Mapping[str, tuple[int, ...]]
    leaked: Mapping[str, tuple[int, ...]] = dataclasses.field(default_factory=dict)
    alike: tuple[tuple[int, ...], ...] = ()

    @property
    def ok(self) -> bool:
        """Whether training can start."""
        return not self.problems

    def text(self) -> str:
        """The report for a person."""
        lines = []
        for role, facts in self.facts.items():
            classes = ", ".join(f"{name} {count}" for name, count in facts["num_examples_per_class"].items())
            lines.append(f"{role}: {facts['name']}: {facts['num_examples']} examples" + f" ({classes})" * bool(classes))
        for title, findings in (("Problem", self.problems), ("Warning", self.warnings)):
            for kind, alike in _by_kind(findings).items():
                lines.append(f"{title}: {kind}: {self.counts[kind]}")
                lines += [f"  {finding}" for finding in alike]
                more = self.counts[kind] - sum(finding.count for finding in alike)
                lines += [f"  and {more} more"] * (more > 0)
        return "\n".join(lines)

    def to_json(self) -> str:
        """The report for a program: an object with the fields of this class and `ok`."""
        return json.dumps(dataclasses.asdict(self) | {"ok": self.ok}, indent=1)

    def raise_if_bad(self) -> None:
        """Raises InputError with the whole text if training cannot start."""
        if not self.ok:
            raise errors.InputError(f"Got data with problems. Expected none. Mend what is listed.\n{self.text()}")


def check(
    train: Source,
    evaluation: Source | None = None,
    test: Source | None = None,
    *,
    allow_leakage: bool = False,
    on_bad_example: str = "error",
    max_megapixels: float = 50.0,
    find_alike: bool = False,
    cache: str | os.PathLike | None = None,
) -> Report:
    """Reads and decodes every example once, and collects everything that is wrong.

    Problems: what a source found while loading (empty class folders, labels that cannot be used); examples that cannot
    be read or decoded; fewer than 2 examples or classes in train; an empty source; a class that evaluation or test has
    and train has not; labels that do not mean the same; and the same example in two of the sources: the same bytes, the
    same decoded pixels, and for text the same letters whatever their case and the spaces between. Images in two of the
    sources that look alike are a warning.

    Args:
      train: data to learn from. A source without label names, for prediction, is only read and decoded.
      evaluation: data to choose the epoch with.
      test: data to score once.
      allow_leakage: makes the same example in two sources a warning.
      on_bad_example: "error", or "skip": a bad example becomes a warning, and is left out of everything else here.
      max_megapixels: an image whose header tells more is not decoded but bad.
      find_alike: fills the report's `alike`; see `kft.data.leaks.alike`.
      cache: a folder that keeps what good images were found to be, by the size and time of their files, so that the
        next pre-flight reads only what is new; see `kft.data.preflight_cache`. None: every image is read.

    Returns: the report; it does not raise for bad data.
    Raises: InputError for an unknown on_bad_example.
    """
    if on_bad_example not in ON_BAD_EXAMPLE:
        raise errors.unknown_name("on_bad_example", on_bad_example, ON_BAD_EXAMPLE)
    given = {"train": train, "evaluation": evaluation, "test": test}
    sources = {role: source for role, source in given.items() if source is not None}
    problems, warnings, skipped, examined = [], [], {}, {}
    for role, source in sources.items():
        memory = check_memory.Memory(cache, source.name)
        examined[role] = examination.examine(source, memory, most_pixels=int(max_megapixels * 1e6))
        memory.save()
        found = examined[role].bad
        bad = [*source.problems, *found]
        warnings += [*source.warnings, *examined[role].remarks]
        if on_bad_example == "skip":
            warnings += [finding for finding in bad if finding.index is not None]
            bad = [finding for finding in bad if finding.index is None]
            skipped[role] = tuple(sorted({finding.index for finding in (*source.problems, *found)} - {None}))
            sources[role] = without(source, skipped[role])
            examined[role] = examined[role].without(skipped[role])
        problems += bad
    problems += _in_numbers(sources)
    warnings += _unequal_classes(sources["train"])
    leaked = leaks.leaked(examined)
    (warnings if allow_leakage else problems).extend(leaks.findings(sources, leaked, most=MOST_OF_A_KIND))
    warnings += leaks.near_duplicates(sources, examined, leaked, most=MOST_OF_A_KIND)
    problems, warnings = list(dict.fromkeys(problems)), list(dict.fromkeys(warnings))
    counts = collections.Counter()
    for finding in (*problems, *warnings):
        counts[finding.kind] += finding.count
    facts = {
        role: {
            "name": source.name,
            "num_examples": source.num_examples,
            "num_examples_per_class": source.num_examples_per_class(),
        }
        for role, source in sources.items()
    }
    indices = {role: tuple(leak.index for leak in found) for role, found in leaked.items() if found}
    alike = leaks.alike(examined["train"]) if find_alike else ()
    return Report(_some_of_each(problems), _some_of_each(warnings), dict(counts), facts, skipped, indices, alike)


def _in_numbers(sources: Mapping[str, Source]) -> Iterable[Finding]:
    """Too few examples or classes, and classes that do not fit."""
    train = sources["train"]
    for source in sources.values():
        if source.num_examples == 0:
            yield Finding(
                "empty data set", source.name, "Got no examples. Expected some.", "Check the path and endings."
            )
    if not train.label_names:
        return
    here = by_type(train)
    num_classes = sum(count > 0 for count in here.values())
    if 0 < train.num_examples < 2:
        yield Finding("too few examples", train.name, "Got 1 example. Expected at least 2.", "Add examples.")
    if 0 < num_classes < 2:
        reason = f"Got examples of {num_classes} class. Expected at least 2 classes to tell apart."
        yield Finding("too few classes", train.name, reason, "Add a class.")
    told = {os.path.basename(finding.where) for finding in train.problems if finding.kind == "empty class folder"}
    for name, count in here.items():
        if count == 0 and name not in told:
            reason = f"Got no example of class {name!r}. Expected at least one; the classes of arrays count from 0."
            yield Finding("class without examples", train.name, reason, "Add examples, or number the classes from 0.")
    for role, source in sources.items():
        if source.label_names[: len(train.label_names)] != train.label_names:
            reason = (
                f"Got the classes {source.label_names}. Expected to start with those of train: {train.label_names}."
            )
            yield Finding("label names differ", source.name, reason, "Load it with label_names=train.label_names.")
            continue
        for name, count in by_type(source).items():
            if count > 0 and here.get(name, 0) == 0:
                reason = f"Got {count} examples of {name!r} in {role} and none in train. Expected some."
                yield Finding(
                    "class missing in train", source.name, reason, f"Add {name!r} to train, or remove it here."
                )


def _unequal_classes(train: Source) -> list[Finding]:
    counts = {name: count for name, count in by_type(train).items() if count > 0 and name != "O"}
    if len(counts) < 2 or max(counts.values()) <= MOST_UNEQUAL * min(counts.values()):
        return []
    most, least = max(counts, key=counts.get), min(counts, key=counts.get)
    reason = (
        f"Got {counts[most]} examples of {most!r} and {counts[least]} of {least!r}. Expected classes that differ in "
    )
    remedy = "Add examples, weight the classes, or look at each class's score."
    return [Finding("unequal classes", train.name, f"{reason}size by at most {MOST_UNEQUAL} times.", remedy)]


def by_type(source: Source) -> dict[str, int]:
    """Examples of each class; of tagged words, the words of each type whatever the prefix of their tags."""
    counts = collections.Counter()
    tagged = source.records is not None and source.records.class_counts(source.label_names) is not None
    for name, count in source.num_examples_per_class().items():
        counts[name.partition("-")[2] or name if tagged else name] += count
    if tagged and not counts["O"]:
        del counts["O"]
    return dict(counts)


def _by_kind(findings: Iterable[Finding]) -> dict[str, list[Finding]]:
    kinds = collections.defaultdict(list)
    for finding in findings:
        kinds[finding.kind].append(finding)
    return kinds


def _some_of_each(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    return tuple(finding for alike in _by_kind(findings).values() for finding in alike[:MOST_OF_A_KIND])
