"""The settings of a run, room by room; those of the data are in `data_settings`. Flags and docs are made from them."""

import dataclasses

from kft.run.setting import setting


@dataclasses.dataclass(frozen=True)
class RunSettings:
    """What is run, for how long, and what is kept."""

    workdir: str = setting("", "The run folder: config, checkpoints, TensorBoard, results and the kept model go here.")
    resume: str = setting(
        "auto",
        "auto goes on with an unfinished run in workdir, if no setting has changed; force also if some have; "
        "never refuses a folder that is not empty.",
        choices=("never", "auto", "force"),
    )
    seed: int = setting(
        0, "Seed of the head's weights, the order of the data, augmentation and dropout.", limits="[0, 2147483647]"
    )
    seeds: int = setting(
        1,
        "Number of runs, with seed, seed + 1 and so on; more than one ends in mean, interval and degenerate runs.",
        unit="runs",
        limits="[1, inf)",
    )
    length: str = setting("10 epochs", "How long to train, over all phases.", unit="duration")
    global_batch_size: int = setting(
        32,
        "Examples of one optimizer step, over all replicas; a multiple of their number.",
        unit="examples",
        limits="[1, inf)",
    )
    keep: str = setting("best", "The model to keep: best by monitor on eval_data, or last.", choices=("best", "last"))
    monitor: str = setting(
        "", "The metric that best and early stopping go by, such as val_accuracy. Empty: the task's own."
    )
    early_stopping: int = setting(
        0, "Stop after so many epochs without a better monitor. 0: never.", unit="epochs", limits="[0, inf)"
    )
    embeddings: int = setting(
        256,
        "TensorBoard: examples of eval_data for the projector, before and after training. 0: none.",
        unit="examples",
        limits="[0, inf)",
    )
    histograms: bool = setting(
        False, "TensorBoard: how the weights of each block are distributed, after each epoch, and their updates."
    )
    profile_steps: tuple[int, ...] = setting(
        (),
        "TensorBoard: the first and the last update to profile, such as 10,12. Empty: none.",
        unit="steps",
        limits="[1, inf)",
    )


@dataclasses.dataclass(frozen=True)
class ModelSettings:
    """The pretrained backbone and the new head on it."""

    backbone: str = setting(
        "mobilenet_v2",
        "The pretrained model, widths as a suffix, such as mobilenet_v2_0.35; or python:package.module:function "
        "for a function that returns a functional model; or hf:DIR for a text encoder in a local folder as Hugging "
        "Face writes it; or preset:DIR or preset:NAME for a preset of keras_nlp.",
        unit="backbone",
        choices="kft.models:BACKBONES",
    )
    backbone_weights: str = setting(
        "pretrained",
        "pretrained (the folder's own; of an image model imagenet; of your own model as your function made it), "
        "imagenet (downloads as Keras does), none (random), or a local file of weights.",
    )
    pooling: str = setting(
        "auto",
        "How the features of all positions become one vector: avg or max of an image; cls (through the pooler), "
        "cls_bare, mean, max or attention of a text; auto is avg, and cls for a text.",
        choices=("auto", "avg", "max", "cls", "cls_bare", "mean", "attention"),
    )
    head_dropout: float = setting(0.2, "The part of the head's inputs that is dropped while training.", limits="[0, 1)")
    head_dropout_samples: int = setting(
        1, "Draws of dropout before the last layer, whose logits are averaged while training.", limits="[1, 64]"
    )
    head_hidden_units: tuple[int, ...] = setting(
        (), "Units of the head's hidden layers, such as 256,128; or none.", unit="units", limits="[1, inf)"
    )
    head_activation: str = setting(
        "relu", "Activation of the head's hidden layers.", choices=("relu", "gelu", "silu", "tanh")
    )
    mixout: float = setting(
        0.0, "The part of the backbone's kernels that each step takes from the start instead. 0: off.", limits="[0, 1)"
    )
    batchnorm: str = setting(
        "frozen",
        "BatchNorm statistics: frozen keeps the pretrained ones, train updates those of the layers that train, "
        "synchronized does so by the batch of all replicas (without XLA), recalibrate takes those of train_data before "
        "the first step and keeps them.",
        choices=("frozen", "train", "synchronized", "recalibrate"),
    )
    batchnorm_momentum: float = setting(
        0.0,
        "Where BatchNorm trains, how much of the old statistics a step keeps; short trainings from random weights want "
        "0.9. 0: the backbone's own, such as 0.999.",
        limits="[0, 1)",
    )
    warm_start: str = setting(
        "", "Begin from the weights of another run, by its folder, or of a .safetensors file. Empty: pretrained ones."
    )
    warm_start_allow: tuple[str, ...] = setting(
        (),
        "Differences to warm_start that are as wanted: missing, extra, another shape; head: a new head. Others end it.",
        choices=("missing", "extra", "shape", "head"),
    )
    reinitialize_top_blocks: int = setting(
        0,
        "Give the backbone's top blocks new random weights before training.",
        unit="blocks",
        limits="[0, inf)",
    )


