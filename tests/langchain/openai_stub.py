"""A loopback server that speaks the published shapes of OpenAI's chat completions, for tests and for recordings.

What it answers follows from the request alone: a tool call where tools are offered and the user speaks last, an object
of the schema where one is asked for, else a sentence about the user's words. A few words of the user bring about what
goes wrong with real models: "REFUSE", "TRUNCATE", "FILTER", "STATUS 429", "STATUS 500", and "BREAK" in a stream.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler
from typing import Any, TypeAlias

from .loopback import Loopback

CREATED_AT = 1_750_000_000
STATUS = re.compile(r"STATUS (\d{3})")
QUOTED = re.compile(r"'([^']+)'")
Says: TypeAlias = Callable[[Mapping[str, Any]], str | dict[str, Any] | None]
"""What a test wants said to a request: a text, the arguments of the function to call, or None for the stub's own."""


class OpenAIStub(Loopback):
    """The server, with every request body and header that reached it."""

    def __init__(self) -> None:
        self.says: Says = lambda body: None
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[Mapping[str, str]] = []
        self._counter = itertools.count(1)
        super().__init__()

    @property
    def calls(self) -> int:
        return len(self.bodies)

    def _handler(stub) -> type[BaseHTTPRequestHandler]:  # the handler has a self of its own
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                stub.bodies.append(body)
                stub.headers.append({name.lower(): value for name, value in self.headers.items()})
                status = STATUS.search(last_user_text(body))
                number, said = next(stub._counter), stub.says(body)
                if status is not None:
                    self._send(int(status[1]), [json.dumps(error_body(int(status[1])))], "application/json")
                elif body.get("stream"):
                    events = [f"data: {json.dumps(event)}\n\n" for event in chunks(body, number, said)]
                    self._send(200, [*events, "data: [DONE]\n\n"], "text/event-stream")
                else:
                    self._send(200, [json.dumps(completion(body, number, said))], "application/json")

            def _send(self, status: int, parts: list[str], kind: str) -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Connection", "close")
                self.end_headers()
                for part in parts:
                    self.wfile.write(part.encode())

            def log_message(self, format: str, *args: object) -> None:
                """Stay silent."""

        return Handler


def last_user_text(body: Mapping[str, Any]) -> str:
    """Return the words of the last user turn."""
    contents = [turn.get("content") for turn in body["messages"] if turn["role"] == "user"]
    last = contents[-1] if contents else ""
    if isinstance(last, list):
        return " ".join(block["text"] for block in last if block.get("type") == "text")
    return str(last)


def error_body(status: int) -> dict[str, Any]:
    """Return the error object of a status."""
    told = {429: ("rate_limit_exceeded", "Rate limit reached"), 500: ("server_error", "The server had an error")}
    code, message = told.get(status, ("invalid_request_error", "The request is invalid"))
    return {"error": {"message": message, "type": code, "param": None, "code": code}}


def completion(body: Mapping[str, Any], number: int, said: str | dict[str, Any] | None = None) -> dict[str, Any]:
    """Return a whole chat completion."""
    message, reason = answer(body, number, said)
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": reason}
    return {**head(body, number, "chat.completion"), "choices": [choice], "usage": usage(body, message)}


