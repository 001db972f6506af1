"""The demo on the testbed: pictures, a small vision-language model, and a stereotype whose size is known."""

from __future__ import annotations
