"""Writes tiny_reference.npz, which test_hugging_face.py reads: tiny random models of transformers and their outputs.

Run where transformers and torch are installed (they are no dependency of kft):

    python make_tiny_reference.py

The stored file was made with transformers 5.24.0 and torch 2.13.0 on a CPU, in float32, on 24 November 2026.
"""

import json
import pathlib
import tempfile

COMMON = {"vocab_size": 30, "max_position_embeddings": 24, "pad_token_id": 0}
BERT = {
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 12,
    **COMMON,
    "initializer_range": 0.5,
}
CONFIGS = {
    "AlbertModel": BERT | {"embedding_size": 6, "hidden_act": "gelu_new", "num_hidden_layers": 3},
    "BertModel": BERT | {"hidden_act": "gelu", "layer_norm_eps": 1e-3},
    "DebertaV2Model": BERT
    | {
        "relative_attention": True,
        "position_buckets": 8,
        "norm_rel_ebd": "layer_norm",
        "share_att_key": True,
        "pos_att_type": ["p2c", "c2p"],
        "position_biased_input": False,
        "type_vocab_size": 0,
    },
    "DistilBertModel": {
        "dim": 8,
        "n_layers": 2,
        "n_heads": 2,
        "hidden_dim": 12,
        "initializer_range": 0.5,
        **COMMON,
    },
    "ElectraModel": BERT | {"embedding_size": 6},
    "FNetModel": {name: value for name, value in BERT.items() if name != "num_attention_heads"}
    | {"use_tpu_fourier_optimizations": False},
    "RobertaModel": BERT | {"pad_token_id": 1, "type_vocab_size": 1, "layer_norm_eps": 1e-5},
    "XLMRobertaModel": BERT | {"pad_token_id": 1, "type_vocab_size": 1},
}


def main() -> None:
    import numpy as np
    import safetensors.numpy
    import torch
    import transformers

    random = np.random.default_rng(0)
    token_ids = random.integers(5, 30, (2, 11)).astype("int32")
    mask = np.ones_like(token_ids)
    mask[1, 7:] = 0
    segment_ids = (np.arange(11) > 4).astype("int32") * mask
    content = {"token_ids": token_ids, "padding_mask": mask, "segment_ids": segment_ids}
    for name, arguments in CONFIGS.items():
        torch.manual_seed(0)
        kind = getattr(transformers, name)
        model = kind(kind.config_class(**arguments)).eval()
        for parameter in model.parameters():  # biases too, and norms that are not 1
            parameter.data += 0.2 * torch.randn_like(parameter)
        segments = "type_vocab_size" in arguments or name in ("AlbertModel", "BertModel", "ElectraModel", "FNetModel")
        ids = token_ids if arguments["pad_token_id"] == 0 else np.where(mask > 0, token_ids, 1)
        inputs = {"input_ids": ids}
        if segments and arguments.get("type_vocab_size", 2) > 1:
            inputs["token_type_ids"] = segment_ids
        if name != "FNetModel":
            inputs["attention_mask"] = mask
        with torch.no_grad():
            outputs = model(**{key: torch.tensor(value).long() for key, value in inputs.items()})
        with tempfile.TemporaryDirectory() as folder:
            model.save_pretrained(folder)
            config = (pathlib.Path(folder) / "config.json").read_text(encoding="utf-8")
            arrays = safetensors.numpy.load_file(pathlib.Path(folder) / "model.safetensors")
        kind = json.loads(config)["model_type"]
        content[f"{kind}/config"] = np.array(config)
        content |= {f"{kind}/weights/{key}": value for key, value in arrays.items()}
        content[f"{kind}/sequence"] = outputs.last_hidden_state.numpy()
        if getattr(outputs, "pooler_output", None) is not None and "roberta" not in kind:
            content[f"{kind}/pooled"] = outputs.pooler_output.numpy()
    np.savez_compressed(pathlib.Path(__file__).parent / "tiny_reference.npz", **content)


if __name__ == "__main__":
    main()
