"""What all tests share: no hub, tiny models built once, and where the real data lies."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"

import pytest
import torch

import levelhead as lh
from tiny import ARCHITECTURES

ADAPTERS = ("transformers", "transformer_lens", "nnsight")


@cache
def model_of(name: str) -> Any:
    """The tiny model of an architecture; tests must leave it as it is."""
    return ARCHITECTURES[name].model()


@cache
def target_of(adapter: str, name: str) -> Any:
    """What a user of one graph holds: the model, a bridge around it, an nnsight model around it."""
    model = model_of(name)
    if adapter == "transformer_lens":
        from levelhead_transformer_lens import boot

        return boot(model)
    if adapter == "nnsight":
        from nnsight import NNsight

        return NNsight(model)
    return model


@cache
def graph_of(adapter: str, name: str) -> Any:
    """The graph of a tiny model on an adapter."""
    return lh.graph(target_of(adapter, name))


@pytest.fixture(params=ADAPTERS)
def adapter(request: pytest.FixtureRequest) -> str:
    """Each of the three graphs in turn."""
    return request.param


@pytest.fixture
def generator() -> torch.Generator:
    """Random numbers of the test's own."""
    return torch.Generator().manual_seed(0)


@pytest.fixture(scope="module")
def few_objects() -> Iterator[None]:
    """For tests of training: every run of transformers' Trainer collects garbage, which takes long among all that is loaded."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
def data() -> Path:
    """The folder with real photographs and sentences."""
    where = os.environ.get("LEVELHEAD_DATA")
    if not where or not Path(where).is_dir():
        pytest.skip("set LEVELHEAD_DATA to the folder with the real data (CI does) to run this test")
    return Path(where)
