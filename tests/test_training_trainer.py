"""CSDTrainer, the callback on the plain Trainer, the collator, freezing: what a step learns from, and what it leaves alone."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader
from transformers import Trainer, TrainingArguments

import levelhead as lh
from levelhead.data.records import ImageRecord
from levelhead.errors import FileError, InputError
from levelhead.testbed.model import Size, build, processor
from levelhead.testbed.records import wrap
from levelhead.training.callback import SkewCallback
from levelhead.training.checkpoint import MARK
from levelhead.training.collate import Collator
from levelhead.training.examples import Example
from levelhead.training.freezing import frozen_names
from levelhead.training.loss import rescaled_loss
from levelhead.training.settings import CSDSettings
from levelhead.training.skew_epochs import SkewEpochs, judging
from levelhead.training.skews import Assignments
from levelhead.training.trainer import CSDTrainer

pytest.importorskip("accelerate")
pytestmark = pytest.mark.usefixtures("few_objects")

READS = processor()
TINY = Size(16, 1, 2, 16, 2, 2, 1, 32)
CONCEPTS = ("science", "arts")


def picture(seed: int) -> Any:
    from PIL import Image

    return Image.fromarray(np.random.default_rng(seed).integers(0, 255, (96, 96, 3), dtype=np.uint8))


RECORDS = [
    ImageRecord(
        id=str(i),
        image=picture(i),
        groups={"gender": ("man", "woman")[i % 2]},
        concept=CONCEPTS[i // 2 % 2],
        set_id=str(i // 4),
    )
    for i in range(8)
]
EXAMPLES = [
    Example(
        id=r.id, prompt=f"is the person {r.concept}?", answer="yes", image=r.image, concept=r.concept, groups=r.groups
    )
    for r in RECORDS
]


def model_of(seed: int = 0) -> Any:
    return build(TINY, seed)


def arguments(out: Path, **more: Any) -> Any:
    return TrainingArguments(
        **{
            "output_dir": str(out),
            "per_device_train_batch_size": 4,
            "num_train_epochs": 1,
            "learning_rate": 1e-2,
            "save_strategy": "no",
            "report_to": "none",
            "disable_tqdm": True,
            "optim": "adamw_torch",
            "lr_scheduler_type": "constant",
            "dataloader_pin_memory": False,
            **more,
        }
    )


def trainer_of(model: Any, out: Path, skews: Any, examples: Any = EXAMPLES, **more: Any) -> CSDTrainer:
    settings = more.pop("settings", None)
    options = {name: more.pop(name) for name in ("eval_dataset", "data_collator", "freeze") if name in more}
    options = {"data_collator": Collator(model, READS, wrap=wrap), **options}
    made = CSDTrainer(model, arguments(out, **more), train_dataset=examples, skews=skews, settings=settings, **options)
    from transformers.trainer_callback import PrinterCallback

    made.remove_callback(PrinterCallback)
    return made


def weights_of(model: Any) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in model.parameters()]


def test_one_step_is_that_of_a_loop_written_by_hand(tmp_path: Path) -> None:
    skews = np.linspace(-1, 1, len(EXAMPLES))
    settings = CSDSettings(resample=False)
    model, own = model_of(), model_of()
    trained = trainer_of(
        model, tmp_path, lambda: skews, settings=settings, per_device_train_batch_size=8, max_grad_norm=0.0, optim="sgd",
        logging_steps=1,
    )  # fmt: skip
    trained.train()
    encoded = READS(
        text=[f"<image> is the person {e.concept}? yes</s>" for e in EXAMPLES],
        images=[e.image for e in EXAMPLES],
        return_tensors="pt",
    )
    own.train()
    optimizer = torch.optim.SGD(own.parameters(), lr=1e-2)
    logprobs = own(**encoded).logits.log_softmax(-1)
    last = encoded["input_ids"].shape[1] - 1
    loss = torch.zeros(())
    for i, skew in enumerate(skews):
        said = sum(logprobs[i, at - 1, encoded["input_ids"][i, at]] for at in (last - 1, last))
        loss = loss - math.exp(-skew) * said / len(skews)
    loss.backward()
    optimizer.step()
    for found, expected in zip(weights_of(model), weights_of(own), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-5)
    (logged,) = [row["loss"] for row in trained.state.log_history if "loss" in row]
    assert logged == pytest.approx(float(loss.detach()), rel=1e-4)


def test_accumulated_gradients_are_those_of_the_whole_batch(tmp_path: Path) -> None:
    # SGD, since Adam's first step hides the size of a gradient; 3 leaves an uneven last part.
    found = []
    for size, parts in ((8, 1), (3, 3)):
        model = model_of()
        made = trainer_of(
            model, tmp_path, lambda: np.linspace(-1, 1, 8), per_device_train_batch_size=size,
            gradient_accumulation_steps=parts, optim="sgd", max_grad_norm=0.0,
        )  # fmt: skip
        made.train()
        assert made.state.global_step == 1
        found.append(weights_of(model))
    for whole, apart in zip(*found, strict=True):
        torch.testing.assert_close(whole, apart, rtol=1e-4, atol=1e-6)


def test_the_skew_is_asked_before_every_epoch_of_the_model_as_it_is_then(tmp_path: Path) -> None:
    model = model_of()
    model.model.vision_tower.train(False)
    seen: list[tuple[bool, bool, float]] = []
    first = next(model.parameters())

    def skews() -> np.ndarray:
        seen.append((any(m.training for m in model.modules()), torch.is_grad_enabled(), float(first.detach().sum())))
        return np.where(np.arange(8) < 4, 0.9, -0.9) * (1 if len(seen) < 3 else 0)

    made = trainer_of(model, tmp_path, skews, num_train_epochs=3)
    made.train()
    assert [each[:2] for each in seen] == [(False, False)] * 3
    assert len({each[2] for each in seen}) == 3  # the weights had moved in between
    assert [row["epoch"] for row in made.skew_history] == [0, 1, 2]
    assert made.skew_history[0]["copies"] > 0
    assert made.skew_history[0]["dropped"] > 0 == made.skew_history[2]["dropped"]
    assert [row["kept"] for row in made.state.log_history if "kept" in row] == [r["kept"] for r in made.skew_history]


def test_skews_of_assignments_reach_the_right_examples(tmp_path: Path) -> None:
    model = model_of()
    asked = Assignments(model, RECORDS, processor=READS, wrap=wrap)
    examples = [*EXAMPLES, Example(id="aside", prompt="is the person arts?", answer="no", image=RECORDS[0].image)]
    epochs = SkewEpochs(examples, asked, CSDSettings(resample=False))
    row = epochs.begin(0, model)
    yes = asked()
    for record, skew in zip(RECORDS, epochs.dataset.skews, strict=False):
        rates = {
            group: np.mean(
                [
                    y
                    for y, r in zip(yes, RECORDS, strict=True)
                    if (r.concept, r.groups["gender"]) == (record.concept, group)
                ]
            )
            for group in ("man", "woman")
        }
        assert skew == pytest.approx(math.log(rates[record.groups["gender"]] / np.mean(list(rates.values()))), abs=0.02)
    assert epochs.dataset.skews[-1] == 0
    assert row["min_skew"] < 0 < row["max_skew"]


def test_settings_of_the_weights_and_of_the_estimates() -> None:
    skews = np.linspace(-3, 1, 8)
    asked: list[int] = []
    epochs = SkewEpochs(
        EXAMPLES, lambda: asked.append(1) or skews, CSDSettings(clip=5.0, normalize=True, every=2, length=20)
    )
    rows = [epochs.begin(epoch) for epoch in range(3)]
    assert len(asked) == 2 and all(row["kept"] + row["copies"] == len(epochs.dataset) == 20 for row in rows)
    clipped = np.minimum(np.exp(-skews), 5.0)
    np.testing.assert_allclose(np.exp(-epochs.dataset.skews), clipped / clipped.mean())


def test_what_is_frozen_stays_and_the_rest_moves(tmp_path: Path) -> None:
    model = model_of()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    trainer_of(model, tmp_path, lambda: np.zeros(8), freeze=["vision/*", "projector"]).train()
    moved = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert moved and all("language_model" in name or "lm_head" in name for name in moved)


def test_workers_that_would_keep_the_first_epoch_are_refused(tmp_path: Path) -> None:
    made = trainer_of(
        model_of(), tmp_path, lambda: np.zeros(8), dataloader_num_workers=1, dataloader_persistent_workers=True
    )
    with pytest.raises(InputError, match="set dataloader_persistent_workers=False"):
        made.train()


def test_the_plain_trainer_with_the_callback_learns_the_same_up_to_the_divisor(tmp_path: Path) -> None:
    skews = np.linspace(-1, 1, 8)
    found = []
    for plain in (False, True):
        model = model_of()
        if plain:
            csd = SkewCallback(EXAMPLES, lambda: skews, random_state=42)  # transformers' own default
            # Two answer tokens for each example: its sum over tokens is divided by twice as much.
            args = arguments(
                tmp_path, optim="sgd", max_grad_norm=0.0, learning_rate=2e-2, train_sampling_strategy="sequential"
            )
            made = Trainer(model, args, train_dataset=csd.dataset, data_collator=Collator(model, READS, wrap=wrap),
                           callbacks=[csd], compute_loss_func=csd.loss)  # fmt: skip
            made.pop_callback(made.callback_handler.callbacks[-1])
        else:
            made = trainer_of(model, tmp_path, lambda: skews, optim="sgd", max_grad_norm=0.0)
        made.train()
        assert not model._forward_pre_hooks
        found.append(weights_of(model))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_a_loop_of_ones_own() -> None:
    model = model_of()
    epochs = SkewEpochs(EXAMPLES, Assignments(model, RECORDS, processor=READS, wrap=wrap))
    collator = Collator(model, READS, wrap=wrap)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    losses = []
    for epoch in range(2):
        epochs.begin(epoch, model)
        for batch in DataLoader(epochs.dataset, batch_size=4, collate_fn=collator):
            labels, skews = batch.pop("labels"), batch.pop("skew")
            loss = rescaled_loss(model(**batch).logits, labels, skews)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]


def test_evaluation_is_by_the_plain_loss_and_in_the_history(tmp_path: Path) -> None:
    model = model_of()
    made = trainer_of(model, tmp_path, lambda: np.full(8, -2.0), eval_dataset=EXAMPLES[:4], prediction_loss_only=True)
    loss = made.evaluate()["eval_loss"]
    with torch.no_grad():
        batch = Collator(model, READS, wrap=wrap)(EXAMPLES[:4])
        logits = model(**{name: batch[name] for name in batch if name not in ("labels", "skew")}).logits
        own = model.loss_function(logits, batch["labels"], vocab_size=logits.shape[-1])
    assert loss == pytest.approx(2 * float(own), rel=1e-4)  # a sum over two tokens, and transformers' mean


@pytest.mark.parametrize("bad", ["loss", "gradient"])
def test_what_is_not_finite_ends_training_and_stays_out_of_the_weights(tmp_path: Path, bad: str) -> None:
    model = model_of()
    before = weights_of(model)
    made = trainer_of(model, tmp_path, lambda: np.zeros(8))
    if bad == "loss":
        model.register_forward_hook(lambda m, a, out: out.__setitem__("logits", out.logits * torch.nan) or out)
    else:
        next(iter(model.parameters())).register_hook(lambda grad: grad * torch.inf)
    with pytest.raises(InputError, match=r"(the loss|a gradient) of step 1 is NaN or infinite.*lower lr=0\.01"):
        made.train()
    assert all(torch.equal(one, other) for one, other in zip(before, weights_of(model), strict=True))


def test_a_checkpoint_resumes_a_model_whose_names_change_on_disk(tmp_path: Path) -> None:
    whole, part, again = model_of(), model_of(), model_of(1)
    options: dict[str, Any] = {"num_train_epochs": 2, "save_strategy": "steps", "save_steps": 1, "max_steps": 4}
    trainer_of(whole, tmp_path / "whole", lambda: np.zeros(8), **options).train()
    broken = trainer_of(part, tmp_path / "part", lambda: np.zeros(8), **options)
    step = broken.training_step
    broken.training_step = lambda *a, **k: (
        step(*a, **k) if broken.state.global_step < 3 else (_ for _ in ()).throw(OSError)
    )
    with pytest.raises(OSError):
        broken.train()
    half = tmp_path / "part" / "checkpoint-9"
    half.mkdir()
    (half / "trainer_state.json").write_text("{")  # the writing of it was broken off
    assert (tmp_path / "part" / "checkpoint-3" / MARK).is_file()
    trainer_of(again, tmp_path / "part", lambda: np.zeros(8), **options).train(resume_from_checkpoint=True)
    assert all(torch.equal(one, other) for one, other in zip(weights_of(whole), weights_of(again), strict=True))


def test_without_a_whole_checkpoint_there_is_nothing_to_resume(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="no whole checkpoint"):
        trainer_of(model_of(), tmp_path, lambda: np.zeros(8)).train(resume_from_checkpoint=True)


@pytest.mark.parametrize(
    ("skews", "message"),
    [(lambda: np.zeros(3), "one Skew for each of 8"), (lambda: np.full(8, np.nan), "example '0' is not finite")],
)
def test_skews_that_do_not_fit(tmp_path: Path, skews: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        trainer_of(model_of(), tmp_path, skews).train()


def test_settings_and_examples_that_make_no_sense(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the list is empty"):
        SkewEpochs([], lambda: [])
    with pytest.raises(InputError, match="skews= is needed"):
        SkewEpochs(EXAMPLES)
    with pytest.raises(InputError, match="tau1"):
        CSDSettings(tau1=0)
    with pytest.raises(InputError, match="has a loss of its own"):
        CSDTrainer(model_of(), None, train_dataset=EXAMPLES, processing_class=READS, compute_loss_func=print)


# -- batches ---------------------------------------------------------------------------------------------


def test_labels_are_on_the_answer_alone_and_pads_are_on_the_right() -> None:
    model = model_of()
    collator = Collator(model, READS, wrap=wrap)
    longer = Example(id="long", prompt="is the person a good student in this room?", answer="no", image=picture(99))
    batch = collator([EXAMPLES[0], longer])
    tokens = READS.tokenizer.convert_ids_to_tokens
    for row, answer in enumerate(("yes", "no")):
        learned = batch["labels"][row] != -100
        assert tokens(batch["input_ids"][row][learned].tolist()) == [answer, "</s>"]
        assert torch.equal(batch["labels"][row][learned], batch["input_ids"][row][learned])
        real = batch["attention_mask"][row].bool()
        assert bool(real[0]) and int(learned.nonzero()[-1]) == int(real.nonzero()[-1])
    assert not batch["attention_mask"][0, -1]
    alone = model(**{k: v for k, v in collator([EXAMPLES[0]]).items() if k not in ("labels", "skew")}).logits
    both = model(**{k: v for k, v in batch.items() if k not in ("labels", "skew")}).logits
    torch.testing.assert_close(both[0, : alone.shape[1]], alone[0])


def test_a_picture_is_prepared_once_and_its_tensors_are_kept_once() -> None:
    model = model_of()
    collator = Collator(model, READS, wrap=wrap)
    prepared: list[int] = []
    encode = collator.graph.encode
    collator.graph.encode = lambda inputs, *a: prepared.append(len(inputs)) or encode(inputs, *a)
    other = Example(id="other", prompt="is the person arts?", answer="no", image=EXAMPLES[0].image)
    first = collator([EXAMPLES[0], other])
    again = collator([other, EXAMPLES[0]])
    assert len(prepared) == 2
    assert torch.equal(first["pixel_values"], again["pixel_values"].flip(0))
    kept = [row.picture["pixel_values"].data_ptr() for row in collator._rows.values()]
    assert len(kept) == 2 and len(set(kept)) == 1
    nothing = Collator(model, READS, wrap=wrap, kept=0)
    nothing([EXAMPLES[0]])
    assert not nothing._rows


@pytest.mark.parametrize(
    ("example", "options", "message"),
    [
        (Example(id="x", prompt="is it?", answer="qwertz"), {}, "does not know the answer 'qwertz' of example 'x'"),
        (EXAMPLES[3], {"max_length": 20}, "example '3' has .* tokens before its answer"),
        (Example(id="y", prompt="is it?", answer="yes", image="nowhere.png"), {}, "example 'y': cannot read"),
    ],
)
def test_examples_that_cannot_be_learned_are_named(example: Example, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Collator(model_of(), READS, wrap=wrap, **options)([example])


def test_answers_are_checked_before_training_begins(tmp_path: Path) -> None:
    bad = Example(id="x", prompt="is it?", answer="qwertz", image=picture(1))
    with pytest.raises(InputError, match="of example 'x'"):
        trainer_of(model_of(), tmp_path, lambda: np.zeros(2), examples=[EXAMPLES[0], bad])


# -- freezing, modes -------------------------------------------------------------------------------------


def test_patterns_name_parts_of_a_model() -> None:
    model = model_of()
    names = {name for name, _ in model.named_parameters()}
    vision = {name for name in names if "vision_tower" in name}
    assert frozen_names(model, ["vision/*"]) == vision
    assert frozen_names(model, ["projector"]) == {name for name in names if "projector" in name}
    assert frozen_names(model, ["language/*"]) == {
        name for name in names if "language_model" in name or "lm_head" in name
    }
    assert frozen_names(model, ["*layers.0.mlp*"]) < names
    with pytest.raises(InputError, match=r"covers no parameter.*patterns are vision"):
        frozen_names(model, ["visoin/*"])
    with pytest.raises(InputError, match="nothing is left to train"):
        frozen_names(model, ["*"])


def test_modes_are_put_back_one_by_one() -> None:
    model = model_of().train()
    model.model.vision_tower.eval()
    with judging(model):
        assert not any(module.training for module in model.modules())
    assert model.training and not model.model.vision_tower.training and model.lm_head.training


def test_the_collator_reads_what_the_graph_reads() -> None:
    model = model_of()
    assert (
        Collator(lh.graph(model, READS), wrap=wrap)([EXAMPLES[0]]).keys()
        == Collator(model, READS, wrap=wrap)([EXAMPLES[0]]).keys()
    )
