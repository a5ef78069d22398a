"""Writes pieces.spm and pieces.json, which test_presets.py reads: a small vocabulary and its use by sentencepiece.

Run where sentencepiece is installed (it is no dependency of kft), on any English text:

    python make_sentence_pieces.py TEXT_FILE

The stored files were made with sentencepiece 0.2.3 from kft's README.md, 24 November 2026.
"""

import io
import json
import pathlib
import sys

HERE = pathlib.Path(__file__).parent
TEXTS = ["the same model", "A   double  space ", " café 中文 😀", "unbelievable, isn't it?", "", "1,000 x=[y]"]


def main(file: str) -> None:
    import sentencepiece

    content = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(pathlib.Path(file).read_text(encoding="utf-8").splitlines()),
        model_writer=content,
        vocab_size=200,
        normalization_rule_name="identity",  # the others bring a table of 240 kB
        pad_id=0,
        unk_id=1,
        bos_id=-1,
        eos_id=-1,
        control_symbols=["[CLS]", "[SEP]", "[MASK]"],
    )
    processor = sentencepiece.SentencePieceProcessor(model_proto=content.getvalue())
    (HERE / "pieces.spm").write_bytes(content.getvalue())
    found = {text: processor.encode(text) for text in TEXTS}
    (HERE / "pieces.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
