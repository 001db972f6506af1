"""The suite of decisions: who is taken for a doctor, and which pronoun follows an occupation."""

from __future__ import annotations

from levelhead.evaluate.decisions import smollm2, testbed

SUBJECTS = {"testbed": testbed.subject, "smollm2": smollm2.subject}
"""How each model is made ready."""
