"""The 40 models of keras.applications, in a table that imports no TensorFlow."""

import dataclasses
from collections.abc import Mapping
from typing import Any


def _nasnet(cells: int) -> tuple[str, ...]:
    """Of three stacks of so many cells; Keras numbers the cells, with a reduction cell before the 2nd and 3rd stack."""

    def stack(first: int) -> str:
        return rf"normal_A_block_({'|'.join(str(cell) for cell in range(first, first + cells))})/.*"

    return (
        r"stem_(conv|bn)1/.*",
        r"reduction_A_block_stem_1/.*",
        r"reduction_A_block_stem_2/.*",
        stack(0),
        rf"reduction_A_block_reduce_{cells}/.*",
        stack(cells + 1),
        rf"reduction_A_block_reduce_{2 * cells}/.*",
        stack(2 * cells + 1),
    )


def _efficientnet(stages: int) -> tuple[str, ...]:
    return (r"stem_.*", *(rf"block{stage}.*" for stage in range(1, stages + 1)), r"top_(conv|bn)/.*")


def _convnext(size: str) -> tuple[str, ...]:
    """Liu et al. 2022, table 9; the downsampling belongs to the stage after it, the last norm to the last stage."""
    return (
        rf"convnext_{size}_stem/.*",
        rf"convnext_{size}_stage_0_.*",
        rf"convnext_{size}_(stage_1|downsampling_block_0).*",
        rf"convnext_{size}_(stage_2|downsampling_block_1).*",
        rf"(convnext_{size}_(stage_3|downsampling_block_2)|top_).*",
    )


# Bottom to top, patterns over variable paths.
STAGES = {
    # MobileNet has no named stages: its blocks are those of one width (Howard et al. 2017, table 1).
    "mobilenet": (
        r"conv1(_bn)?/.*",
        r"conv_(dw|pw)_1(_bn)?/.*",
        r"conv_(dw|pw)_[23](_bn)?/.*",
        r"conv_(dw|pw)_[45](_bn)?/.*",
        r"conv_(dw|pw)_([6-9]|1[01])(_bn)?/.*",
        r"conv_(dw|pw)_1[23](_bn)?/.*",
    ),
    # The rows of Sandler et al. 2018, table 2.
    "mobilenet_v2": (
        r"(Conv1|bn_Conv1)/.*",
        r"expanded_conv_.*",
        r"block_[12]_.*",
        r"block_[345]_.*",
        r"block_[6-9]_.*",
        r"block_1[0-2]_.*",
        r"block_1[3-5]_.*",
        r"block_16_.*",
        r"Conv_1(_bn)?/.*",
    ),
    # The widths of Howard et al. 2019, tables 1 (large) and 2 (small).
    "mobilenet_v3_large": (
        r"conv(_bn)?/.*",
        r"expanded_conv_(depthwise|project|squeeze).*",
        r"expanded_conv_[12]_.*",
        r"expanded_conv_[345]_.*",
        r"expanded_conv_[6-9]_.*",
        r"expanded_conv_1[01]_.*",
        r"expanded_conv_1[234]_.*",
        r"conv_1(_bn)?/.*",
    ),
    "mobilenet_v3_small": (
        r"conv(_bn)?/.*",
        r"expanded_conv_(depthwise|project|squeeze).*",
        r"expanded_conv_[12]_.*",
        r"expanded_conv_[345]_.*",
        r"expanded_conv_[67]_.*",
        r"expanded_conv_([89]|10)_.*",
        r"conv_1(_bn)?/.*",
    ),
    # conv1 to conv5_x of He et al. 2015, table 1; with pre-activation (2016) the last BatchNorm belongs to the last.
    "resnet": (r"conv1_(conv|bn)/.*", r"conv2_block.*", r"conv3_block.*", r"conv4_block.*", r"conv5_block.*"),
    "resnet_v2": (
        r"conv1_(conv|bn)/.*",
        r"conv2_block.*",
        r"conv3_block.*",
        r"conv4_block.*",
        r"(conv5_block|post_bn/).*",
    ),
    # What is between two poolings; Simonyan & Zisserman 2014, table 1.
    "vgg": tuple(rf"block{block}_conv.*" for block in range(1, 6)),
    # The modules of Chollet 2016, figure 5.
    "xception": tuple(rf"block{block}_.*" for block in range(1, 15)),
    # Szegedy et al. 2015 (Inception V3), table 1: the layers before the first module, then each module.
    "inception_v3": (r"stem_.*", *(rf"mixed{module}_.*" for module in range(11))),
    # Szegedy et al. 2016, figure 15.
    "inception_resnet_v2": (
        r"stem_.*",
        r"mixed_5b_.*",
        r"block35_.*",
        r"mixed_6a_.*",
        r"block17_.*",
        r"mixed_7a_.*",
        r"block8_.*",
        r"conv_7b(_bn)?/.*",
    ),
    # The dense blocks of Huang et al. 2016, table 1, each with the transition that ends it.
    "densenet": (
        r"conv1_(conv|bn)/.*",
        r"(conv2_block|pool2_).*",
        r"(conv3_block|pool3_).*",
        r"(conv4_block|pool4_).*",
        r"(conv5_block|bn/).*",
    ),
    # Stacks of cells and the reduction cells between them; Zoph et al. 2017, figure 2.
    "nasnet_mobile": _nasnet(4),
    "nasnet_large": _nasnet(6),
    # The rows of Tan & Le 2019, table 1, and 2021 (V2), table 4; B and S of V2 have one stage less than M and L.
    "efficientnet": _efficientnet(7),
    "efficientnet_v2": _efficientnet(6),
    "efficientnet_v2_large": _efficientnet(7),
    **{f"convnext_{size}": _convnext(size) for size in ("tiny", "small", "base", "large", "xlarge")},
}


