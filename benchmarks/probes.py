"""ProbeSweep against a loop over scikit-learn, interleaved in one process, on one thread.

256 sites x 400 examples x 64 dimensions. Three amounts of work are timed: one probe a site on all examples; five folds
and all examples, with ROC AUC; and a sweep with its controls (for scikit-learn, what its loop would take for as many
fits). Ratios are medians over repeats, with the range; above 1 ours is faster. scikit-learn runs at its default
tolerance when timed, and at a tight one when the two are compared.

Promise: at least twice as fast, cosine of weights >= 0.9999, ROC AUC within 1e-3.
"""

from __future__ import annotations

import argparse
import os

os.environ["OMP_NUM_THREADS"] = "1"

import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import PredefinedSplit, cross_val_predict

from levelhead import Activations, ProbeSweep
from levelhead.probes.linear import block_sizes, fit_logistic

SITES, N, D, FOLDS = 256, 400, 64, 5


def sites() -> tuple[Activations, np.ndarray]:
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(N) % 2
    values: dict[str, torch.Tensor] = {}
    for i in range(SITES):
        direction = torch.randn(D, generator=generator) / D**0.5
        x = torch.randn(N, D, generator=generator) * torch.logspace(0, -(i % 4) / 2, D)
        values[f"z.{i // 16}.{i % 16}"] = x + (i % 5) * 0.5 * (y - 0.5)[:, None] * direction
    return Activations(values), y.numpy()


def ours_full(acts: Activations, y: np.ndarray) -> np.ndarray:
    labels, train = torch.from_numpy(y == 1)[None], torch.ones(1, N, dtype=torch.bool)
    size, _ = block_sizes(N, D, 1)
    found = [
        fit_logistic(x[i : i + size], labels, train).coef for _, x in acts.stacks() for i in range(0, len(x), size)
    ]
    return torch.cat(found)[:, 0].numpy()


def probe(tight: bool = False) -> LogisticRegression:
    return LogisticRegression(solver="newton-cholesky", tol=1e-8) if tight else LogisticRegression(max_iter=1000)


def theirs_full(acts: Activations, y: np.ndarray, tight: bool = False) -> np.ndarray:
    return np.stack([probe(tight).fit(acts[site].double().numpy(), y).coef_[0] for site in acts.sites])


def ours_folds(acts: Activations, y: np.ndarray) -> ProbeSweep:
    return ProbeSweep(cv=FOLDS, controls=(), verbose=False).fit(acts, y)


def theirs_folds(acts: Activations, y: np.ndarray, folds: np.ndarray, tight: bool = False) -> np.ndarray:
    split, auc = PredefinedSplit(folds), []
    for site in acts.sites:
        x = acts[site].double().numpy()
        decisions = cross_val_predict(probe(tight), x, y, cv=split, method="decision_function")
        auc.append(np.mean([roc_auc_score(y[folds == k], decisions[folds == k]) for k in range(FOLDS)]))
        probe(tight).fit(x, y)
    return np.array(auc)


def seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def report(name: str, ours: list[float], theirs: list[float]) -> None:
    ratios = [b / a for a, b in zip(ours, theirs, strict=True)]
    print(
        f"{name:<46} ours {statistics.median(ours):7.2f} s   scikit-learn {statistics.median(theirs):7.2f} s   "
        f"ratio {statistics.median(ratios):6.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    torch.set_num_threads(1)
    acts, y = sites()
    sweep = ours_folds(acts, y)  # also warms up
    weights, reference = ours_full(acts, y), theirs_full(acts, y, tight=True)
    cosine = (weights * reference).sum(1) / np.linalg.norm(weights, axis=1) / np.linalg.norm(reference, axis=1)
    gap = np.abs(sweep.frame().auc.to_numpy() - theirs_folds(acts, y, sweep.folds_, tight=True)).max()
    print(f"{SITES} sites x {N} examples x {D} dimensions, one thread, CPU seconds, {repeats} interleaved repeats")
    print(f"agreement: smallest cosine of weights {cosine.min():.8f}, largest difference of ROC AUC {gap:.1e}")
    full: tuple[list[float], list[float]] = ([], [])
    folds: tuple[list[float], list[float]] = ([], [])
    controls: tuple[list[float], list[float]] = ([], [])
    controlled = ProbeSweep(cv=FOLDS, verbose=False)
    fits = 1 + FOLDS + 2 * controlled.n_controls * FOLDS
    for repeat in range(repeats):
        full[0].append(seconds(lambda: ours_full(acts, y)))
        full[1].append(seconds(lambda: theirs_full(acts, y)))
        folds[0].append(seconds(lambda: ours_folds(acts, y)))
        folds[1].append(seconds(lambda: theirs_folds(acts, y, sweep.folds_)))
        if repeat < 2:
            controls[0].append(seconds(lambda: controlled.fit(acts, y)))
            controls[1].append(full[1][-1] * fits)
    report("one fit a site", *full)
    report(f"{FOLDS} folds + full, AUC, ours with intervals", *folds)
    report(f"with controls, {fits} fits a site (theirs scaled)", *controls)


if __name__ == "__main__":
    main()
