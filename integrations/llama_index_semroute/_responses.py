"""LlamaIndex's responses as the core's answers, and back: plain JSON, no class paths, a version."""

from __future__ import annotations

from typing import Final, TypeAlias

from llama_index.core.base.response.schema import (
    AsyncStreamingResponse,
    PydanticResponse,
    Response,
    StreamingResponse,
)
from llama_index.core.types import TokenAsyncGen, TokenGen
from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticSerializationError, to_jsonable_python

from llama_index_semroute import _nodes
from semroute.calls.values import Unsure
from semroute.entry import JSON, Answer
from semroute.result import Hit

VERSION: Final = 1
MARKER: Final = "semroute"
"""The key of a response's metadata that says how it came about."""

AnyResponse: TypeAlias = Response | StreamingResponse | AsyncStreamingResponse | PydanticResponse
OutputClass: TypeAlias = type[BaseModel] | None


def encode(
    response: AnyResponse, text: str | None, output_cls: OutputClass, *, model: str | None, latency_s: float
) -> Answer | None:
    """Return the answer that a response makes up, whose stream has told `text`; None where there is nothing to keep.

    Raises Unsure where the response would not come back as it was.
    """
    said: JSON = text
    if isinstance(response, PydanticResponse):
        said = _fields(response.response, output_cls)
        text = None if response.response is None else response.response.model_dump_json()
    if text is None:
        return None
    payload: dict[str, JSON] = {
        "v": VERSION,
        "kind": _kind(response),
        "response": said,
        "nodes": _nodes.encode(response.source_nodes),
        "metadata": _plain_metadata(response.metadata),
    }
    documents = _nodes.documents_of(response.source_nodes)
    return Answer(text, payload=payload, model=model, latency_s=latency_s, documents=documents)


def revive(hit: Hit, output_cls: OutputClass, piece_characters: int, *, is_async: bool) -> AnyResponse | None:
    """Return the response of a hit in fresh objects, marked; None where its payload cannot be read."""
    payload = hit.answer.payload
    if not isinstance(payload, dict) or payload.get("v") != VERSION:
        return None
    try:
        nodes = _nodes.decode(payload["nodes"])
        metadata = payload["metadata"]
        told = {**(metadata if isinstance(metadata, dict) else {}), MARKER: hit.explanation.as_dict()}
        match payload["kind"], payload["response"]:
            case "text", str() as text:
                return Response(text, nodes, told)
            case "stream", str() as text if is_async:
                return AsyncStreamingResponse(_apieces(text, piece_characters), nodes, told)
            case "stream", str() as text:
                return StreamingResponse(_pieces(text, piece_characters), nodes, told)
            case "pydantic", dict() as fields if output_cls is not None:
                return PydanticResponse(output_cls.model_validate(fields), nodes, told)
    except (KeyError, TypeError, ValueError):  # a ValidationError is a ValueError
        return None
    return None


def mark(response: AnyResponse, told: dict[str, JSON]) -> None:
    """Write into a fresh response's metadata how its lookup went."""
    response.metadata = {**({} if response.metadata is None else response.metadata), MARKER: told}


def _kind(response: AnyResponse) -> str:
    match response:
        case PydanticResponse():
            return "pydantic"
        case Response():
            return "text"
        case _:
            return "stream"


def _fields(value: BaseModel | None, output_cls: OutputClass) -> JSON:
    """Return the fields of a structured answer, which must come back as an equal object of the engine's own class."""
    if output_cls is None or type(value) is not output_cls:
        raise Unsure(
            f"the answer is a {type(value).__name__}, and the engine's output class is not known: give it as output_cls"
        )
    try:
        fields: JSON = value.model_dump(mode="json")
        is_equal = output_cls.model_validate(fields) == value
    except (ValidationError, PydanticSerializationError, ValueError) as error:
        raise Unsure(f"a {output_cls.__name__} cannot be written as JSON and read again") from error
    if not is_equal:
        raise Unsure(f"a {output_cls.__name__} does not come back from JSON as it was")
    return fields


def _plain_metadata(metadata: dict[str, object] | None) -> dict[str, JSON]:
    """Return what can be kept of a response's metadata: an engine round this one may have put its own objects there."""
    kept: dict[str, JSON] = {}
    for name, value in ({} if metadata is None else metadata).items():
        try:
            if name != MARKER and not isinstance(value, BaseModel):
                kept[name] = to_jsonable_python(value)
        except PydanticSerializationError:
            continue
    return kept


def _pieces(text: str, characters: int) -> TokenGen:
    for start in range(0, len(text), characters):
        yield text[start : start + characters]


async def _apieces(text: str, characters: int) -> TokenAsyncGen:
    for piece in _pieces(text, characters):
        yield piece