@dataclasses.dataclass(frozen=True)
class Application:
    """One model of keras.applications.

    Args:
      make: the place of its function.
      stages: key of STAGES.
      preprocessing: key of `kft.models.image_preprocessing.MODES`; "inside" where the model does it itself.
      native: the height and width that its weights were trained at, in pixels.
      smallest: the least height and width, in pixels.
      counted: where layers that Keras names by counting are: "stem 5, mixed0 7" are the first 5 and the next 7 of each
        kind.
      options: of its function.
      input_scale: what follows the normalization inside, of weights that were trained so; a factor for each channel.
      pools: the model itself pools, as its last norm comes after it.
    """

    make: str
    stages: str
    preprocessing: str
    native: int = 224
    smallest: int = 32
    counted: str = ""
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    input_scale: tuple[float, ...] = ()
    pools: bool = False


def _row(make: str, *arguments, **settings) -> Application:
    return Application(f"keras.applications:{make}", *arguments, **settings)


def _mobilenets() -> dict[str, Application]:
    rows = {}
    for name, make, widths in (
        ("mobilenet", "MobileNet", (0.25, 0.5, 0.75, 1.0)),
        ("mobilenet_v2", "MobileNetV2", (0.35, 0.5, 0.75, 1.0, 1.3, 1.4)),
        ("mobilenet_v3_small", "MobileNetV3Small", (0.75, 1.0)),
        ("mobilenet_v3_large", "MobileNetV3Large", (0.75, 1.0)),
    ):
        preprocessing = "inside" if "v3" in name else "tf"
        rows[name] = _row(make, name, preprocessing)
        rows |= {f"{name}_{width}": _row(make, name, preprocessing, options={"alpha": width}) for width in widths}
        if "v3" in name:
            rows[f"{name}_minimalistic"] = _row(make, name, preprocessing, options={"minimalistic": True})
    return rows


_INCEPTION_V3 = (
    "stem 5, mixed0 7, mixed1 7, mixed2 7, mixed3 4, mixed4 10, mixed5 10, mixed6 10, mixed7 10, mixed8 6, mixed9 9, "
    "mixed10 9"
)
_INCEPTION_RESNET_V2 = "stem 5, mixed_5b 7, block35 60, mixed_6a 4, block17 80, mixed_7a 7, block8 40"
_XCEPTION = "block2 1, block3 1, block4 1, block13 1"
# 1 / sqrt(standard deviation): the weights of EfficientNet B0 to B7 were trained on (x - mean) / variance.
_EFFICIENTNET_SCALE = tuple(deviation**-0.5 for deviation in (0.229, 0.224, 0.225))

APPLICATIONS = {
    **_mobilenets(),
    "resnet50": _row("ResNet50", "resnet", "caffe"),
    "resnet101": _row("ResNet101", "resnet", "caffe"),
    "resnet152": _row("ResNet152", "resnet", "caffe"),
    "resnet50_v2": _row("ResNet50V2", "resnet_v2", "tf"),
    "resnet101_v2": _row("ResNet101V2", "resnet_v2", "tf"),
    "resnet152_v2": _row("ResNet152V2", "resnet_v2", "tf"),
    "vgg16": _row("VGG16", "vgg", "caffe"),
    "vgg19": _row("VGG19", "vgg", "caffe"),
    "xception": _row("Xception", "xception", "tf", 299, 71, _XCEPTION),
    "inception_v3": _row("InceptionV3", "inception_v3", "tf", 299, 75, _INCEPTION_V3),
    "inception_resnet_v2": _row("InceptionResNetV2", "inception_resnet_v2", "tf", 299, 75, _INCEPTION_RESNET_V2),
    "densenet121": _row("DenseNet121", "densenet", "torch"),
    "densenet169": _row("DenseNet169", "densenet", "torch"),
    "densenet201": _row("DenseNet201", "densenet", "torch"),
    "nasnet_mobile": _row("NASNetMobile", "nasnet_mobile", "tf"),
    "nasnet_large": _row("NASNetLarge", "nasnet_large", "tf", 331),
    **{
        f"efficientnet_b{size}": _row(
            f"EfficientNetB{size}", "efficientnet", "inside", native, 32, "stem 1", input_scale=_EFFICIENTNET_SCALE
        )
        for size, native in enumerate((224, 240, 260, 300, 380, 456, 528, 600))
    },
    **{
        f"efficientnet_v2_b{size}": _row(f"EfficientNetV2B{size}", "efficientnet_v2", "inside", native)
        for size, native in enumerate((224, 240, 260, 300))
    },
    "efficientnet_v2_s": _row("EfficientNetV2S", "efficientnet_v2", "inside", 384),
    "efficientnet_v2_m": _row("EfficientNetV2M", "efficientnet_v2_large", "inside", 480),
    "efficientnet_v2_l": _row("EfficientNetV2L", "efficientnet_v2_large", "inside", 480),
    **{
        f"convnext_{size}": _row(f"ConvNeXt{make}", f"convnext_{size}", "inside", counted="top 1", pools=True)
        for size, make in (
            ("tiny", "Tiny"),
            ("small", "Small"),
            ("base", "Base"),
            ("large", "Large"),
            ("xlarge", "XLarge"),
        )
    },
}
