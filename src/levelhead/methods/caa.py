"""Contrastive activation addition: the mean difference over pairs of answers, and the prompts that make the pairs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from levelhead.capture import Activations
from levelhead.edits import Add
from levelhead.errors import InputError
from levelhead.methods.base import Method, fingerprint
from levelhead.methods.labeling import values
from levelhead.sites import Site, SiteLike
from levelhead.steer import Steer

if TYPE_CHECKING:
    from levelhead.data.records import ChoiceRecord
    from levelhead.metrics.decisions.asking import Wrap

Pick: TypeAlias = "Literal['pro', 'label', 'unknown', 'other'] | int | Callable[..., int]"
"""Which option of a choice: a field of the record, the other one of two, a number, or a function."""


class CAA(Method):
    """Contrastive activation addition (Rimsky et al. 2023, arXiv 2312.06681): one vector at one layer.

    From common knowledge of the method, not from its code: the mean over contrast pairs, two prompts that differ in the
    letter they end with, of the difference of residual streams at that letter; added, not normalized, at every position
    behind the question, times a multiplier.

    Parameters
    ----------
    site : Site or str
        As in ``"resid_post.13"``.
    multiplier : float
        Positive strengthens what the positive answers have in common; give a negative one against a bias.
    scope : str
        Which tokens are written; ``"generated"`` begins at the prompt's last token.

    Attributes
    ----------
    steer_ : Steer

    Examples
    --------
    >>> import torch
    >>> yes, no = (Activations({"resid_post.1": torch.tensor([[a, 1.0], [a, 3.0]])}) for a in (2.0, 0.0))
    >>> CAA("resid_post.1", multiplier=3).fit(yes, no).entries[0].edit.params["vector"].tolist()
    [6.0, 0.0]
    """

    steer_: Steer

    def __init__(self, site: SiteLike, multiplier: float | int = 1.0, scope: str = "generated") -> None:
        self.site = site
        self.multiplier = multiplier
        self.scope = scope

    def fit(self, positive: Activations, negative: Activations) -> Steer:
        """Fit on pairs.

        Parameters
        ----------
        positive, negative : Activations
            Paired row by row, read at the answer's letter: ``at="last"`` for text that ends with it, ``at="answer"``
            for chats whose last turn it is.

        Returns
        -------
        Steer

        Raises
        ------
        InputError
            For numbers of rows that differ, activations that are not finite, pairs that are all equal.
        SiteError
            If the site was not captured.
        """
        site = Site.parse(self.site)
        if positive.n != negative.n or positive.n == 0:
            raise InputError(
                f"pairs are needed, row by row; found {positive.n} rows with the positive and {negative.n} with the "
                "negative answer"
            )
        vector = (values(positive, site, positive.n) - values(negative, site, positive.n)).mean(dim=0)
        if not bool(vector.any()):
            raise InputError(
                f"the pairs are equal on average at '{site}', and there is no direction; read the letter that they end with"
            )
        facts = {"pairs": positive.n, "sha256": fingerprint([positive.n], positive[site] - negative[site])}
        edits = {site: Add((self.multiplier * vector).float())}
        self.steer_ = Steer(edits, scope=self.scope, card=self.card(positive.source, **facts))
        return self.steer_


@dataclass(frozen=True, eq=False)
class ContrastPairs:
    """Inputs for `CAA`, paired.

    Attributes
    ----------
    positive, negative : list
        As `levelhead.capture` takes them; they differ in the letter at the end.
    groups : list of str
        The choice's set, for splits that keep sets whole.
    """

    positive: list[Any]
    negative: list[Any]
    groups: list[str]

    def __len__(self) -> int:
        return len(self.positive)


def contrast_pairs(
    choices: Sequence[ChoiceRecord], positive: Pick = "pro", negative: Pick = "other", *, wrap: Wrap = "raw"
) -> ContrastPairs:
    """Lettered questions that end with one answer or the other.

    Each choice is asked in every order that it allows (two for two options), so that each answer has every letter
    equally often, and the letters themselves cancel in the mean.

    Parameters
    ----------
    choices : sequence of ChoiceRecord
    positive : {"pro", "label", "unknown"}, int or callable
        The option whose letter the positive prompt ends with: that which follows the stereotype, the right one, the one
        that says that it cannot be known, a number, or a function of the record.
    negative : {"other", "pro", "label", "unknown"}, int or callable
        That of the negative prompt; ``"other"`` where there are two options.
    wrap : {"raw", "chat"} or callable
        The prompt as it stands with the letter behind it, a chat whose last turn is the letter, or a function of
        (text, picture or None) that gives a text, an (image, text) pair or a chat to end with the letter. Pictures with
        ``"raw"`` get ``<image>`` before the text.

    Returns
    -------
    ContrastPairs

    Raises
    ------
    InputError
        For no choices, a record that lacks the option asked for, the same option twice, or more than two options and
        ``"other"``.

    Examples
    --------
    >>> from levelhead.data import ChoiceRecord
    >>> record = ChoiceRecord(id="1", prompt="Who is the nurse?", options=("the man", "the woman"), pro=1)
    >>> pairs = contrast_pairs([record])
    >>> [text.splitlines() for text in (pairs.positive[0], pairs.negative[0])]  # doctest: +NORMALIZE_WHITESPACE
    [['Who is the nurse?', 'A. the man', 'B. the woman', 'Answer: B'],
     ['Who is the nurse?', 'A. the man', 'B. the woman', 'Answer: A']]
    """
    from levelhead.data.records import open_picture
    from levelhead.metrics.decisions.asking import LETTERS, orders_of, wording

    if not choices:
        raise InputError("no choices to make pairs of: the list of records is empty")
    found = ContrastPairs([], [], [])
    for i, record in enumerate(choices):
        yes = _option(record, positive, None)
        no = _option(record, negative, yes)
        if yes == no:
            raise InputError(f"choice '{record.id}': the positive and the negative answer are both option {yes}")
        picture = None if record.image is None else open_picture(record.image)
        for order in orders_of(record):
            asked = _asked(wording(record, order, "letters"), picture, wrap)
            found.positive.append(_ended(asked, LETTERS[order.index(yes)]))
            found.negative.append(_ended(asked, LETTERS[order.index(no)]))
            found.groups.append(record.set_id if record.set_id is not None else f"item {i}")
    return found


def _option(record: ChoiceRecord, pick: Pick, taken: int | None) -> int:
    if callable(pick):
        index: Any = pick(record)
    elif isinstance(pick, int):
        index = pick
    elif pick == "other":
        if taken is None or len(record.options) != 2:
            raise InputError(
                f"choice '{record.id}' has {len(record.options)} options, and 'other' means the other one of two; say "
                "which option the negative answer is"
            )
        return 1 - taken
    elif pick in ("pro", "label", "unknown"):
        index = getattr(record, pick)
    else:
        raise InputError(
            f"an option is picked by 'pro', 'label', 'unknown', 'other', a number or a function; found {pick!r}"
        )
    if index is None or not 0 <= index < len(record.options):
        raise InputError(
            f"choice '{record.id}' has no option {pick!r}: it gives {index}, of {len(record.options)} options; leave the "
            "record out, or pick otherwise"
        )
    return int(index)


def _asked(text: str, picture: Any, wrap: Wrap) -> Any:
    if callable(wrap):
        return wrap(text, picture)
    if wrap == "chat":
        if picture is None:
            return [{"role": "user", "content": text}]
        return [{"role": "user", "content": [{"type": "image", "image": picture}, {"type": "text", "text": text}]}]
    if wrap != "raw":
        raise InputError(f"wrap is 'raw', 'chat' or a function of (text, picture); found {wrap!r}")
    return text if picture is None else (picture, f"<image>\n{text}")


def _ended(asked: Any, letter: str) -> Any:
    if isinstance(asked, str):
        return asked + letter if asked.endswith((" ", "\n")) else f"{asked} {letter}"
    if isinstance(asked, tuple) and len(asked) == 2:
        return asked[0], _ended(asked[1], letter)
    if isinstance(asked, list):
        return [*asked, {"role": "assistant", "content": letter}]
    raise InputError(
        f"wrap must give a text, an (image, text) pair or a chat to end with the letter; it gave {type(asked).__name__}"
    )
