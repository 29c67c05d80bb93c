"""Online policies: per entry, serve or explore, learning from what the model answers to explored requests."""

from semroute.online.decisions import Decision, EntryPolicy, Explore, Learned, Serve
from semroute.online.observations import Observation, Observations
from semroute.online.vcache import VCacheRule
from semroute.online.verifier_first import VerifierFirst

__all__ = [
    "Decision",
    "EntryPolicy",
    "Explore",
    "Learned",
    "Observation",
    "Observations",
    "Serve",
    "VCacheRule",
    "VerifierFirst",
]
