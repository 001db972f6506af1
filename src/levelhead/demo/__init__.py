"""The demo: where a model keeps perceived gender, whether a direction is real, and what steering does to a measured bias.

By default on the testbed's model, which sees pictures and whose stereotypes are known; on SmolLM2 as well.
"""

from __future__ import annotations
