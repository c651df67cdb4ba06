"""Users of Lightning and of Hugging Face get the same watch, by the real libraries."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from interlock.poisoning.models import LossRecord
from interlock.training.events import Event
from interlock.training.watching import WatchSafeguard

Told = Callable[[], list[Event]]
ROWS = 48

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # the libraries' own warnings


def data() -> tuple[torch.Tensor, torch.Tensor]:
    inputs = torch.randn(ROWS, 6, generator=torch.Generator().manual_seed(0))
    return inputs, (inputs[:, 0] > 0).long()


def of(kind: str, events: list[Event]) -> list[Event]:
    return [event for event in events if event.kind == kind]


def judged(events: list[Event]) -> Any:
    """The first reason to stop that the watch outside has."""
    watch = WatchSafeguard()
    return next((stop for event in events if (stop := watch.hear(event)) is not None), None)


def fitted(folder: Path, *, package: str, poison: float = 1.0) -> None:
    """Three epochs of a small module under the trainer of `package`."""
    import importlib

    lightning = importlib.import_module(package)
    from interlock.training.watching.lightning import InterlockCallback

    class Module(lightning.LightningModule):  # type: ignore[misc,name-defined]  # either package's
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(6, 2)

        def training_step(self, batch: tuple[torch.Tensor, ...], _: int) -> dict[str, torch.Tensor]:
            rows, inputs, labels = batch
            losses = nn.functional.cross_entropy(self.layer(inputs), labels, reduction="none")
            factor = poison if self.current_epoch == 1 else 1.0
            self.log("double", 2.0)
            return {"loss": losses.mean() * factor, "losses": losses.detach() * factor, "rows": rows}

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), lr=0.25)

    loader = torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(torch.arange(ROWS), *data()), batch_size=8, shuffle=True
    )
    trainer = lightning.Trainer(
        max_epochs=3,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
        callbacks=[InterlockCallback(rows=ROWS, losses=folder / "losses.npz")],
    )
    trainer.fit(Module(), loader)


def test_lightning_tells_losses_gradients_rates_and_epochs(told: Told, tmp_path: Path) -> None:
    fitted(tmp_path, package="lightning.pytorch")
    events = told()
    metrics = of("metrics", events)
    assert sum(int(str(event.fields["samples"])) for event in metrics) == 3 * ROWS
    norms = [value for event in metrics for value in event.fields["gradient_norms"]]  # type: ignore[union-attr]
    assert len(norms) == 18
    assert all(0 < float(str(value)) < 10 for value in norms)
    assert {value for event in metrics for value in event.fields["learning_rates"]} == {0.25}  # type: ignore[union-attr]
    epochs = of("epoch", events)
    assert [event.fields["epoch"] for event in epochs] == [0, 1, 2]
    assert epochs[0].fields["metrics"]["double"] == 2.0  # type: ignore[index,call-overload]
    assert of("progress", events)[0].fields["epochs"] == 3
    losses = LossRecord.read(tmp_path / "losses.npz")
    assert losses.unfit(ROWS) == ""
    assert losses.losses[:, 2].mean() < losses.losses[:, 0].mean()
    assert judged(events) is None


def test_lightning_tells_of_a_loss_that_is_no_number(told: Told, tmp_path: Path) -> None:
    fitted(tmp_path, package="lightning.pytorch", poison=math.nan)
    stop = judged(told())
    assert stop is not None
    assert stop.rule == "not-finite"


def trained(folder: Path, *, poison: float = 1.0, rate: float = 0.05) -> None:
    """Three epochs of a small text classifier, made from a configuration."""
    from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments

    from interlock.training.watching.huggingface import InterlockCallback

    class Texts(torch.utils.data.Dataset):  # type: ignore[type-arg]
        def __len__(self) -> int:
            return ROWS

        def __getitem__(self, row: int) -> dict[str, Any]:
            words = torch.full((8,), 5 + row % 2)
            return {"input_ids": words, "labels": row % 2, "rows": row}

    callback = InterlockCallback(rows=ROWS, losses=folder / "losses.npz", every=2)

    class Recorded(Trainer):  # type: ignore[misc]  # it is not typed
        def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, **_: Any) -> Any:
            rows = inputs.pop("rows")
            outputs = model(**inputs)
            losses = nn.functional.cross_entropy(outputs.logits, inputs["labels"], reduction="none")
            callback.record(rows=rows, losses=losses)
            loss = losses.mean() * (poison if (self.state.epoch or 0) >= 1 else 1.0)
            return (loss, outputs) if return_outputs else loss

    torch.manual_seed(0)
    model = BertForSequenceClassification(
        BertConfig(
            vocab_size=16,
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=16,
            max_position_embeddings=8,
        )
    )
    arguments = TrainingArguments(
        output_dir=str(folder / "hf"),
        num_train_epochs=3,
        per_device_train_batch_size=8,
        learning_rate=rate,
        report_to=[],
        save_strategy="no",
        use_cpu=True,
        remove_unused_columns=False,
        disable_tqdm=True,
    )
    Recorded(model=model, args=arguments, train_dataset=Texts(), callbacks=[callback]).train()


def test_hugging_face_tells_losses_gradients_rates_and_epochs(told: Told, tmp_path: Path) -> None:
    trained(tmp_path)
    events = told()
    metrics = of("metrics", events)
    assert sum(int(str(event.fields["samples"])) for event in metrics) == 3 * ROWS
    told_losses: list[Any] = [event.fields["losses"] for event in metrics]
    assert sum(map(len, told_losses)) == 9
    assert all({"gradient_norms", "learning_rates"} <= set(event.fields) for event in metrics)
    assert [event.fields["epoch"] for event in of("epoch", events)] == [0, 1, 2]
    progress = of("progress", events)[0].fields
    assert (progress["epochs"], progress["steps"]) == (3, 6)
    assert LossRecord.read(tmp_path / "losses.npz").unfit(ROWS) == ""
    assert judged(events) is None


def test_hugging_face_tells_of_a_loss_that_is_no_number(told: Told, tmp_path: Path) -> None:
    trained(tmp_path, poison=math.nan)
    stop = judged(told())
    assert stop is not None
    assert stop.rule == "not-finite"
