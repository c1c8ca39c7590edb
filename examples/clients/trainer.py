"""Transformers' Trainer, without a subclass: what a configuration describes is handed over.

    python examples/clients/trainer.py FOLDER --steps 40
    python examples/clients/trainer.py FOLDER --steps 80 --resume

The second command continues from the last checkpoint in FOLDER. The model is a tiny BERT with
weights of chance, and tells by which half of the alphabet a sentence begins.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    Trainer,
    TrainingArguments,
    set_seed,
)

import optkit

CONFIG = {
    "optimizer": {
        "name": "adamw",
        "lr": 5e-3,
        "weight_decay": 0.05,
        "groups": [
            {"module": "norm", "weight_decay": 0.0},
            {"match": "*.bias", "weight_decay": 0.0},
            {"match": "*embeddings*", "lr_scale": 0.5},
        ],
    },
    "schedule": {"name": "cosine_annealing", "T_max": 100, "warmup": 10},
}


def sentences(count: int = 256, length: int = 12) -> list[dict[str, Any]]:
    """Return sentences over an alphabet of eight, labeled by the half that the first is from.

    Args:
        count: how many.
        length: of each.
    """
    tokens = torch.randint(0, 8, (count, length), generator=torch.Generator().manual_seed(0))
    labels = tokens[:, 0] < 4
    return [
        {"input_ids": ids, "labels": int(label)} for ids, label in zip(tokens, labels, strict=True)
    ]


def tiny_bert() -> BertForSequenceClassification:
    """Return a model of 2 layers and 16 features."""
    config = BertConfig(
        vocab_size=8,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=16,
    )
    return BertForSequenceClassification(config)


def main(words: Sequence[str] | None = None) -> None:
    """Train, and print the losses that Trainer has logged.

    Args:
        words: the command's; None takes them from the process.
    """
    parser = argparse.ArgumentParser(description="Train a tiny BERT by Transformers' Trainer.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--resume", action="store_true")
    asked = parser.parse_args(words)
    set_seed(0)
    model = tiny_bert()
    setup = optkit.from_config(CONFIG, model)
    trainer = Trainer(
        model,
        TrainingArguments(
            str(asked.folder),
            max_steps=asked.steps,
            per_device_train_batch_size=16,
            max_grad_norm=1.0,
            logging_steps=10,
            save_steps=20,
            report_to="none",
            disable_tqdm=True,
            use_cpu=True,
        ),
        train_dataset=sentences(),
        optimizers=(setup.optimizer, setup.schedule),
    )
    trainer.train(resume_from_checkpoint=asked.resume)
    for entry in trainer.state.log_history:
        if "loss" in entry:
            print(f"step {entry['step']}: loss {float(entry['loss']):.4f}")


if __name__ == "__main__":
    main()
