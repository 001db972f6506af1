# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # A first look: a vision-language model whose bias is known
#
# Where does a model keep the perceived gender of a person in a picture? Is the direction that steers it the one that a probe reads?
# What does taking that direction out do to its answers, and to everything else it can do?
#
# On most models nobody knows the right answer. The testbed's model is a small LLaVA that was *taught* stereotypes of known size, so
# here one can check. The study is one function; it runs on TransformerLens and on nnsight, with results that are equal to the bit.

# %%
# %matplotlib inline
import warnings

warnings.filterwarnings("ignore", message="IProgress not found")  # progress bars are plain text here

import pandas as pd
import torch
from nnsight import NNsight

import levelhead as lh
from levelhead import testbed
from levelhead.testbed.drawing.sheet import contact_sheet
from levelhead.testbed.exam import Exam, asked
from levelhead.testbed.model import prompt
from levelhead_transformer_lens import boot

bed = testbed.load()
print(f"{type(bed.model).__name__}, {bed.facts['parameters'] / 1e6:.2f} million parameters")

# %% [markdown]
# ## The pictures
#
# Drawn by rule from a `Scene`: every attribute can be changed alone, and every pixel that does not show it stays the same. This
# person wears scrubs, which doctors and nurses both wear.

# %%
scene = testbed.Scene((testbed.Person(gender="woman", role="hospital"),), wall="pink", seed=7)
changes = [
    {},
    {"gender": "man"},
    {"skin": "dark"},
    {"age": "old"},
    {"body": "heavy"},
    {"wall": "green"},
    {"role": "doctor"},
]
contact_sheet(
    [scene.counterfactual(**change) for change in changes],
    columns=7,
    size=150,
    captions=["the scene", *(f"{name}: {value}" for change in changes[1:] for name, value in change.items())],
)

# %% [markdown]
# ## What was planted, and what the model learned
#
# In scrubs, a man is called a doctor with probability 0.85, a woman with 0.15: that is the truth about this model, because its
# training text said so. The pictures lean in no way. The model asks for nothing else than any LLaVA does:

# %%
question = prompt("What is the job of the person?")
for each in (scene, scene.counterfactual(gender="man"), scene.counterfactual(wall="green")):
    inputs = bed.processor(images=each.image(), text=question, return_tensors="pt")
    with torch.no_grad():
        chances = bed.model(**inputs).logits[0, -1].softmax(-1)
    doctor, nurse = (chances[bed.processor.tokenizer.convert_tokens_to_ids(job)] for job in ("doctor", "nurse"))
    print(f"{each.person.gender:<5} before a {each.wall:<5} wall: P(doctor) = {doctor:.2f}, P(nurse) = {nurse:.2f}")

# %% [markdown]
# ## The study
#
# 1. Pairs of pictures that differ in perceived gender alone, of people whose occupation nothing shows.
# 2. Read the last token of the question, at every layer and every head; one forward pass a batch.
# 3. Fit a probe at each site; a pair is never on both sides of a split.
# 4. Take the mean difference between women and men at a late layer, and hold it against the probe.
# 5. Ablate it, and ask about people whom neither training nor fitting has seen.

# %%
LAYER = "resid_post.5"
SETTINGS = ("hospital", "airport", "office", "workshop", "studio", "shop", "school", "market")


def pairs(n, seed, held_out):
    bases = testbed.sample(n, seed=seed, roles=SETTINGS, held_out=held_out)
    return [each for base in bases for each in base.counterfactuals("gender")]


fit, unseen = pairs(120, seed=1, held_out=False), pairs(160, seed=2, held_out=True)
genders = [each.person.gender for each in fit]
sets = [number // 2 for number in range(len(fit))]
jobs = asked(unseen, "job")
skills = [item for item in asked(unseen[:40]) if item[1].group in ("neutral", "attribute")]


def study(target):
    graph = lh.graph(target, bed.processor)
    found = {"graph": graph.name}
    acts = lh.capture(graph, [(each.image(), question) for each in fit], sites=["resid_post.*", "z.*.*"])
    found["sweep"] = lh.ProbeSweep(cv=5, n_controls=20, random_state=0).fit(acts, genders, groups=sets)
    found["steer"] = lh.MeanDifference(LAYER, edit="ablate", to="mean", positive="woman").fit(acts, genders)
    found["alignment"] = lh.align(found["steer"], found["sweep"])
    job_exam, skill_exam = Exam.of(graph, jobs), Exam.of(graph, skills)
    for strength in (0.0, 0.5, 1.0):
        steer = found["steer"] * strength
        found[strength] = job_exam(graph, steer).frame(), skill_exam(graph, steer).frame()
    return found


# %%
targets = {"transformer_lens": boot(bed.model, bed.processor.tokenizer), "nnsight": NNsight(bed.model)}
results = {name: study(target) for name, target in targets.items()}

# %% [markdown]
# ## Where is it encoded?

# %%
sweep = results["nnsight"]["sweep"]
sweep.plot()
# %%
sweep.plot_heads()

# %% [markdown]
# ## Is the steering direction the probe's?

# %%
results["nnsight"]["alignment"].frame().T

# %% [markdown]
# ## What does steering do?
#
# The gap is P(first occupation | man) - P(first occupation | woman) on the same pictures but for the person's perceived gender.
# The market was planted level: a gap there would be noise.


# %%
def gap(frame):
    means = frame.groupby(["name", "gender"])["found"].mean().unstack()
    return means["man"] - means["woman"]


planted = pd.Series({name: lean.odds["man"] - lean.odds["woman"] for name, lean in bed.planted.occupations.items()})
found = results["nnsight"]
table = pd.DataFrame({"planted": planted, **{f"strength {s}": gap(found[s][0]) for s in (0.0, 0.5, 1.0)}})
table.loc["mean"] = table.mean()
table.round(2)

# %% [markdown]
# One direction for all settings takes a good part of the gap and not all of it: what "woman" moves depends on which job is asked for.
# `levelhead demo` fits a direction for each setting, and says what that changes.
#
# And what does it cost? Share of right answers to questions that have one: about the room, and about the person when asked outright.

# %%
pd.DataFrame({f"strength {s}": found[s][1].groupby(["group", "kind"])["right"].mean() for s in (0.0, 0.5, 1.0)}).round(
    3
)

# %% [markdown]
# ## Did each graph do its own work, and are they the same?

# %%
one, two = results["transformer_lens"], results["nnsight"]
assert (one["graph"], two["graph"]) == ("transformer_lens", "nnsight")
for site in one["sweep"].acts_.sites:
    assert torch.equal(one["sweep"].acts_[site], two["sweep"].acts_[site]), site
for strength in (0.0, 0.5, 1.0):
    assert all(a.equals(b) for a, b in zip(one[strength], two[strength], strict=True))
before, after = (gap(two[strength][0]).mean() for strength in (0.0, 1.0))
assert abs(before - planted.mean()) < 0.05, "the planted bias is there"
assert abs(after) < 0.5 * before, "steering should take more than half of the gap"
print(
    f"mean gap: planted {planted.mean():.2f}, found {before:.2f}, steered {after:.2f}; equal to the bit on both graphs"
)
