"""Inputs, once and for every graph: strings, chats, token ids and image+text pairs as a dictionary of tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from levelhead.errors import AdapterError, InputError
from levelhead.inputs import check_alike, items_of
from levelhead_transformers.modules import parameters_of


class Batch(dict[str, Tensor]):
    """A plain dictionary of tensors that also remembers which tokens are the assistant's answer.

    Attributes
    ----------
    answer : Bool[Tensor, "row token"] or None
    """

    answer: Tensor | None = None


def encode(model: nn.Module, processor: Any, inputs: Any, padding_side: str, sees: bool) -> Batch:
    """Encode inputs for a model; `sees` says whether it has a vision tower. See `levelhead.graph.Graph.encode`."""
    if padding_side not in ("left", "right"):
        raise InputError(f"padding_side must be 'left' or 'right'; found {padding_side!r}")
    items = items_of(inputs)
    if items is None:
        batch = Batch({name: torch.as_tensor(value) for name, value in inputs.items()})
        batch.answer = getattr(inputs, "answer", None)
        if batch["input_ids"].dim() != 2:
            raise InputError(
                f"'input_ids' of an encoded dictionary must be [row, token]; found shape {tuple(batch['input_ids'].shape)}"
            )
    else:
        kind, pictures = check_alike(items)
        if pictures and not sees:
            raise InputError(f"inputs with pictures were given, and {type(model).__name__} has no vision tower")
        batch = _ENCODERS[kind](processor, items, padding_side)
    # PaliGemma's processor gives labels without being asked; with them, a forward pass computes a loss over all logits.
    batch.pop("labels", None)
    batch.setdefault("attention_mask", torch.ones_like(batch["input_ids"]))
    if not bool((batch["attention_mask"] > 0).any(dim=1).all()):
        raise InputError("a row of the inputs has no token; leave out empty strings")
    if not sees:
        _number_positions(model, batch)
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    if device.type != "meta":
        for name, value in batch.items():
            batch[name] = value.to(device)
    return batch


def _number_positions(model: nn.Module, batch: Batch) -> None:
    # Without numbers, a left-padded row counts its pads, and a model with learned positions goes wrong.
    mask = batch["attention_mask"]
    padded_left = mask.dim() == 2 and bool((mask[:, 0] == 0).any())
    if padded_left and "position_ids" not in batch and "position_ids" in parameters_of(model):
        batch["position_ids"] = (mask.long().cumsum(dim=1) - 1).clamp_min(0)


def _tokenizer(processor: Any) -> Any:
    if processor is None:
        raise AdapterError(
            "text was given, and this model came without a tokenizer: wrap it once as lh.graph(model, tokenizer), or pass token ids"
        )
    return getattr(processor, "tokenizer", processor)


def _pad_id(tokenizer: Any) -> int:
    for name in ("pad_token_id", "eos_token_id"):
        value = getattr(tokenizer, name, None)
        if isinstance(value, int):
            return value
    return 0


def _padded(rows: list[list[int]], side: str, pad: int) -> Batch:
    longest = max(len(row) for row in rows)
    ids, mask = [], []
    for row in rows:
        gap = longest - len(row)
        before, after = (gap, 0) if side == "left" else (0, gap)
        ids.append([pad] * before + row + [pad] * after)
        mask.append([0] * before + [1] * len(row) + [0] * after)
    return Batch(input_ids=torch.tensor(ids), attention_mask=torch.tensor(mask))


def _from_ids(processor: Any, items: list[Any], side: str) -> Batch:
    rows = [[int(token) for token in item] for item in items]
    if not all(rows):
        raise InputError("a row of token ids is empty")
    return _padded(rows, side, 0 if processor is None else _pad_id(_tokenizer(processor)))


def _from_text(processor: Any, items: list[str], side: str) -> Batch:
    tokenizer = _tokenizer(processor)
    rows = tokenizer(list(items))["input_ids"]
    if not all(rows):
        raise InputError(f"input {[bool(row) for row in rows].index(False)} is empty; leave out empty strings")
    return _padded(rows, side, _pad_id(tokenizer))


def _from_chat(processor: Any, items: list[Any], side: str) -> Batch:
    tokenizer = _tokenizer(processor)
    templates = processor if getattr(processor, "chat_template", None) else tokenizer
    if not getattr(templates, "chat_template", None):
        raise InputError("chat messages were given, and the tokenizer has no chat template; pass plain strings")
    rows: list[str] = []
    prefixes: list[str] = []
    for chat in items:
        answered = chat[-1]["role"] == "assistant"
        prefixes.append(
            templates.apply_chat_template(chat[:-1] if answered else chat, tokenize=False, add_generation_prompt=True)
        )
        rows.append(
            templates.apply_chat_template(chat, tokenize=False, add_generation_prompt=False)
            if answered
            else prefixes[-1]
        )
    pictures = [_pictures(chat) for chat in items]
    if pictures[0]:
        batch = _process(processor, rows, pictures, side)
        lengths = [
            int(_process(processor, [p], [i], side)["attention_mask"].sum())
            for p, i in zip(prefixes, pictures, strict=True)
        ]
    else:
        ids = tokenizer(rows, add_special_tokens=False)["input_ids"]
        batch = _padded(ids, side, _pad_id(tokenizer))
        lengths = [len(row) for row in tokenizer(prefixes, add_special_tokens=False)["input_ids"]]
    if any(row != prefix for row, prefix in zip(rows, prefixes, strict=True)):
        closing = [_after_the_words(row, chat[-1]) for row, chat in zip(rows, items, strict=True)]
        spare = [len(ids) for ids in tokenizer(closing, add_special_tokens=False)["input_ids"]]
        mask = batch["attention_mask"]
        order = mask.cumsum(dim=1)
        ends = order[:, -1] - torch.tensor(spare)
        batch.answer = (order > torch.tensor(lengths)[:, None]) & (order <= ends[:, None]) & (mask > 0)
    return batch


def _after_the_words(row: str, message: Any) -> str:
    """What a chat template puts behind an assistant's words: the tokens that close the turn are no answer."""
    content = message.get("content")
    if not isinstance(content, str):
        content = next((part.get("text", "") for part in reversed(content or []) if part.get("type") == "text"), "")
    words = content.strip()
    return row[row.rindex(words) + len(words) :] if words and words in row else ""


