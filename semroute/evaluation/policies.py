"""Reading the policy that an evaluation is run under."""

from __future__ import annotations

from semroute.policy_file import read_policy

__all__ = ["read_policy"]
