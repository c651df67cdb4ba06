"""A text classifier of Hugging Face, made from a configuration, so that nothing is downloaded; watched by a callback.

    interlock train --data reviews.csv --out model -- python text_classifier.py

The data is a CSV with the columns ``text`` and ``label``. Writes the model as ``save_pretrained`` does, and its words.
"""

from __future__ import annotations

import csv
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import torch
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments

from interlock.training.watching.huggingface import InterlockCallback

LENGTH = 24
WORDS = 2000
PADDING, UNKNOWN = 0, 1


class Texts(torch.utils.data.Dataset[dict[str, Any]]):
    """Texts as word numbers, with the row that each comes from.

    Args:
        rows: Texts and labels.
        words: Number of each known word.
    """

    def __init__(self, rows: list[tuple[str, int]], words: dict[str, int]) -> None:
        self._rows = rows
        self._words = words

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, row: int) -> dict[str, Any]:
        text, label = self._rows[row]
        numbers = [self._words.get(word, UNKNOWN) for word in text.lower().split()[:LENGTH]]
        ids = torch.tensor(numbers + [PADDING] * (LENGTH - len(numbers)))
        return {"input_ids": ids, "attention_mask": (ids != PADDING).long(), "labels": label, "rows": row}


class Recorded(Trainer):  # type: ignore[misc]  # mypy does not follow transformers
    """A trainer that hands the loss of each row to the watch."""

    watch: InterlockCallback

    def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, **_: Any) -> Any:  # noqa: FBT001, FBT002
        """The mean loss; every row's own is recorded on the way."""
        rows = inputs.pop("rows")
        outputs = model(**inputs)
        losses = torch.nn.functional.cross_entropy(outputs.logits, inputs["labels"], reduction="none")
        self.watch.record(rows=rows, losses=losses)
        return (losses.mean(), outputs) if return_outputs else losses.mean()


def main() -> None:
    """Read, train, save."""
    out = Path(os.environ["INTERLOCK_OUT"])
    with Path(os.environ["INTERLOCK_DATA"]).open(encoding="utf-8", newline="") as file:
        rows = [(row["text"], int(row["label"])) for row in csv.DictReader(file)]
    known = sorted({word for text, _ in rows for word in text.lower().split()})[:WORDS]
    words = {word: number + 2 for number, word in enumerate(known)}
    shape = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
    config = BertConfig(vocab_size=len(words) + 2, max_position_embeddings=LENGTH, **shape)
    watch = InterlockCallback(rows=len(rows), every=5)
    with tempfile.TemporaryDirectory() as scratch:
        arguments = TrainingArguments(
            output_dir=scratch,
            num_train_epochs=4,
            per_device_train_batch_size=16,
            learning_rate=3e-3,
            seed=int(os.environ.get("INTERLOCK_SEED", "0")),
            report_to=[],
            save_strategy="no",
            remove_unused_columns=False,
            disable_tqdm=True,
        )
        model = BertForSequenceClassification(config)
        trainer = Recorded(model=model, args=arguments, train_dataset=Texts(rows, words), callbacks=[watch])
        trainer.watch = watch
        trainer.train()
    model.save_pretrained(out)
    (out / "words.json").write_text(json.dumps(words), encoding="utf-8")


if __name__ == "__main__":
    main()
