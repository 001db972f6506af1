"""Examples as batches: prompt, picture and answer as tensors, with labels on the answer alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from levelhead.data.records import open_picture
from levelhead.errors import InputError
from levelhead.graph import Graph, graph
from levelhead.likelihood import Continuations, continued, tokenizer_of
from levelhead.metrics.decisions.asking import Wrap, wrapped
from levelhead.training.examples import Example
from levelhead.training.loss import IGNORED
from levelhead.training.resampled import Drawn


@dataclass(frozen=True)
class _Row:
    """One example, prepared.

    Attributes
    ----------
    text : dict of str to Tensor
        Tensors with a number for each token, [1, token].
    picture : dict of str to Tensor
        All others; shared by the examples of one picture.
    start : int
        Where the answer begins.
    """

    text: dict[str, Tensor]
    picture: dict[str, Tensor]
    start: int


class Collator:
    """Examples to the batch that a model is trained on, padded on the right.

    Every pair of picture and prompt is prepared once, and the tensors of one picture are kept once, as long as there is room.

    Parameters
    ----------
    model_or_graph : transformers model, peft model, or Graph
        Only asked for how it reads.
    processor : tokenizer or processor, optional
        Where the model does not bring its own.
    wrap : {"raw", "chat"} or callable
        As in `levelhead.metrics.decisions.Choices`; the same as in `Assignments`.
    end : bool
        Learn the end of the answer too, where the tokenizer has a token for it.
    max_length : int, optional
        Tokens of a row, beyond which an example is refused; the tokenizer's own limit when left out.
    kept : int
        Bytes of prepared examples that are kept.
    """

    def __init__(
        self,
        model_or_graph: Any,
        processor: Any = None,
        *,
        wrap: Wrap = "raw",
        end: bool = True,
        max_length: int | None = None,
        kept: int = 2**30,
    ) -> None:
        base = getattr(model_or_graph, "get_base_model", None)
        self.graph: Graph = graph(base() if callable(base) else model_or_graph, processor)
        self.tokenizer = tokenizer_of(self.graph)
        self.wrap: Wrap = wrap
        self.end, self.kept = end, kept
        limit: Any = getattr(self.tokenizer, "model_max_length", None) if max_length is None else max_length
        self.max_length = int(limit) if limit is not None and limit < 2**31 else 2**31
        self._rows: dict[tuple[Any, ...], _Row] = {}
        self._pictures: dict[Any, tuple[Any, dict[str, Tensor]]] = {}
        self._bytes = 0

    def __call__(self, samples: Sequence[Example | Drawn]) -> dict[str, Tensor]:
        """Make a batch.

        Parameters
        ----------
        samples : sequence of Example or Drawn

        Returns
        -------
        dict of str to Tensor
            What the model reads, on the CPU; ``labels`` [row, token], -100 but for answers; ``skew`` [row], 0 where a sample
            came without one.

        Raises
        ------
        InputError
            If an answer is empty, unknown to the tokenizer, or would be cut off; if pictures make tensors of several shapes.
        """
        examples = [sample.example if isinstance(sample, Drawn) else sample for sample in samples]
        rows = [self._row(example) for example in examples]
        longest = max(row.text["input_ids"].shape[1] for row in rows)
        batch = {name: torch.cat([self._padded(name, row.text, longest) for row in rows]) for name in rows[0].text}
        for name in rows[0].picture:
            parts = [row.picture.get(name) for row in rows]
            if any(part is None or part.shape[1:] != rows[0].picture[name].shape[1:] for part in parts):
                raise InputError(
                    f"the pictures of examples {[e.id for e in examples]} make '{name}' of several shapes, which do not fit into one "
                    "batch; train with batch=1 and accumulate="
                )
            batch[name] = torch.cat([part for part in parts if part is not None])
        labels = torch.full((len(rows), longest), IGNORED)
        for i, row in enumerate(rows):
            ids = row.text["input_ids"][0]
            labels[i, row.start : len(ids)] = ids[row.start :]
        batch["labels"] = labels
        skews = [sample.skew if isinstance(sample, Drawn) else 0.0 for sample in samples]
        batch["skew"] = torch.tensor(skews, dtype=torch.float32)
        return batch

    def check(self, examples: Sequence[Example]) -> None:
        """Tokenize every answer and look for the ones that cannot be learned, without reading a picture.

        Parameters
        ----------
        examples : sequence of Example

        Raises
        ------
        InputError
            Naming the first such example.
        """
        seen: set[tuple[str, str]] = set()
        for example in examples:
            if (example.prompt, example.answer) not in seen:
                seen.add((example.prompt, example.answer))
                self._answer(example, wrapped(example.prompt, None, "raw", self.graph))

    def _padded(self, name: str, text: Mapping[str, Tensor], longest: int) -> Tensor:
        value = text[name]
        filler: Any = 0
        if name == "input_ids":
            filler = self.tokenizer.pad_token_id
            filler = self.tokenizer.eos_token_id if filler is None else filler
        return pad(value, (0, longest - value.shape[1]), value=filler or 0)

    def _row(self, example: Example) -> _Row:
        picture = _named(example.image)
        key = (picture, example.prompt, example.answer)
        if key in self._rows:
            return self._rows[key]
        image: Any = example.image
        if image is not None and not isinstance(image, str | Path) and getattr(image, "mode", None) != "RGB":
            image = open_picture(image)
        prompt = wrapped(example.prompt, image, self.wrap, self.graph)
        answer = self._answer(example, prompt)
        try:
            encoded = {name: value.cpu() for name, value in self.graph.encode([prompt]).items()}
        except InputError as error:
            raise InputError(f"example '{example.id}': {error}") from error
        start = encoded["input_ids"].shape[1]
        if start + len(answer) > self.max_length:
            raise InputError(
                f"example '{example.id}' has {start} tokens before its answer and {len(answer)} in it, more than {self.max_length}: "
                "the answer would be cut off and nothing be learned; shorten the prompt, or raise max_length="
            )
        longer = {name: value.cpu() for name, value in continued(self.graph, encoded, [answer]).items()}
        shape = longer["input_ids"].shape
        text = {name: value for name, value in longer.items() if value.shape == shape}
        row = _Row(text, {name: value for name, value in longer.items() if name not in text}, start)
        return self._keep(key, example.image, row)

    def _keep(self, key: tuple[Any, ...], image: Any, row: _Row) -> _Row:
        """Keep a row while there is room, and one copy of what several rows have of the same picture."""
        _, shared = self._pictures.get(key[0], (None, {}))
        same = shared.keys() == row.picture.keys() and all(
            value.shape == shared[name].shape and torch.equal(value, shared[name])
            for name, value in row.picture.items()
        )
        if same:
            row = _Row(row.text, shared, row.start)
        size = sum(value.nbytes for value in row.text.values())
        size += 0 if same else sum(value.nbytes for value in row.picture.values())
        if self._bytes + size <= self.kept:
            self._bytes += size
            self._rows[key] = row
            # With the picture itself, since it is known by its id, which another one could get.
            self._pictures[key[0]] = (image, row.picture)
        return row

    def _answer(self, example: Example, prompt: Any) -> list[int]:
        """Tokens of an answer as they follow on its prompt, and of its end."""
        if not example.answer.strip():
            raise InputError(f"example '{example.id}' has an empty answer, and so no label to learn; leave it out")
        spaced = self.wrap == "chat" or example.prompt.endswith((" ", "\n")) or example.answer.startswith((" ", "\n"))
        answer = example.answer if spaced else f" {example.answer}"
        try:
            found = list(Continuations(self.graph, [prompt], [[answer]]).tokens[0][0])
        except InputError as error:
            raise InputError(f"example '{example.id}' has nothing to learn: {error}") from error
        unknown = getattr(self.tokenizer, "unk_token_id", None)
        if unknown is not None and unknown in found:
            raise InputError(
                f"the tokenizer does not know the answer {example.answer!r} of example '{example.id}': it becomes "
                f"{self.tokenizer.convert_ids_to_tokens(found)}; take other answers, or another model"
            )
        finish = self.tokenizer.eos_token_id if self.end else None
        return found if finish is None else [*found, int(finish)]


def _named(image: Any) -> Any:
    """What a picture is known by: its path, or its identity as an object."""
    return str(image) if isinstance(image, str | Path) else None if image is None else id(image)