def chunks(body: Mapping[str, Any], number: int, said: str | dict[str, Any] | None = None) -> Iterator[dict[str, Any]]:
    """Yield the same answer as the chunks of a stream."""
    message, reason = answer(body, number, said)
    top = head(body, number, "chat.completion.chunk")
    for place, delta in enumerate(deltas(message)):
        if place == 3 and "BREAK" in last_user_text(body):
            yield error_body(500)
            return
        yield {**top, "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}]}
    yield {**top, "choices": [{"index": 0, "delta": {}, "logprobs": None, "finish_reason": reason}]}
    if (body.get("stream_options") or {}).get("include_usage"):
        yield {**top, "choices": [], "usage": usage(body, message)}


def deltas(message: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield a message in pieces, as a stream brings it."""
    yield {"role": "assistant", "content": "" if message["content"] is not None else None, "refusal": None}
    for key in ("content", "refusal"):
        for piece in re.findall(r"\S+\s*", message[key] or ""):
            yield {key: piece}
    for index, call in enumerate(message.get("tool_calls", [])):
        arguments = call["function"]["arguments"]
        named = {"name": call["function"]["name"], "arguments": ""}
        yield {"tool_calls": [{"index": index, "id": call["id"], "type": "function", "function": named}]}
        for start in range(0, len(arguments), 8):
            yield {"tool_calls": [{"index": index, "function": {"arguments": arguments[start : start + 8]}}]}


def head(body: Mapping[str, Any], number: int, kind: str) -> dict[str, Any]:
    """Return what every object of one completion begins with."""
    return {
        "id": f"chatcmpl-{number:06d}",
        "object": kind,
        "created": CREATED_AT,
        "model": body["model"],
        "system_fingerprint": "fp_loopback",
        "service_tier": "default",
    }


def usage(body: Mapping[str, Any], message: Mapping[str, Any]) -> dict[str, Any]:
    """Return token counts: about four characters a token."""
    asked = sum(len(json.dumps(turn.get("content"))) for turn in body["messages"]) // 4
    told = max(1, len(message["content"] or "") // 4)
    return {
        "prompt_tokens": asked,
        "completion_tokens": told,
        "total_tokens": asked + told,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
    }


def answer(
    body: Mapping[str, Any], number: int, said: str | dict[str, Any] | None = None
) -> tuple[dict[str, Any], str]:
    """Return the message that answers a request, and why it ends."""
    words = last_user_text(body)
    message: dict[str, Any] = {"role": "assistant", "content": None, "refusal": None, "annotations": []}
    if "REFUSE" in words:
        return {**message, "refusal": "I will not talk about that."}, "stop"
    if isinstance(said, str):
        return {**message, "content": said}, "stop"
    called = chosen_tool(body)
    if called is not None:
        given = example(called.get("parameters", {}), words) if said is None else said
        arguments = json.dumps(given, ensure_ascii=False)
        function = {"name": called["name"], "arguments": arguments}
        calls = [{"id": f"call_{number:024d}", "type": "function", "function": function}]
        return {**message, "tool_calls": calls}, "tool_calls"
    text = json.dumps(structured(body, words)) if "response_format" in body else f"You asked: {words} Here is more."
    reason = "length" if "TRUNCATE" in words else "content_filter" if "FILTER" in words else "stop"
    return {**message, "content": text}, reason


def chosen_tool(body: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the function that is called: the one that is forced, else the first, where the user speaks last."""
    functions = [tool["function"] for tool in body.get("tools") or []]
    if not functions or body["messages"][-1]["role"] != "user" or body.get("tool_choice") == "none":
        return None
    choice = body.get("tool_choice")
    if isinstance(choice, dict):
        return next(function for function in functions if function["name"] == choice["function"]["name"])
    return functions[0]


def structured(body: Mapping[str, Any], words: str) -> Any:
    """Return an object of the schema that is asked for, or of two keys in plain JSON mode."""
    schema = body["response_format"].get("json_schema", {}).get("schema")
    return {"setup": "Why?", "punchline": "Because."} if schema is None else example(schema, words)


def example(schema: Mapping[str, Any], words: str) -> Any:
    """Return a value of a JSON schema: numbers and quoted names out of the user's words, else a filling."""
    if "$ref" in schema or "anyOf" in schema:
        return example(schema.get("anyOf", [{"type": "string"}])[0], words)
    if "enum" in schema:
        return schema["enum"][0]
    match schema.get("type"):
        case "object":
            return {name: example(inner, words) for name, inner in schema.get("properties", {}).items()}
        case "array":
            return [example(schema.get("items", {"type": "string"}), words)]
        case "integer" | "number":
            found = re.search(r"\d+", words)
            return int(found[0]) if found is not None else 1
        case "boolean":
            return True
        case _:
            quoted = QUOTED.search(words)
            return quoted[1] if quoted is not None else "something"
