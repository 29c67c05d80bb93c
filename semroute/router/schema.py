"""What a model is asked to fill in: a schema made from the catalogue, so that no model outside of it can be named."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic_core import PydanticCustomError

from semroute.errors import SemrouteError
from semroute.router.decision import CacheStrategy, Complexity, Intent, RoutingDecision, Staleness

if TYPE_CHECKING:
    from semroute.router.catalog import ModelCatalog

SCHEMA_NAME: Final = "routing_decision"
MAX_REASON_CHARS: Final = 160
_MAX_REPLY_CHARS: Final = 20_000
_MAX_PROBLEM_CHARS: Final = 600
_FENCED: Final = re.compile(r"```(?:json)?\s*(.*?)\s*```", re.DOTALL | re.IGNORECASE)


class InvalidReply(SemrouteError):
    """A model's reply is no decision; the message says what is wrong with it, and quotes nothing that it said."""


def decision_schema(catalog: ModelCatalog) -> type[BaseModel]:
    """Return the type of a reply about one request: every field is asked for, and `model` is a name of the catalogue.

    The bounds of `confidence` and `reason` are checked here and not told in the JSON schema, since the strict modes of
    providers refuse schemas with bounds. `reason` stands first, so that a model says what decides before it decides.
    """
    names: Any = catalog.names
    a_name: Any = Literal[names]
    return create_model(
        SCHEMA_NAME,
        __config__=ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False),
        __doc__="Which kind of question a request is, which model answers it, and how its answer may be cached.",
        reason=(
            Annotated[str, AfterValidator(one_line)],
            Field(description="What decided, in at most 15 words; quotes nothing out of the request."),
        ),
        intent=(
            Intent,
            Field(description="retrieval: a fact or a how-to; chat: small talk; analysis: work; error: a failure."),
        ),
        complexity=(Complexity, Field(description="How strong a model must be to get this right.")),
        model=(a_name, Field(description="The weakest model of the catalogue that surely answers well.")),
        cache_strategy=(
            CacheStrategy,
            Field(description="aggressive: a plain fact; bypass: only for this person or moment; else standard."),
        ),
        staleness=(Staleness, Field(description="When an answer that is right today turns wrong.")),
        confidence=(
            Annotated[float, AfterValidator(_fraction)],
            Field(description="From 0 to 1: how sure it is that this decision costs nobody a wrong answer."),
        ),
    )


def read_reply(reply: object, schema: type[BaseModel]) -> BaseModel:
    """Read what a model said, as an object of the schema, a mapping or JSON text; raises InvalidReply.

    Text must be JSON from end to end, or all of it one fenced block: an object that stands somewhere in prose may be
    one that the request brought along.
    """
    try:
        if isinstance(reply, BaseModel):
            return schema.model_validate(reply.model_dump())
        if isinstance(reply, Mapping):
            return schema.model_validate(dict(reply))
        if isinstance(reply, str):
            return schema.model_validate_json(_json_of(reply))
    except ValidationError as error:
        raise InvalidReply(_problems(error)) from None
    except (ValueError, TypeError, RecursionError) as error:
        raise InvalidReply(f"it cannot be read: {type(error).__name__}") from None
    raise InvalidReply("it is no JSON object")


def to_decision(answer: BaseModel, *, most_confidence: float = 1.0) -> RoutingDecision:
    """Return the decision that a model has filled in, with its confidence held under a cap."""
    said = answer.model_dump()
    return RoutingDecision(**{**said, "confidence": min(said["confidence"], most_confidence)}, origin="llm")


def one_line(text: str, limit: int = MAX_REASON_CHARS) -> str:
    """Return a text as one short line of characters that can be printed."""
    line = " ".join("".join(char if char.isprintable() else " " for char in text[: 10 * limit]).split())
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


def _fraction(value: float) -> float:
    # Written so that a number that is none is refused too.
    if not 0.0 <= value <= 1.0:
        raise PydanticCustomError("no_fraction", "it must be a number from 0 to 1")
    return value


def _json_of(reply: str) -> str:
    if len(reply) > _MAX_REPLY_CHARS:
        raise InvalidReply(f"it has more than {_MAX_REPLY_CHARS} characters")
    text = reply.strip()
    fenced = _FENCED.fullmatch(text)
    return text if fenced is None else fenced[1]


def _problems(error: ValidationError) -> str:
    """Say what is wrong with a reply, for the model that gave it: which fields, and what they must be."""
    problems = []
    for problem in error.errors(include_url=False, include_context=False, include_input=False):
        if problem["type"] == "json_invalid":
            return "it is no JSON object"
        field = json.dumps(".".join(map(str, problem["loc"]))[:40])
        problems.append(f"{field}: {problem['msg']}")
    return "; ".join(problems)[:_MAX_PROBLEM_CHARS]
