"""A small retrieval app of real parts: a vector store in memory, the documentation's chain, a counter of its runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import Runnable, RunnableLambda, RunnablePassthrough
from langchain_core.vectorstores import InMemoryVectorStore

from semroute.embedders import Embedder
from semroute.testing.embedders import HashEmbedder

ASKED = "what do cats do"
SAME_IN_OTHER_WORDS = "What do cats do?"
"""Another exact key; for the embedder of these tests the very same vector."""
PROMPT = "Answer from this context alone:\n{context}\n\nQuestion: {question}"
DOCUMENTS = (
    Document("Cats sleep for most of the day.", id="cats", metadata={"source": "cats.md", "kind": "pet"}),
    Document("Dogs bark at strangers and do fetch sticks.", id="dogs", metadata={"source": "dogs.md", "kind": "pet"}),
    Document("Wolves do hunt in packs.", id="wolves", metadata={"source": "wolves.md", "kind": "wild"}),
)


class EmbedderEmbeddings(Embeddings):
    """An embedder of semroute's as LangChain's embeddings."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return self._embedder.embed(texts).tolist()

    def embed_query(self, text: str) -> list[float]:
        return self.embed_documents([text])[0]


def indexed(documents: Sequence[Document] = DOCUMENTS, embedder: Embedder | None = None) -> InMemoryVectorStore:
    store = InMemoryVectorStore(EmbedderEmbeddings(HashEmbedder() if embedder is None else embedder))
    store.add_documents(list(documents))
    return store


def format_docs(documents: list[Document]) -> str:
    return "\n\n".join(document.page_content for document in documents)


def rag(model: Runnable[Any, Any], retriever: BaseRetriever | None = None, prompt: str = PROMPT) -> Runnable[Any, Any]:
    """Return the chain of the documentation: text in, text out."""
    found = indexed().as_retriever(search_kwargs={"k": 1}) if retriever is None else retriever
    template = ChatPromptTemplate.from_template(prompt)
    return {"context": found | format_docs, "question": RunnablePassthrough()} | template | model | StrOutputParser()


def retrieval_chain(model: Runnable[Any, Any], retriever: BaseRetriever | None = None) -> Runnable[Any, Any]:
    """Return a chain as `create_retrieval_chain` makes it: {"input", …} in, {"input", …, "context", "answer"} out."""
    found = indexed().as_retriever(search_kwargs={"k": 1}) if retriever is None else retriever
    template = ChatPromptTemplate.from_messages(
        [("system", "Answer from this:\n{context}"), ("placeholder", "{chat_history}"), ("human", "{input}")]
    )

    def format_documents(inputs: dict[str, Any]) -> str:
        return separator.join(document.page_content for document in inputs["context"])

    separator = "\n\n"
    written = RunnablePassthrough.assign(context=format_documents).with_config(run_name="format_inputs")
    documents = ((lambda inputs: inputs["input"]) | found).with_config(run_name="retrieve_documents")
    answer = written | template | model | StrOutputParser()
    return RunnablePassthrough.assign(context=documents).assign(answer=answer).with_config(run_name="retrieval_chain")


def with_unreadable_part(chain: Runnable[Any, Any]) -> Runnable[Any, Any]:
    """Return a chain that begins with a function which holds an object that does not say what it is."""
    opaque = object()
    return RunnableLambda(lambda text: (opaque, text)[1]) | chain


class Runs(BaseCallbackHandler):
    """Takes down the runs that it hears of, by kind, and the events."""

    run_inline = True

    def __init__(self) -> None:
        self.retrievals = 0
        self.models = 0
        self.chains: list[tuple[Any, Any, str]] = []
        self.ended: list[Any] = []
        self.failed: list[BaseException] = []
        self.events: list[tuple[str, Any, Any]] = []

    def on_retriever_start(self, serialized: Any, query: str, **kwargs: Any) -> None:
        self.retrievals += 1

    def on_chat_model_start(self, serialized: Any, messages: Any, **kwargs: Any) -> None:
        self.models += 1

    def on_chain_start(self, serialized: Any, inputs: Any, *, run_id: Any, **kwargs: Any) -> None:
        self.chains.append((run_id, kwargs.get("parent_run_id"), str(kwargs.get("name"))))

    def on_chain_end(self, outputs: Any, **kwargs: Any) -> None:
        self.ended.append(outputs)

    def on_chain_error(self, error: BaseException, **kwargs: Any) -> None:
        self.failed.append(error)

    def on_custom_event(self, name: str, data: Any, *, run_id: Any, **kwargs: Any) -> None:
        self.events.append((name, data["tier"], run_id))
