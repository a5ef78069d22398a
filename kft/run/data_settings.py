"""The settings of the data of a run."""

import dataclasses

from kft.run.setting import setting
from kft.run.text_settings import TextSettings


@dataclasses.dataclass(frozen=True)
class DataSettings(TextSettings):
    """What is learned, from which examples, and how they are read."""

    task: str = setting("image_classification", "What is learned.", choices="kft.tasks:TASKS")
    train_data: str = setting(
        "",
        "Examples to train on: images from folder:DIR with one folder a class, csv:, tsv:, jsonl: or parquet:FILE with "
        "their paths (parquet: also their bytes), tfrecord:GLOB, tfds:NAME:SPLIT, arrays:FILE.npz or digits:; text "
        "from csv:, tsv:, jsonl:, parquet:, lines:, conll: or squad:FILE, or tfds:NAME:SPLIT.",
        unit="data",
    )
    eval_data: str = setting(
        "", "Examples that choose the model to keep. Empty: a fixed part of train_data is held out.", unit="data"
    )
    test_data: str = setting(
        "", "Examples that the kept model is scored on once, at the end. Empty: none.", unit="data"
    )
    data_root: str = setting(
        "",
        "The folder that paths of images in a file are relative to, and may not leave. Empty: that of the file. Of "
        "tfds: the folder of its prepared data sets.",
    )
    image_column: str = setting(
        "",
        "The column or feature with the images, or their paths. Empty: image. With a task that takes texts too, it "
        "says that the data are images.",
    )
    image_size: int = setting(
        0,
        "Height and width of the model's input. 0: what the backbone was made for.",
        unit="pixels",
        limits="[0, 4096]",
    )
    image_channels: int = setting(
        0,
        "Channels of the model's input; the first convolution of a pretrained backbone is adapted to them. 0: what the "
        "backbone was made for, 3 for most, to which grey is repeated. 4 of image files: with alpha.",
        unit="channels",
        limits="[0, 1024]",
    )
    augmentation: tuple[str, ...] = setting(
        ("flip", "crop"),
        "Random changes of the training images: flip (left to right), crop (random resized crop), color (brightness, "
        "contrast, saturation, hue), randaugment (some of 14 operations), erasing (a box becomes noise), or none.",
        choices=("flip", "crop", "color", "randaugment", "erasing"),
    )
    augmentation_options: str = setting(
        "",
        "Their strength: crop_area, color_strength, hue_shift, num_operations, magnitude, erasing_probability, "
        "erased_area, such as magnitude=5,crop_area=0.2; see docs/augmentation.md.",
        unit="options",
    )
    image_memory: int = setting(
        0,
        "Memory for images that are decoded once, if all of them fit, and not in each epoch. 0: a quarter of what is "
        "free; -1: none.",
        unit="bytes",
        limits="[-1, inf)",
    )
    mixup: float = setting(
        0.0,
        "Alpha of mixup: each training image is blended with another one, and so is its label. 0: off.",
        limits="[0, inf)",
    )
    cutmix: float = setting(
        0.0,
        "Alpha of cutmix: a box of each training image shows another one, and the label has its part. 0: off.",
        limits="[0, inf)",
    )
    max_examples: str = setting(
        "",
        "Train on a part of train_data that the seed fixes, such as '10 per class', or 200 in the proportions of the "
        "classes. Empty: all.",
        unit="amount",
    )
    sampling: str = setting(
        "all",
        "What an epoch is: all, every training example once; balanced, as many examples of each class, those of small "
        "ones several times.",
        choices=("all", "balanced"),
    )
    on_bad_example: str = setting(
        "error",
        "What a file that cannot be used does: error ends before the first step, skip leaves it out and counts it.",
        choices=("error", "skip"),
    )
    max_megapixels: float = setting(
        50.0,
        "An image whose header tells of more is not decoded but bad.",
        unit="millions of pixels",
        limits="(0, inf)",
    )
    preflight_cache: str = setting(
        "auto",
        "The folder that keeps which images are good, by the size and time of their files, so that the next start is "
        "quick. auto: kft/preflight in $XDG_CACHE_HOME or ~/.cache. off: all are read at each start.",
    )
    allow_leakage: bool = setting(False, "Train although the same example is in two of train, eval and test data.")