@dataclasses.dataclass(frozen=True)
class OptimizerSettings:
    """How a gradient becomes an update."""

    optimizer: str = setting("adamw", "The update rule.", choices="kft.optimizers:OPTIMIZERS")
    optimizer_options: str = setting(
        "", "Further arguments of the optimizer, such as beta_2=0.98,bias_correction=false.", unit="options"
    )
    learning_rate: float = setting(5e-4, "The highest learning rate of the schedule.", limits="(0, inf)")
    weight_decay: float = setting(0.01, "Decoupled weight decay, times the learning rate. 0: off.", limits="[0, 1)")
    decay_to_start: bool = setting(
        False, "Weight decay draws what is pretrained to its pretrained values, not to 0 (L2-SP)."
    )
    layer_decay: float = setting(
        1.0, "Each block below the head learns slower by this factor. 1: all alike.", limits="(0, 1]"
    )
    clip_global_norm: float = setting(
        1.0, "The longest gradient, over all variables together. 0: off.", limits="[0, inf)"
    )
    accumulate_steps: int = setting(
        1, "Add up the gradients of so many batches before one update.", unit="batches", limits="[1, inf)"
    )
    ema: float = setting(
        0.0, "Decay of a moving average of the weights, which is evaluated and kept. 0: off.", limits="[0, 1)"
    )
    slot_dtype: str = setting(
        "float32",
        "What the optimizer keeps means of gradients in; bfloat16 takes half the memory. Means of squares are float32.",
        choices=("float32", "bfloat16"),
    )
    l1: float = setting(0.0, "Penalty on the weights' absolute values. 0: off.", limits="[0, inf)")
    l2: float = setting(0.0, "Penalty on the weights' squares. 0: off.", limits="[0, inf)")
    label_smoothing: float = setting(0.0, "The part of each label that is spread over all classes.", limits="[0, 1)")
    r_drop: float = setting(
        0.0, "R-Drop: how strongly two draws of dropout for each example are drawn together. 0: off.", limits="[0, inf)"
    )
    focal_gamma: float = setting(
        0.0,
        "The loss of an example with probability p times (1 - p) to this power: focal loss. 0: off.",
        limits="[0, inf)",
    )


@dataclasses.dataclass(frozen=True)
class ScheduleSettings:
    """How the learning rate changes, and what trains when."""

    schedule: str = setting(
        "cosine", "How the learning rate falls after the warm-up.", choices="kft.schedules:SCHEDULES"
    )
    schedule_options: str = setting("", "Further arguments of the schedule.", unit="options")
    warmup: str = setting("5 percent", "How long the learning rate rises from 0.", unit="duration")
    plateau: str = setting(
        "", "Lower the learning rate when monitor stalls, such as factor=0.5,patience=3. Empty: off.", unit="options"
    )
    trainable: str = setting(
        "lp_ft(30 percent)",
        "What trains when: all; head; top_blocks(N); lp_ft(LENGTH), the head alone for LENGTH and then everything; "
        "gradual(LENGTH, GROUPS), one block (or one of GROUPS) more after each LENGTH; chain_thaw(LENGTH, GROUPS); "
        "bias_only; norm_only; or patterns(PATTERN, ...) over variable paths.",
        unit="recipe",
        choices="kft.trainable:RECIPES",
    )
    cache: str = setting(
        "auto",
        "Run the frozen lower part once in each phase and store its outputs: exact (equal results), fast (half the "
        "size), off, or auto (exact, if nothing is augmented at random and memory has room).",
        choices=("auto", "exact", "fast", "off"),
    )
    cache_budget: int = setting(
        0,
        "Memory for the cache; the rest goes to disk, but with auto. 0: a third of what is free.",
        unit="bytes",
        limits="[0, inf)",
    )
    cache_views: int = setting(
        0,
        "Augmented views of each example to store. 0: cache only without augmentation.",
        unit="views",
        limits="[0, inf)",
    )


@dataclasses.dataclass(frozen=True)
class ExecutionSettings:
    """Where and how the steps are computed."""

    strategy: str = setting(
        "one_device",
        "Where it runs: one_device; mirrored, over all GPUs of this machine; multi_worker, one of several processes ("
        "see docs/distribution.md); tpu, which was never run; auto takes what it finds.",
        choices=("one_device", "mirrored", "multi_worker", "tpu", "auto"),
    )
    workers: tuple[str, ...] = setting(
        (), "With multi_worker, HOST:PORT of each worker, the chief first. Empty: from TF_CONFIG or Slurm."
    )
    worker_index: int = setting(
        -1,
        "With workers, which of them this process is, from 0. -1: from JOB_COMPLETION_INDEX, SLURM_PROCID or the end "
        "of HOSTNAME.",
        limits="[-1, inf)",
    )
    xla: str = setting(
        "auto",
        "Compile the step with XLA: on, off, or auto: on for GPU; on a CPU off, but where the run is long enough to "
        "measure it before and it is faster.",
        choices=("auto", "on", "off"),
    )
    precision: str = setting(
        "float32",
        "What layers compute in; variables, logits, loss and the statistics of norms are float32. mixed_float16 scales "
        "the loss. auto: mixed_bfloat16 on a CPU that has it (AVX512-BF16, AMX) where it is measured to be faster or, "
        "in a run too short to measure, for an encoder of text; else float32.",
        choices=("float32", "auto", "mixed_bfloat16", "mixed_float16"),
    )
    steps_per_execution: int = setting(
        0,
        "Steps between two returns to Python, at most; the result does not depend on it. 0: chosen by measuring.",
        unit="steps",
        limits="[0, inf)",
    )
    remat: bool = setting(
        False,
        "Compute each block again in the backward pass instead of keeping what it gave: less memory, more time.",
    )
    checkpoint_every: str = setting(
        "1 epoch",
        "How often to save what a resume needs, in steps, epochs or minutes; each end of an epoch and SIGTERM do too.",
        unit="duration",
    )
    on_nan: str = setting(
        "stop",
        "After NaN or Inf: stop, or rollback to the last checkpoint with half the learning rate, at most three times.",
        choices=("stop", "rollback"),
    )
