"""What happened in training, step by step."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure


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

    def plot(
        self,
        figure: Figure | SubFigure | None = None,
        *,
        kl: float | int | None = None,
        best: int | None = None,
        title: str = "",
    ) -> list[Axes]:
        """Draw bias and reward, drift, and the shares of answers and untouched neurons over updates.

        Parameters
        ----------
        figure : matplotlib Figure or SubFigure, optional
            An empty one.
        kl : float, optional
            The largest drift that was allowed, to be drawn as a line.
        best : int, optional
            The update whose state became the steer, ``DSO.best_step_``.
        title : str

        Returns
        -------
        list of matplotlib Axes
            From top to bottom; see `levelhead.plots.training_chart`.
        """
        from levelhead.plots.training import training_chart

        return training_chart(self, figure, kl=kl, best=best, title=title)
