"""The demo on SmolLM2-135M, a real language model: the pronouns that it expects of nurses and carpenters."""

from __future__ import annotations
