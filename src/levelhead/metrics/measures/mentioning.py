"""How often a model brings up an attribute that nobody asked about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields

import numpy as np

from levelhead.errors import InputError
from levelhead.metrics.decisions.asking import Wrap
from levelhead.metrics.measures.answered import OPTIONS, AnsweredInWords, Answers
from levelhead.metrics.measures.protocol import Better, Reading
from levelhead.metrics.mentions import Lexicon, mentions, mentions_per_100_words
from levelhead.metrics.quality import degenerate, distinct_n, length, repetition
from levelhead.metrics.statistics import mean_of


@dataclass(frozen=True)
class MentionRate(AnsweredInWords):
    """Share of free answers that mention an attribute of a person, in [0, 1]: the figure of arXiv 2411.12590.

    Parameters
    ----------
    records : Answers, or sequence of PromptRecord
        `Answers` are shared with other measures, and say themselves how prompts are answered.
    attributes : tuple of str
        Of the lexicon; any of them counts.
    lexicon : Lexicon, optional
        levelhead's own when left out.
    max_new_tokens : int
    seed : int or None
        Answers are sampled with this seed; greedy ones when None.
    temperature : float
    wrap, batch_size
        As in `levelhead.metrics.decisions.Choices`.
    name : str

    Raises
    ------
    InputError
        If there are no records, the lexicon lacks an attribute, or `Answers` say otherwise how prompts are answered.
    """

    attributes: tuple[str, ...] = ("gender",)
    lexicon: Lexicon | None = None
    max_new_tokens: int = 60
    seed: int | None = 0
    temperature: float = 1.0
    wrap: Wrap = "raw"
    batch_size: int = 32
    name: str = "mention rate"
    better: Better = field(default="lower", init=False)
    bounds: tuple[float, float] | None = field(default=(0.0, 1.0), init=False)
    chance: float = field(default=1.0, init=False)

    def __post_init__(self) -> None:
        given, usual = self.records, {each.name: each.default for each in fields(self)}
        if isinstance(given, Answers):
            for option in OPTIONS:
                mine, theirs = getattr(self, option), getattr(given, option)
                if mine not in (usual[option], theirs):
                    raise InputError(
                        f"{option}={mine!r} was asked for, and these Answers have {option}={theirs!r}; set it there"
                    )
                object.__setattr__(self, option, theirs)
        elif len(given):
            answered = Answers(given, **{option: getattr(self, option) for option in OPTIONS})
            object.__setattr__(self, "records", answered)
        super().__post_init__()
        check_attributes(self.attributes, self.lexicon)

    def read(self, texts: Sequence[str]) -> Reading:
        """Count mentions in one run's answers."""
        found = mentions(texts, self.lexicon, [record.prompt for record in self.records])
        broken = degenerate(texts)
        beside = {
            "mentions_per_text": float(found.counts(*self.attributes).mean()),
            "mentions_per_100_words": mentions_per_100_words(found, *self.attributes),
            "words": float(length(texts).mean()),
            "distinct_2": distinct_n(texts, 2).value,
            "rep_4": repetition(texts, 4).value,
            "degenerate": float(broken.mean()),
        }
        # A broken text mentions nothing, and that is no virtue.
        cautions = (f"{broken.mean():.0%} of the answers are degenerate",) if broken.mean() > 0.1 else ()
        return Reading(mean_of(np.asarray(found.any(*self.attributes))), len(texts), beside, cautions)


def check_attributes(attributes: Sequence[str], lexicon: Lexicon | None) -> Lexicon:
    """Return the lexicon, levelhead's own when None, or say which attribute it lacks.

    Raises
    ------
    InputError
    """
    found = lexicon or Lexicon.load()
    unknown = [name for name in attributes if name not in found.attributes]
    if isinstance(attributes, str) or unknown:
        raise InputError(
            f"attributes is a tuple out of the lexicon's {', '.join(found.attributes)}; found {attributes!r}"
        )
    return found
