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
# # One picture and a list of words: a model that no longer volunteers gender
#
# The testbed's model captions pictures of people. In more than eight captions of ten it says "man" or "woman", "he" or "she", though nobody asked.
# Here one picture, one prompt and three words are enough to stop it, and the rest of this notebook asks what that costs: grammar,
# what the caption says of the room, the answer when gender *is* asked, and the attributes that were not targeted.

# %%
# %matplotlib inline
import warnings

warnings.filterwarnings("ignore", message="IProgress not found")  # progress bars are plain text here

import matplotlib.pyplot as plt
import pandas as pd

import levelhead as lh
from levelhead.data.records import PromptRecord
from levelhead.generation import answers
from levelhead.metrics import Accuracy, AnswerCheck, Answers, MentionRate
from levelhead.testbed.captions import PROMPT
from levelhead.testbed.model import prompt
from levelhead.testbed.reading import captioned, grammatical, names_right
from levelhead.testbed.records import skills, wrap
from levelhead.testbed.scene import sample

bed = lh.testbed.load()
photo = sample(1, 7, roles=["plain"])[0].image()
photo.resize((192, 192))

# %% [markdown]
# ## One step of gradient
#
# Captions begin with "a", and the next word is where gender comes in. So the answer is begun with "a", and one backward pass asks every
# layer: which way leads to "man" or "woman" instead of "person"?

# %%
method = lh.GradientStep("resid_post.*", on="residual", answer="a", edit="add", size=1.0)
step = method.fit(bed.graph, photo, prompt=prompt(PROMPT), words=["man", "woman"], against=["person"])
step

# %% [markdown]
# ## A gate
#
# Written at every word, a vector that strong breaks sentences. So it stands behind a probe that opens only where a mention is about
# to come. The probe learns that from the model's own captions of other people.

# %%
others = sample(60, 8, held_out=False)
told = lh.data.split_by_mention(bed.graph, captioned(others), wrap=wrap, samples=2, max_new_tokens=40)
steps = told.steps(bed.graph, "resid_post.1")
gate = lh.ProbeGate("resid_post.1", open_on="mention", per="token", missed=0.01)
steer = step.only("resid_post.3").gated(gate.fit(steps.acts, steps.labels, steps.groups))
opens = dict(zip(("before a mention", "elsewhere"), gate.opens_, strict=True))
print(told, steer, {name: f"{share:.1%}" for name, share in opens.items()}, sep="\n")

# %%
people = sample(4, 12, held_out=True)
asked = [(scene.image(), prompt(PROMPT)) for scene in people]
pd.DataFrame(
    {
        "as it is": answers(bed.graph, asked, seed=0, max_new_tokens=40),
        "steered": answers(bed.graph, asked, steer, seed=0, max_new_tokens=40),
    }
).style.set_properties(**{"text-align": "left", "white-space": "normal"}).hide(axis="index")

# %% [markdown]
# ## From answers instead
#
# The same from data: questions whose answers mention gender, against questions whose answers do not, as the model itself answers
# them.

# %%
questions = ["is the person a man or a woman?", "what color is the wall?", "which object is in the room?"]
prompts = [
    PromptRecord(id=f"{i}.{j}", prompt=text, set_id=str(i), image=scene.image())
    for i, scene in enumerate(others)
    for j, text in enumerate(questions)
]
split = lh.data.split_by_mention(bed.graph, prompts, wrap=wrap, max_new_tokens=4, seed=None)
acts = split.capture(bed.graph, "resid_post.*", at="last")
means = lh.MeanDifference("resid_post.*", edit="add", positive="biased", scope="generated").fit(acts, split.labels)
cosines = {str(site): float(own[0] @ means.directions()[site][0]) for site, own in step.directions().items()}
ax = pd.Series(cosines).plot.bar(color="tab:blue", rot=0, figsize=(7, 2.6))
ax.set_ylabel("cosine")
ax.set_title("One step from one picture, and the mean difference of 180 answers", fontsize=10)
ax.spines[["top", "right"]].set_visible(False)
plt.show()

# %% [markdown]
# ## What it costs
#
# Everything on people whom neither the model's training nor the fits above have seen. Random directions stand at the same site behind
# the same gate.

# %%
scenes, rooms = sample(60, 13, held_out=True), sample(12, 14, held_out=True)
said = Answers(captioned(scenes), wrap=wrap, max_new_tokens=40)
gender = [record for record in skills(rooms, "attribute") if record.task == "gender"]
result = lh.tradeoff(
    bed.graph,
    {"one step": steer, "mean difference": means.only("resid_post.4").gated(steer.gates[0]) * 0.6},
    bias=[MentionRate(said, name="mention gender"), MentionRate(said, attributes=("age",), name="mention age")],
    capability=[
        Accuracy(skills(rooms), wrap=wrap, name="neutral questions"),
        Accuracy(gender, wrap=wrap, name="gender, asked outright"),
        AnswerCheck(said, check=grammatical, name="grammatical"),
        AnswerCheck(said, check=names_right("object", "role"), name="object and role right"),
    ],
    strengths=(0, 0.5, 1),
    baselines=["random"],
    random=3,
    draws=499,
)
columns = [name for names in result.measures.values() for name in names]
result.summary().set_index(["method", "strength"])[columns].round(2)

# %% [markdown]
# Gender is gone from the captions and stays in the answers to the question. Age is a different matter: watch its rate beside the
# targeted one. `levelhead evaluate --suite mentions` has the full table, with intervals and with the methods of the literature.
