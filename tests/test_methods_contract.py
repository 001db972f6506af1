"""What every method that learns from labels keeps to, whatever it computes."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import levelhead as lh
from conftest import graph_of
from levelhead import operators
from levelhead.capture import Activations, Moments
from levelhead.errors import InputError, SiteError
from levelhead.methods import CAA, INLP, ITI, LEACE, MeanDifference, MeanProjection, Method
from levelhead.methods.labeling import labeling
from levelhead.sites import Site
from levelhead.steer import Steer

LABELED: dict[str, Callable[[], Any]] = {
    "MeanDifference": lambda: MeanDifference(["resid_post.1:3", "z.1.*"], to="mean"),
    "MeanDifference, added": lambda: MeanDifference(edit="add", normalize="activation", keep=2, cv=2),
    "MeanDifference, shared": lambda: MeanDifference(shared="best", cv=2, scope="generated"),
    "MeanProjection": lambda: MeanProjection(to="mean"),
    "LEACE": lambda: LEACE(["resid_post.*", "z.1.*"]),
    "INLP": lambda: INLP("resid_post.1:3", rounds=2),
    "ITI": lambda: ITI(heads=3),
    "ITI, probes": lambda: ITI("resid_post.*", heads=1, direction="probe", toward="he"),
}
"""A new method that learns from labels is tested by a line here."""

METHODS = {**LABELED, "CAA": lambda: CAA("resid_post.1", multiplier=-2.0)}

every = pytest.mark.parametrize("name", METHODS)
labeled = pytest.mark.parametrize("name", LABELED)

GROUPS = [k // 4 for k in range(24)]
LABELS = ["she" if k % 2 else "he" for k in range(24)]


@cache
def batch() -> Tensor:
    """Prompts of a tiny model; the last word but one goes with the label."""
    ids = torch.randint(3, 50, (24, 6), generator=torch.Generator().manual_seed(0))
    ids[:, -2] = torch.tensor([50 if label == "she" else 51 for label in LABELS])
    return ids


@cache
def acts() -> Activations:
    sites = ["resid_post.*", "z.*.*"]
    return lh.capture(graph_of("transformers", "llama"), batch(), sites, verbose=False)


def fitted(method: Any, on: Activations | None = None, labels: Any = None) -> Steer:
    on, labels = on or acts(), LABELS if labels is None else labels
    if isinstance(method, CAA):
        she = torch.tensor([label == "she" for label in labels])
        return method.fit(on.rows(she), on.rows(~she))
    return method.fit(on, labels, groups=GROUPS)


@every
def test_fit_gives_a_frozen_steer_whose_card_says_how_it_was_made(name: str, tmp_path: Path) -> None:
    method = METHODS[name]()
    steer = fitted(method)
    assert isinstance(method, Method) and isinstance(steer, Steer) and steer is method.steer_
    with pytest.raises(AttributeError):
        steer.strength = 2.0  # pyright: ignore[reportAttributeAccessIssue]
    assert steer.card["method"]["name"] == type(method).__name__
    assert steer.card["method"]["params"] == method.get_params()
    assert steer.card["model"] == acts().source["model"] and len(steer.card["data"]["sha256"]) == 64
    assert json.loads(json.dumps(dict(steer.card))) == steer.card
    assert {entry.scope for entry in steer} == {method.get_params()["scope"]}
    floats = [p for entry in steer for p in entry.edit.params.values()]
    assert {p.dtype for p in floats} == {torch.float32}
    steer.save(tmp_path)
    assert lh.load(tmp_path) == steer and lh.load(tmp_path).card == steer.card


@every
def test_hyper_parameters_are_kept_as_given(name: str) -> None:
    clone = pytest.importorskip("sklearn.base").clone
    method = METHODS[name]()
    before = method.get_params()
    assert clone(method).get_params() == before
    fitted(method)
    assert method.get_params() == before
    with pytest.raises(InputError, match=f"{type(method).__name__} has no parameter 'strenght'; it has"):
        method.set_params(strenght=1)


@every
def test_the_model_is_itself_at_strength_0_and_another_at_strength_1(name: str) -> None:
    graph, steer = graph_of("transformers", "llama"), fitted(METHODS[name]())
    plain = graph.logits({"input_ids": batch()[:2]})
    assert torch.equal(graph.logits({"input_ids": batch()[:2]}, steer * 0), plain)
    assert not torch.allclose(graph.logits({"input_ids": batch()[:2]}, steer), plain)
    for entry in steer:
        h = acts()[entry.site]
        step = ("0", entry.edit.kind, 0.0, "all", None, entry.edit.params, None)
        assert torch.equal(operators.apply(h, [step], None, {}), h)


@every
def test_the_same_data_give_the_same_steer_and_nothing_else_is_touched(name: str) -> None:
    kept = {site: value.clone() for site, value in acts().items()}
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    first = fitted(METHODS[name]())
    second = fitted(METHODS[name]())
    assert first == second and first.card == second.card
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert np.array_equal(np.random.get_state()[1], numpy_state)  # noqa: NPY002
    assert all(torch.equal(acts()[site], value) for site, value in kept.items())


@every
def test_half_precision_and_double_are_read_as_they_are(name: str) -> None:
    wide = Activations({site: value.double() for site, value in acts().items()}, source=acts().source)
    assert fitted(METHODS[name](), wide) == fitted(METHODS[name]())
    half = Activations({site: value.bfloat16() for site, value in acts().items()}, source=acts().source)
    again = Activations({site: value.float() for site, value in half.items()}, source=acts().source)
    assert fitted(METHODS[name](), half) == fitted(METHODS[name](), again)


@every
def test_activations_that_are_not_finite_are_refused_by_name(name: str) -> None:
    broken = {site: value.clone() for site, value in acts().items()}
    for value in broken.values():
        value[6:8] = float("nan")
    with pytest.raises(InputError, match=r"activations at '[\w.]+' have NaN or infinite entries, first in row [36];"):
        fitted(METHODS[name](), Activations(broken))


@every
def test_a_site_that_was_not_captured_is_refused(name: str) -> None:
    where = "site" if name == "CAA" else "sites"
    with pytest.raises(SiteError, match=r"mlp_out"):
        fitted(METHODS[name]().set_params(**{where: "mlp_out.1"}))


@labeled
@pytest.mark.parametrize(
    ("labels", "says"),
    [
        (["she"] * 24, "labels of at least two classes are needed, and all labels are 'she'"),
        (None, "labels are needed, one for each of the 24 rows"),
        (LABELS[:-1], "24 rows of activations and 23 labels were given; one label a row is needed"),
        ([1.0, float("nan")] * 12, r"the label of row 1 is nan; leave such rows out"),
        (["a", 1] * 12, "labels must be of one kind, and these mix int, str"),
    ],
)
def test_labels_that_say_nothing_are_refused(name: str, labels: Any, says: str) -> None:
    with pytest.raises(InputError, match=says):
        LABELED[name]().fit(acts(), labels)


@labeled
def test_three_classes_are_taken_or_refused_with_the_reason(name: str) -> None:
    labels = ["they" if k % 3 == 0 else label for k, label in enumerate(LABELS)]
    method = LABELED[name]()
    if name in ("LEACE", "INLP", "MeanDifference", "MeanDifference, shared"):
        sizes = {next(iter(entry.edit.params.values())).shape[0] for entry in method.fit(acts(), labels)}
        assert min(sizes) >= 2
    else:
        with pytest.raises(InputError, match=r"needs two classes; found 3: \['he', 'she', 'they'\]"):
            method.fit(acts(), labels)


@labeled
def test_labels_and_groups_go_with_examples_where_rows_are_tokens(name: str) -> None:
    example = torch.arange(24) // 2
    labels = ["she" if k % 2 else "he" for k in range(12)]
    tokens = Activations(dict(acts()), at="all", example=example)
    spread = [labels[k] for k in example.tolist()]
    by_example = LABELED[name]().fit(tokens, labels, groups=list(range(12)))
    assert by_example == LABELED[name]().fit(tokens, spread, groups=example) == LABELED[name]().fit(tokens, labels)


def test_moments_are_refused_where_examples_are_needed() -> None:
    # Called as the methods call it: the type checks of these tests would stop moments at `fit`, before a user's reason.
    moments = Moments(["he", "she"], torch.tensor([3, 3]), {Site("ln1", 0): torch.zeros(2, 4).double()})
    with pytest.raises(InputError, match="single examples are needed, and moments hold their sums; capture"):
        labeling(moments, None)


@pytest.mark.parametrize(
    ("method", "says"),
    [
        (ITI(heads=13), r"heads=13 were asked for, and 12 sites were captured"),
        (ITI(heads=0), "heads must be at least 1; found 0"),
        (ITI(heads=1, cv=1), "cv must be at least 2; found 1"),
        (ITI(heads=1, C=0), "C must be above 0; found 0"),
        (ITI(heads=1).set_params(direction="pca"), "direction must be one of 'mean', 'probe'; found 'pca'"),
        (ITI(heads=1, toward="they"), r"toward='they' is not among the labels \['he', 'she'\]"),
        (LEACE(tol=0.0), "tol must be above 0; found 0.0"),
        (LEACE(tol=2.0), "nothing at 'resid_post.0' correlates with the classes by more than tol=2"),
        (INLP(rounds=0), "rounds must be above 0; found 0"),
        (INLP("resid_post.0", tol=0.9), r"no linear classifier at 'resid_post.0' beats chance \(0.500\)"),
    ],
)
def test_hyper_parameters_out_of_range_are_refused(method: Any, says: str) -> None:
    with pytest.raises(InputError, match=says):
        fitted(method)


def test_every_method_that_is_public_is_in_this_suite() -> None:
    from levelhead import methods

    public = {value for name in methods.__all__ if isinstance(value := getattr(methods, name), type)}
    learns = {value for value in public if issubclass(value, Method) and value is not Method}
    others = {"RandomDirection", "FairnessPrompt", "ProbeGate", "GradientStep", "DSO"}
    assert {value.__name__ for value in learns} - others == {type(make()).__name__ for make in METHODS.values()}
