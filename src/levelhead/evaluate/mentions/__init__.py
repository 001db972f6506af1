"""The suite of mentions: what a model brings up of a person that nobody asked about (arXiv 2411.12590)."""

from __future__ import annotations

from levelhead.evaluate.mentions import smollm2, testbed

SUBJECTS = {"testbed": testbed.subject, "smollm2": smollm2.subject}
"""How each model is made ready."""