def _from_pairs(processor: Any, items: list[Any], side: str) -> Batch:
    texts: list[str] = []
    pictures: list[list[Any]] = []
    for item in items:
        image, text = (item.get("images", item.get("image")), item["text"]) if isinstance(item, Mapping) else item
        images = [_open(i) for i in (image if isinstance(image, list) else [image])]
        texts.append(_with_pictures(processor, text, len(images)))
        pictures.append(images)
    return _process(processor, texts, pictures, side)


def _with_pictures(processor: Any, text: str, number: int) -> str:
    token = getattr(processor, "image_token", None) or "<image>"
    if token in text:
        return text
    if getattr(processor, "chat_template", None):
        content = [*({"type": "image"} for _ in range(number)), {"type": "text", "text": text}]
        return processor.apply_chat_template(
            [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
        )
    return f"{token * number} {text}"


def _process(processor: Any, texts: list[str], pictures: list[list[Any]], side: str) -> Batch:
    if processor is None or not hasattr(processor, "image_processor"):
        raise AdapterError(
            "pictures were given, and this model came without a processor: wrap it once as lh.graph(model, processor), or pass an "
            "encoded dictionary"
        )
    tokenizer = processor.tokenizer
    bos = getattr(tokenizer, "bos_token", None)
    special = not (bos and all(text.startswith(bos) for text in texts))
    bare = tokenizer.pad_token is None
    if bare:
        tokenizer.pad_token = tokenizer.eos_token
    try:
        # One list of pictures a row; processors that want a flat list take that too.
        encoded = processor(
            text=texts,
            images=pictures,
            padding=True,
            padding_side=side,
            add_special_tokens=special,
            return_tensors="pt",
        )
    finally:
        if bare:
            tokenizer.pad_token = None
    return Batch({name: value for name, value in encoded.items() if isinstance(value, Tensor)})


def _pictures(chat: Any) -> list[Any]:
    if not isinstance(chat, Sequence) or isinstance(chat, str):
        return []
    found: list[Any] = []
    for message in chat:
        content = message.get("content")
        if isinstance(content, str):
            continue
        for part in content or []:
            if part.get("type") == "image":
                found.append(_open(part.get("image", part.get("path"))))
    return found


def _open(image: Any) -> Any:
    if isinstance(image, str | Path):
        from PIL import Image

        try:
            with Image.open(image) as opened:
                return opened.convert("RGB")
        except OSError as error:
            raise InputError(f"cannot read the picture '{image}': {error}") from error
    return image


_ENCODERS = {"text": _from_text, "chat": _from_chat, "ids": _from_ids, "pair": _from_pairs}
