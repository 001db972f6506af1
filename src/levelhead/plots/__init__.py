"""Pictures: each says its message in the title, names its axes, and labels its lines where they are.

Every function draws on the axes that it is given, or on a figure of its own, and returns the axes. Colors
are Okabe and Ito's, which color-blind people can tell apart; nothing is told by color alone.
"""

from __future__ import annotations

from levelhead.plots.compared import compared_curves, compared_heads
from levelhead.plots.heads import effect_map
from levelhead.plots.leans import budget_chart, lean_chart, pronoun_gap
from levelhead.plots.looks import new_axes
from levelhead.plots.probes import attribute_curves, head_map, layer_curve
from levelhead.plots.profiles import profile_chart, reach_map
from levelhead.plots.restrictions import restriction_chart
from levelhead.plots.skews import skew_panels
from levelhead.plots.sparsity import sparsity_chart
from levelhead.plots.steered import steered_probes_chart
from levelhead.plots.tradeoffs import tradeoff_chart
from levelhead.plots.training import training_chart

__all__ = [
    "attribute_curves",
    "budget_chart",
    "compared_curves",
    "compared_heads",
    "effect_map",
    "head_map",
    "layer_curve",
    "lean_chart",
    "new_axes",
    "profile_chart",
    "pronoun_gap",
    "reach_map",
    "restriction_chart",
    "skew_panels",
    "sparsity_chart",
    "steered_probes_chart",
    "tradeoff_chart",
    "training_chart",
]
