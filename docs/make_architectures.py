"""Write ``docs/architectures.md`` from what the contract suite's models measure: ``make docs`` runs it.

For each architecture and graph: how many sites there are, how far steered logits are from those of the plain
transformers model, whether steered tokens are the same, which places are served by a forward hook because the graph has
none, and what cannot be addressed.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests"))

import torch

from conftest import ADAPTERS, graph_of, model_of
from test_contract import mixed_steer
from tiny import ARCHITECTURES

HEAD = """# Architectures

Measured by `docs/make_architectures.py` on tiny random models in float32 with eager attention, one of each architecture.
One steer of nine to thirteen edits of all kinds (norms, heads, MLP neurons, residual stream, and pictures where there are
any) runs on every graph; **0** means that the logits are equal to those of the plain transformers model to the bit, and
*tokens* whether eight steered greedy tokens are the same. The contract suite holds the same for each site by itself.

| architecture | sites | transformers | TransformerLens | nnsight |
|---|---:|---|---|---|
"""


def main() -> None:
    """Measure, and write the page."""
    rows, absent, hooked = [], {}, {}
    for name, tiny in ARCHITECTURES.items():
        plain = graph_of("transformers", name)
        batch = plain.encode(tiny.batch())
        steer = mixed_steer(plain)
        length = batch["input_ids"].shape[1] - 3
        options = {"max_new_tokens": 8, "do_sample": False}
        with torch.no_grad():
            expected, tokens = plain.logits(batch, steer, length), plain.generate(batch, steer, **options)
            cells = []
            for adapter in ADAPTERS:
                graph = graph_of(adapter, name)
                difference = float((graph.logits(batch, steer, length) - expected).abs().max())
                same = torch.equal(graph.generate(batch, steer, **options), tokens)
                missing = len(set(plain.sites()) - set(graph.sites()))
                cell = f"{'**0**' if difference == 0 else f'{difference:.0e}'}, {'same' if same else 'OTHER'} tokens"
                cells.append(cell + (f", {missing} sites missing" if missing else ""))
        title = f"{type(model_of(name)).__name__}"
        rows.append(f"| {title} | {len(plain.sites())} | {' | '.join(cells)} |")
        absent[title] = plain.map.reasons
        bridge = graph_of("transformer_lens", name)
        places = sorted({f"{s.tower}/{s.component}" for s in bridge.sites() if bridge.point(s) is None})
        hooked[title] = places
    (HERE / "architectures.md").write_text(HEAD + "\n".join(rows) + tail(absent, hooked), encoding="utf-8")


def tail(absent: dict[str, dict[str, str]], hooked: dict[str, list[str]]) -> str:
    """What cannot be addressed, and what TransformerLens has no hook point for."""
    lines = [
        "",
        "",
        "## What cannot be addressed",
        "",
        "An attempt is an error that gives this reason, on every graph. Components that an architecture simply has not, such as",
        "`ln1_post` outside of Gemma, are not listed.",
        "",
        "| architecture | site | why |",
        "|---|---|---|",
        "| all | `resid_mid` (write) | read only: a write there reaches the MLP branch and not the residual stream |",
        *(f"| {name} | `{site}` | {why} |" for name, reasons in absent.items() for site, why in reasons.items()),
        "",
        "## Where TransformerLens has no hook point",
        "",
        "There, a forward hook on the module that the bridge wraps does the work, so that reads and writes are the same. The vision",
        "tower's `resid_post` is always among them: transformers collects it inside the block that the bridge wraps. `steer.hooks(bridge)`,",
        "which gives hook names, refuses these sites; `steer.on(bridge)` takes them.",
        "",
        "| architecture | served by a forward hook |",
        "|---|---|",
        *(f"| {name} | {', '.join(f'`{p}`' for p in places)} |" for name, places in hooked.items() if places),
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
