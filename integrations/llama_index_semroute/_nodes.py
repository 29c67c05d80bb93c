"""Source nodes as plain JSON, and back as fresh objects with their scores."""

from __future__ import annotations

import math
from collections.abc import Sequence

from llama_index.core.schema import BaseNode, NodeWithScore
from llama_index.core.storage.docstore.utils import doc_to_json, json_to_doc
from pydantic_core import to_jsonable_python

from semroute.calls.values import Unsure
from semroute.entry import JSON


def encode(nodes: Sequence[NodeWithScore]) -> list[JSON]:
    """Return nodes as JSON that `decode` makes equal ones of; raises Unsure where it does not."""
    return [_encoded(node) for node in nodes]


def decode(forms: object) -> list[NodeWithScore]:
    """Return fresh nodes; raises ValueError, TypeError or KeyError for what `encode` has not made."""
    if not isinstance(forms, list):
        raise TypeError(f"source nodes are a {type(forms).__name__}")
    return [NodeWithScore(node=json_to_doc(dict(form["node"])), score=form["score"]) for form in forms]


def documents_of(nodes: Sequence[NodeWithScore]) -> tuple[str, ...]:
    """Return the ids by which the sources of an answer may be invalidated: of their documents, and their own."""
    ids = [id_ for each in nodes for id_ in (each.node.ref_doc_id, each.node.node_id) if id_]
    return tuple(dict.fromkeys(ids))


def _encoded(scored: NodeWithScore) -> JSON:
    node = scored.node
    if type(scored) is not NodeWithScore:
        raise Unsure(f"a source node comes in a {type(scored).__name__}")
    # The vector is the index's, and would be most of the answer.
    bare = node if node.embedding is None else node.model_copy(update={"embedding": None})
    form = _form(bare)
    if form is None or _restored(form) != bare:
        raise Unsure(f"a source node ({type(node).__name__} {node.node_id}) does not come back as it was")
    score = None if scored.score is None else float(scored.score)
    return {"node": form, "score": score if score is None or math.isfinite(score) else None}


def _form(node: BaseNode) -> dict[str, JSON] | None:
    try:
        form: dict[str, JSON] = to_jsonable_python(doc_to_json(node))
        return form
    # Nodes may be of the application's own classes and hold its own objects, which fail in ways of their own.
    except Exception:
        return None


def _restored(form: dict[str, JSON]) -> BaseNode | None:
    try:
        return json_to_doc(dict(form))
    except Exception:  # as above
        return None
