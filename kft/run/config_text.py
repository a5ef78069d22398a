"""A config as text: JSON, a flag file, a hash; without secrets."""

import hashlib
import json
import re

from kft import errors
from kft.run.config import LEAVES, ROOMS, RunConfig, flat, from_flat, unknown_setting

REDACTED = "[redacted]"
NOT_THE_RESULT = (
    *("workdir", "resume", "checkpoint_every", "workers", "worker_index", "preflight_cache", "steps_per_execution"),
    *("embeddings", "histograms", "profile_steps", "image_memory"),
)

_SECRETS = (
    re.compile(r"(?<=://)[^/\s@]+(?=@)"),  # user:password@ of a URL
    re.compile(
        r"(?i)(?<![a-z])((?:[a-z]+[_-])*(?:token|password|passwd|secret|signature|sig|credential|api[_-]?key|access[_-]?key)=)"
        r"[^&,;\s]+"
    ),
    re.compile(r"(?i)(\bbearer\s+)[\w.~+/-]{8,}"),
    re.compile(r"\b(?:hf_|gh[pousr]_|github_pat_|glpat-|xox[abprs]-|sk-|AKIA|ASIA|AIza|ya29\.)[\w.-]{8,}"),
    re.compile(r"\beyJ[\w-]{8,}\.[\w-]+\.[\w-]*"),  # a JSON web token
    re.compile(
        r"(?<![A-Za-z0-9])(?=[A-Za-z]*\d[A-Za-z]*\d)(?=[^a-z]*[a-z])(?=[^A-Z]*[A-Z])[A-Za-z0-9]{32,}(?![A-Za-z0-9])"
    ),
)


def redact(text: str) -> str:
    """The text with "[redacted]" in the place of what looks like a secret.

    Seen are credentials in a URL, values of names such as token= and key=, the tokens of well-known services, and
    runs of 32 or more letters and digits that mix upper case, lower case and digits. Hashes in one case are kept.

    Example:
      >>> redact("https://me:pass@host/data?token=abc&size=3")
      'https://[redacted]@host/data?token=[redacted]&size=3'
    """
    for pattern in _SECRETS:
        text = pattern.sub(lambda match: (match[1] if match.re.groups else "") + REDACTED, text)
    return text


def to_json(config: RunConfig) -> str:
    """The whole config as JSON, nested by room, without secrets."""
    values = {name: redact(value) if isinstance(value, str) else value for name, value in flat(config).items()}
    nested = {room: {name: values[name] for name, leaf in LEAVES.items() if leaf.room == room} for room in ROOMS}
    return json.dumps(nested, indent=2) + "\n"


def from_json(text: str) -> RunConfig:
    """The config that `to_json` wrote; settings that are not in it have their default.

    Raises: InputError for text that is no JSON, and for rooms, names and types that are not the config's.
    """
    try:
        nested = json.loads(text)
    except json.JSONDecodeError as error:
        raise errors.InputError(
            f"Got a config that is no JSON: {error}. Expected a config.json. Write it again."
        ) from error
    if not isinstance(nested, dict) or not all(isinstance(room, dict) for room in nested.values()):
        raise errors.InputError("Got a config that is not nested by room. Expected a config.json. Write it again.")
    values = {}
    for room, settings in nested.items():
        if room not in ROOMS:
            raise errors.unknown_name("room", room, ROOMS)
        for name in settings:
            if name not in LEAVES or LEAVES[name].room != room:
                raise errors.InputError(unknown_setting(name))
        values.update(settings)
    return from_flat(values)


def to_flags(config: RunConfig) -> str:
    """A flag file that gives this config again; it holds what differs from the defaults, without secrets."""
    lines = [
        "# Repeats this run: python -m experiments.finetune --flagfile=THIS_FILE --workdir=ANOTHER_FOLDER",
        "# Settings that are not here have their default; config.json has them all.",
    ]
    default = flat(RunConfig())
    for name, value in flat(config).items():
        if value != default[name]:
            lines.append(f"--{name}={redact(LEAVES[name].unparse(value))}")
    return "\n".join(lines) + "\n"


def config_hash(config: RunConfig) -> str:
    """SHA-256 over every setting that the result depends on: all but workdir and resume."""
    values = {name: value for name, value in flat(config).items() if name not in NOT_THE_RESULT}
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
