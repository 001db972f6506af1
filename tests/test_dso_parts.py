"""DSO's parts: rewards, drift, sparsity, the three estimators, and questions that gradients pass through."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.stats
import torch

import levelhead as lh
import tiny
import words
from levelhead.data.records import ChoiceRecord, PromptRecord
from levelhead.errors import InputError
from levelhead.methods.dso.batches import Batches, split
from levelhead.methods.dso.encoded import Encoded
from levelhead.methods.dso.estimators import advantages, answer_logprobs, clipped, draw, expected, reinforce
from levelhead.methods.dso.objective import drift, rewards, shrink
from levelhead.methods.dso.questions import Prompts, Questions
from levelhead.methods.dso.reference import Reference
from levelhead.methods.dso.sides import cells_of, unevenness
from levelhead.metrics.decisions import Choices


def choice(i: int = 0, target: str = "doctor", **fields: Any) -> ChoiceRecord:
    return ChoiceRecord(**{"id": str(i), "prompt": "who is the doctor , the {0} or the {1} ?",
                           "options": ("man", "woman"), "pro": 0, "target": target, **fields})  # fmt: skip


def graph() -> Any:
    return lh.graph(tiny.ARCHITECTURES["llama"].model(), words.tokenizer(chat=True))


# -- rewards -------------------------------------------------------------------------------------------


def test_expected_reward_is_minus_bias_when_every_answer_takes_a_side() -> None:
    """Theorem 1, with the bias written out: mean over occupations of |P(pro) - P(anti)|."""
    chances = torch.tensor([[0.9, 0.1], [0.7, 0.3], [0.2, 0.8], [0.4, 0.6]], dtype=torch.float64)
    cells = cells_of([choice(0), choice(1), choice(2, "nurse"), choice(3, "nurse")], "stereotype", "target")
    shares, heard = cells.shares(chances, torch.arange(4))
    bias = (abs((0.9 + 0.7) / 2 * 2 - 1) + abs((0.2 + 0.4) / 2 * 2 - 1)) / 2
    worth = rewards(cells, [0, 1, 2, 3], shares)
    assert heard.all() and float(expected(chances.log(), worth).mean()) == pytest.approx(-bias)
    assert float(unevenness(shares, cells.count).mean()) == pytest.approx(bias)


def test_the_refusal_loophole() -> None:
    """40 % pro, 20 % anti, 40 % neither: the published reward pays for refusals, ours does not."""
    cells = cells_of([choice()], "stereotype", "target")
    for chances, opened, closed in (([0.4, 0.2], 0.2, -0.6), ([1e-9, 1e-9], 1.0, -1.0)):
        given = torch.tensor([chances], dtype=torch.float64)
        shares, _ = cells.shares(given, torch.tensor([0]))
        assert float(expected(given.log(), rewards(cells, [0], shares, invalid=1))) == pytest.approx(opened)
        assert float(expected(given.log(), rewards(cells, [0], shares))) == pytest.approx(closed)


def test_of_many_groups_the_largest_is_not_rewarded() -> None:
    record = choice(options=("a", "b", "c"), pro=None, groups=("x", "y", "z"))
    cells = cells_of([record], "groups", "target")
    given = torch.tensor([[0.2, 0.5, 0.3]], dtype=torch.float64)
    shares, _ = cells.shares(given, torch.tensor([0]))
    worth = rewards(cells, [0], shares)
    assert worth.tolist() == [[1, -1, 1, -1]] and float(expected(given.log(), worth)) == pytest.approx(1 - 2 * 0.5)
    assert float(unevenness(shares, cells.count)[0]) == pytest.approx((3 * 0.5 - 1) / 2)
    level = torch.full((1, 3), 1 / 3, dtype=torch.float64)
    assert float(unevenness(level, cells.count)[0]) == pytest.approx(0)


def test_rewards_shrink_near_level_and_a_users_own_take_their_place() -> None:
    cells = cells_of([choice()], "stereotype", "target")
    shares = torch.tensor([[0.51, 0.49]], dtype=torch.float64)
    torch.testing.assert_close(rewards(cells, [0], shares, soften=0.1)[0], torch.tensor([-0.2, 0.2, -1.0]).double())
    seen: list[Any] = []

    def own(record: ChoiceRecord, option: int | None, now: Any) -> float:
        seen.append((record.id, option, dict(now)))
        return 0.0 if option is None else float(option)

    assert rewards(cells, [0], shares, reward=own).tolist() == [[0, 1, 0]]
    assert seen[0] == ("0", 0, {"pro": 0.51, "anti": 0.49}) and seen[-1][1] is None
    with pytest.raises(InputError, match="give a finite number"):
        rewards(cells, [0], shares, reward=lambda *_: float("nan"))


def test_sides_are_counted_for_each_group_of_people_when_asked() -> None:
    records = [choice(0, group="man"), choice(1, group="woman")]
    cells = cells_of(records, "stereotype", "group")
    assert cells.names == ("doctor (man)", "doctor (woman)")
    shares, _ = cells.shares(torch.tensor([[0.9, 0.1], [0.1, 0.9]]), torch.arange(2))
    assert unevenness(shares, cells.count).tolist() == pytest.approx([0.8, 0.8]), "level together, not apart"


def test_an_option_that_takes_no_side_counts_for_none() -> None:
    cells = cells_of([choice(options=("man", "woman", "nobody"), unknown=2)], "stereotype", "target")
    given = torch.tensor([[0.3, 0.1, 0.6]])
    shares, _ = cells.shares(given, torch.tensor([0]))
    torch.testing.assert_close(shares, torch.tensor([[0.75, 0.25]]).double())
    assert rewards(cells, [0], shares).tolist() == [[-1, 1, -1, -1]]


@pytest.mark.parametrize(
    ("records", "sides", "says"),
    [
        ([], "stereotype", "none were given"),
        ([choice(pro=None)], "stereotype", "pro=None"),
        ([choice(options=("man", "nobody"), unknown=1)], "stereotype", "one-sided"),
        ([choice()], "groups", r"groups=\(\)"),
        ([choice(groups=("x", "x"))], "groups", "one-sided"),
        ([choice(0, group="man"), choice(1, group="man")], "stereotype", "one group alone"),
        ([choice(0, group="man"), choice(1)], "stereotype", r"one group alone \('man'\)"),
        ([choice(0), choice(1, condition="unambiguous", label=0)], "stereotype", "1 of 2 choices are unambiguous"),
    ],
)
def test_data_without_two_sides_is_refused(records: Any, sides: Any, says: str) -> None:
    with pytest.raises(InputError, match=says):
        cells_of(records, sides, "target")


def test_a_group_that_is_offered_more_often_is_not_said_more_often() -> None:
    """Pairs of people of three groups, two of them with 'x': a model that takes either of two alike is level."""
    pairs = [("x", "y"), ("x", "z"), ("y", "z"), ("x", "y")]
    cells = cells_of([choice(i, pro=None, groups=pair) for i, pair in enumerate(pairs)], "groups", "target")
    shares, _ = cells.shares(torch.full((4, 2), 0.3), torch.arange(4))
    torch.testing.assert_close(shares, torch.full((1, 3), 1 / 3).double())
    leaning = torch.tensor([[0.4, 0.2], [0.4, 0.2], [0.3, 0.3], [0.4, 0.2]])
    shares, _ = cells.shares(leaning, torch.arange(4))
    # Of its own chances, each group takes 4/3, (2/3 + 1 + 2/3) / 3 and (2/3 + 1) / 2.
    wanted = torch.tensor([[4 / 3, 7 / 9, 5 / 6]]).double()
    torch.testing.assert_close(shares, wanted / wanted.sum(), rtol=1e-6, atol=0)


# -- drift and sparsity --------------------------------------------------------------------------------


def test_drift_is_the_kullback_leibler_divergence_and_options_can_count_as_one(generator: torch.Generator) -> None:
    p, q = (torch.rand(3, 6, generator=generator).double().softmax(-1) for _ in range(2))
    np.testing.assert_allclose(drift(p.log(), q.log()), scipy.stats.entropy(p, q, axis=1), rtol=1e-9)
    pooled = torch.tensor([[True, True, False, False, False, False]] * 3)
    merged = [torch.cat([each[:, :2].sum(1, keepdim=True), each[:, 2:]], 1) for each in (p, q)]
    np.testing.assert_allclose(drift(p.log(), q.log(), pooled), scipy.stats.entropy(*merged, axis=1), rtol=1e-9)


def test_shrinking_is_the_proximal_step_of_the_l1_norm() -> None:
    """argmin over x of (x - v)^2 / 2 + t |x|, by search over a fine grid."""
    grid = np.linspace(-2, 2, 40001)
    for value in (-1.3, -0.2, 0.1, 0.9):
        best = grid[np.argmin((grid - value) ** 2 / 2 + 0.3 * np.abs(grid))]
        assert float(shrink(torch.tensor(value), 0.3)) == pytest.approx(best, abs=1e-4)


# -- estimators ----------------------------------------------------------------------------------------


def test_three_estimators_point_the_same_way(generator: torch.Generator) -> None:
    """In a softmax model: the gradient by hand is p * (r - E[r]), and sampling finds it but for noise."""
    logits = torch.randn(6, 5, generator=generator).double().requires_grad_()
    worth = torch.tensor([[-1.0, 1.0, -1.0]] * 6).double()

    def options() -> torch.Tensor:
        return logits.log_softmax(-1)[:, :2]

    exact = torch.autograd.grad(expected(options(), worth).mean(), logits)[0]
    p = logits.detach().softmax(-1)
    r = torch.tensor([-1.0, 1, -1, -1, -1]).double()
    torch.testing.assert_close(exact, p * (r - (p * r).sum(1, keepdim=True)) / 6)
    drawn = draw(options(), 40_000, generator)
    gains = advantages(worth, drawn)
    sampled = torch.autograd.grad(reinforce(options(), drawn, gains), logits)[0]
    before = answer_logprobs(options()).gather(1, drawn).detach()
    ppo = torch.autograd.grad(clipped(options(), before, drawn, gains, 0.2), logits)[0]
    torch.testing.assert_close(sampled, ppo)
    assert torch.nn.functional.cosine_similarity(exact.flatten(), sampled.flatten(), dim=0) > 0.99
    # Anything that is no option is drawn as one answer, so its tokens share the gradient as their chances have it.
    assert float(sampled.norm() / exact.norm()) == pytest.approx(1, abs=0.1)


def test_beyond_the_clip_nothing_more_is_gained() -> None:
    options = torch.tensor([[0.5, 0.3]]).log().requires_grad_()
    drawn, gains = torch.tensor([[0]]), torch.tensor([[1.0]])
    for before, slope in ((0.5, 1.0), (0.4, 0.0), (0.6, 0.5 / 0.6)):
        now = clipped(options, torch.tensor([[before]]).log(), drawn, gains, 0.2)
        assert float(torch.autograd.grad(now, options)[0][0, 0]) == pytest.approx(slope)


# -- questions -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("style", ["words", "letters"])
@pytest.mark.parametrize("options", [("man", "woman"), ("the man", "the woman"), ("the man", "woman", "a nurse is")])
def test_questions_find_what_decisions_find(style: Any, options: tuple[str, ...]) -> None:
    """One token, several, and several that begin alike; in every order."""
    found = lh.graph(tiny.ARCHITECTURES["llama"].model(), _lettered())
    records = [choice(i, options=options) for i in range(2)]
    asked = Questions(found, records, style, "raw")
    said = asked(range(len(asked)))
    (decided,) = Choices(found, records, style=style)()
    torch.testing.assert_close(said.options.detach(), decided.logprobs.flatten(0, 1), rtol=1e-4, atol=1e-5)
    assert asked.numbers[1] == list(range(len(options), 2 * len(options)))


def _lettered() -> Any:
    tokenizer = words.tokenizer()
    tokenizer.add_tokens(["A", "B", "C"])  # 62 and beyond do not fit 64 rows together with what is there
    return tokenizer


def test_the_gradient_is_that_of_finite_differences() -> None:
    model = tiny.ARCHITECTURES["llama"].model().double()
    asked = Questions(lh.graph(model, words.tokenizer()), [choice(options=("the man", "the woman"))], "words", "raw")
    scale = (0.1 * torch.randn(32, generator=torch.Generator().manual_seed(3))).double().requires_grad_()

    def value(scale: torch.Tensor) -> torch.Tensor:
        steer = lh.Steer({"ln2.1": lh.Affine(scale=scale)})
        worth = torch.tensor([[-1.0, 1.0, -1.0]] * 2)
        return expected(asked([0, 1], steer).options, worth).mean()

    gradient = torch.autograd.grad(value(scale), scale)[0]
    along = gradient / gradient.norm()
    with torch.no_grad():
        slope = (value(scale + 0.03 * along) - value(scale - 0.03 * along)) / 0.06
    assert float(slope) == pytest.approx(float(gradient.norm()), rel=0.02)


def test_an_option_that_begins_another_is_refused() -> None:
    with pytest.raises(InputError, match="cannot be told apart"):
        Questions(graph(), [choice(options=("the man", "the man is"))], "words", "raw")


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # in transformers, for PaliGemma
@pytest.mark.parametrize("name", sorted(words.PROCESSORS))
def test_pictures_are_prepared_once_and_batches_are_those_of_the_graph(name: str) -> None:
    Image = pytest.importorskip("PIL.Image")
    processor = words.PROCESSORS[name]()
    found = lh.graph(tiny.ARCHITECTURES[name].model(), processor)
    texts = ("who is the doctor ?", "yes no the man ?", "a nurse", "who")
    prompts = [
        (Image.new("RGB", (30 + 7 * i, 40), (60 * i, 80, 200)), f"{processor.image_token} {text}")
        for i, text in enumerate(texts)
    ]
    wanted = found.encode([prompts[i] for i in (3, 2, 2, 0)])
    encoded = Encoded(found, prompts)
    encoded([0, 1, 2, 3])
    processor.image_processor = None  # so that nothing can be prepared any more
    batch = encoded([3, 2, 2, 0])
    assert batch.keys() == wanted.keys() and all(torch.equal(value, wanted[key]) for key, value in batch.items())


def test_what_does_not_fit_is_found_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = torch.rand(6, 5)
    asked: list[Any] = []

    def ask(numbers: Any) -> list[torch.Tensor]:
        asked.append(list(numbers))
        return list(rows[list(numbers)].split(1))

    for kept in (6 * 5 * 4, 6 * 5 * 4 - 1):
        monkeypatch.setattr("levelhead.methods.dso.reference._KEPT", kept)
        reference = Reference(ask, 6)
        assert reference.keep(rows[:4].split(1)) == reference.keep(rows[4:].split(1)) == (kept == 6 * 5 * 4)
        assert torch.equal(reference([5, 0]), rows[[5, 0]])
    assert asked == [[5, 0]]


def test_neutral_prompts_may_be_texts_and_choices_in_every_order() -> None:
    prompts = Prompts(graph(), ["describe the man", choice()], "words", "raw")
    assert prompts.prompts[1:] == [f"who is the doctor , the {a} or the {b} ?" for a, b in
                                   (("man", "woman"), ("woman", "man"))]  # fmt: skip
    torch.testing.assert_close(torch.cat(prompts([0, 1, 2])).exp().sum(1), torch.ones(3))


def test_neutral_prompts_may_be_read_after_every_token_but_pads_and_what_leads_to_the_picture() -> None:
    texts = ["yes no", "describe the man with the red hat"]
    every = Prompts(graph(), texts, "words", "raw", "every")
    short, long = every([0, 1])
    assert (len(short), len(long)) == (2, 7)
    for rows, text in ((short, texts[0]), (long, texts[1])):
        begun = [" ".join(text.split()[: i + 1]) for i in range(len(rows))]
        alone = Prompts(graph(), begun, "words", "raw")
        torch.testing.assert_close(rows, torch.cat([alone([i])[0] for i in range(len(rows))]))


def test_behind_a_picture_every_token_of_the_text_is_read() -> None:
    Image = pytest.importorskip("PIL.Image")
    processor = words.PROCESSORS["llava"]()
    seen = lh.graph(tiny.ARCHITECTURES["llava"].model(), processor)
    record = PromptRecord(id="0", prompt="who is the nurse ?", image=Image.new("RGB", (40, 40)))
    (rows,) = Prompts(seen, [record], "words", "raw", "every")([0])
    assert len(rows) == len(["who", "is", "the", "nurse", "?"])


# -- batches -------------------------------------------------------------------------------------------


def test_every_occupation_has_its_share_of_a_batch_and_orders_vary() -> None:
    batches = Batches([[0, 1, 2, 3, 4], [5], [6, 7]], [[2 * i, 2 * i + 1] for i in range(8)], 9, 0)
    steps = [batches(step) for step in range(40)]
    items = [[number // 2 for number in step] for step in steps]
    assert all(sum(i < 5 for i in step) == 3 and step.count(5) == 3 for step in items)
    assert {i for step in items for i in step} == set(range(8))
    assert 0.35 < np.mean([number % 2 for step in steps for number in step]) < 0.65
    assert batches(7) == steps[7] and steps[7] != steps[8]


def test_whole_occupations_are_held_out() -> None:
    records = [choice(i, f"job{i % 4}") for i in range(20)]
    train, held = split(records, 0.25, 0)
    assert len(held) == 5 and not {records[i].target for i in held} & {records[i].target for i in train}
    with pytest.raises(InputError, match="leaves none to train on"):
        split(records[:1], 0.25, 0)
