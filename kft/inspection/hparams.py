"""The table of TensorBoard that compares runs by their settings."""

from collections.abc import Mapping, Sequence
from typing import Any

START_TAG = "_hparams_/session_start_info"


def summaries(settings: Mapping[str, Any], *, metrics: Sequence[str]) -> list[Any]:
    """What the plugin reads: which settings and metrics there are, and the settings of this run.

    Args:
      settings: name -> bool, number or text; all else as text.
      metrics: names below metrics/, of the same writer.
    """
    from tensorboard.plugins.hparams import api, summary_v2

    plain = {name: _plain(value) for name, value in settings.items()}
    shown = [api.Metric(f"metrics/{name}", display_name=name) for name in metrics]
    return [
        summary_v2.hparams_config_pb([api.HParam(name) for name in plain], shown),
        summary_v2.hparams_pb(plain),
    ]


def _plain(value: Any) -> bool | int | float | str:
    if isinstance(value, (list, tuple)):
        return ",".join(map(str, value))
    return value if isinstance(value, (bool, int, float, str)) else str(value)
