"""A model's own answers: sorted by what they mention, and read again as they were generated."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import levelhead as lh
import tiny
import words
from conftest import ADAPTERS, target_of
from levelhead import Add, Steer, testbed
from levelhead.data.mention_split import MentionSplit, split_by_mention
from levelhead.data.open_prompts import OPEN_PROMPTS, PERSON_PROMPTS, open_prompts, people_of, person_prompts
from levelhead.data.records import CapabilityRecord, ImageRecord, PromptRecord
from levelhead.errors import InputError
from levelhead.generation import Reply, answers, replies, tokens_of
from levelhead.metrics.mentions import Lexicon
from levelhead.replay import replayed
from levelhead.testbed.captions import mentions, parse
from levelhead.testbed.reading import captioned
from levelhead.testbed.scene import sample

SITES = ["resid_post.1", "resid_post.2"]


def texts_graph(adapter: str = "transformers") -> Any:
    if adapter == "nnsight":
        return lh.graph(target_of(adapter, "llama"), words.tokenizer())
    if adapter == "transformer_lens":
        from levelhead_transformer_lens import boot

        return lh.graph(boot(tiny.ARCHITECTURES["llama"].model(), words.tokenizer()))
    return lh.graph(tiny.ARCHITECTURES["llama"].model(), words.tokenizer())


def prompts(n: int = 12) -> list[PromptRecord]:
    said = ["the doctor is", "who is the nurse ? the", "describe the person .", "the person smiles . yes"]
    return [PromptRecord(id=str(i), prompt=said[i % 4], set_id=f"s{i % 4}") for i in range(n)]


@pytest.fixture(scope="module")
def bed() -> testbed.Testbed:
    return testbed.load()


@pytest.fixture(scope="module")
def split(bed: testbed.Testbed) -> MentionSplit:
    records = captioned(sample(40, seed=5, held_out=False))
    return split_by_mention(bed.graph, records, max_new_tokens=40, batch_size=20, verbose=False)


# -- what was answered ---------------------------------------------------------------------------------


def test_replies_hold_the_tokens_that_spell_them() -> None:
    graph = texts_graph()
    inputs = [record.prompt for record in prompts(5)]
    said = replies(graph, inputs, seed=1, max_new_tokens=6, batch_size=2)
    assert answers(graph, inputs, seed=1, max_new_tokens=6, batch_size=2) == [reply.text for reply in said]
    for reply in said:
        assert len(reply.tokens) == 6, "this model never ends an answer"
        assert words.tokenizer().decode(reply.tokens, skip_special_tokens=True).strip() == reply.text
    stops = int(said[0].tokens[2])
    graph.model.generation_config.eos_token_id = [stops]
    try:
        ended = replies(graph, inputs[:1], seed=None, max_new_tokens=6)
        free = graph.model.generate(**graph.encode(inputs[:1]), max_new_tokens=6, do_sample=False)[0, -6:].tolist()
    finally:
        graph.model.generation_config.eos_token_id = None
    expected = free[: free.index(stops)] if stops in free else free
    assert list(ended[0].tokens) == expected


def test_tokens_of_a_part_of_the_text() -> None:
    graph = texts_graph()
    reply = Reply("the woman is a nurse .", tuple(words.ids_of("the woman is a nurse .")))
    for word in ("the", "woman", "a", "nurse", "."):
        start = f" {reply.text}".index(f" {word}")
        number = reply.text.split().index(word)
        assert list(tokens_of(graph, reply, start, start + len(word))) == [number]
    start = reply.text.index("woman")
    assert list(tokens_of(graph, reply, start, start + len("woman is"))) == [1, 2]
    # Special tokens are spelled by nothing, and count all the same.
    padded = Reply(reply.text, (words.VOCABULARY["<start>"], *reply.tokens))
    assert list(tokens_of(graph, padded, start, start + 5)) == [2]


def test_prompts_with_and_without_pictures_stand_side_by_side(bed: testbed.Testbed) -> None:
    records = captioned(sample(2, seed=3))
    shown: list[Any] = [(r.image, f"<image> {r.prompt}") for r in records]
    told = ["describe the person .", "what is the job of the person ?"]
    mixed = replies(bed.graph, [shown[0], told[0], shown[1], told[1]], max_new_tokens=6)
    apart = [replies(bed.graph, some, max_new_tokens=6) for some in (shown, told)]
    assert mixed == [apart[0][0], apart[1][0], apart[0][1], apart[1][1]]


# -- the split -----------------------------------------------------------------------------------------


def test_labels_are_what_the_grammar_says_and_rates_are_the_planted_ones(
    bed: testbed.Testbed, split: MentionSplit
) -> None:
    gendered = ["gender" in mentions(parse(text) or {}) for text in split.answers]
    assert [label == "biased" for label in split.labels] == gendered
    assert split.counts == {"biased": sum(gendered), "neutral": 40 - sum(gendered)} and split.left_out == 0
    assert 0.6 < np.mean(gendered) < 0.99, "planted: 0.85"
    assert split.groups == tuple(record.set_id for record in split.records)
    frame = split.frame()
    assert list(frame["label"]) == list(split.labels) and set(frame["group"]) == {"man", "woman"}
    for row in frame.to_dict("records"):
        said = row["answer"].split()
        assert (row["terms"] == "") == (row["label"] == "neutral")
        if row["terms"]:
            assert said[row["token"]] == row["terms"].split(", ")[0]


def test_it_is_reproducible_and_another_attribute_sorts_otherwise(bed: testbed.Testbed) -> None:
    records = captioned(sample(8, seed=6, held_out=False))
    options: dict[str, Any] = {"max_new_tokens": 16, "verbose": False, "samples": 2, "batch_size": 16}
    state = torch.random.get_rng_state()
    one = split_by_mention(bed.graph, records, ("age", "skin_tone"), **options)
    two = split_by_mention(bed.model, records, ("age", "skin_tone"), processor=bed.processor, **options)
    assert one.replies == two.replies and one.tokens == two.tokens and one.labels == two.labels
    assert torch.random.get_rng_state().equal(state), "the global generator is left alone"
    assert [r.id for r in one.records] == [r.id for r in records for _ in range(2)]
    assert len(set(one.groups)) == 8, "two answers to one prompt are one set"
    age = split_by_mention(bed.graph, records, "age", **options)
    assert age.replies == one.replies and age.counts["biased"] < one.counts["biased"]


def test_a_part_keeps_rows_together(split: MentionSplit) -> None:
    keep = [i % 3 == 0 for i in range(len(split))]
    part = split.part(keep)
    assert part.answers == [text for text, kept in zip(split.answers, keep, strict=True) if kept]
    assert part.groups == split.groups[::3] and part.labels == split.labels[::3] and len(part) == len(split.groups[::3])


# -- activations ---------------------------------------------------------------------------------------


def by_hand(graph: Any, prompt: str, reply: Reply, steer: Steer | None) -> torch.Tensor:
    """Residual stream after block 1 at every token of one prompt with its answer, alone and without a pad."""
    ids = torch.tensor([[*graph.encode([prompt])["input_ids"][0].tolist(), *reply.tokens]])
    length = ids.shape[1] - len(reply.tokens)
    seen: list[torch.Tensor] = []
    handle = graph.model.model.layers[1].register_forward_hook(lambda _, __, out: seen.append(out))
    try:
        if steer is None:
            graph.model(ids)
        else:
            with steer.on(graph.model, prompt_length=length):
                graph.model(ids)
    finally:
        handle.remove()
    return seen[0][0].detach()


@pytest.mark.parametrize("scope", [None, "all", "generated", "prompt"])
def test_activations_are_those_of_prompt_and_answer_as_generated(scope: str | None) -> None:
    graph = texts_graph()
    records = prompts(6)
    steer = None if scope is None else Steer({"resid_post.0": Add(torch.linspace(-1, 1, 32))}, scope=scope)
    said = replies(graph, [r.prompt for r in records], steer, seed=3, max_new_tokens=5, batch_size=4)
    said = [Reply(r.text, r.tokens[: 2 + i % 4]) for i, r in enumerate(said)]
    tokens = [len(r.tokens) - 1 - i % 2 for i, r in enumerate(said)]
    inputs = [record.prompt for record in records]
    found = {
        at: replayed(graph, inputs, said, SITES, at, tokens=tokens, steer=steer, batch_size=4)["resid_post.1"]
        for at in ("last", "answer", "mention")
    }
    for i, (record, reply) in enumerate(zip(records, said, strict=True)):
        whole = by_hand(graph, record.prompt, reply, steer)
        start = len(whole) - len(reply.tokens)
        close: dict[str, float] = {"atol": 1e-4, "rtol": 1e-4}
        torch.testing.assert_close(found["last"][i], whole[start - 1], **close)
        torch.testing.assert_close(found["answer"][i], whole[start:].mean(0), **close)
        torch.testing.assert_close(found["mention"][i], whole[start - 1 + tokens[i]], **close)


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_every_graph_reads_the_same(adapter: str) -> None:
    plain, other = texts_graph(), texts_graph(adapter)
    inputs = [record.prompt for record in prompts(4)]
    said = replies(other, inputs, seed=2, max_new_tokens=4)
    assert said == replies(plain, inputs, seed=2, max_new_tokens=4)
    for at in ("last", "answer"):
        one, two = (replayed(graph, inputs, said, SITES, at) for graph in (plain, other))
        torch.testing.assert_close(one["resid_post.2"], two["resid_post.2"], atol=1e-5, rtol=1e-5)


def test_an_answer_with_a_picture_is_read_as_if_it_were_one_text(bed: testbed.Testbed, split: MentionSplit) -> None:
    sites = ["resid_post.2"]
    found = {
        at: split.part([i < 3 for i in range(40)]).capture(bed.model, sites, at, processor=bed.processor, verbose=False)
        for at in ("last", "image", "mention")
    }
    for i in range(3):
        record, reply = split.records[i], split.replies[i]
        whole = [(record.image, f"<image> {record.prompt} {reply.text}")]
        n = len(reply.tokens)
        for at, place in (("last", -n - 1), ("mention", split.tokens[i] - n - 1), ("image", "image")):
            alone = lh.capture(bed.graph, whole, sites, place, verbose=False)["resid_post.2"][0]
            torch.testing.assert_close(found[at]["resid_post.2"][i], alone, atol=1e-4, rtol=1e-4)
    with pytest.raises(InputError, match="picture patches and no text tokens"):
        split.capture(bed.graph, ["vision/resid_post.1"], "answer", verbose=False)


def test_the_mean_over_an_answer_tells_what_it_says(bed: testbed.Testbed, split: MentionSplit) -> None:
    heard = split.capture(bed.graph, ["resid_post.5"], "answer", batch_size=20, verbose=False)["resid_post.5"]
    biased = torch.tensor([label == "biased" for label in split.labels])
    along = heard @ (heard[biased].mean(0) - heard[~biased].mean(0))
    assert along[biased].min() > along[~biased].max()


# -- what cannot be used -------------------------------------------------------------------------------


def test_one_class_is_an_error_that_counts() -> None:
    graph = texts_graph()
    with pytest.raises(
        InputError, match=r"of 12 answers, 0 mention race and 8 do not, 4 are without a word; .*elicits mentions"
    ):
        split_by_mention(graph, prompts(), ("race",), max_new_tokens=3, verbose=False)
    everything = Lexicon.load().add("gender", "any", sure=list(words.VOCABULARY)[10:12])
    prompt = [PromptRecord(id="0", prompt="the doctor is")]
    with pytest.raises(InputError, match=r"of 1 answers, [01] mention gender"):
        split_by_mention(graph, prompt, lexicon=everything, max_new_tokens=30, verbose=False)


def test_arguments_that_make_no_sense_are_refused_before_anything_is_generated() -> None:
    graph = texts_graph()
    calls: list[tuple[str, Any, dict[str, Any]]] = [
        ("lh.data.open_prompts", [], {}),
        ("found a CapabilityRecord", [CapabilityRecord(id="0", task="t", prompt="the")], {}),
        ("greedy answers", prompts(2), {"samples": 2, "seed": None}),
        ("samples=0", prompts(2), {"samples": 0}),
        ("no attribute 'sex'", prompts(2), {"attributes": ("sex",)}),
        ("at least one attribute", prompts(2), {"attributes": ()}),
        ("temperature above 0", prompts(2), {"temperature": 0.0}),
    ]
    for match, given, options in calls:
        with pytest.raises(InputError, match=match):
            split_by_mention(graph, given, verbose=False, **options)
    said = [Reply("", ()), Reply("a man", (11, 12))]
    for match, options in [
        ("unknown place", {"at": "mean"}),
        ("answer 0 has 0 tokens", {"at": "answer"}),
        ("needs the number of a token", {"at": "mention"}),
        ("answer 1 has 2 tokens", {"at": "mention", "tokens": [0, 2], "said": [said[1], said[1]]}),
        ("2 prompts and 1 answers", {"said": said[:1]}),
    ]:
        with pytest.raises(InputError, match=match):
            replayed(graph, ["the", "a"], **{"said": said, "sites": SITES, **options})


# -- prompts -------------------------------------------------------------------------------------------


def test_every_picture_gets_every_prompt() -> None:
    scenes = sample(2, seed=1)
    pictures = [(scene.image(), scene.person.gender, f"set {i}") for i, scene in enumerate(scenes)]
    found = open_prompts(pictures)
    open_ones = [name for name in OPEN_PROMPTS if not name.startswith("rating_")]
    assert len(found) == 2 * len(open_ones) == 18 and len({r.id for r in found}) == 18
    assert {r.set_id for r in found} == {"set 0", "set 1"} and {r.extra["prompt_name"] for r in found} == set(open_ones)
    assert found[0].prompt == "Describe the image in as much detail as possible." and found[0].image is pictures[0][0]
    (one,) = open_prompts({"x": pictures[0]}, ["rating_hiring"], occupation="engineer")
    assert one.id == "rating_hiring/x" and "hire this person as an engineer" in one.prompt and one.target == "engineer"
    record = ImageRecord(id="r", image=pictures[1][0], groups={"race": "Black"}, concept="nurse", set_id="s")
    (rated,) = open_prompts([record], "rating_salary", axis="race")
    assert rated.group == "Black" and "as a nurse" in rated.prompt and rated.set_id == "s"
    with pytest.raises(InputError, match="speaks of an occupation"):
        open_prompts(pictures, ["rating_salary"])
    with pytest.raises(InputError, match="did you mean 'backstory'"):
        open_prompts(pictures, ["backstorry"])
    for wrong in ([], [(pictures[0][0], "woman")]):
        with pytest.raises(InputError, match=r"\(picture, group, set_id\)"):
            open_prompts(wrong)


def test_counterfactual_names_share_a_set() -> None:
    names = {"woman": ["Maria", "Alice"], "man": ["James", "Paul"]}
    people = people_of(names, ["nurse", "engineer"], seed=1)
    assert len(people) == 4 and people_of(names, ["nurse", "engineer"], seed=1) == people
    found = person_prompts(people)
    sets: dict[str | None, list[str | None]] = {}
    for record in found:
        sets.setdefault(record.set_id, []).append(record.group)
        assert "{" not in record.prompt and record.extra["person"] in record.prompt
    assert len(sets) == 2 * len(PERSON_PROMPTS) and all(
        sorted(map(str, each)) == ["man", "woman"] for each in sets.values()
    )
    lexicon = Lexicon.load()
    assert not [r.prompt for r in found if lexicon.find(r.prompt)], "no prompt mentions what it waits for"
    with pytest.raises(InputError, match="3 names of each group"):
        people_of(names, ["nurse"], each=3)
    with pytest.raises(InputError, match="everybody needs a name"):
        person_prompts([("", "woman", "nurse")])


# -- every step ----------------------------------------------------------------------------------------


def test_steps_are_the_positions_of_the_answers_and_know_where_a_mention_begins(
    bed: testbed.Testbed, split: MentionSplit
) -> None:
    few = split.part([i < 12 for i in range(len(split))])
    steps = few.steps(bed.graph, SITES, batch_size=5, verbose=False)
    assert len(steps) == steps.acts.n == sum(len(reply.tokens) for reply in few.replies)
    tokenizer = bed.graph.processor.tokenizer
    for number, reply in enumerate(few.replies):
        said = [tokenizer.decode([token]) for token in reply.tokens]
        labels = [label for label, answer in zip(steps.labels, steps.answer, strict=True) if answer == number]
        assert labels == ["mention" if word in ("man", "woman", "he", "she") else "other" for word in said]
    # Each row is the activation before its token: the first mention's is what capture(at="mention") reads.
    at_first = few.capture(bed.graph, SITES, "mention", batch_size=5, verbose=False)
    for number, label in enumerate(few.labels):
        if label == "biased":
            first = steps.answer.index(number) + few.tokens[number]
            assert steps.labels[first] == "mention"
            torch.testing.assert_close(steps.acts[SITES[0]][first], at_first[SITES[0]][number], rtol=1e-4, atol=1e-4)
    with pytest.raises(InputError, match="were sorted with lexicon"):
        few.steps(bed.graph, SITES, lexicon=Lexicon.load().add("gender", "any", sure=["nurse"]), verbose=False)
