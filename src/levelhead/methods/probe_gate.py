"""A gate from a probe: where a steer should write, learned from examples of where it should and should not."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from levelhead.capture import Activations
from levelhead.errors import InputError
from levelhead.gates import PER, Gate
from levelhead.methods.base import Method, check_choice, check_range
from levelhead.methods.labeling import group_codes, labeling
from levelhead.metrics.statistics import roc_auc
from levelhead.probes.crossfit import cross_fit
from levelhead.probes.folds import stratified_folds
from levelhead.probes.problem import check_finite, check_problem
from levelhead.sites import Patterns, Site, resolve


class ProbeGate(Method):
    """A logistic probe that tells what a steer is meant for from everything else, as a `levelhead.Gate`.

    FairSteer (arXiv 2504.14492) edits where a probe of the last token finds a biased answer coming, and reports that
    without the gate its edit costs most of the gain. Which site, and how sure the probe must be, are settled here on
    held-out groups; that choice is ours.

    Parameters
    ----------
    sites : patterns
        Among which the gate's place is chosen: the first within `slack` of the best area under the curve on held-out
        groups. A gate must not read later than the edits behind it write.
    open_on : optional
        The class for which the gate opens; by default the last in sorted order.
    per : {"sequence", "token"}
        See `levelhead.Gate`; fit it on activations of the prompt's last token, or of every token.
    soft : bool
    missed : float, optional
        Share of held-out examples of the wanted class for which the gate may stay shut.
    false_open : float, optional
        Share of held-out examples of the other class for which it may open. Give one of the two, or neither for a
        threshold at even odds.
    C : float
        Inverse strength of the probe's penalty, as in scikit-learn.
    cv : int
        Folds.
    slack : float
        Of the area under the curve: an earlier site is preferred to one that is better by no more.
    random_state : int
        Of the folds.
    """

    def __init__(
        self,
        sites: Patterns = "resid_post.*",
        open_on: Any = None,
        per: Literal["token", "sequence"] = "sequence",
        soft: bool = False,
        missed: float | None = None,
        false_open: float | None = None,
        C: float | int = 1.0,
        cv: int = 5,
        slack: float = 0.005,
        random_state: int = 0,
    ) -> None:
        self.sites = sites
        self.open_on = open_on
        self.per: Literal["token", "sequence"] = per
        self.soft = soft
        self.missed = missed
        self.false_open = false_open
        self.C = C
        self.cv = cv
        self.slack = slack
        self.random_state = random_state

    def fit(self, acts: Activations, labels: Collection[Any], groups: Collection[Any] | None = None) -> Gate:
        """Fit on examples for which the gate should open, and others.

        Parameters
        ----------
        acts : Activations
            Of the language model.
        labels : sequence
            Of two classes; one for each row, or each example.
        groups : sequence, optional
            What belongs together and is held out together; likewise.

        Returns
        -------
        Gate
            `scores_` has the area under the curve at each site; `opens_` the shares of held-out examples of the
            wanted and of the other class for which the gate opens.

        Raises
        ------
        InputError
            For labels of one class or of more than two, too few groups, `missed` or `false_open` outside of (0, 1), or
            both.
        """
        check_choice("ProbeGate", "per", self.per, PER)
        check_range("ProbeGate", "C", self.C, self.C > 0, "above 0")
        check_range("ProbeGate", "cv", self.cv, self.cv >= 2, "at least 2")
        check_range("ProbeGate", "slack", self.slack, self.slack >= 0, "at least 0")
        given = {name: value for name in ("missed", "false_open") if (value := getattr(self, name)) is not None}
        if len(given) > 1 or not all(0 < value < 1 for value in given.values()):
            raise InputError(f"one of missed and false_open can be given, a share between 0 and 1; found {given}")
        found = resolve(self.sites, acts.sites)
        known = labeling(acts, labels)
        problem = check_problem(
            [known.classes[code] for code in known.codes.tolist()], group_codes(acts, groups), acts.n
        )
        open_on = problem.classes[1] if self.open_on is None else self.open_on
        if open_on not in problem.classes:
            raise InputError(f"open_on={open_on!r} is not among the labels {problem.classes}")
        positive = problem.positive if open_on == problem.classes[1] else ~problem.positive
        rng = np.random.default_rng(self.random_state)
        folds = stratified_folds(positive, problem.groups, self.cv, rng)[None]
        fits: dict[Site, tuple[Tensor, float, np.ndarray]] = {}
        for site in found:
            check_finite(acts[site], site, acts.n)
            fit = cross_fit(acts[site].double()[None], positive[None], folds, self.cv, C=float(self.C), full=True)
            assert fit.coef is not None and fit.intercept is not None
            fits[site] = fit.coef[0, 0], float(fit.intercept[0, 0]), fit.scores[0, 0].cpu().numpy()
        self.scores_ = {
            site: float(roc_auc(torch.from_numpy(scores), torch.from_numpy(positive)))
            for site, (_, _, scores) in fits.items()
        }
        best = max(self.scores_.values())
        site = next(site for site in found if self.scores_[site] >= best - self.slack)
        weight, bias, scores = fits[site]
        threshold = self._threshold(scores, positive)
        self.opens_ = float((scores[positive] > threshold).mean()), float((scores[~positive] > threshold).mean())
        self.gate_ = Gate(
            site, weight.to(torch.float32), bias - threshold, self.per, self.soft, str(acts.source.get("basis", "hf"))
        )
        return self.gate_

    def _threshold(self, scores: Float[np.ndarray, " example"], positive: Bool[np.ndarray, " example"]) -> float:
        if self.missed is not None:
            # Just below the last score that must pass, since a gate opens above its threshold.
            return float(np.nextafter(np.quantile(scores[positive], self.missed, method="lower"), -np.inf))
        if self.false_open is not None:
            return float(np.quantile(scores[~positive], 1 - self.false_open, method="higher"))
        return 0.0
