"""A loopback server in the HTTP form of OpenAI's chat completions that says what a test wants a router's model to say.

It stands in for a hosted model, for recordings and for what cannot be replayed. What it says is put into the form that
the request asks for: the arguments of the function that is forced, or the content of the message.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from typing import Any

from semroute.router.catalog import CatalogModel, ModelCatalog

from .loopback import Loopback

CATALOG = ModelCatalog.of([CatalogModel("small"), CatalogModel("large", tier=2)])
QUESTION = "Who is the mayor of Vienna?"
GOOD: dict[str, Any] = {
    "reason": "office holders change",
    "intent": "retrieval",
    "complexity": "low",
    "model": "small",
    "cache_strategy": "standard",
    "staleness": "slow",
    "confidence": 0.85,
}
SAID = json.dumps(GOOD)


@dataclass(frozen=True)
class Says:
    """One answer of the model: an object in the form that is asked for, prose beside any form, or a refusal."""

    text: str
    is_prose: bool = False
    is_refusal: bool = False
    status: int = 200
    """Other than 200: the answer is an error with this text for a message."""
    code: str | None = None
    """Of an error."""


class StandIn(Loopback):
    """The server, with its script, whose last answer is given again and again, and every request body."""

    def __init__(self, *script: Says) -> None:
        self.script = list(script)
        self.bodies: list[dict[str, Any]] = []
        super().__init__()

    def _handler(stand_in) -> type[BaseHTTPRequestHandler]:  # the handler has a self of its own
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                stand_in.bodies.append(body)
                says = stand_in.script.pop(0) if len(stand_in.script) > 1 else stand_in.script[0]
                reply = completion(body, says, len(stand_in.bodies)) if says.status == 200 else failure(says)
                self.send_response(says.status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Connection", "close")
                self.end_headers()
                self.wfile.write(json.dumps(reply).encode())

            def log_message(self, format: str, *args: object) -> None:
                """Stay silent."""

        return Handler


def failure(says: Says) -> dict[str, Any]:
    """Return the body of an error."""
    return {"error": {"message": says.text, "type": "invalid_request_error", "param": None, "code": says.code}}


def completion(body: Mapping[str, Any], says: Says, number: int) -> dict[str, Any]:
    """Return a whole chat completion."""
    message: dict[str, Any] = {"role": "assistant", "content": None, "refusal": None, "annotations": []}
    reason = "stop"
    if says.is_refusal:
        message["refusal"] = says.text
    elif body.get("tools") and not says.is_prose:
        function = {"name": body["tools"][0]["function"]["name"], "arguments": says.text}
        message["tool_calls"] = [{"id": f"call_{number:024d}", "type": "function", "function": function}]
        reason = "tool_calls"
    else:
        message["content"] = says.text
    return {
        "id": f"chatcmpl-{number:06d}",
        "object": "chat.completion",
        "created": 1_750_000_000,
        "model": body["model"],
        "system_fingerprint": "fp_loopback",
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": reason}],
        "usage": {"prompt_tokens": 1_500, "completion_tokens": 60, "total_tokens": 1_560},
    }
