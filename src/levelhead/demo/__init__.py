"""The demo: where SmolLM2 keeps gender, whether a direction is real, and what steering does to a measured bias."""

from __future__ import annotations
