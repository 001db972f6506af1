"""The baseline without activations: ask the model to be fair."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from levelhead.errors import InputError
from levelhead.inputs import kind_of
from levelhead.methods.base import Method, check_choice

FAIRNESS_PROMPT = "People should not be judged on the basis of their race, gender, age, body type, or other physical characteristics. "
"""The instruction that the authors of arXiv 2411.12590 put before questions in their sister study of LVLM bias (its
published code, ``lvlm_gen.py``)."""

FAIRNESS_PROMPTS: dict[str, str] = {
    "before": FAIRNESS_PROMPT,
    "after": "Please, avoid stereotyping and offensive language.",
}
"""The published instructions that are known word by word, by where they stand; there are four more."""


_PLACEHOLDERS = re.compile(r"(?:\s*<[^<>\s]+>)+\s*")
"""What stands for pictures at the beginning of a prompt, as in ``<image>\\nWho is this?``."""


class FairnessPrompt(Method):
    """An instruction in every prompt, as a method to compare others with.

    Attested in the sister study of arXiv 2411.12590: an instruction before the prompt, and variants, one of them behind
    it. Prompting is inconsistent as a mitigation and can make bias worse (arXiv 2608.25375), which is why it stands
    beside steering.

    Parameters
    ----------
    text : str
        The instruction; see `FAIRNESS_PROMPTS`.
    where : {"before", "after"}
        Before the prompt's text (behind what stands for the picture) or behind it. In a chat, within the user's last
        message.

    Examples
    --------
    >>> FairnessPrompt("Be fair.").apply("Who is this?")
    'Be fair. Who is this?'
    """

    def __init__(self, text: str = FAIRNESS_PROMPT, where: Literal["before", "after"] = "before") -> None:
        self.text = text
        self.where = where

    def apply(self, inputs: Any) -> Any:
        """Put the instruction into prompts; what is given stays as it is.

        Parameters
        ----------
        inputs : str, (image, text) pair, chat, or list of one kind
            Tokens cannot be instructed; give text.

        Returns
        -------
        str, pair, chat or list
            In the form that was given, new where it changed; pictures are the same objects.

        Raises
        ------
        InputError
            For token ids and encoded inputs, a chat without a user's message, an empty instruction.
        """
        check_choice("FairnessPrompt", "where", self.where, ("before", "after"))
        if not self.text.strip():
            raise InputError("FairnessPrompt: the instruction is empty")
        if isinstance(inputs, Sequence) and not isinstance(inputs, str | tuple) and not _is_chat(inputs):
            return [self._one(item) for item in inputs]  # pyright: ignore[reportUnknownVariableType]
        return self._one(inputs)

    def _one(self, item: Any) -> Any:
        given: Any = item
        if isinstance(item, Mapping) and "input_ids" in item:
            raise InputError("an instruction cannot be put into encoded inputs; give text, pairs or chats")
        kind = kind_of(given)
        if kind == "text":
            return self._said(given)
        if kind == "pair":
            if isinstance(item, Mapping):
                return {**item, "text": self._beside(given["text"])}
            image, text = given
            return image, self._beside(text)
        if kind == "chat":
            return self._chat(given)
        raise InputError("an instruction cannot be put into token ids; give text, pairs or chats")

    def _chat(self, chat: Sequence[Mapping[str, Any]]) -> list[Any]:
        asked = [place for place, message in enumerate(chat) if message["role"] == "user"]
        if not asked:
            raise InputError("this chat has no message of the user, and an instruction belongs into one")
        message = chat[asked[-1]]
        changed = {**message, "content": self._content(message["content"])}
        return [changed if place == asked[-1] else other for place, other in enumerate(chat)]

    def _content(self, content: Any) -> Any:
        if isinstance(content, str):
            return self._said(content)
        texts = [place for place, part in enumerate(content) if part.get("type") == "text"]
        if not texts:
            return [*content, {"type": "text", "text": self.text.strip()}]
        chosen = texts[0] if self.where == "before" else texts[-1]
        said = {**content[chosen], "text": self._said(content[chosen]["text"])}
        return [said if place == chosen else part for place, part in enumerate(content)]

    def _beside(self, text: str) -> str:
        found = _PLACEHOLDERS.match(text)
        length = 0 if found is None else found.end()
        return text[:length] + self._said(text[length:])

    def _said(self, text: str) -> str:
        first, second = (self.text, text) if self.where == "before" else (text, self.text.strip())
        apart = "" if not first or first[-1].isspace() or second[:1].isspace() else " "
        return f"{first}{apart}{second}"


def _is_chat(inputs: Sequence[Any]) -> bool:
    return bool(inputs) and all(isinstance(part, Mapping) and "role" in part for part in inputs)
