"""Training that leaves no trace outside of what it trains: random numbers, logging, flags of the model."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


@contextmanager
def same_random_numbers() -> Iterator[None]:
    """The caller's random numbers go on as if the block had drawn none."""
    python, legacy = random.getstate(), np.random.get_state()  # noqa: NPY002 - transformers seeds the global one
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_available() else []
    try:
        with torch.random.fork_rng(devices=devices):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(legacy)  # noqa: NPY002


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Neither its bars nor its notes; how talkative it is afterwards is as it was."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


@contextmanager
def trainable(model: Any, frozen: Iterable[str] = ()) -> Iterator[None]:
    """Gradients for all floating-point parameters but the frozen ones; flags and modes are put back in the end."""
    kept = set(frozen)
    flags = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    modes = [(module, module.training) for module in model.modules()]
    config: Any = model.config
    cached = getattr(config, "use_cache", None)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name not in kept and parameter.is_floating_point())
    try:
        yield
    finally:
        for parameter, flag in flags:
            parameter.requires_grad_(flag)
            parameter.grad = None
        for module in model.modules():
            module.training = model.training  # those of an adapter
        for module, mode in modes:
            module.training = mode
        if cached is not None:
            config.use_cache = cached
        elif hasattr(config, "use_cache"):
            del config.use_cache
