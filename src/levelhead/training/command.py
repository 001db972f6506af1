"""``levelhead train``: fine-tune a model on pictures of social concepts, and go on where it was stopped."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from levelhead.console import Console, plainly, typer

if TYPE_CHECKING:
    from levelhead.data.records import ImageRecord
    from levelhead.training.run import Trained


def train(
    method: Annotated[
        str, typer.Option(help="csd, ft (plain fine-tuning), resample or loss (a part of csd each).")
    ] = "csd",
    model: Annotated[str, typer.Option(help="testbed, or the folder of a vision-language model.")] = "testbed",
    data: Annotated[str, typer.Option(help="testbed, or a folder of pictures of social concepts.")] = "testbed",
    out: Annotated[Path, typer.Option(help="Folder of the run; the model ends up in OUT/model.")] = Path(
        "levelhead-train"
    ),
    pattern: Annotated[
        str | None,
        typer.Option(
            help="Labels in the names of picture files: a name of levelhead.data.CMSC_PATTERNS, a template such as "
            "concept/race_gender_age_set, or a regular expression with named groups. A metadata file counts first.",
            show_default="metadata.csv or .jsonl beside them",
        ),
    ] = None,
    ask: Annotated[
        str | None,
        typer.Option(
            help="The question, with {concept} in it; to be answered yes or no.",
            show_default="Is this person ...? in words for each concept; the testbed's model is asked what it was taught",
        ),
    ] = None,
    concept: Annotated[
        list[str] | None,
        typer.Option(help="Train on this concept; may be given again.", show_default="all of the data"),
    ] = None,
    attribute: Annotated[
        list[str] | None,
        typer.Option(
            help="Level Skews over this attribute, such as perceived_gender; may be given again.",
            show_default="all of gender, race or skin, and age that the data have",
        ),
    ] = None,
    epochs: Annotated[int, typer.Option(min=1)] = 3,
    lr: Annotated[
        float,
        typer.Option(
            help="Learning rate at the start; it falls to 0. The paper has 1e-7 to 1e-6 for models of 7B; 5e-5 suits the testbed."
        ),
    ] = 1e-5,
    batch: Annotated[int, typer.Option(help="Examples that go through the model together.", min=1)] = 8,
    accumulate: Annotated[int, typer.Option(help="Batches for a step.", min=1)] = 1,
    lora: Annotated[
        int | None, typer.Option(help="Rank of an adapter.", min=1, show_default="all weights are trained")
    ] = None,
    freeze: Annotated[
        list[str] | None,
        typer.Option(
            help="What stays as it is: 'vision/*', projector, or a pattern of parameters' names; may be given again."
        ),
    ] = None,
    clip: Annotated[float | None, typer.Option(help="Largest weight of a loss.", show_default="none")] = None,
    normalize: Annotated[bool, typer.Option("--normalize", help="Weights of mean 1.")] = False,
    sets: Annotated[int, typer.Option(help="Of the testbed: counterfactual sets for each theme.", min=2)] = 20,
    checkpoint_every: Annotated[
        int | None, typer.Option(help="Steps between checkpoints.", min=1, show_default="an epoch")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of everything that is drawn.", min=0)] = 0,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar.")] = False,
) -> None:
    """Fine-tune a model against its own stereotypes. Ctrl-C stops at a checkpoint; the same command goes on."""
    console = Console()
    with plainly(), _stoppable(console) as stop:
        from levelhead.data.concepts import pictures_of
        from levelhead.demo.stages import Stages
        from levelhead.testbed.concept_records import COUNTERPARTS
        from levelhead.training import checkpoint
        from levelhead.training.examples import concept_examples
        from levelhead.training.run import METHODS
        from levelhead.training.run import train as run
        from levelhead.training.run_folder import CHECKPOINTS, is_finished
        from levelhead.training.settings import CSDSettings
        from levelhead.training.skews import Assignments

        if method not in METHODS:
            raise _wrong("method", method, METHODS)
        stages = Stages(console)
        stages("model")
        tuned, processor, wrap = _model(model)
        stages("pictures")
        records = pictures_of(_records(data, pattern, sets, seed, console), concept)
        question = _question(wrap, data, ask)
        several = len({record.concept for record in records}) > 1
        negatives: Any = COUNTERPARTS if data == "testbed" else int(several)
        examples = concept_examples(records, ask=question, negatives=negatives, seed=seed)
        asked = Assignments(tuned, records, processor=processor, ask=question, attributes=attribute, wrap=wrap)
        resample, rescale = METHODS[method]
        settings = CSDSettings(resample=resample, rescale=rescale, clip=clip, normalize=normalize)
        ended, last = is_finished(out), checkpoint.newest(out / CHECKPOINTS)
        again = ", which has ended before" if ended else "" if last is None else f", going on from {last.name}"
        stages(f"training ({method}, {len(examples):,} examples){again}")
        found = run(
            tuned, examples, asked, out, processor=processor, method=method, settings=settings, wrap=wrap, epochs=epochs, lr=lr,
            batch=batch, accumulate=accumulate, lora=lora, freeze=freeze or (), checkpoint_every=checkpoint_every, seed=seed,
            stop=stop, verbose=not quiet,
        )  # fmt: skip
        stages.done()
        _show(found, console)
        if not found.finished:
            console.print(f"stopped; the same command goes on from the checkpoint in {out}", highlight=False)
            raise typer.Exit(130)


@contextmanager
def _stoppable(console: Console) -> Iterator[Callable[[], bool]]:
    """Ctrl-C asks to stop behind the step that runs; twice, it stops at once."""
    asked: list[int] = []

    def ask(number: int, frame: Any) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)
        console.print("stopping behind this step; press Ctrl-C again to stop at once", highlight=False)

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield lambda: bool(asked)
    finally:
        signal.signal(signal.SIGINT, before)


def _wrong(name: str, found: str, known: Any) -> Exception:
    from levelhead.errors import InputError

    return InputError(f"--{name} is one of {', '.join(known)}; found '{found}'")


def _model(name: str) -> tuple[Any, Any, Any]:
    """A model, what it reads with, and how a question is put to it."""
    from levelhead.errors import FileError
    from levelhead.testbed.records import wrap
    from levelhead.testbed.weights import FACTS, load
    from levelhead.training.undisturbed import quiet_transformers

    if name == "testbed" or (Path(name) / FACTS).is_file():
        bed = load(None if name == "testbed" else name)
        return bed.model, bed.processor, wrap
    if not (Path(name) / "config.json").is_file():
        raise FileError(f"--model is testbed, or the folder of a model; '{name}' has no config.json")
    from transformers import AutoModelForImageTextToText, AutoProcessor

    try:
        with quiet_transformers():
            processor = AutoProcessor.from_pretrained(name)
            model: Any = AutoModelForImageTextToText.from_pretrained(name, dtype="float32")
    except (OSError, ValueError) as error:
        raise FileError(f"'{name}' cannot be loaded as a vision-language model: {error}") from error
    return model.eval(), processor, "chat" if getattr(processor, "chat_template", None) else "raw"


def _records(data: str, pattern: str | None, sets: int, seed: int, console: Console) -> Sequence[ImageRecord]:
    if data == "testbed":
        from levelhead.testbed.concept_records import concept_records

        return concept_records(sets, seed, held_out=False)
    from levelhead.data.concepts import pictures_of
    from levelhead.data.loading import load
    from levelhead.data.sets.cmsc import CMSC_PATTERNS, CONCEPT_FOLDER, name_pattern

    if pattern is not None and "(?P<" not in pattern:
        pattern = CMSC_PATTERNS.get(pattern) or name_pattern(pattern)
    found = load(CONCEPT_FOLDER, os.fspath(data), use="train", pattern=pattern)
    for problem in found.report.warnings:
        some = f" ({problem.places[0]}, ...)" if len(problem.places) > 1 else f" ({', '.join(problem.places)})"
        console.print(
            f"         note: {problem.count:,} x {problem.text}{some}", markup=False, highlight=False, soft_wrap=True
        )
    tables = sorted(path.name for path in Path(data).glob("metadata.*"))
    if pattern is not None and tables:
        said = f"         note: labels are those of {tables[0]}; --pattern only adds what it lacks"
        console.print(said, markup=False, highlight=False, soft_wrap=True)
    return pictures_of(found.records)


def _question(wrap: Any, data: str, ask: str | None) -> Any:
    from levelhead.testbed.records import wrap as testbeds

    if ask is not None:
        return ask
    if data == "testbed" or wrap is testbeds:  # whose model has answers to its own question only
        from levelhead.testbed.concept_records import ASK

        return ASK
    from levelhead.data.concepts import Wording

    return Wording()


def _show(found: Trained, console: Console) -> None:
    from rich.table import Table

    from levelhead.training.card import of_row

    table = Table(
        "epoch",
        "MinSkew@C",
        "MaxSkew@C",
        "yes",
        "kept",
        "dropped",
        "copies",
        title="Skew before each epoch, and at the end",
    )
    for row in found.history:
        if "min_skew" in row:
            counts = [str(row.get(name, "")) for name in ("kept", "dropped", "copies")]
            table.add_row(
                str(row["epoch"]),
                f"{row['min_skew']:+.3f}",
                f"{row['max_skew']:+.3f}",
                f"{row['yes']:.0%}" if "yes" in row else "",
                *counts,
            )
    console.print(table)
    for row in found.history:
        for caution in of_row(row):
            console.print(f"! epoch {row['epoch']}: {caution}", markup=False, highlight=False, soft_wrap=True)
    if found.finished:
        console.print(f"model, with its card: {found.folder}", highlight=False, soft_wrap=True)
