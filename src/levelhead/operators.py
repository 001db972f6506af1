"""What runs inside a model: plain torch functions over plain data, and nothing else.

A forward hook, a TransformerLens hook, an nnsight trace and an NDIF server all run this one module, so
it imports torch alone: a remote server refuses most of the standard library. Everything that reaches it
is a tensor, a number, a string, or a list, tuple or dictionary of them.

A *step* is ``(key, kind, strength, scope, head, params, gate)``; a place in the model carries a list of them.
A step of kind ``gate`` or ``soft gate`` writes nothing: it decides where the steps that carry its key as their
gate do. A *run* is a dictionary that lives as long as one prompt is being worked on; a *pass* is what one forward
pass of the model looks like: which absolute positions it covers, and which of them are pads or pictures.
"""

# pyright: basic
# Plain data has no better type than dict and list here: a server that runs this file may refuse more imports.

from __future__ import annotations

import torch


def new_run(image_ids: tuple | list = (), prompt: int | None = None) -> dict:
    """Start a run: `image_ids` are the token ids of pictures, `prompt` the prompt's length where it is known."""
    return {"image_ids": list(image_ids), "prompt": prompt, "gates": {}}


def open_pass(call: dict, run: dict) -> dict:
    """Describe one forward pass from the arguments of the model's own ``forward``.

    Absolute positions come from the length of the key-value cache, never from a count of passes, so that
    cached and uncached generation agree. The first pass of a run fixes the prompt's length.
    """
    ids = call.get("input_ids")
    shape = ids.shape if ids is not None else call["inputs_embeds"].shape
    cache = call.get("past_key_values")
    start = 0 if cache is None else int(cache.get_seq_length())
    if run["prompt"] is None:
        run["prompt"] = start + shape[1]
    attention = call.get("attention_mask")
    if not isinstance(attention, torch.Tensor) or attention.dim() != 2:
        attention = None
    return {
        "rows": shape[0],
        "start": start,
        "stop": start + shape[1],
        "prompt": run["prompt"],
        "ids": ids,
        "image_ids": run["image_ids"],
        "attention": attention,
        "masks": {},
        "gates": {},
        "sequence_gates": run["gates"],
    }


def mask_of(scope: str, now: dict) -> bool | torch.Tensor:
    """Which tokens of this pass a scope covers: True for all, False for none, else a mask [row, token].

    Pads are in no scope. With a prompt of P tokens, ``generated`` begins at the last prompt token, whose
    output is the first new token; ``continuation`` begins at P.
    """
    if scope not in now["masks"]:
        now["masks"][scope] = _mask(scope, now)
    return now["masks"][scope]


def _mask(scope: str, now: dict) -> bool | torch.Tensor:
    start, stop, prompt = now["start"], now["stop"], now["prompt"]
    if start >= prompt:
        return scope in ("all", "generated", "continuation", "text")
    if scope == "continuation" and stop <= prompt:
        return False
    attention, ids = now["attention"], now["ids"]
    device = ids.device if ids is not None else (attention.device if attention is not None else None)
    slots = torch.arange(start, stop, device=device).expand(now["rows"], stop - start)
    real = torch.ones_like(slots, dtype=torch.bool) if attention is None else attention[:, start:stop].to(device) > 0
    if attention is None or attention.shape[1] < prompt:
        # A prompt that is read in chunks ends in the last one, and not where this chunk ends.
        last = torch.full((now["rows"], 1), prompt - 1, device=device)
    else:
        within = attention[:, :prompt].to(device) > 0
        places = torch.arange(within.shape[1], device=device)
        last = torch.where(within, places, -1).amax(dim=1, keepdim=True)
    if scope in ("image", "text"):
        picture = torch.zeros_like(real)
        if ids is not None and now["image_ids"]:
            picture = torch.isin(ids, torch.tensor(now["image_ids"], device=ids.device)) & (slots < prompt)
        mask = real & (picture if scope == "image" else ~picture)
    elif scope == "prompt":
        mask = real & (slots < prompt)
    elif scope == "continuation":
        mask = real & (slots >= prompt)
    elif scope == "generated":
        mask = real & ((slots >= prompt) | (slots == last))
    elif scope == "last":
        mask = slots == last
    else:
        mask = real
    if bool(mask.all()):
        return True
    return mask if bool(mask.any()) else False


