"""MinSkew@C and MaxSkew@C with intervals, and differences between methods on the same pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from levelhead.data.records import ImageRecord
from levelhead.evaluate.skew.pictures import Judged
from levelhead.metrics.skew import furthest, skew_at_c
from levelhead.metrics.statistics import Estimate, Statistic, difference, interval, mean_of
from levelhead.metrics.statistics.weighting import Weights
from levelhead.testbed.concept_records import OVER

Extreme = Literal["min", "max"]
EXTREMES: tuple[Extreme, Extreme] = ("min", "max")


@dataclass(frozen=True)
class Arm:
    """A method: what it answers, once for each of its seeds.

    Attributes
    ----------
    name : str
    kind : {"base", "training", "steering"}
    judged : tuple of Judged
        One for each seed of training; one where nothing is drawn.
    seconds : tuple of float
        That fitting took, by seed.
    """

    name: str
    kind: Literal["base", "training", "steering"]
    judged: tuple[Judged, ...]
    seconds: tuple[float, ...] = ()


def extreme_skew(
    yes: Sequence[Float[np.ndarray, " record"]], records: Sequence[ImageRecord], extreme: Extreme
) -> Statistic:
    """MinSkew@C or MaxSkew@C, of all groups of all attributes, averaged over concepts and then over seeds.

    Parameters
    ----------
    yes : sequence of Float[ndarray, "record"]
        Of each seed.
    records : sequence of ImageRecord
    extreme : {"min", "max"}

    Returns
    -------
    Statistic
    """
    concepts = [str(record.concept) for record in records]
    groups = [[record.groups[name] for record in records] for name in OVER]

    def statistic(weights: Weights) -> Float[np.ndarray, " draw"]:
        found = [
            furthest([skew_at_c(each, concepts, group, weights=weights) for group in groups], extreme) for each in yes
        ]
        return np.mean(found, axis=0)

    return statistic


class Figures:
    """Estimates of every arm, resampling counterfactual sets within concepts, the same for all.

    Parameters
    ----------
    records : mapping of str to sequence of ImageRecord
        Of each set of pictures.
    room_sets, clear_sets : sequence of str
        Which questions share a picture, or a counterfactual set.
    draws, seed : int
        Of the bootstrap.
    """

    def __init__(
        self,
        records: Mapping[str, Sequence[ImageRecord]],
        room_sets: Sequence[str],
        clear_sets: Sequence[str],
        draws: int,
        seed: int,
    ) -> None:
        self.records = records
        self._sets = {"skills": room_sets, "clear": clear_sets}
        self._draws, self._seed = draws, seed

    def skew(self, arm: Arm, test: str, extreme: Extreme, against: Arm | None = None) -> Estimate:
        """A skew of an arm, or its difference from that of another arm on the same pictures.

        Parameters
        ----------
        arm : Arm
        test : str
            Which of the sets.
        extreme : {"min", "max"}
        against : Arm, optional

        Returns
        -------
        Estimate
        """
        records = self.records[test]
        return self._interval(
            [
                extreme_skew([judged.yes[test] for judged in each.judged], records, extreme)
                for each in (arm, against)
                if each
            ],
            [str(record.set_id) for record in records],
            [str(record.concept) for record in records],
        )

    def by_seed(self, arm: Arm, test: str, extreme: Extreme) -> list[float]:
        """A skew of an arm for each of its seeds.

        Parameters
        ----------
        arm : Arm
        test : str
        extreme : {"min", "max"}

        Returns
        -------
        list of float
        """
        records = self.records[test]
        whole = np.ones((1, len(records)))
        return [float(extreme_skew([judged.yes[test]], records, extreme)(whole)[0]) for judged in arm.judged]

    def right(self, arm: Arm, of: Literal["skills", "clear"], against: Arm | None = None) -> Estimate:
        """Share of right answers, or its difference from that of another arm.

        Parameters
        ----------
        arm : Arm
        of : {"skills", "clear"}
        against : Arm, optional

        Returns
        -------
        Estimate
        """
        return self._interval(
            [
                mean_of(np.mean([getattr(judged, of) for judged in each.judged], axis=0))
                for each in (arm, against)
                if each
            ],
            self._sets[of],
        )

    def _interval(
        self, statistics: Sequence[Statistic], clusters: Sequence[str], strata: Sequence[str] | None = None
    ) -> Estimate:
        statistic = statistics[0] if len(statistics) == 1 else difference(statistics[0], statistics[1])
        # Within concepts, since a draw without any set of a concept has no mean over concepts.
        return interval(statistic, clusters, strata=strata, draws=self._draws, seed=self._seed)
