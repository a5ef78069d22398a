"""Hugging Face Trainer's side of text_fit, a script for a Python that has torch and transformers; it knows no kft.

It is given a JSON file with "model" (a folder), "texts" and "labels" of train and evaluation, "num_labels", "epochs",
"batch_size", "learning_rate", "weight_decay", "warmup", "precision", "seed" and "threads", and prints a line of JSON.
It does what makes Trainer fast here: tokens made before, batches padded to their longest, grouped by length.
"""

import json
import sys
import tempfile
import time

BEGAN = time.perf_counter()


def main(file: str) -> None:
    """Trains once and prints what it took."""
    import torch
    import transformers

    with open(file, encoding="utf-8") as stream:
        given = json.load(stream)
    torch.set_num_threads(given["threads"])
    transformers.logging.set_verbosity_error()
    transformers.set_seed(given["seed"])
    tokenizer = transformers.AutoTokenizer.from_pretrained(given["model"])
    model = transformers.AutoModelForSequenceClassification.from_pretrained(
        given["model"], num_labels=given["num_labels"]
    )

    def rows(part):
        ids = tokenizer(given[part]["texts"], truncation=True)["input_ids"]
        return [{"input_ids": row, "labels": label} for row, label in zip(ids, given[part]["labels"])]

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
        trainer = transformers.Trainer(
            model=model,
            args=arguments,
            train_dataset=rows("train"),
            eval_dataset=rows("evaluation"),
            data_collator=transformers.DataCollatorWithPadding(tokenizer),
            compute_metrics=lambda given: {"accuracy": float((given[0].argmax(-1) == given[1]).mean())},
            callbacks=[stopwatch],
        )
        trainer.train()
        scores = [log["eval_accuracy"] for log in trainer.state.log_history if "eval_accuracy" in log]
    result = {
        "train_seconds": round(stopwatch.last_update - stopwatch.began, 2),
        "wall_seconds": round(time.perf_counter() - BEGAN, 2),
        "accuracy": round(scores[-1], 4),
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main(sys.argv[1])
