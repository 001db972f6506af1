"""The README.md of a trained model."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from levelhead.training.model_skews import cautions

_METHODS = {
    "csd": "counter-stereotype debiasing: bias-aware sampling and a rescaled loss (Cheng et al., arXiv 2408.06569)",
    "ft": "plain fine-tuning, without regard to the Skew",
    "resample": "bias-aware sampling alone (a part of Cheng et al., arXiv 2408.06569)",
    "loss": "the rescaled loss alone (a part of Cheng et al., arXiv 2408.06569)",
}


def card(record: Mapping[str, Any]) -> str:
    """Write the card of a trained model.

    Parameters
    ----------
    record : mapping
        `Trained.record`.

    Returns
    -------
    str
        Markdown, with the front matter that the Hugging Face hub reads.
    """
    settings, model, data = record["settings"], record["model"], record["data"]
    public = "/" in (model["id"] or "")
    # What has no address is known by its class: the name of a folder says nothing to others.
    base = model["id"] if public else model["class"]
    adapter = settings["lora"] is not None
    front = ["library_name: peft" if adapter else "library_name: transformers", "tags: [levelhead, fairness, bias]"]
    front += [f"base_model: {base}"] if public else []
    kept = {name: value for name, value in settings.items() if name != "method" and value not in (None, [], {})}
    options = "\n".join(f"| {name} | {_told(value)} |" for name, value in kept.items())
    what = "a LoRA adapter for" if adapter else "a fine-tuned copy of"
    concepts = ", ".join(data["concepts"]) or "none"
    versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
    return f"""---
{chr(10).join(front)}
---

# {base}, trained with levelhead ({settings["method"]})

This is {what} `{model["id"] or base}` ({model["class"]}, weights sha256 `{model["weights_sha256"][:16]}`).
Method: {_METHODS[settings["method"]]}.

```python
{_loading(model["class"], adapter)}
```

## Data

{data["examples"]} examples, sha256 `{data["examples_sha256"]}`. Concepts: {concepts}.
Groups: {_groups(data["groups"])}. Labels of people are as perceived by those who made the data.
{_questions(record.get("asked", {}).get("learned", {}))}

## Settings

| setting | value |
|---|---|
{options}

## Skew

MinSkew@C and MaxSkew@C of the model on the pictures that its Skew was estimated from, before each epoch and at the end; 0 is level.
*Yes* is the mean share of yes, *mass* the probability of yes and no together: a model that says the same of everybody, or neither,
has small Skews and is not level. These are pictures of training. What holds on others has to be measured on others.

{_history(record["history"])}

## What it is not for

A lower Skew on these concepts and pictures is not a certificate of fairness: it says nothing about other concepts, other people, free
text, or any decision about anybody. The model is not to be used to infer who somebody is, and it can be worse than its base at other
tasks: measure that too. The licenses of the base model and of the pictures apply.

Made with {versions}.
"""


def _loading(model_class: str, adapter: bool) -> str:
    if adapter:
        return f"""from peft import PeftModel
from transformers import {model_class}

model = PeftModel.from_pretrained({model_class}.from_pretrained("the base model"), "this folder")"""
    return f"""from transformers import {model_class}

model = {model_class}.from_pretrained("this folder")"""


def _questions(asked: Mapping[str, str]) -> str:
    told = "; ".join(f"`{prompt}` with the answer `{answer}`" for answer, prompt in asked.items())
    return f"Learned as, for example: {told}." if told else ""


def _told(value: Any) -> str:
    return str(value) if isinstance(value, str | int | float) else f"`{json.dumps(value)}`"


def _groups(groups: Mapping[str, Sequence[str]]) -> str:
    return "; ".join(f"{name} ({', '.join(values)})" for name, values in groups.items()) or "none"


def _history(rows: Sequence[Mapping[str, Any]]) -> str:
    told = [row for row in rows if "min_skew" in row]
    if not told:
        return "It was not estimated."
    lines = ["| epoch | MinSkew@C | MaxSkew@C | yes | mass | samples kept | dropped | copies |", "|---" * 8 + "|"]
    for row in told:
        shares = " | ".join(f"{row[name]:.0%}" if name in row else "" for name in ("yes", "mass"))
        counts = " | ".join(str(row.get(name, "")) for name in ("kept", "dropped", "copies"))
        lines.append(f"| {row['epoch']} | {row['min_skew']:+.3f} | {row['max_skew']:+.3f} | {shares} | {counts} |")
    warned = [f"\n**Caution**, epoch {row['epoch']}: {each}." for row in told for each in of_row(row)]
    return "\n".join([*lines, *warned])


def of_row(row: Mapping[str, Any]) -> tuple[str, ...]:
    """Why the Skews in a row of a history must not be read as they stand; empty where they may."""
    return cautions(row.get("mass"), row.get("yes"))
