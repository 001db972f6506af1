"""Tokens: the arithmetic of readers and scopes, against readings of the definitions one position at a time."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from levelhead import operators
from levelhead.errors import InputError
from levelhead.sites import Site
from levelhead.tokens import PICTURE_SCOPES, SCOPES, Layout, check_reader, check_scope, choose, choose_patches

PICTURE = 60
fast = settings(deadline=None, max_examples=60)


@dataclass
class Run:
    """Padded prompts of P columns, and the new tokens after them."""

    prompt: int
    ids: Tensor
    mask: Tensor

    @property
    def ends_together(self) -> bool:
        return bool(self.mask[:, self.prompt - 1].all())

    def pass_of(self, start: int, stop: int) -> dict[str, Any]:
        run = operators.new_run((PICTURE,), self.prompt)
        call = {
            "input_ids": self.ids[:, start:stop],
            "attention_mask": self.mask[:, :stop],
            "past_key_values": SimpleNamespace(get_seq_length=lambda: start),
        }
        return operators.open_pass(call, run)

    def covered(self, scope: str, row: int, place: int) -> bool:
        """The definition of each scope, read off one position."""
        if not self.mask[row, place]:
            return False
        last = max(p for p in range(self.prompt) if self.mask[row, p])
        image = place < self.prompt and int(self.ids[row, place]) == PICTURE
        return {
            "all": True,
            "prompt": place < self.prompt,
            "generated": place >= self.prompt or place == last,
            "continuation": place >= self.prompt,
            "image": image,
            "text": not image,
            "last": place == last,
        }[scope]


@st.composite
def any_run(draw: st.DrawFn) -> Run:
    lengths = draw(st.lists(st.integers(1, 6), min_size=1, max_size=3))
    new, prompt = draw(st.integers(0, 3)), max(lengths)
    left = draw(st.booleans())
    ids = torch.tensor([[draw(st.sampled_from([5, 6, PICTURE])) for _ in range(prompt + new)] for _ in lengths])
    mask = torch.ones_like(ids)
    for row, length in enumerate(lengths):
        pads = slice(0, prompt - length) if left else slice(length, prompt)
        mask[row, pads] = 0
    return Run(prompt, ids, mask)


# -- scopes --------------------------------------------------------------------------------------------


@given(any_run(), st.data())
@fast
def test_each_scope_covers_the_positions_of_its_definition(run: Run, data: st.DataObject) -> None:
    total = run.ids.shape[1]
    start = data.draw(st.integers(0, total - 1))
    # Part of a prompt cannot tell where rows that are padded on the right will end.
    stop = data.draw(st.integers(start + 1 if run.ends_together else max(start + 1, run.prompt), total))
    for scope in SCOPES:
        found = operators.mask_of(scope, run.pass_of(start, stop))
        expected = [[run.covered(scope, row, p) for p in range(start, stop)] for row in range(len(run.ids))]
        assert torch.as_tensor(found).expand(len(run.ids), stop - start).tolist() == expected, scope


@given(any_run())
@fast
def test_a_pass_in_pieces_covers_what_one_pass_covers(run: Run) -> None:
    """Trap 11: cached decoding, token by token, and prompts that are read in chunks."""
    total = run.ids.shape[1]
    for scope in SCOPES:
        whole = torch.as_tensor(operators.mask_of(scope, run.pass_of(0, total))).expand(run.ids.shape)
        pieces = [
            torch.as_tensor(operators.mask_of(scope, run.pass_of(p, p + 1))).expand(len(run.ids), 1)
            for p in range(total)
        ]
        if run.ends_together:
            assert torch.equal(torch.cat(pieces, dim=1), whole), scope


def test_without_an_attention_mask_every_token_is_real_and_the_first_pass_is_the_prompt() -> None:
    run = operators.new_run()
    now = operators.open_pass({"input_ids": torch.ones(2, 4, dtype=torch.long)}, run)
    assert operators.mask_of("all", now) is True
    assert operators.mask_of("continuation", now) is False
    assert operators.mask_of("last", now).tolist() == [[False, False, False, True]] * 2
    assert run["prompt"] == 4
    later = operators.open_pass({"inputs_embeds": torch.zeros(2, 1, 8), "past_key_values": cache_of(4)}, run)
    assert [scope for scope in SCOPES if operators.mask_of(scope, later)] == [
        "all",
        "generated",
        "continuation",
        "text",
    ]


def cache_of(length: int) -> Any:
    return SimpleNamespace(get_seq_length=lambda: length)


def test_an_unknown_scope_and_one_without_pictures_are_refused() -> None:
    with pytest.raises(InputError, match=r"unknown scope 'promt'; scopes are all, prompt, generated"):
        check_scope("promt")
    for scope in SCOPES:
        if scope in PICTURE_SCOPES:
            assert check_scope(scope, Site("projector")) == scope
        else:
            with pytest.raises(InputError, match=f"scope '{scope}' holds no picture.*'projector'.*all, prompt, image"):
                check_scope(scope, Site("projector"))


# -- readers -------------------------------------------------------------------------------------------


def rows_of(run: Run) -> list[list[int]]:
    return [[p for p in range(run.prompt) if run.mask[row, p]] for row in range(len(run.ids))]


@given(any_run(), st.integers(-4, 4), st.integers(1, 3))
@fast
def test_each_reader_takes_the_tokens_of_its_definition(run: Run, index: int, width: int) -> None:
    ids, mask = run.ids[:, : run.prompt], run.mask[:, : run.prompt]
    layout = Layout.of({"input_ids": ids, "attention_mask": mask}, (PICTURE,), prompt_length=run.prompt // 2)
    h = torch.randn(*ids.shape, width, dtype=torch.float64)
    h[mask == 0] = float("nan")  # a pad that were read would show
    rows = rows_of(run)
    kept = {
        "all": rows,
        "all:image": [[p for p in row if ids[r, p] == PICTURE] for r, row in enumerate(rows)],
        "all:text": [[p for p in row if ids[r, p] != PICTURE] for r, row in enumerate(rows)],
        "all:answer": [[p for p in row if p >= run.prompt // 2] for row in rows],
    }
    expected: dict[Any, Any] = {
        "last": [h[r, row[-1]] for r, row in enumerate(rows)],
        index: [h[r, row[index]] if -len(row) <= index < len(row) else None for r, row in enumerate(rows)],
    }
    for name, places in kept.items():
        full = all(places)
        expected[name] = [h[r, p] for r, row in enumerate(places) for p in row] if full else [None]
        mean = "mean" if name == "all" else name.removeprefix("all:")
        expected[mean] = [h[r, row].mean(dim=0) for r, row in enumerate(places)] if full else [None]
    for at, vectors in expected.items():
        if any(vector is None for vector in vectors):
            with pytest.raises(InputError, match=f"at='?{at}'? was asked for"):
                choose(at, layout)
        else:
            torch.testing.assert_close(operators.take(h, *choose(at, layout)), torch.stack(vectors))


def test_trap_24_a_batch_of_one_keeps_its_row() -> None:
    layout = Layout.of({"input_ids": torch.tensor([[5, PICTURE, 6]])}, (PICTURE,))
    h = torch.randn(1, 3, 4)
    shapes = {at: tuple(operators.take(h, *choose(at, layout)).shape) for at in ("last", "mean", "image", 0, "all")}
    assert shapes == {"last": (1, 4), "mean": (1, 4), "image": (1, 4), 0: (1, 4), "all": (3, 4)}


def test_a_reader_of_your_own_returns_positions_or_a_mask() -> None:
    mask = torch.tensor([[0, 1, 1], [1, 1, 1]])
    layout = Layout.of({"input_ids": torch.full((2, 3), 5), "attention_mask": mask})
    h = torch.arange(6.0).reshape(2, 3, 1)
    assert operators.take(h, *choose(lambda lay: lay.last - 1, layout)).tolist() == [[1.0], [4.0]]
    everything = choose(lambda lay: torch.ones(2, 3, dtype=torch.bool), layout)
    assert operators.take(h, *everything).tolist() == [[1.0], [2.0], [3.0], [4.0], [5.0]]


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (torch.zeros(3, dtype=torch.long), r"one position a row \[2\] or a mask \(2, 3\); found shape \(3,\)"),
        (torch.zeros(2), r"found shape \(2,\), dtype torch.float32"),
        (torch.tensor([0, 2]), "position 0 in row 0.*pad"),
        (torch.tensor([1, 3]), "position 3 in row 1.*3 tokens"),
        (torch.tensor([1, -1]), "position -1 in row 1"),
    ],
)
def test_a_reader_of_your_own_that_reads_no_token_is_refused(answer: Tensor, says: str) -> None:
    mask = torch.tensor([[0, 1, 1], [1, 1, 1]])
    layout = Layout.of({"input_ids": torch.ones(2, 3, dtype=torch.long), "attention_mask": mask})
    with pytest.raises(InputError, match=says):
        choose(lambda _: answer, layout)


def test_unknown_and_impossible_readers_say_what_can_be_read() -> None:
    with pytest.raises(InputError, match=r"unknown reader at='lats'; read last, mean, all, image, text, answer"):
        check_reader("lats")
    layout = Layout.of({"input_ids": torch.tensor([[5, 6], [7, 8]])}, (PICTURE,))
    with pytest.raises(InputError, match="at=2 was asked for, and the shortest row has 2 tokens"):
        choose(2, layout)
    with pytest.raises(InputError, match="at='image' was asked for, and row 0 of the batch has no such token"):
        choose("image", layout)
    with pytest.raises(InputError, match="end each chat with an assistant message, or pass prompt_length="):
        choose("answer", layout)


# -- picture patches -----------------------------------------------------------------------------------


@given(st.lists(st.integers(1, 3), min_size=1, max_size=4), st.integers(1, 3), st.booleans(), st.integers(-2, 1))
@fast
def test_patches_belong_to_the_examples_in_order(pictures: list[int], each: int, flat: bool, index: int) -> None:
    """Trap 31: with and without a batch dimension."""
    size = 2 * each
    h = torch.randn(sum(pictures), size, 3, dtype=torch.float64)
    rows = list(h.split(pictures))
    ids = torch.full((len(pictures), max(pictures)), 5)
    for row, number in enumerate(pictures):
        ids[row, :number] = PICTURE
    layout = Layout.of({"input_ids": ids}, (PICTURE,))
    taken = {
        at: operators.take_rows(h.flatten(0, 1) if flat else h, *choose_patches(at, layout, Site("projector")))
        for at in ("mean", "all", index)
    }
    torch.testing.assert_close(taken["mean"], torch.stack([row.flatten(0, 1).mean(dim=0) for row in rows]))
    assert torch.equal(taken["all"], h.flatten(0, 1))
    assert torch.equal(taken[index], torch.stack([row.flatten(0, 1)[index] for row in rows]))


def test_text_readers_and_rows_without_a_picture_are_refused_in_the_vision_tower() -> None:
    site = Site("resid_post", 1, tower="vision")
    layout = Layout.of({"input_ids": torch.tensor([[PICTURE, 5], [5, 5]])}, (PICTURE,))
    with pytest.raises(InputError, match=r"'vision/resid_post.1' was asked for, and row 1 of the batch has no picture"):
        choose_patches("mean", layout, site)
    layout = Layout.of({"input_ids": torch.tensor([[PICTURE, 5]])}, (PICTURE,))
    with pytest.raises(InputError, match=r"picture patches and no text tokens, so at='last' reads nothing there"):
        choose_patches("last", layout, site)


# -- memory --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("at", ["last", -2, "mean", "all:image"])
def test_trap_09_what_is_kept_holds_no_more_memory_than_it_needs(at: Any) -> None:
    ids = torch.tensor([[PICTURE, 5, 6, 7]] * 2)
    kept = operators.take(torch.randn(2, 4, 64), *choose(at, Layout.of({"input_ids": ids}, (PICTURE,))))
    assert kept.untyped_storage().nbytes() == kept.numel() * 4
    assert not kept.requires_grad


@pytest.mark.parametrize("mode", ["mean", "each", "1"])
def test_trap_09_patches_hold_no_more_memory_than_they_need(mode: str) -> None:
    h = torch.randn(2, 4, 64, requires_grad=True)
    kept = operators.take_rows(h, mode, [2, 2])
    assert kept.untyped_storage().nbytes() == kept.numel() * 4
    assert kept.data_ptr() != h.data_ptr()
    assert not kept.requires_grad