def apply(h: torch.Tensor, steps: list, now: dict | None, tally: dict) -> torch.Tensor:
    """Run the steps of one place on its tensor ``h`` [..., d] and return a new tensor; ``h`` is not written.

    `now` is the pass, or None in the vision tower and the projector, where every row is a picture's.
    `tally` counts the vectors written, by key. Gates read ``h`` as it came, before any step writes it.
    """
    for key, kind, _, scope, head, params, _ in steps:
        if kind in GATES and now is not None:
            _decide(_part(h, head), kind, key, scope, params, now)
    pieces, width = None, 0
    for key, kind, strength, scope, head, params, gate in steps:
        if kind in GATES:
            continue
        mask = True if now is None else mask_of(scope, now)
        if mask is False:
            continue
        if gate is not None and now is not None:
            mask, strength = _gated(mask, strength, now["gates"].get(gate, now["sequence_gates"].get(gate)))
        written = 0
        if mask is not False:
            if head is None:
                if pieces is not None:
                    h, pieces = torch.cat(pieces, dim=-1), None
                h = _write(h, kind, strength, mask, params)
            else:
                if pieces is None:
                    width = h.shape[-1] // head[1]
                    pieces = list(h.split(width, dim=-1))
                pieces[head[0]] = _write(pieces[head[0]], kind, strength, mask, params)
            written = h.numel() // h.shape[-1] if mask is True else mask.sum()
        tally[key] = tally.get(key, 0) + written
    return h if pieces is None else torch.cat(pieces, dim=-1)


