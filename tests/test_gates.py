"""Gates: a probe inside the model decides where a steer writes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import levelhead as lh
from conftest import graph_of
from levelhead import Ablate, Add, Gate, Steer, operators
from levelhead.errors import AdapterError, EditError, FileError, InputError, SiteError
from levelhead.methods import ProbeGate
from tiny import ARCHITECTURES

GREEDY = {"max_new_tokens": 5, "do_sample": False}
NAMES = ("gpt2", "llama", "llava")


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def plain(scope: str = "all", site: str = "resid_post.1") -> Steer:
    return Steer({site: Add(2 * noise(32, seed=5)), "z.2.1": Add(noise(8, seed=6))}, scope=scope)


def parting(graph, batch, at: str = "resid_pre.1") -> Gate:
    """A gate that opens for the first row's last token and not for the second's."""
    first, second = graph.capture(batch, [lh.Site.parse(at)], "last")[lh.Site.parse(at)]
    weight = first - second
    return Gate(at, weight, -float(weight @ (first + second) / 2))


@pytest.mark.parametrize("name", NAMES)
def test_a_gate_for_sequences_steers_the_rows_it_opens_for_and_leaves_others_to_the_bit(
    adapter: str, name: str
) -> None:
    graph = graph_of(adapter, name)
    batch = graph.encode(ARCHITECTURES[name].batch((9, 9)))
    gate = parting(graph, batch)
    with torch.no_grad():
        bare, full = graph.logits(batch), graph.logits(batch, plain())
        gated, other = graph.logits(batch, plain().gated(gate)), graph.logits(batch, plain().gated(~gate))
    assert torch.equal(gated[0], full[0]) and torch.equal(gated[1], bare[1]) and not torch.equal(full[1], bare[1])
    assert torch.equal(other[1], full[1]) and torch.equal(other[0], bare[0])
    # The prompt decides, also for what comes after it.
    steered = graph.generate(batch, plain("continuation").gated(gate), **GREEDY)
    assert torch.equal(steered[0], graph.generate(batch, plain("continuation"), **GREEDY)[0])
    assert torch.equal(steered[1], graph.generate(batch, **GREEDY)[1])
    assert torch.equal(graph.generate(batch, plain("continuation").gated(gate), use_cache=False, **GREEDY), steered)


@pytest.mark.parametrize("name", NAMES)
def test_a_gate_for_tokens_writes_where_its_own_formula_says(adapter: str, name: str) -> None:
    graph = graph_of(adapter, name)
    batch = graph.encode(ARCHITECTURES[name].batch((7, 5)))
    site, late = lh.Site.parse("resid_post.0"), lh.Site.parse("resid_post.2")
    gate = Gate(site, noise(32, seed=9), per="token")
    at_gate = graph.capture(batch, [site], "all")[site]
    opened = gate(at_gate) > 0
    assert 0 < int(opened.sum()) < len(opened)
    vector = noise(32, seed=5)
    steer = Steer({late: Add(vector)}).gated(gate)
    before, after = (graph.capture(batch, [late], "all", steer=each)[late] for each in (None, steer))
    torch.testing.assert_close(after, before + opened[:, None] * vector, rtol=0, atol=1e-6)
    assert torch.equal(after[~opened], before[~opened])
    soft = Steer({late: Add(vector)}).gated(Gate(site, gate.weight, per="token", soft=True))
    after = graph.capture(batch, [late], "all", steer=soft)[late]
    torch.testing.assert_close(after, before + torch.sigmoid(at_gate @ gate.weight)[:, None] * vector)


def test_every_graph_gives_the_same_numbers() -> None:
    batch = ARCHITECTURES["llava"].batch((9, 9))
    graphs = [graph_of(name, "llava") for name in ("transformers", "transformer_lens", "nnsight")]
    encoded = graphs[0].encode(batch)
    steer = plain().gated(parting(graphs[0], encoded))
    with torch.no_grad():
        found = [graph.logits(encoded, steer) for graph in graphs]
    assert torch.equal(found[0], found[1]) and torch.equal(found[0], found[2])


@pytest.mark.parametrize("name", NAMES)
def test_many_strengths_in_one_pass_are_each_alone(adapter: str, name: str) -> None:
    """Rows part before the gate is read, so that each copy of a row is decided with it."""
    graph = graph_of(adapter, name)
    batch = graph.encode(ARCHITECTURES[name].batch((9, 9)))
    for steer in (
        plain(site="resid_post.2").gated(parting(graph, batch)),
        plain(site="resid_post.2").gated(Gate("resid_post.0", noise(32, seed=9), per="token", soft=True)),
    ):
        with torch.no_grad():
            together = graph.logits_at(batch, steer, torch.tensor([0.5, 1.0, 2.0]))
            for found, strength in zip(together, (0.5, 1.0, 2.0), strict=True):
                torch.testing.assert_close(found, graph.logits(batch, steer * strength), rtol=1e-5, atol=1e-5)


def test_a_prompt_that_is_read_in_chunks_is_decided_at_its_end(adapter: str) -> None:
    """The first chunk does not tell where the prompt ends, and a later one does not undo what was decided."""
    graph = graph_of(adapter, "llama")
    batch = graph.encode(ARCHITECTURES["llama"].batch((9, 9)))
    for steer in (plain("continuation"), plain("continuation").gated(parting(graph, batch))):
        whole = graph.generate(batch, steer, **GREEDY)
        assert torch.equal(graph.generate(batch, steer, prefill_chunk_size=4, **GREEDY), whole)


def test_a_later_chunk_does_not_undo_a_decision() -> None:
    run, gate = operators.new_run(prompt=9), ("g", "gate", 1.0, "sequence", None, None, None)
    weight = {"weight": torch.tensor([1.0]), "bias": torch.tensor(0.0)}
    mask = torch.tensor([[1] * 4 + [0] * 5, [1] * 9])
    h = torch.tensor([[1.0] * 4 + [-1.0] * 5, [-1.0] * 9])[..., None]
    for start, stop in ((0, 5), (5, 9)):
        cache = type("Cache", (), {"get_seq_length": lambda self, start=start: start})()
        call = {"input_ids": mask[:, start:stop], "attention_mask": mask, "past_key_values": cache}
        operators.apply(h[:, start:stop], [(*gate[:5], weight, None)], operators.open_pass(call, run), {})
    assert run["gates"]["g"].tolist() == [[1.0], [0.0]]


def test_a_gate_belongs_to_a_basis() -> None:
    with pytest.raises(EditError, match="is in basis 'tl-compat', and the steer behind it in basis 'hf'"):
        plain().gated(Gate("resid_pre.0", noise(32), basis="tl-compat"))


def test_gates_tell_steers_apart() -> None:
    from levelhead.harness.subject import fingerprint

    gate = Gate("resid_pre.0", noise(32))
    assert len({fingerprint(each) for each in (plain(), plain().gated(gate), plain().gated(~gate))}) == 3


def test_a_gate_that_stays_closed_is_no_steer_that_missed() -> None:
    graph = graph_of("transformers", "llama")
    batch = graph.encode(ARCHITECTURES["llama"].batch((6,)))
    closed = plain().gated(Gate("resid_pre.0", torch.zeros(32), bias=-1.0))
    with torch.no_grad():
        assert torch.equal(
            graph.logits(batch, closed), graph.logits(batch)
        )  # an UntouchedSteerWarning would be an error


def test_a_bridge_hands_out_hooks_of_a_gated_steer_that_share_its_decision() -> None:
    graph = graph_of("transformer_lens", "llama")
    batch = graph.encode(ARCHITECTURES["llama"].batch((9, 9)))
    steer = plain().gated(parting(graph, batch))
    with graph.target.hooks(fwd_hooks=steer.hooks(graph.target, batch)), torch.no_grad():
        hooked = graph.model(**batch).logits
    with torch.no_grad():
        assert torch.equal(hooked, graph.logits(batch, steer))
    with pytest.raises(AdapterError, match="gated steer needs the encoded inputs"):
        steer.hooks(graph.target)


def test_gated_steers_are_saved_and_loaded_like_others(tmp_path: Path) -> None:
    gate = Gate("resid_pre.1", noise(32), 0.25, per="token", soft=True)
    other = Steer({"resid_post.2": Ablate(noise(32, seed=3))})
    steer = plain().gated(gate) | other
    steer.save(tmp_path)
    again = lh.load(tmp_path)
    assert again == steer and again.gates == [gate] and again.entries[-1].gate is None
    assert "Gates | resid_pre.1, per token" in (tmp_path / "README.md").read_text()
    assert '"schema": 2' in (tmp_path / "card.json").read_text()
    other.save(tmp_path)
    assert '"schema": 1' in (tmp_path / "card.json").read_text(), "what has no gate can be read by what knows none"


@pytest.mark.parametrize(
    ("was", "put", "expected"),
    [
        (b'"gate": 0', b'"gate": 7', "stands behind gate 7, and the card has 1 gates"),
        (b'"per": "token"', b'"per": "tiken"', "gate 0: .*tiken"),
        (b'"site": "resid_pre.1"', b'"site": "resid_zzz.1"', "gate 0: "),
        (b'"soft": true', b'"soft": 1e99', None),
    ],
)
def test_damaged_gates_are_refused(tmp_path: Path, was: bytes, put: bytes, expected: str | None) -> None:
    plain().gated(Gate("resid_pre.1", noise(32), per="token", soft=True)).save(tmp_path)
    file = tmp_path / "steer.safetensors"
    raw = file.read_bytes()
    escaped = tuple(each.replace(b'"', b'\\"') for each in (was, put))
    assert escaped[0] in raw
    changed = raw.replace(*escaped)
    length = int.from_bytes(raw[:8], "little") + len(changed) - len(raw)
    file.write_bytes(length.to_bytes(8, "little") + changed[8:])
    if expected is None:
        assert lh.load(tmp_path).gates[0].soft
        return
    with pytest.raises(FileError, match=f"(?s){expected}"):
        lh.load(tmp_path)


def test_a_gate_must_fit() -> None:
    graph = graph_of("transformers", "llama")
    batch = graph.encode(ARCHITECTURES["llama"].batch((6,)))
    with pytest.raises(
        SiteError, match=r"'resid_post.1' cannot stand behind a gate at 'resid_post.2', which is read later"
    ):
        plain().gated(Gate("resid_post.2", noise(32)))
    with pytest.raises(SiteError, match="pictures are encoded before any token is read"):
        Steer({"projector": Add(noise(32))}).gated(Gate("resid_pre.0", noise(32)))
    with pytest.raises(EditError, match=r"the gate at 'resid_pre.0' has width 8, and the model has 32 there"):
        graph.logits(batch, plain().gated(Gate("resid_pre.0", noise(8))))
    with pytest.raises(InputError, match=r"'vision/resid_post.0' has picture patches"):
        Gate("vision/resid_post.0", noise(16))
    with pytest.raises(EditError, match="must be finite"):
        Gate("resid_pre.0", torch.full((4,), float("nan")))


def planted(n: int = 60) -> tuple[lh.Activations, list[str], list[int]]:
    """Rows that differ by class at the later of two sites alone, in groups of three."""
    labels = ["open" if i % 2 else "shut" for i in range(n)]
    late = noise(n, 6, seed=2) + 4.0 * torch.tensor([[label == "open"] for label in labels]) * torch.eye(6)[2]
    return (
        lh.Activations({"resid_post.0": noise(n, 6, seed=1), "resid_post.1": late}),
        labels,
        [i // 3 for i in range(n)],
    )


def test_a_probe_gate_finds_the_site_the_direction_and_the_threshold() -> None:
    acts, labels, groups = planted()
    fitter = ProbeGate(open_on="open")
    gate = fitter.fit(acts, labels, groups)
    assert str(gate.site) == "resid_post.1" and fitter.scores_[gate.site] > 0.97 > 0.7 > min(fitter.scores_.values())
    right = gate(acts[gate.site]).bool() == torch.tensor([label == "open" for label in labels])
    assert float(right.float().mean()) > 0.95
    assert int(gate.weight.abs().argmax()) == 2 and fitter.opens_[0] > 0.9 > 0.1 > fitter.opens_[1]
    shut = ProbeGate(open_on="shut").fit(acts, labels, groups)
    assert torch.equal(shut(acts[gate.site]), 1 - gate(acts[gate.site]))
    # scikit-learn draws the same line.
    from sklearn.linear_model import LogisticRegression

    theirs = LogisticRegression(C=1.0, tol=1e-8, max_iter=1000).fit(acts[gate.site].numpy(), labels)
    torch.testing.assert_close(gate.weight, -torch.tensor(theirs.coef_[0]).float(), rtol=1e-3, atol=1e-3)


def even_opens(acts: lh.Activations, labels: list[str], groups: list[int]) -> float:
    fitter = ProbeGate(open_on="open")
    fitter.fit(acts, labels, groups)
    return fitter.opens_[0]


def test_labels_may_be_one_for_each_example_where_rows_are_tokens() -> None:
    acts, labels, groups = planted()
    twice = lh.Activations(
        {site: value.repeat_interleave(2, 0) for site, value in acts.items()},
        "all",
        torch.arange(60).repeat_interleave(2),
    )
    spread = ProbeGate(open_on="open").fit(twice, labels, groups)
    doubled = [label for label in labels for _ in (0, 1)]
    assert spread == ProbeGate(open_on="open").fit(twice, doubled, [group for group in groups for _ in (0, 1)])


def test_a_strict_gate_opens_for_as_few_of_the_others_as_was_asked() -> None:
    acts, labels, groups = planted(300)
    strict = ProbeGate(open_on="open", false_open=0.02)
    gate, even = strict.fit(acts, labels, groups), ProbeGate(open_on="open").fit(acts, labels, groups)
    assert strict.opens_[1] <= 0.02 and gate.bias < even.bias
    wide = ProbeGate(open_on="open", missed=0.01)
    assert wide.fit(acts, labels, groups).bias > even.bias and wide.opens_[0] >= 0.99 > even_opens(acts, labels, groups)
    for wrong in ({"false_open": 1.5}, {"missed": 0.1, "false_open": 0.1}):
        with pytest.raises(InputError, match="share between 0 and 1"):
            ProbeGate(**wrong).fit(acts, labels)
    with pytest.raises(InputError, match="not among the labels"):
        ProbeGate(open_on="ajar").fit(acts, labels)
    for wrong, says in (({"C": -1}, "C"), ({"cv": 1}, "cv"), ({"per": "tiken"}, "per")):
        with pytest.raises(InputError, match=says):
            fitter = ProbeGate()
            fitter.set_params(**wrong)
            fitter.fit(acts, labels)
    with pytest.raises(InputError, match="all labels are 'x'"):
        ProbeGate().fit(acts, ["x"] * 300)
