"""Policies on disk: versioned JSON, written whole or not at all, and refused where it does not fit.

A file is one JSON object: `format` (a number, 1 today) and the fields of `semroute.policy.Policy`. A file without
`format` is a plain one, written by hand: fields of Policy, those left out keep their defaults.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar

from semroute._files import replace_text
from semroute.errors import ConfigError
from semroute.policy import Cell, Point, Policy, Promise

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    from semroute.entry import JSON

FORMAT: Final = 1

T = TypeVar("T", bound="DataclassInstance")


def read_policy(named: str | None) -> Policy:
    """Return a policy: the built-in one, one of a given threshold, or the one in a JSON file.

    `named` is None, a number in [0, 1], or a file. Raises ConfigError for a file that cannot be read, of a newer
    format, with fields that are unknown, or with values that are out of range (NaN is).
    """
    if named is None:
        return Policy()
    try:
        threshold = float(named)
    except ValueError:
        return _from_file(Path(named))
    return Policy.fixed(threshold)


def write_policy(policy: Policy, path: Path) -> None:
    """Write a policy to a file, which afterwards holds all of it or what it held before. Raises ConfigError."""
    text = json.dumps({"format": FORMAT, **asdict(policy)}, indent=2, ensure_ascii=False, allow_nan=False)
    try:
        replace_text(path, f"{text}\n")
    except OSError as error:
        raise ConfigError(f"policy {path} cannot be written: {error}") from error


def check_parts(policy: Policy, *, embedder: str | None = None, verifier: str | None = None) -> None:
    """Raise ConfigError when a policy was tuned with another embedder or verifier than those that it is to run with.

    `embedder` is the identity of the embedder, None where it is not known yet; `verifier` the digest of the
    verifier, None where there is none.
    """
    if policy.embedder is not None and embedder is not None and policy.embedder != embedder:
        raise ConfigError(
            f"policy {policy.version} was tuned with the embedder {policy.embedder}, and this is {embedder}: "
            "similarities of two embedders do not compare. Use that embedder, or tune again with `semroute tune`"
        )
    # Without the verifier the gate itself stays strict; another one's probabilities mean something else.
    if policy.verifier is not None and verifier is not None and policy.verifier != verifier:
        raise ConfigError(
            f"policy {policy.version} was tuned with the verifier {policy.verifier}, and this is {verifier}: "
            "use that verifier, or tune again with `semroute tune`"
        )


def _from_file(path: Path) -> Policy:
    try:
        table = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse_constant)
    except (OSError, ValueError) as error:
        raise ConfigError(f"policy {path} is neither a number nor a JSON file that can be read: {error}") from error
    if not isinstance(table, dict):
        raise ConfigError(f"policy {path} must hold a JSON object, not {type(table).__name__}")
    try:
        # A file that names no version must not pass for the built-in policy.
        return _policy_of({"version": path.stem, **_checked_format(table)})
    except ConfigError as error:
        raise ConfigError(f"policy {path}: {error}") from error


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


def _checked_format(table: Mapping[str, JSON]) -> dict[str, JSON]:
    """Return the table without its format number."""
    rest = dict(table)
    number = rest.pop("format", FORMAT)
    if not isinstance(number, int) or isinstance(number, bool) or number < 1:
        raise ConfigError(f"format must be a whole number of at least 1, not {number!r}")
    if number > FORMAT:
        raise ConfigError(
            f"it has the format {number}, and this version reads up to {FORMAT}: upgrade semroute-cache, or tune again"
        )
    return rest


def _policy_of(table: JSON) -> Policy:
    return _made(
        Policy,
        table,
        "policy",
        {
            "cells": _cells_of,
            "stricter": _points_of,
            "promise": lambda value: None if value is None else _made(Promise, value, "promise"),
        },
    )


def _cells_of(value: JSON) -> tuple[Cell, ...]:
    return tuple(_made(Cell, cell, "a cell") for cell in _list_of(value, "cells"))


def _points_of(value: JSON) -> tuple[Point, ...]:
    return tuple(_made(Point, point, "a stricter point", {"cells": _cells_of}) for point in _list_of(value, "stricter"))


def _list_of(value: JSON, name: str) -> list[JSON]:
    if not isinstance(value, list):
        raise ConfigError(f"{name} must be a list, not {value!r}")
    return value


def _made(kind: type[T], table: JSON, name: str, readers: Mapping[str, Callable[[JSON], object]] | None = None) -> T:
    """Make an object of a JSON table; its own checks look at the values. Raises ConfigError."""
    if not isinstance(table, dict):
        raise ConfigError(f"{name} must be a JSON object, not {table!r}")
    known = [field.name for field in fields(kind)]
    unknown = sorted(table.keys() - set(known))
    if unknown:
        raise ConfigError(f"{name} has unknown fields {unknown}; known are {known}")
    special = {} if readers is None else readers
    values: dict[str, Any] = {key: special[key](value) if key in special else value for key, value in table.items()}
    try:
        return kind(**values)
    except TypeError as error:
        raise ConfigError(f"{name} lacks fields: {error}") from error


def named_by_content(policy: Policy, name: str) -> Policy:
    """Return the policy with a version that changes whenever its numbers do.

    Aliases remember the version that they were made under, and are judged afresh under another one.
    """
    from hashlib import blake2b

    content = json.dumps(asdict(replace(policy, version="-")), sort_keys=True, allow_nan=False)
    return replace(policy, version=f"{name}-{blake2b(content.encode(), digest_size=4).hexdigest()}")