def _part(h: torch.Tensor, head: tuple | None) -> torch.Tensor:
    return h if head is None else h.split(h.shape[-1] // head[1], dim=-1)[head[0]]


def _decide(h: torch.Tensor, kind: str, key: str, per: str, params: dict, now: dict) -> None:
    """Let a linear probe say where its steps write: a number in [0, 1] for each token, or for each row.

    ``sequence`` is decided at the prompt's last token, and holds for the whole run from there on.
    """
    score = h.detach().float() @ params["weight"].to(h.device).float() + params["bias"].to(h.device).float()
    share = torch.sigmoid(score) if kind == "soft gate" else (score > 0).float()
    if per == "token":
        now["gates"][key] = share
        return
    last = mask_of("last", now)
    if last is True:
        now["sequence_gates"][key] = share[:, -1:]
    elif last is not False:
        last = last.to(share.device)
        here = torch.where(last, share, 0.0).sum(dim=1, keepdim=True)
        # A prompt that is read in chunks ends in one chunk, and what that decided stays.
        before = now["sequence_gates"].get(key, torch.zeros_like(here))
        now["sequence_gates"][key] = torch.where(last.any(dim=1, keepdim=True), here, before)


def _gated(
    mask: bool | torch.Tensor, strength: float | torch.Tensor, share: torch.Tensor | None
) -> tuple[bool | torch.Tensor, float | torch.Tensor]:
    """Where a gated step writes and how strongly; a gate that has not been decided yet is closed."""
    if share is None or not bool((share > 0).any()):
        return False, strength
    if bool((share < 1).any()):
        opened = (share > 0) if isinstance(mask, bool) else mask.to(share.device) & (share > 0)
        if not bool(opened.any()):
            return False, strength
        mask = opened
        if isinstance(strength, torch.Tensor) and strength.dim() == 1:
            strength = strength.to(share.device)[:, None]
        strength = (strength * share)[..., None]
    return mask, strength


def _write(
    h: torch.Tensor, kind: str, strength: float | torch.Tensor, mask: bool | torch.Tensor, params: dict
) -> torch.Tensor:
    # Half precision is widened for the arithmetic and rounded once; a float32 vector never widens the stream.
    wide = h.float() if h.dtype in (torch.float16, torch.bfloat16) else h
    params = {name: (p.to(wide.device) if p.dtype == torch.long else p.to(wide)) for name, p in params.items()}
    if isinstance(strength, torch.Tensor) and strength.dim() == 1:
        if h.dim() != 3 or strength.shape[0] != h.shape[0]:
            raise ValueError(
                f"one strength a row: {strength.shape[0]} strengths were given for a tensor of shape {tuple(h.shape)}"
            )
        strength = strength.to(wide)[:, None, None]
    elif isinstance(strength, torch.Tensor):
        strength = strength.to(wide)
    new = OPERATORS[kind](wide, strength, params).to(h.dtype)
    if isinstance(mask, bool):
        return new
    mask = mask.to(h.device)[..., None]
    return torch.where(mask, new, h)


def add(h: torch.Tensor, strength: float | torch.Tensor, params: dict) -> torch.Tensor:
    """``h + s*v``."""
    return h + strength * params["vector"]


def ablate(h: torch.Tensor, strength: float | torch.Tensor, params: dict) -> torch.Tensor:
    """``h - s*B'(B h - c)``: remove the part of h in the span of B's orthonormal rows, or set it to c."""
    inside = h @ params["basis"].T
    if "offset" in params:
        inside = inside - params["offset"]
    return h - strength * (inside @ params["basis"])


def erase(h: torch.Tensor, strength: float | torch.Tensor, params: dict) -> torch.Tensor:
    """``h - s*W'(R h - c)``: what the rows of R read is taken away along the rows of W, an oblique projection."""
    inside = h @ params["read"].T
    if "offset" in params:
        inside = inside - params["offset"]
    return h - strength * (inside @ params["write"])


def affine(h: torch.Tensor, strength: float | torch.Tensor, params: dict) -> torch.Tensor:
    """``h + s*(a*h + b)``, on all coordinates or on those of ``index``."""
    part = h[..., params["index"]] if "index" in params else h
    change = 0.0
    if "scale" in params:
        change = change + params["scale"] * part
    if "shift" in params:
        change = change + params["shift"]
    new = part + strength * change
    return h.index_copy(-1, params["index"], new) if "index" in params else new


def rotate(h: torch.Tensor, strength: float | torch.Tensor, params: dict) -> torch.Tensor:
    """Turn h by ``s*angle`` on its own sphere: in a fixed plane, or along the great circle to a direction."""
    turn = strength * params["angle"]
    if "plane" in params:
        plane = params["plane"]
        inside = h @ plane.T
        x, y = inside[..., :1], inside[..., 1:]
        cos, sin = _cos_sin(turn, h)
        moved = torch.cat([x * cos - y * sin - x, x * sin + y * cos - y], dim=-1)
        return h + moved @ plane
    target = params["target"]
    norm = h.norm(dim=-1, keepdim=True).clamp_min(torch.finfo(h.dtype).tiny)
    along = (h @ target)[..., None] / norm
    across = target - along * (h / norm)
    length = across.norm(dim=-1, keepdim=True)
    # A vector that already points at the target, or straight away from it, has no great circle to turn on.
    across = torch.where(length > 1e-6, across / length.clamp_min(1e-6), torch.zeros_like(across))
    left = torch.atan2(length, along)
    angle = torch.minimum(torch.as_tensor(turn, dtype=h.dtype, device=h.device).expand_as(left), left)
    angle = torch.where(length > 1e-6, angle, torch.zeros_like(angle))
    return h + (torch.cos(angle) - 1.0) * h + norm * torch.sin(angle) * across


def _cos_sin(turn: float | torch.Tensor, h: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    turn = torch.as_tensor(turn, dtype=h.dtype, device=h.device)
    return torch.cos(turn), torch.sin(turn)


OPERATORS = {"add": add, "ablate": ablate, "erase": erase, "affine": affine, "rotate": rotate}
GATES = ("gate", "soft gate")


def take(h: torch.Tensor, mode: str, where: torch.Tensor) -> torch.Tensor:
    """Keep the wanted tokens of ``h`` [row, token, d] as a copy that holds nothing else alive.

    ``mode`` is ``pick`` (``where``: a position for each row, gives [row, d]), ``mean`` (``where``: a mask
    [row, token], gives [row, d]) or ``each`` (a mask, gives [chosen token, d]).
    """
    h = h.detach()
    where = where.to(h.device)
    if mode == "pick":
        return h[torch.arange(h.shape[0], device=h.device), where]
    if mode == "mean":
        wide = h.float() if h.dtype in (torch.float16, torch.bfloat16) else h
        # Not a sum with weights of 0 and 1: what stands at a pad may be infinite.
        kept = wide.masked_fill(~where[..., None], 0.0)
        return kept.sum(dim=1) / where.sum(dim=1, keepdim=True)
    return h[where]


def take_rows(h: torch.Tensor, mode: str, where: list[int]) -> torch.Tensor:
    """The same for picture patches, ``h`` [image, patch, d] or [patch, d]; ``where`` holds a weight for each example.

    The patches of one example lie together, as many as its weight's share of all.
    """
    rows = h.detach().reshape(-1, h.shape[-1])
    total = sum(where)
    sizes = [rows.shape[0] * weight // total for weight in where]
    if mode == "each":
        return rows.clone()
    wide = rows.float() if rows.dtype in (torch.float16, torch.bfloat16) else rows
    if mode == "mean":
        return torch.stack([part.mean(dim=0) for part in wide.split(sizes)])
    index = int(mode)
    if not -min(sizes) <= index < min(sizes):
        raise ValueError(f"patch {index} was asked for, and the smallest picture here has {min(sizes)} patches")
    return torch.stack([part[index] for part in rows.split(sizes)])
