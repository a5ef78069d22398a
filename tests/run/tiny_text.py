"""A small BERT with random weights in a folder as Hugging Face writes it, and questions to learn."""

import json
import pathlib

import numpy as np

# fmt: off
WORDS = (
    "who", "what", "where", "is", "was", "the", "a", "of", "how", "many", "far", "city", "man", "number", "name",
    "river", "people", "long", "old",
)
# fmt: on
WIDTH, LAYERS = 16, 2


def write_bert(folder: pathlib.Path) -> str:
    """The spec of the backbone."""
    from safetensors.numpy import save_file

    folder.mkdir(parents=True)
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, "?", *map(str, range(10))]
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
    config = {
        "model_type": "bert",
        "vocab_size": len(vocabulary),
        "num_hidden_layers": LAYERS,
        "num_attention_heads": 2,
        "hidden_size": WIDTH,
        "intermediate_size": 2 * WIDTH,
        "max_position_embeddings": 32,
        "type_vocab_size": 2,
        "hidden_act": "gelu",
    }
    (folder / "config.json").write_text(json.dumps(config))
    shapes = {
        "embeddings.word_embeddings.weight": (len(vocabulary), WIDTH),
        "embeddings.position_embeddings.weight": (32, WIDTH),
        "embeddings.token_type_embeddings.weight": (2, WIDTH),
        "embeddings.LayerNorm": (WIDTH,),
        "pooler.dense": (WIDTH, WIDTH),
    }
    for layer in range(LAYERS):
        at = f"encoder.layer.{layer}"
        shapes |= {f"{at}.attention.self.{name}": (WIDTH, WIDTH) for name in ("query", "key", "value")}
        shapes |= {f"{at}.attention.output.dense": (WIDTH, WIDTH), f"{at}.attention.output.LayerNorm": (WIDTH,)}
        shapes |= {f"{at}.intermediate.dense": (2 * WIDTH, WIDTH), f"{at}.output.dense": (WIDTH, 2 * WIDTH)}
        shapes |= {f"{at}.output.LayerNorm": (WIDTH,)}
    rng, arrays = np.random.default_rng(0), {}
    for name, shape in shapes.items():
        if name.endswith("LayerNorm"):
            arrays |= {f"{name}.weight": np.ones(shape, np.float32), f"{name}.bias": np.zeros(shape, np.float32)}
        elif name.endswith(".weight"):
            arrays[name] = rng.normal(0, 0.5, shape).astype(np.float32)
        else:
            arrays[f"{name}.weight"] = rng.normal(0, 0.2, shape).astype(np.float32)
            arrays[f"{name}.bias"] = np.zeros(shape[0], np.float32)
    save_file(arrays, folder / "model.safetensors")
    return f"hf:{folder}"


def write_questions(file: pathlib.Path, count: int, seed: int) -> str:
    """Lines of a label and a question of 3 to 20 words, all different; the first word tells the label."""
    rng = np.random.default_rng(seed)
    lines = []
    for number in range(count):
        label = ("HUM", "LOC", "NUM")[number % 3]
        first = {"HUM": "who", "LOC": "where", "NUM": "how many"}[label]
        words = " ".join(rng.choice(WORDS[5:], rng.integers(2, 19)))
        lines.append(f"{label}:x {first} {words} {seed} {' '.join(str(number))} ?")
    file.write_text("\n".join(lines) + "\n")
    return f"lines:{file}"
