"""Settings of a cache: arguments > environment (SEMROUTE_*) > semroute.toml > defaults, as one typed object."""

from __future__ import annotations

import difflib
import logging
import os
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Literal, TypeAlias

from semroute.errors import ConfigError
from semroute.request import VOLATILE

WriteMode: TypeAlias = Literal["now", "background"]
Mode: TypeAlias = Literal["serve", "shadow"]
CONFIG_FILE = "semroute.toml"
ENVIRONMENT_PREFIX = "SEMROUTE_"
OTHER_VARIABLES = frozenset({"SEMROUTE_CONFIG", "SEMROUTE_MODEL_DIR", "SEMROUTE_CACHE_DIR", "SEMROUTE_DATA"})
"""Variables of the same prefix that other parts read."""
_LOG = logging.getLogger("semroute")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What can be set about a cache. Raises ConfigError that names the field, the value and the range."""

    store: str | tuple[str, ...] | None = None
    """URL of the store, or of each shard of a ring; None is the embedded store in the user's data folder."""
    replicas: int = 1
    """How many shards keep each answer, where there are several stores."""
    threshold: float | None = None
    """Similarity that a semantic hit needs, in [0, 1]; None leaves it to the policy."""
    policy: str | None = None
    """File of a tuned policy, as `semroute tune` writes it; None is the built-in one."""
    verifier: bool | str = True
    """Ask the learned verifier that ships; False leaves the lexical guards alone to decide. Or the file or folder of
    a verifier of one's own, as `semroute verifier train` writes it."""
    mode: Mode = "serve"
    """"shadow" looks up and serves nothing: it takes down what it would have served beside the model's answer."""
    canary: float = 1.0
    """Share of requests that is served, always the same ones; the others are looked up as in shadow mode."""
    shadow_log: str | None = None
    """File of the shadow log; None is `shadow.db` in the user's data folder. Used where not everything is served."""
    candidates: int = 5
    """How many neighbours the semantic tier looks at, 1 to 100."""
    write: WriteMode = "now"
    """Whether an update is stored before it returns, or behind the caller's back."""
    write_queue: int = 1_000
    """How many background updates may wait, at least 1."""
    embed_deadline_s: float = 2.0
    """How long a lookup waits for a vector before it goes on without the semantic tier."""
    flight_deadline_s: float = 30.0
    """How long a follower waits for the model call that another request has under way."""
    require_scope: bool = False
    """Treat a request without any scope as Bypass."""
    max_temperature: float = 1.0
    """Above it only the very same request shares an answer; 0 to 100."""
    max_answer_bytes: int = 256 * 1024
    """Answers larger than this are not stored."""
    max_entries: int = 100_000
    """Limit of the store, or of each shard; the least recently used go first."""
    max_bytes: int = 1024**3
    """Limit of the store, or of each shard, in bytes of queries, answers and vectors."""
    strip: tuple[str, ...] = ()
    """Names of volatile-token rules (see `semroute.request.VOLATILE`) that are left out of keys and comparison."""

    def __post_init__(self) -> None:
        if not all(isinstance(store, str) for store in self.stores):
            raise ConfigError(f"store must be a URL, or a list of them, not {self.store!r}")
        _check("replicas", self.replicas, 1, 64, whole=True)
        _check("threshold", self.threshold, 0.0, 1.0, optional=True)
        _check("canary", self.canary, 0.0, 1.0)
        _check("candidates", self.candidates, 1, 100, whole=True)
        _check("write_queue", self.write_queue, 1, 10_000_000, whole=True)
        _check("embed_deadline_s", self.embed_deadline_s, 0.001, 3600.0)
        _check("flight_deadline_s", self.flight_deadline_s, 0.0, 3600.0)
        _check("max_temperature", self.max_temperature, 0.0, 100.0)
        _check("max_answer_bytes", self.max_answer_bytes, 1, 1024**3, whole=True)
        _check("max_entries", self.max_entries, 1, 10**12, whole=True)
        _check("max_bytes", self.max_bytes, 1, 10**15, whole=True)
        if self.mode not in ("serve", "shadow"):
            raise ConfigError(f"mode must be 'serve' or 'shadow', not {self.mode!r}")
        if self.write not in ("now", "background"):
            raise ConfigError(f"write must be 'now' or 'background', not {self.write!r}")
        if not isinstance(self.require_scope, bool):
            raise ConfigError(f"require_scope must be true or false, not {self.require_scope!r}")
        verifier: object = self.verifier
        if not isinstance(verifier, bool | str) or verifier == "":
            raise ConfigError(f"verifier must be true, false or the file of a verifier, not {verifier!r}")
        strip: object = self.strip
        if not isinstance(strip, tuple | list) or not all(name in VOLATILE for name in strip):
            raise ConfigError(f"strip must be a tuple of names out of {sorted(VOLATILE)}, not {strip!r}")

    @property
    def stores(self) -> tuple[str, ...]:
        """The URLs of the stores, none for the default one."""
        if self.store is None:
            return ()
        return tuple(self.store) if isinstance(self.store, tuple | list) else (self.store,)

    @property
    def serves_all(self) -> bool:
        return self.mode == "serve" and self.canary >= 1.0

    @classmethod
    def load(
        cls,
        arguments: Mapping[str, object] | None = None,
        *,
        environment: Mapping[str, str] | None = None,
        file: Path | None = None,
    ) -> Settings:
        """Gather the settings: what `arguments` names wins, then the environment, then the file.

        The file is `file`, else the one that SEMROUTE_CONFIG names, else `semroute.toml` in the working folder
        where there is one. A variable of the environment that is none of ours is told to the log, once.
        """
        variables = os.environ if environment is None else environment
        _tell_of_strangers(variables)
        merged = {**_from_file(variables, file), **_from_environment(variables)}
        merged.update({} if arguments is None else arguments)
        unknown = sorted(merged.keys() - _READERS.keys())
        if unknown:
            raise ConfigError(f"unknown settings {unknown}; known are {sorted(_READERS)}")
        return cls(**merged)  # type: ignore[arg-type]  # the fields check their own values


