"""Which lines TensorBoard's custom scalars draw on one chart: those of all blocks."""

from typing import Any

TAG = "custom_scalars__config__"
_CHARTS = {
    "blocks": {
        "learning rate": r"learning_rate/.*",
        "gradient norm": r"gradient_norm/.*",
        "update / weights": r"update_ratio/.*",
        "norm of the weights": r"weight_norm/.*",
        "what trains": r"trains/.*",
    },
    "run": {
        "loss": r"metrics/loss",
        "examples per second": r"training/examples_per_second",
        "share of time waiting for data": r"training/waiting_for_data",
        "memory (GiB)": r"memory/.*",
    },
}


def summary() -> Any:
    """What the plugin reads."""
    from tensorboard.plugins.custom_scalar import layout_pb2
    from tensorboard.plugins.custom_scalar import summary as plugin

    categories = [
        layout_pb2.Category(
            title=title,
            chart=[
                layout_pb2.Chart(title=name, multiline=layout_pb2.MultilineChartContent(tag=[tag]))
                for name, tag in charts.items()
            ],
        )
        for title, charts in _CHARTS.items()
    ]
    return plugin.pb(layout_pb2.Layout(category=categories))
