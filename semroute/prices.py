"""What models cost."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from semroute.errors import ConfigError

if TYPE_CHECKING:
    from semroute.entry import Answer, Usage


@dataclass(frozen=True, slots=True)
class Price:
    """What a model costs, in US dollars per million tokens. Raises ConfigError for what is no amount."""

    input_usd_per_mtok: float
    output_usd_per_mtok: float

    def __post_init__(self) -> None:
        for name in ("input_usd_per_mtok", "output_usd_per_mtok"):
            value: object = getattr(self, name)
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if not is_number or not 0.0 <= getattr(self, name) < math.inf:
                raise ConfigError(f"{name}={value!r} must be a number of US dollars, 0 or more")

    def of(self, usage: Usage) -> float:
        """Return what a call cost."""
        mtok_usd = usage.input_tokens * self.input_usd_per_mtok + usage.output_tokens * self.output_usd_per_mtok
        return mtok_usd / 1_000_000


def priced(answer: Answer, prices: Mapping[str, Price]) -> Answer:
    """Return an answer with what it cost, where its model has a price, and nobody has said it before."""
    price = None if answer.model is None else prices.get(answer.model)
    if price is None or answer.usd is not None or answer.usage is None:
        return answer
    return replace(answer, usd=price.of(answer.usage))
