"""Counter-stereotype training as a callback of transformers' Trainer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.utils import get_total_norm

from levelhead.errors import FileError, InputError
from levelhead.training import checkpoint
from levelhead.training.examples import Example
from levelhead.training.loss import rescaled_loss
from levelhead.training.optional import base_class
from levelhead.training.resampled import Resampled
from levelhead.training.settings import CSDSettings
from levelhead.training.skew_epochs import SkewEpochs

TrainerCallback: Any = base_class("TrainerCallback")


class SkewCallback(TrainerCallback):
    """Ask the model and draw before every epoch, and save that with each checkpoint: `SkewEpochs` for any Trainer.

    `CSDTrainer` is made of it. A gradient that is not finite ends training before it gets into the weights.

    Parameters
    ----------
    examples : sequence of Example
    skews : Assignments, or callable
        As in `SkewEpochs`.
    settings : CSDSettings, optional
    random_state : int
        Of the sampler.
    catch : bool
        Take the Skews of a batch from what the model is called with, where transformers' Trainer shows a loss function the
        labels alone. The hook comes off the model when training ends, or by `let_go` where it was broken off.

    Attributes
    ----------
    epochs : SkewEpochs

    Examples
    --------
    With transformers' own Trainer; the loss is then a mean over answer tokens, where `CSDTrainer` takes the source's mean
    over examples, and a checkpoint that is broken off is for the user to tell::

        csd = SkewCallback(examples, Assignments(model, records, processor=processor))
        args = TrainingArguments(out, train_sampling_strategy="sequential")
        Trainer(model, args, train_dataset=csd.dataset, data_collator=Collator(model, processor), callbacks=[csd],
                compute_loss_func=csd.loss).train()
    """

    def __init__(
        self,
        examples: Sequence[Example],
        skews: Any = None,
        settings: CSDSettings | None = None,
        *,
        random_state: int = 0,
        catch: bool = True,
    ) -> None:
        super().__init__()
        self.epochs = SkewEpochs(examples, skews, settings, random_state=random_state)
        self.resume_from: Path | None = None
        self._pending: dict[str, Any] | None = None
        self._catch = catch
        self._handle: Any = None
        self._caught: Tensor | None = None

    @property
    def dataset(self) -> Resampled:
        """For ``train_dataset=``, to be gone through in sequence."""
        return self.epochs.dataset

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        """Start anew, or from the checkpoint that the Trainer resumes from."""
        self.let_go()
        if args.dataloader_num_workers and args.dataloader_persistent_workers:
            raise InputError(
                "workers that live on keep the first epoch's samples; set dataloader_persistent_workers=False"
            )
        if self._catch:
            self._handle = model.register_forward_pre_hook(self._take, with_kwargs=True)
        self._pending = None
        if state.global_step:
            at = self.resume_from or Path(args.output_dir) / f"checkpoint-{state.global_step}"
            self._pending = checkpoint.facts_of(at)
        else:
            self.epochs.reset()

    def on_epoch_begin(
        self, args: Any, state: Any, control: Any, model: Any = None, train_dataloader: Any = None, **_: Any
    ) -> None:
        """Ask and draw, or take up the epoch that was broken off."""
        steps = max(math.ceil(len(train_dataloader) / args.gradient_accumulation_steps), 1)
        epoch = state.global_step // steps
        if self._pending is not None:
            facts, self._pending = self._pending, None
            if facts["epoch"] not in (epoch, epoch - 1):
                raise FileError(
                    f"the checkpoint was written in epoch {facts['epoch']}, and step {state.global_step} would be in epoch {epoch}: "
                    "train with the same batch size and accumulation, or start anew"
                )
            self.epochs.load_state_dict(facts)
            if facts["epoch"] == epoch:
                return
        row = self.epochs.begin(epoch, model)
        state.log_history.append({**row, "step": state.global_step})

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        """Stop before a gradient that is not finite gets into the weights."""
        if args.fp16:
            return  # whose scaler finds and skips such steps by itself
        grads = [p.grad for p in model.parameters() if p.grad is not None]
        if grads and not bool(torch.isfinite(get_total_norm(grads, math.inf))):
            raise diverged("a gradient", state.global_step + 1, args.learning_rate)

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Put the sampler's state into the checkpoint, as what makes it whole."""
        checkpoint.seal(Path(args.output_dir) / f"checkpoint-{state.global_step}", self.epochs.state_dict())

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Leave the model without a hook."""
        self.let_go()

    def let_go(self) -> None:
        """Take the hook off the model, where one is on it."""
        if self._handle is not None:
            self._handle.remove()
        self._handle = self._caught = None

    def _take(
        self, module: Any, args: tuple[Any, ...], given: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        self._caught = given.pop("skew", None)
        return args, given

    def loss(self, outputs: Any, labels: Tensor, num_items_in_batch: Any = None) -> Float[Tensor, ""]:
        """For ``compute_loss_func=`` of transformers' Trainer: the rescaled loss of a batch.

        Parameters
        ----------
        outputs : ModelOutput
            With ``logits``.
        labels : Int[Tensor, "row token"]
        num_items_in_batch : Tensor or int, optional
            Answer tokens of the whole batch, as the Trainer counts them.

        Returns
        -------
        Float[Tensor, ""]

        Raises
        ------
        InputError
            If the batch was not collated by `Collator`, or the loss is not finite.
        """
        if self._caught is None:
            raise InputError(
                "the batch has no Skews: collate with levelhead's Collator, and give this callback to the Trainer"
            )
        found = rescaled_loss(
            outputs.logits, labels, self._caught, over=self.epochs.settings.over, num_items=num_items_in_batch
        )
        check_finite(found)
        return found


def diverged(what: str, step: int | None = None, lr: float | None = None) -> InputError:
    """The error for a training run that comes apart."""
    where = "" if step is None else f" of step {step}"
    rate = "the learning rate" if lr is None else f"lr={lr:g}"
    return InputError(
        f"{what}{where} is NaN or infinite, and did not get into the weights: lower {rate}, set clip= for the weights of the loss, "
        "or train in float32 or bfloat16. The last checkpoint is whole"
    )


def check_finite(loss: Tensor, step: int | None = None, lr: float | None = None) -> None:
    """Refuse a loss that is NaN or infinite."""
    if not bool(torch.isfinite(loss.detach())):
        raise diverged("the loss", step, lr)
