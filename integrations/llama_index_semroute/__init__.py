"""semroute for LlamaIndex: query engines, models and selectors that remember."""

from __future__ import annotations
