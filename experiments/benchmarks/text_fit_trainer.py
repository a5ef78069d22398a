"""Hugging Face Trainer's side of text_fit, a script for a Python that has torch and transformers; it knows no kft.

It is given a JSON file with "task", "model" (a folder), "label_names", "epochs", "batch_size", "learning_rate",
"weight_decay", "warmup", "precision", "seed", "threads", "length", "overlap", "answer_length", and the rows of "train",
"evaluation" and "test" (or null): {"text", "label"}, {"words", "tags"} or {"id", "question", "context", "answers"}. It
prints a line of JSON with its times and, of evaluation and test, what it predicts: labels, tags, or answers.

It does what makes Trainer fast here: tokens made before, batches padded to their longest, grouped by length.
"""

import json
import sys
import tempfile
import time

BEGAN = time.perf_counter()
IGNORED = -100


class Texts:
    """One label for each text."""

    def __init__(self, given, tokenizer, transformers):
        self.tokenizer, self.labels = tokenizer, given["label_names"]
        self.model = transformers.AutoModelForSequenceClassification
        self.collator = transformers.DataCollatorWithPadding(tokenizer)

    def rows(self, rows):
        ids = self.tokenizer([row["text"] for row in rows], truncation=True)["input_ids"]
        return [{"input_ids": own, "labels": self.labels.index(row["label"])} for own, row in zip(ids, rows)]

    def decode(self, rows, encoded, logits):
        return [self.labels[label] for label in logits.argmax(-1)]


class Words:
    """One label for each word, at its first piece."""

    def __init__(self, given, tokenizer, transformers):
        self.tokenizer, self.labels = tokenizer, given["label_names"]
        self.model = transformers.AutoModelForTokenClassification
        self.collator = transformers.DataCollatorForTokenClassification(tokenizer)

    def rows(self, rows):
        encoded = self.tokenizer([row["words"] for row in rows], is_split_into_words=True, truncation=True)
        found = []
        for index, row in enumerate(rows):
            words = encoded.word_ids(index)
            labels = [
                IGNORED if word is None or word == before else self.labels.index(row["tags"][word])
                for word, before in zip(words, [None, *words])
            ]
            found.append({"input_ids": encoded["input_ids"][index], "labels": labels})
        return found

    def decode(self, rows, encoded, logits):
        found = []
        for row, given, own in zip(rows, encoded, logits):
            tags = [self.labels[own[at].argmax()] for at, label in enumerate(given["labels"]) if label != IGNORED]
            found.append(tags + ["O"] * (len(row["tags"]) - len(tags)))
        return found


class Questions:
    """Where the answer starts and ends, in windows over the context."""

    def __init__(self, given, tokenizer, transformers):
        self.tokenizer, self.given = tokenizer, given
        self.model = transformers.AutoModelForQuestionAnswering
        self.collator = transformers.DataCollatorWithPadding(tokenizer)

    def _windows(self, rows):
        return self.tokenizer(
            [row["question"].strip() for row in rows],
            [row["context"] for row in rows],
            truncation="only_second",
            max_length=self.given["length"],
            stride=self.given["overlap"],
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
        )

    def rows(self, rows):
        encoded, found = self._windows(rows), []
        for index, record in enumerate(encoded["overflow_to_sample_mapping"]):
            offsets, parts = encoded["offset_mapping"][index], encoded.sequence_ids(index)
            inside = [at for at, part in enumerate(parts) if part == 1]
            start = end = 0
            for begin, text in rows[record]["answers"][:1]:
                if offsets[inside[0]][0] <= begin and begin + len(text) <= offsets[inside[-1]][1]:
                    start = max(at for at in inside if offsets[at][0] <= begin)
                    end = min(at for at in inside if offsets[at][1] >= begin + len(text))
            row = {name: encoded[name][index] for name in ("input_ids", "token_type_ids") if name in encoded}
            found.append({**row, "start_positions": start, "end_positions": end})
        return found

    def decode(self, rows, encoded, logits):
        """Of the 20 best starts and ends of each window, the legal span with the highest sum over all windows."""
        windows, best = self._windows(rows), [(float("-inf"), "")] * len(rows)
        for index, record in enumerate(windows["overflow_to_sample_mapping"]):
            offsets, parts = windows["offset_mapping"][index], windows.sequence_ids(index)
            starts, ends = (part[index][: len(parts)] for part in logits)
            for start in starts.argsort()[::-1][:20]:
                for end in ends.argsort()[::-1][:20]:
                    legal = parts[start] == parts[end] == 1 and 0 <= end - start < self.given["answer_length"]
                    score = float(starts[start] + ends[end])
                    if legal and score > best[record][0]:
                        best[record] = (score, rows[record]["context"][offsets[start][0] : offsets[end][1]])
        return [answer for _, answer in best]


TASKS = {"text_classification": Texts, "token_classification": Words, "question_answering": Questions}


def main(file: str) -> None:
    """Trains once, and prints what it took and predicts."""
    import torch
    import transformers

    with open(file, encoding="utf-8") as stream:
        given = json.load(stream)
    torch.set_num_threads(given["threads"])
    transformers.logging.set_verbosity_error()
    transformers.set_seed(given["seed"])
    tokenizer = transformers.AutoTokenizer.from_pretrained(given["model"])
    task = TASKS[given["task"]](given, tokenizer, transformers)
    number = {"num_labels": len(given["label_names"])} if given["label_names"] else {}
    model = task.model.from_pretrained(given["model"], **number)

    class Stopwatch(transformers.TrainerCallback):
        def on_train_begin(self, args, state, control, **kwargs):
            self.began = time.perf_counter()

        def on_step_end(self, args, state, control, **kwargs):
            self.last_update = time.perf_counter()

    stopwatch = Stopwatch()
    with tempfile.TemporaryDirectory() as folder:
        arguments = transformers.TrainingArguments(
            output_dir=folder,
            num_train_epochs=given["epochs"],
            per_device_train_batch_size=given["batch_size"],
            per_device_eval_batch_size=given["batch_size"],
            learning_rate=given["learning_rate"],
            weight_decay=given["weight_decay"],
            warmup_steps=given["warmup"],
            lr_scheduler_type="linear",
            max_grad_norm=1.0,
            train_sampling_strategy="group_by_length",
            eval_strategy="epoch",
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            logging_strategy="no",
            use_cpu=True,
            bf16=given["precision"] == "mixed_bfloat16",
            dataloader_pin_memory=False,
            seed=given["seed"],
        )
        encoded = {part: task.rows(given[part]) for part in ("train", "evaluation", "test") if given[part]}
        trainer = transformers.Trainer(
            model=model,
            args=arguments,
            train_dataset=encoded["train"],
            eval_dataset=encoded["evaluation"],
            data_collator=task.collator,
            callbacks=[stopwatch],
        )
        trainer.train()
        arguments.train_sampling_strategy = "random"  # by length it would reorder what it predicts too
        predicted = {
            part: task.decode(given[part], encoded[part], trainer.predict(encoded[part]).predictions)
            for part in ("evaluation", "test")
            if given[part]
        }
    result = {
        "train_seconds": round(stopwatch.last_update - stopwatch.began, 2),
        "wall_seconds": round(time.perf_counter() - BEGAN, 2),
        "predicted": predicted,
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main(sys.argv[1])
