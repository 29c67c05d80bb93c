"""The models that a router chooses from: what each can do, what it costs, and how strong it is beside the others."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final, Self, TypeAlias

from semroute.errors import ConfigError
from semroute.prices import Price

_MOST_TIER: Final = 100
_CAPABILITIES: Final = ("tools", "vision", "structured_output")


@dataclass(frozen=True, slots=True)
class CatalogModel:
    """One model, by the name that the application calls it.

    Raises ConfigError for values that cannot be.
    """

    name: str
    tier: int = 1
    """How strong it is: 1 is the weakest; models of one tier stand in for one another."""
    price: Price | None = None
    context_tokens: int | None = None
    """How many tokens of prompt and answer it takes at most; None where that is no concern."""
    tools: bool = True
    vision: bool = False
    structured_output: bool = True

    def __post_init__(self) -> None:
        given: object = self.name
        if not isinstance(given, str) or not given.strip():
            raise ConfigError(f"a model of the catalogue needs a name, not {given!r}")
        for name, most in (("tier", _MOST_TIER), ("context_tokens", 10**9)):
            value: object = getattr(self, name)
            if value is None and name == "context_tokens":
                continue
            if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
                raise ConfigError(f"model {self.name!r}: {name}={value!r} must be a whole number from 1 to {most}")
        for name in _CAPABILITIES:
            if not isinstance(getattr(self, name), bool):
                raise ConfigError(f"model {self.name!r}: {name}={getattr(self, name)!r} must be true or false")


@dataclass(frozen=True, slots=True)
class Needs:
    """What a request asks of the model that answers it."""

    tools: bool = False
    vision: bool = False
    structured_output: bool = False
    tokens: int = 0
    """Of the prompt, at least; an estimate will do."""
    least_tier: int = 1
    """The floor of quality that the application has set."""

    def lacking(self, model: CatalogModel) -> str:
        """Say what a model lacks for these needs; empty where it can do it all."""
        lacks = [name.replace("_", " ") for name in _CAPABILITIES if getattr(self, name) and not getattr(model, name)]
        if model.context_tokens is not None and self.tokens > model.context_tokens:
            lacks.append(f"room for {self.tokens:,} tokens")
        if model.tier < self.least_tier:
            lacks.append(f"tier {self.least_tier}")
        return ", ".join(lacks)


Models: TypeAlias = "Iterable[CatalogModel] | Mapping[str, Mapping[str, Any]]"


@dataclass(frozen=True, slots=True)
class ModelCatalog:
    """The models, weakest and then cheapest first. Raises ConfigError where there is none, or two of one name."""

    models: tuple[CatalogModel, ...]
    tiers: tuple[int, ...] = field(init=False, repr=False, compare=False)
    """The tiers there are, weakest first."""
    _by_name: Mapping[str, CatalogModel] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.models:
            raise ConfigError("the catalogue is empty: name at least one model")
        by_name = {model.name: model for model in self.models}
        if len(by_name) < len(self.models):
            names = [model.name for model in self.models]
            twice = sorted({name for name in names if names.count(name) > 1})
            raise ConfigError(f"the catalogue names {', '.join(map(repr, twice))} more than once")
        object.__setattr__(self, "models", tuple(sorted(self.models, key=_by_strength)))
        object.__setattr__(self, "tiers", tuple(sorted({model.tier for model in self.models})))
        object.__setattr__(self, "_by_name", by_name)

    @classmethod
    def of(cls, models: Models | str | Path) -> Self:
        """Take models as they are, as tables by name (the keys of `load`), or out of a TOML file."""
        if isinstance(models, str | Path):
            return cls.load(models)
        if isinstance(models, Mapping):
            return cls(tuple([_from_table(name, table) for name, table in models.items()]))
        return cls(tuple(models))

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a TOML file with a table `[models.NAME]` for each model; raises ConfigError.

        Its keys are tier, input_usd_per_mtok, output_usd_per_mtok, context_tokens, tools, vision, structured_output.
        """
        try:
            content = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigError(f"the catalogue {path} cannot be read: {error.strerror}") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"the catalogue {path} is no TOML: {error}") from error
        models = content.get("models")
        if not isinstance(models, dict) or not models:
            raise ConfigError(f"the catalogue {path} has no [models.NAME] table")
        return cls.of(models)

    def __iter__(self) -> Iterator[CatalogModel]:
        return iter(self.models)

    def __len__(self) -> int:
        return len(self.models)

    def __contains__(self, name: object) -> bool:
        return name in self._by_name

    def __getitem__(self, name: str) -> CatalogModel:
        """Return a model by name; raises ConfigError that names those there are."""
        try:
            return self._by_name[name]
        except KeyError:
            raise ConfigError(f"no model {name!r} in the catalogue: it has {', '.join(self.names)}") from None

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(model.name for model in self.models)

    @property
    def strongest(self) -> CatalogModel:
        """The cheapest model of the highest tier."""
        return next(model for model in self.models if model.tier == self.models[-1].tier)

    @property
    def prices(self) -> dict[str, Price]:
        return {model.name: model.price for model in self.models if model.price is not None}

    def able(self, needs: Needs) -> tuple[CatalogModel, ...]:
        """Return the models that can do what is needed, weakest first; raises ConfigError where there is none."""
        able = tuple(model for model in self.models if not needs.lacking(model))
        if not able:
            lacks = "; ".join(f"{model.name} lacks {needs.lacking(model)}" for model in self.models)
            raise ConfigError(f"no model of the catalogue can do what this request needs: {lacks}")
        return able


def _by_strength(model: CatalogModel) -> tuple[int, float, str]:
    price = model.price
    return model.tier, 0.0 if price is None else price.input_usd_per_mtok + price.output_usd_per_mtok, model.name


_PRICES: Final = ("input_usd_per_mtok", "output_usd_per_mtok")
_KEYS: Final = frozenset({each.name for each in fields(CatalogModel)} - {"name", "price"}) | set(_PRICES)


def _from_table(name: str, table: object) -> CatalogModel:
    if not isinstance(table, Mapping):
        raise ConfigError(f"model {name!r} must be a table with a tier and prices, not {table!r}")
    unknown = sorted(table.keys() - _KEYS)
    if unknown:
        raise ConfigError(f"model {name!r} has unknown keys {', '.join(unknown)}; known are {', '.join(sorted(_KEYS))}")
    given = dict(table)
    prices = [given.pop(key, None) for key in _PRICES]
    if (prices[0] is None) != (prices[1] is None):
        raise ConfigError(f"model {name!r} needs both {' and '.join(_PRICES)}, or neither")
    return CatalogModel(name, price=None if prices[0] is None else Price(*prices), **given)
