"""Damaged files of torch.save: one error, in words about the file and not about its reader."""

from __future__ import annotations

import io
import random
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from optkit_core import OptkitError
from optkit_core.checkpoint.file import torch_save_file


def saved(is_legacy: bool) -> bytes:
    buffer = io.BytesIO()
    content: dict[str, Any] = {"state": {0: {"step": torch.ones(())}}, "x": [1, (2, "t")]}
    torch.save(content, buffer, _use_new_zipfile_serialization=not is_legacy)
    return buffer.getvalue()


@pytest.mark.parametrize("is_legacy", [False, True])
def test_damage_is_told_without_the_readers_own_words(tmp_path: Path, is_legacy: bool) -> None:
    whole, path, r = saved(is_legacy), tmp_path / "run.pt", random.Random(0)
    told = []
    for _ in range(300):
        content = bytearray(whole)
        content[r.randrange(len(whole))] = r.randrange(256)
        path.write_bytes(content[: r.choice([len(whole), r.randrange(len(whole))])])
        try:
            torch_save_file.loaded(path, "cpu")
        except OptkitError as error:
            told.append(str(error))
    assert len(told) > 50
    for message in told:
        assert message.startswith(f"{path} isn't a file of torch.save") and "\n" not in message
        assert message.endswith("Take another copy, or an earlier checkpoint.")
        assert not re.search(r"(Key|Index|Attribute|Type|Value|EOF)Error", message), message
