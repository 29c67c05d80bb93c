"""What a fleet of Redis shards does when a shard dies, returns or comes, and under many clients at once.

    python -m evals.fleet                       # everything, some minutes
    python -m evals.fleet kill freeze --seconds 4
    python -m evals.fleet --list

starts real Redis Stack servers on this machine (see semroute.testing.redis_stack), plays each scenario, prints its
figures beside their bars, and exits with 1 where one is not met. `evals/fleet.md` holds what was seen. Vectors are made
up, so that no model is loaded: embedding is not what is looked at.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict

from evals.fleet_clients import ask_at_random, ask_on_one_loop, wait_for_the_pool
from evals.fleet_faults import Fault, lose_a_shard, return_with_old_contents
from evals.fleet_growth import add_a_shard
from evals.fleet_load import Finding

BREAKER_WAITS_S = 5.5
POOL_MS = 520.0


def main() -> int:
    """Play the scenarios that are named, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenario", nargs="*", help="which to play; default: all")
    parser.add_argument("--list", action="store_true", help="print their names and end")
    parser.add_argument("--seconds", type=float, default=6.0, help="how long a shard is away")
    parser.add_argument("--per-second", type=float, default=200.0, help="requests a second while it is")
    parser.add_argument("--lookups", type=int, default=50_000, help="of all processes together")
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    arguments = parser.parse_args()
    scenarios = scenarios_for(arguments.seconds, arguments.per_second, arguments.lookups, arguments.processes)
    if arguments.list:
        print(*scenarios, sep="\n")
        return 0
    unknown = set(arguments.scenario) - set(scenarios)
    if unknown:
        parser.error(f"there is no scenario {', '.join(sorted(unknown))}; there are {', '.join(scenarios)}")
    logging.getLogger("semroute").setLevel(logging.CRITICAL)
    played = {name: scenarios[name] for name in arguments.scenario or scenarios}
    seen: dict[str, list[Finding]] = {}
    for name, play in played.items():
        began = time.perf_counter()
        seen[name] = play()
        if not arguments.json:
            _print(name, seen[name], time.perf_counter() - began)
    if arguments.json:
        print(json.dumps({name: [asdict(finding) for finding in findings] for name, findings in seen.items()}))
    return int(any(finding.holds is False for findings in seen.values() for finding in findings))


def scenarios_for(
    seconds: float, per_second: float, lookups: int, processes: int
) -> Mapping[str, Callable[[], list[Finding]]]:
    """Return the scenarios by name."""

    def losing(fault: Fault, replicas: int) -> Callable[[], list[Finding]]:
        return lambda: lose_a_shard(fault, replicas=replicas, seconds=seconds, per_second=per_second).findings(
            replicas=replicas
        )

    def returning(replicas: int) -> Callable[[], list[Finding]]:
        return lambda: return_with_old_contents(
            replicas=replicas, pause=lambda: time.sleep(BREAKER_WAITS_S), rounds=3
        ).findings()

    return {
        "kill": losing("kill", 1),
        "kill-r2": losing("kill", 2),
        "freeze": losing("freeze", 1),
        "freeze-r2": losing("freeze", 2),
        "return": returning(1),
        "return-r2": returning(2),
        "grow": lambda: add_a_shard(per_second=per_second).findings(),
        "processes": lambda: ask_at_random(lookups=lookups, processes=processes).findings(),
        "loop-repeats": lambda: ask_on_one_loop(repeats=True).findings(),
        "loop-mixed": lambda: ask_on_one_loop().findings(),
        "pool": lambda: wait_for_the_pool().findings(64, POOL_MS),
    }


def _print(name: str, findings: Sequence[Finding], took_s: float) -> None:
    print(f"\n{name} ({took_s:.0f} s)")
    for finding in findings:
        verdict = {True: "holds", False: "BROKEN", None: ""}[finding.holds]
        print(f"  {finding.what:<58}{finding.measured:>12.4g}  {finding.bar:<10}{verdict}".rstrip(), flush=True)


if __name__ == "__main__":
    sys.exit(main())
