"""transformers' Trainer with counter-stereotype training."""

from __future__ import annotations

import inspect
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from levelhead.errors import FileError, InputError
from levelhead.metrics.decisions.asking import Wrap
from levelhead.training import checkpoint
from levelhead.training.callback import SkewCallback, check_finite
from levelhead.training.collate import Collator
from levelhead.training.examples import Example
from levelhead.training.freezing import frozen_names
from levelhead.training.loss import IGNORED, rescaled_loss
from levelhead.training.optional import base_class, needed
from levelhead.training.settings import CSDSettings

Trainer: Any = base_class("Trainer")


class CSDTrainer(Trainer):
    """Fine-tune a model against the stereotypes that it is found to have before every epoch.

    Counter-stereotype debiasing of Cheng et al. (arXiv 2408.06569): bias-aware sampling and a rescaled loss. All of
    transformers' Trainer works as it does: arguments, callbacks, evaluation (by the plain loss), peft models, accumulation
    of gradients (the same as from the whole batch). Checkpoints hold the sampler's state too; one that was broken off in
    the writing is passed over by ``train(resume_from_checkpoint=True)``, and the weights of any model are found again,
    also of those whose names transformers changes in saving (LLaVA), which its own Trainer does not load.

    Parameters
    ----------
    model : transformers model or peft model
        Parameters that do not require a gradient stay as they are.
    args : TrainingArguments, optional
    train_dataset : sequence of Example
    skews : Assignments, or callable
        As in `SkewEpochs`; of the same model.
    settings : CSDSettings, optional
    processing_class : tokenizer or processor, optional
        Where the model does not bring its own.
    wrap : {"raw", "chat"} or callable
        How a prompt becomes an input, as in `Assignments`.
    freeze : sequence of str
        Parts whose parameters get ``requires_grad=False``, as ``"vision/*"``; see `frozen_names`.
    data_collator : Collator, optional
        One of your own making, in place of `wrap`.
    **options
        As transformers' Trainer takes them: ``eval_dataset`` (Examples), ``callbacks``, ``optimizers`` ...

    Raises
    ------
    InputError
        For no examples, an answer that cannot be learned, a loss that is not finite, or where accelerate is missing.
    FileError
        When a checkpoint cannot be written; the one before is whole.

    Examples
    --------
    ::

        CSDTrainer(model, args, train_dataset=examples, skews=Assignments(model, records, processor=processor),
                   processing_class=processor).train()
    """

    # The loss is divided by the examples of all parts of an accumulated batch already.
    loss_is_scaled_for_ga = True

    def __init__(
        self,
        model: Any,
        args: Any = None,
        *,
        train_dataset: Sequence[Example],
        skews: Any = None,
        settings: CSDSettings | None = None,
        processing_class: Any = None,
        wrap: Wrap = "raw",
        freeze: Sequence[str] = (),
        data_collator: Any = None,
        **options: Any,
    ) -> None:
        needed("accelerate", "training")
        if "compute_loss_func" in options:
            raise InputError(
                "CSDTrainer has a loss of its own; take SkewCallback and transformers' Trainer for another one"
            )
        collator = Collator(model, processing_class, wrap=wrap) if data_collator is None else data_collator
        if isinstance(collator, Collator):
            collator.check(train_dataset)
        seed = 0 if args is None else args.seed if args.data_seed is None else args.data_seed
        self.skew_callback = SkewCallback(train_dataset, skews, settings, random_state=seed, catch=False)
        base: Any = model.get_base_model() if hasattr(model, "get_base_model") else model
        frozen = frozen_names(base, freeze) if freeze else ()
        for name, parameter in base.named_parameters():
            parameter.requires_grad_(parameter.requires_grad and name not in frozen)
        callbacks = [self.skew_callback, *(options.pop("callbacks", None) or [])]
        super().__init__(
            model,
            args,
            data_collator=collator,
            train_dataset=self.skew_callback.dataset,
            processing_class=processing_class,
            callbacks=callbacks,
            **options,
        )
        self._keeps = "logits_to_keep" in inspect.signature(base.forward).parameters

    @property
    def skew_history(self) -> list[dict[str, Any]]:
        """A row for each epoch that began; see `SkewEpochs`."""
        return self.skew_callback.epochs.history

    def train(self, resume_from_checkpoint: str | os.PathLike[str] | bool | None = None, **options: Any) -> Any:
        """Train, or go on.

        Parameters
        ----------
        resume_from_checkpoint : path or bool, optional
            True for the last one that is whole.
        **options
            As transformers' Trainer takes them.

        Returns
        -------
        transformers.trainer_utils.TrainOutput

        Raises
        ------
        FileError
            If there is no whole checkpoint to go on from.
        """
        at = resume_from_checkpoint
        if at is True:
            at = checkpoint.newest(Path(self.args.output_dir))
            if at is None:
                raise FileError(
                    f"no whole checkpoint is in '{self.args.output_dir}'; start without resume_from_checkpoint"
                )
        self.skew_callback.resume_from = None if at in (None, False) else Path(str(at))
        return super().train(resume_from_checkpoint=str(at) if at else None, **options)

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The rescaled loss, over the examples of the whole batch; see `rescaled_loss`."""
        inputs = dict(inputs)
        labels: Tensor = inputs.pop("labels")
        skews = inputs.pop("skew", torch.zeros(len(labels)))
        if self._keeps and not return_outputs:
            # Answers are at the end: of the pictures' and questions' tokens no logits are needed.
            first = int((labels != IGNORED).any(dim=0).long().argmax())
            inputs["logits_to_keep"] = labels.shape[1] - max(first - 1, 0)
            labels = labels[:, max(first - 1, 0) :]
        outputs = model(**inputs)
        over = self.skew_callback.epochs.settings.over
        loss = rescaled_loss(outputs.logits, labels, skews, over=over, num_items=num_items_in_batch)
        check_finite(loss, self.state.global_step + 1, self.args.learning_rate)
        if num_items_in_batch is not None and self.args.world_size > 1 and model.training:
            loss = (
                loss * self.accelerator.num_processes
            )  # gradients are averaged over processes, examples counted in all
        return (loss, outputs) if return_outputs else loss

    def _get_num_items_in_batch(self, batch_samples: list[Any], device: Any) -> Any:
        # Examples, where transformers counts tokens: of all parts of a step, or of a batch of evaluation.
        if not batch_samples:
            return None
        count = torch.tensor(sum(len(batch["labels"]) for batch in batch_samples), device=device)
        return self.accelerator.gather(count).sum() if self.args.world_size > 1 and self.model.training else count

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        # The order of an epoch is that of its data set.
        return torch.utils.data.SequentialSampler(self.train_dataset if train_dataset is None else train_dataset)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        folder = Path(self._get_output_dir(trial=trial)) / f"checkpoint-{self.state.global_step}"
        try:
            super()._save_checkpoint(model, trial)
        except Exception as error:
            if not checkpoint.failed_to_write(error):
                raise
            raise checkpoint.unwritten(folder, error) from error

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        model = self.model if model is None else model
        if hasattr(model, "get_base_model") or not hasattr(type(model), "from_pretrained"):
            super()._load_from_checkpoint(resume_from_checkpoint, model)
            return
        saved = type(model).from_pretrained(resume_from_checkpoint, dtype=model.dtype)
        model.load_state_dict(saved.state_dict())
