"""Skew: how far the people whom a model picks differ from those whom it could have picked.

``Skew_a = ln(p_a / d_a)``, with ``p_a`` the share of group a among the picked and ``d_a`` the share that is wanted
(Geyik, Ambler and Kenthapadi 2019). Published numbers differ in three things, which are arguments here: the reference
``d``, what is done with a group that is never picked, and whether the picked are the first K of a ranking (@K) or all
whom the model assigns to a concept (@C, Cheng et al. 2025).
"""

from __future__ import annotations

from levelhead.metrics.skew.concepts import ConceptSkews, concept_skew, furthest, skew_at_c
from levelhead.metrics.skew.ranking import Variant, max_skew_at_k, min_skew_at_k, ndkl, skew_at_k
from levelhead.metrics.skew.shares import Reference, Zero, skew

__all__ = [
    "skew",
    "skew_at_c",
    "concept_skew",
    "ConceptSkews",
    "furthest",
    "skew_at_k",
    "max_skew_at_k",
    "min_skew_at_k",
    "ndkl",
    "Reference",
    "Zero",
    "Variant",
]