def _from_file(variables: Mapping[str, str], file: Path | None) -> dict[str, object]:
    named = variables.get("SEMROUTE_CONFIG") if file is None else str(file)
    path = Path(CONFIG_FILE if named is None else named)
    if named is None and not path.is_file():
        return {}
    try:
        table: dict[str, object] = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path} could not be read as settings: {error}") from error
    strip = table.get("strip")
    if isinstance(strip, list):
        table["strip"] = tuple(str(name) for name in strip)
    if isinstance(stores := table.get("store"), list):
        table["store"] = tuple(stores)
    return table


def _from_environment(variables: Mapping[str, str]) -> dict[str, object]:
    found: dict[str, object] = {}
    for variable, text in variables.items():
        name = variable.removeprefix(ENVIRONMENT_PREFIX).lower()
        if not variable.startswith(ENVIRONMENT_PREFIX) or variable in OTHER_VARIABLES or name not in _READERS:
            continue
        try:
            found[name] = _READERS[name](text)
        except ValueError as error:
            raise ConfigError(f"{variable}={text!r} is no value for {name}: {error}") from error
    return found


def _tell_of_strangers(variables: Iterable[str]) -> None:
    for variable in variables:
        name = variable.removeprefix(ENVIRONMENT_PREFIX)
        if name != variable and variable not in OTHER_VARIABLES and name.lower() not in _READERS:
            _tell_of_stranger(name)


@cache
def _tell_of_stranger(name: str) -> None:
    """Log, once for each name, that a variable means nothing: no slip of the keyboard is to pass in silence."""
    known = sorted(
        {*(name.upper() for name in _READERS), *(v.removeprefix(ENVIRONMENT_PREFIX) for v in OTHER_VARIABLES)}
    )
    near = difflib.get_close_matches(name.upper(), known, n=1)
    advice = (
        f"did you mean {ENVIRONMENT_PREFIX}{near[0]}?"
        if near
        else f"known are {', '.join(f'{ENVIRONMENT_PREFIX}{one}' for one in known)}"
    )
    _LOG.warning("%s%s is no setting of semroute and is ignored: %s", ENVIRONMENT_PREFIX, name, advice)


_TRUTHS = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}


def _truth(text: str) -> bool:
    if text.lower() not in _TRUTHS:
        raise ValueError("write true or false")
    return _TRUTHS[text.lower()]


def _truth_or_file(text: str) -> bool | str:
    if not text.strip():
        raise ValueError("write true, false or the file of a verifier")
    return _TRUTHS.get(text.lower(), text)


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _urls(text: str) -> str | tuple[str, ...]:
    """Read one URL or several: a comma parts two where another URL begins, for one may hold commas itself."""
    urls = tuple(url for part in _NEXT_URL.split(text) if (url := part.strip()))
    return urls if len(urls) > 1 else text


_NEXT_URL = re.compile(r"[,\s]+(?=[a-z][a-z0-9+]*://)")
_BY_TYPE: Mapping[str, Callable[[str], object]] = {
    "int": int,
    "float": float,
    "float | None": float,
    "bool": _truth,
    "bool | str": _truth_or_file,
    "tuple[str, ...]": _names,
    "str | tuple[str, ...] | None": _urls,
}
_READERS: Mapping[str, Callable[[str], object]] = {
    field.name: _BY_TYPE.get(str(field.type), str) for field in fields(Settings)
}


def _check(name: str, value: object, low: float, high: float, *, optional: bool = False, whole: bool = False) -> None:
    if value is None and optional:
        return
    is_number = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
    if not is_number or not low <= value <= high:  # type: ignore[operator]  # is_number says it is a number
        kind = "whole number" if whole else "number"
        raise ConfigError(f"{name} must be a {kind} between {low:g} and {high:g}, not {value!r}")
