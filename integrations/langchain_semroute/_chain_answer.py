"""What a chain has answered, as the core's answer: its text, its payload, its documents, what its models said."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

from langchain_core.documents import Document
from langchain_core.globals import get_llm_cache
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, Generation

from langchain_semroute import _codec
from langchain_semroute._chain_codec import ChainCodec, documents_in, is_given, messages_in, refreshed, settled
from langchain_semroute.cache import SemrouteCache
from semroute.admission import admit
from semroute.entry import JSON, Answer, Usage
from semroute.request import canonical

if TYPE_CHECKING:
    from langchain_semroute._chain_witness import Witness
    from semroute.result import Hit

SourcesOf: TypeAlias = str | Callable[[Any], Iterable[Document | str]]
"""The key of the source documents in a chain's output, or a function that finds them (or their ids) there."""

_ANSWER_KEYS = ("answer", "result", "output", "output_text", "text")
_ID_KEYS = ("id", "doc_id", "source")


@dataclass(frozen=True, slots=True)
class Served:
    """What a hit hands out; a chain may answer None."""

    output: object


@dataclass(frozen=True, slots=True)
class Keeper:
    """Makes answers of outputs, and outputs of answers."""

    codec: ChainCodec
    sources: SourcesOf | None
    cache: SemrouteCache

    def answer(self, given: object, output: object, witness: Witness, latency_s: float) -> Answer:
        """Return the answer that an output makes up; raises Unsure for one that would not come back as it is."""
        whole = settled(output, given)
        payload = self.codec.encode(whole, given)
        own = [_codec.encode([ChatGeneration(message=message)]) for message in messages_in(_new(whole, given))]
        said = [_codec.encode(generations) for generations in witness.spoken]
        stopped = next((one for one in (*said, *own) if one is not None and not _is_whole(one)), None)
        answer = Answer(
            text=_text(_new(whole, given), payload),
            payload=payload,
            has_tool_calls=any(one is not None and one.has_tool_calls for one in own),
            latency_s=latency_s,
            documents=tuple(dict.fromkeys(self._documents(output, witness))),
        )
        if stopped is not None:
            answer = replace(answer, finish_reason=stopped.finish_reason, is_refusal=stopped.is_refusal)
        return self._counted(answer, witness)

    def revived(self, hit: Hit, given: object) -> Served | None:
        """Return the output of a hit for who has given this input, or None where it cannot be read."""
        try:
            restore = refreshed(hit.explanation, self.cache.usage)
            return Served(self.codec.decode(hit.answer.payload, given, restore))
        except (ValueError, TypeError, KeyError):
            return None

    def _documents(self, output: object, witness: Witness) -> Iterator[str]:
        """Yield the ids of the documents that an answer was made from; those that only were found may change it too."""
        for source in self._sources(output, witness):
            ids = [source] if isinstance(source, str) else list(_ids(source))
            if not ids:
                self.cache.notices.tell(
                    "a document has neither an id nor a source in its metadata: invalidate the answers that are made "
                    "from it by their corpus"
                )
            yield from ids

    def _sources(self, output: object, witness: Witness) -> Iterable[Document | str]:
        if self.sources is None:
            return [*documents_in(output), *witness.documents]
        if not isinstance(self.sources, str):
            return self.sources(output)
        return documents_in(output.get(self.sources)) if isinstance(output, dict) else ()

    def _counted(self, answer: Answer, witness: Witness) -> Answer:
        """Return the answer with what its models used, where no cache of theirs has counted that already."""
        around = get_llm_cache()
        if isinstance(around, SemrouteCache) and around.core is self.cache.core:
            return answer
        told = [one for generations in witness.spoken if (one := _told(generations)) is not None]
        used = [one.usage for one in told if one.usage is not None]
        models = {one.model for one in told}
        return replace(
            answer,
            model=models.pop() if len(models) == 1 else None,
            usage=Usage(sum(u.input_tokens for u in used), sum(u.output_tokens for u in used)) if used else None,
        )


def _told(generations: Iterable[Generation]) -> Answer | None:
    """Return what a model said, unless a cached model did."""
    given = list(generations)
    first = given[0] if given else None
    if isinstance(first, ChatGeneration) and _codec.MARKER in first.message.response_metadata:
        return None
    return _codec.encode(given)


def _is_whole(answer: Answer) -> bool:
    """Say whether a model has ended what it said, and refused nothing: its words are not looked at."""
    ending = Answer("said", finish_reason=answer.finish_reason, is_refusal=answer.is_refusal)
    return admit(ending).stored


def _new(output: object, given: object) -> object:
    """Return an output without what was handed through from the input."""
    if not isinstance(output, dict):
        return output
    return {key: value for key, value in output.items() if not is_given(given, value)}


def _text(output: object, payload: JSON) -> str:
    """Return the words of an output, for admission to look at and for people to read."""
    if isinstance(output, dict):
        named = next((output[key] for key in _ANSWER_KEYS if isinstance(output.get(key), str | AIMessage)), None)
        texts = [_words(value) for value in (output.values() if named is None else [named])]
        told = "\n".join(text for text in texts if text)
        return told if told or named is not None else canonical(payload)
    if isinstance(output, list | tuple):
        return "\n".join(_words(item) for item in output)
    return _words(output) if isinstance(output, str | AIMessage | Document) else canonical(payload)


def _words(value: object) -> str:
    match value:
        case str():
            return value
        case AIMessage():
            return str(value.text)
        case Document():
            return value.page_content
        case _:
            return ""


def _ids(document: Document) -> Iterator[str]:
    named = [document.id, *(document.metadata.get(key) for key in _ID_KEYS)]
    yield from (str(one) for one in named if isinstance(one, str | int) and not isinstance(one, bool))
