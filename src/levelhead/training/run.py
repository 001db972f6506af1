"""One call that trains: goes on where it was killed, refuses a folder of another run, and leaves a model with a card."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from levelhead.errors import InputError
from levelhead.graph import graph
from levelhead.metrics.decisions.asking import Wrap
from levelhead.training import checkpoint
from levelhead.training.adapter import described, with_adapter
from levelhead.training.bar import Watch
from levelhead.training.collate import Collator
from levelhead.training.examples import Example
from levelhead.training.freezing import frozen_names
from levelhead.training.identity import asked_facts, data_facts, versions, weights_sha256
from levelhead.training.optional import needed
from levelhead.training.run_folder import CHECKPOINTS, MODEL, claim, finished_model, is_finished, record_of, save
from levelhead.training.settings import CSDSettings
from levelhead.training.trainer import CSDTrainer
from levelhead.training.undisturbed import quiet_transformers, same_random_numbers, trainable

if TYPE_CHECKING:
    import pandas as pd

METHODS: dict[str, tuple[bool, bool]] = {
    "csd": (True, True),
    "ft": (False, False),
    "resample": (True, False),
    "loss": (False, True),
}
"""Whether a method resamples, and whether it rescales the loss."""


@dataclass(frozen=True)
class Trained:
    """A run of training.

    Attributes
    ----------
    model : transformers model, or peft.PeftModel
        The very model that was given, trained; with an adapter, around it.
    history : list of dict
        Rows in their order: a Skew before each epoch and at the end, mean losses, validation losses.
    folder : Path
        Of the saved model: a Hugging Face directory, or an adapter's. There once `finished`.
    finished : bool
        False where it was asked to stop before the end; the same call goes on, with the model loaded anew.
    record : dict
        What the card says, as data.
    """

    model: Any
    history: list[dict[str, Any]]
    folder: Path
    finished: bool
    record: dict[str, Any]

    def frame(self) -> pd.DataFrame:
        """The history, a row each; needs pandas.

        Returns
        -------
        pandas.DataFrame
        """
        from levelhead.data.optional import pandas

        return pandas().DataFrame(self.history)


def train(
    model: Any,
    examples: Sequence[Example],
    assignments: Any,
    out: str | os.PathLike[str],
    *,
    processor: Any = None,
    method: str = "csd",
    settings: CSDSettings | None = None,
    wrap: Wrap = "raw",
    epochs: int = 3,
    lr: float = 1e-5,
    batch: int = 8,
    accumulate: int = 1,
    lora: Any = None,
    freeze: Sequence[str] = (),
    validation: Sequence[Example] | None = None,
    checkpoint_every: int | None = None,
    seed: int = 0,
    arguments: Mapping[str, Any] | None = None,
    stop: Callable[[], bool] | None = None,
    verbose: bool = False,
) -> Trained:
    """Fine-tune a model on examples, against the stereotypes that it is found to have before every epoch.

    A run that was killed goes on from its last checkpoint when the same call is made again, with the model as it was at first,
    and ends at the same weights, to the bit on a CPU. The caller's random numbers, and the modes and gradient flags of the
    model, are left as they were.

    Parameters
    ----------
    model : transformers model
        Trained in place.
    examples : sequence of Example
    assignments : Assignments, callable or None
        Where the Skew comes from, as in `SkewEpochs`; may be None for ``method="ft"``, which only reports it.
    out : path
        Folder of the run; the model ends up in ``out/model``.
    processor : tokenizer or processor, optional
        Where the model does not bring its own; saved with it.
    method : {"csd", "ft", "resample", "loss"}
        Sampling and loss by the Skew, neither, or one of the two.
    settings : CSDSettings, optional
        Its ``resample`` and ``rescale`` are overruled by `method`.
    wrap : {"raw", "chat"} or callable
        As in `Assignments`, and the same as there.
    epochs : int
    lr : float
        At the start, falling linearly to 0. Cheng et al. (arXiv 2408.06569) took 1e-7 to 1e-6 for whole models of 7B, by a
        third party's notes; epochs, batch size and optimizer (here AdamW) are not known.
    batch : int
        Examples that go through the model together.
    accumulate : int
        Such batches for a step.
    lora : int or peft.LoraConfig, optional
        Train an adapter of this rank instead of the weights.
    freeze : sequence of str
        What stays as it is, as ``"vision/*"``; see `frozen_names`.
    validation : sequence of Example, optional
        Their plain loss is reported after every epoch.
    checkpoint_every : int, optional
        Steps; an epoch when left out.
    seed : int
        Of samples, adapters and dropout.
    arguments : mapping, optional
        Further ones of ``transformers.TrainingArguments``, such as ``{"bf16": True}``.
    stop : callable, optional
        Asked after every step; once it says True, a checkpoint is written and the call returns.
    verbose : bool
        Show a progress bar, if this is a terminal.

    Returns
    -------
    Trained

    Raises
    ------
    InputError
        For arguments, examples or patterns that make no sense, a loss that is not finite, or a missing package.
    FileError
        When `out` holds something else, or cannot be written; the last checkpoint is whole then.
    """
    needed("accelerate", "training")
    options = _settings(method, settings)
    for name, value in {"epochs": epochs, "batch": batch, "accumulate": accumulate}.items():
        if value < 1:
            raise InputError(f"{name} must be at least 1; found {value}")
    if not (0 < lr < math.inf) or (checkpoint_every is not None and checkpoint_every < 1):
        raise InputError(f"lr and checkpoint_every must be above 0; found {lr} and {checkpoint_every}")
    if hasattr(model, "get_base_model"):
        raise InputError("the model has an adapter already; give its base with lora=, or merge the adapter first")
    bound = graph(model, processor)
    base: Any = bound.model
    reads: Any = getattr(bound, "processor", None)
    asked: Any = getattr(getattr(assignments, "graph", None), "model", base)
    if asked is not base:
        raise InputError(
            "the Skew would be that of another model than the one that is trained: make Assignments of this one"
        )
    frozen = frozen_names(base, freeze) if freeze else set[str]()
    collator = Collator(bound, wrap=wrap)
    collator.check([*examples, *(validation or ())])
    chosen = {"method": method, "epochs": epochs, "lr": lr, "batch": batch, "accumulate": accumulate,
              "lora": described(lora), "freeze": list(freeze), "seed": seed, "arguments": dict(arguments or {}),
              **{name: getattr(options, name) for name in ("tau1", "tau2", "clip", "normalize", "over", "every", "length")}}  # fmt: skip
    record: dict[str, Any] = {
        "settings": chosen,
        "data": data_facts(examples, getattr(assignments, "records", ()), validation or ()),
        "model": {**bound.identity(), "weights_sha256": weights_sha256(base)},
        "versions": versions(),
        "asked": asked_facts(examples, assignments),
    }
    folder = Path(out)
    claim(folder, record)
    with same_random_numbers(), quiet_transformers():
        if is_finished(folder):
            checkpoint.remove(folder / CHECKPOINTS)
            with trainable(base):
                return _again(base, folder)
        import torch

        torch.manual_seed(seed)  # of the adapter; transformers' Trainer seeds what follows
        watch = Watch(verbose, stop)
        with trainable(base, frozen):
            trained = base if lora is None else with_adapter(base, lora, frozen)
            args = _arguments(chosen, folder / CHECKPOINTS, checkpoint_every, validation is not None)
            trainer = CSDTrainer(
                trained,
                args,
                train_dataset=examples,
                skews=assignments,
                settings=options,
                data_collator=collator,
                eval_dataset=None if validation is None else list(validation),
                callbacks=[watch],
            )
            _silence(trainer)
            checkpoint.clear(folder / CHECKPOINTS)
            try:
                trainer.train(resume_from_checkpoint=checkpoint.newest(folder / CHECKPOINTS) is not None)
            finally:
                watch.close()
                # Under mixed precision the forward pass was wrapped.
                trainer.accelerator.unwrap_model(trained, keep_fp32_wrapper=False)
            history = [_row(row) for row in trainer.state.log_history if "train_runtime" not in row]
            finished = trainer.state.global_step >= trainer.state.max_steps
            if finished:
                measured = trainer.skew_callback.epochs.measure(trained)
                history += [{"epoch": epochs, "step": trainer.state.global_step, **measured}] if measured else []
            record = {**record, "history": history}
            if finished:
                checkpoint.made_whole(folder / MODEL, lambda path: save(path, trained, reads, record))
                checkpoint.remove(folder / CHECKPOINTS)
    return Trained(trained, history, folder / MODEL, finished, record)


def _again(model: Any, folder: Path) -> Trained:
    """A run that has ended: the model becomes what was saved then."""
    record = record_of(folder)
    return Trained(finished_model(model, folder), record["history"], folder / MODEL, True, record)


def _settings(method: str, settings: CSDSettings | None) -> CSDSettings:
    if method not in METHODS:
        raise InputError(f"method is one of {', '.join(METHODS)}; found {method!r}")
    resample, rescale = METHODS[method]
    return replace(settings or CSDSettings(), resample=resample, rescale=rescale)


def _arguments(chosen: Mapping[str, Any], folder: Path, checkpoint_every: int | None, validated: bool) -> Any:
    """Those of transformers' Trainer."""
    import torch

    tf: Any = needed("transformers", "training")
    own: dict[str, Any] = {
        "output_dir": str(folder),
        "num_train_epochs": chosen["epochs"],
        "learning_rate": chosen["lr"],
        "per_device_train_batch_size": chosen["batch"],
        "gradient_accumulation_steps": chosen["accumulate"],
        "seed": chosen["seed"],
    }
    usual: dict[str, Any] = {
        "per_device_eval_batch_size": chosen["batch"],
        "save_strategy": "epoch" if checkpoint_every is None else "steps",
        "save_steps": checkpoint_every or 500,
        "save_total_limit": 2,  # the one before stays until the new one is whole
        "eval_strategy": "epoch" if validated else "no",
        "prediction_loss_only": True,
        "logging_steps": 10,
        "report_to": "none",
        "disable_tqdm": True,
        "optim": "adamw_torch",
        "dataloader_pin_memory": torch.cuda.is_available(),
    }
    further = chosen["arguments"]
    if twice := sorted(own.keys() & further):
        raise InputError(f"arguments= holds {', '.join(twice)}, which train has arguments of its own for; give those")
    try:
        return tf.TrainingArguments(**{**usual, **further, **own})
    except (TypeError, ValueError) as error:
        raise InputError(f"arguments= is not what transformers' TrainingArguments takes: {error}") from error


def _silence(trainer: Any) -> None:
    from transformers.trainer_callback import PrinterCallback, ProgressCallback

    for callback in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(callback)


def _row(row: Mapping[str, Any]) -> dict[str, Any]:
    timed = ("_runtime", "_per_second")
    return {name: value for name, value in row.items() if not name.endswith(timed)}
