"""Reading the policy that an evaluation is run under."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

from semroute.errors import ConfigError
from semroute.gate import Policy


def read_policy(named: str | None) -> Policy:
    """Return a policy: the built-in one, one of a given threshold, or the one in a JSON file.

    `named` is None, a number in [0, 1], or a file with the fields of `semroute.gate.Policy` (those that are left out
    keep their defaults). Raises ConfigError.
    """
    if named is None:
        return Policy()
    try:
        threshold = float(named)
    except ValueError:
        return _from_file(Path(named))
    return Policy.fixed(threshold)


def _from_file(path: Path) -> Policy:
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"policy {path} is neither a number nor a JSON file that can be read: {error}") from error
    if not isinstance(table, dict):
        raise ConfigError(f"policy {path} must hold a JSON object, not {type(table).__name__}")
    unknown = sorted(table.keys() - {field.name for field in fields(Policy)})
    if unknown:
        raise ConfigError(f"policy {path} has unknown fields {unknown}; known are {[f.name for f in fields(Policy)]}")
    # A file that names no version must not pass for the built-in policy.
    return Policy(**{"version": path.stem, **table})
