"""What happened in training, step by step."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


class History(list[dict[str, float]]):
    """One dictionary a step, in order.

    ``step`` counts updates; ``reward`` is the batch's expected reward, ``bias`` the mean unevenness of the occupations by
    their running estimates, ``kl`` and ``kl_neutral`` the drifts in nats on choices and on neutral prompts, ``weight`` and
    ``weight_neutral`` their multipliers, ``answered`` the probability that any option is said, ``untouched`` the share of
    neurons that are left alone, ``asked`` the questions that were put with gradients so far, ``seconds`` the time so far.
    Row 0 is the model as it is. Rows of evaluations have ``validation_bias``, ``validation_answered``, ``validation_kl`` and ``validation_kl_neutral`` as well.
    """

    def frame(self) -> pd.DataFrame:
        """One row a step; NaN where something was not measured."""
        import pandas as pd

        return pd.DataFrame(list(self))
