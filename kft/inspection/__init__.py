"""What a person sees of a run: TensorBoard, summaries before and after it, and what its numbers allow to say."""

from kft import tables

_PUBLIC = {
    "LiveLine": "kft.inspection.live_line:LiveLine",
    "TensorBoard": "kft.inspection.tensorboard:TensorBoard",
    "Comparison": "kft.inspection.statistics:Comparison",
    "Interval": "kft.inspection.statistics:Interval",
    "after": "kft.inspection.summary:after",
    "after_seeds": "kft.inspection.summary:after_seeds",
    "backbone_picture": "kft.inspection.backbones:backbone_picture",
    "backbone_table": "kft.inspection.backbones:backbone_table",
    "block_name": "kft.inspection.summary:block_name",
    "before": "kft.inspection.summary:before",
    "compare_predictions": "kft.inspection.statistics:compare_predictions",
    "compare_seeds": "kft.inspection.statistics:compare_seeds",
    "is_degenerate": "kft.inspection.statistics:is_degenerate",
    "mean_interval": "kft.inspection.statistics:mean_interval",
    "table": "kft.inspection.summary:table",
    "write_comparison": "kft.inspection.report:write_comparison",
    "write_report": "kft.inspection.report:write_report",
    "variable_table": "kft.inspection.summary:variable_table",
    "verdict": "kft.inspection.statistics:verdict",
}

__getattr__ = tables.lazy_attributes(__name__, _PUBLIC)
