"""Collections of documents that have no name, kept apart from one another."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Sequence

from semroute.errors import ConfigError


class Corpora:
    """Who asks which documents in which way, of those in this process that give their documents no name.

    Two of them with equal settings would be one and the same to the next process, which knows nothing of the objects
    behind them: they are told to name their documents.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asked: dict[str, weakref.WeakKeyDictionary[object, tuple[str, ...]]] = {}

    def claim(self, owner: object, settings: str, documents: Sequence[str]) -> None:
        """Note that an owner asks some documents with some settings.

        Raises ConfigError where another one that still lives asks other documents with the same settings.
        """
        with self._lock:
            others = self._asked.setdefault(settings, weakref.WeakKeyDictionary())
            clash = next((known for other, known in others.items() if other is not owner and known != documents), None)
            if clash is not None:
                raise ConfigError(
                    "two indices are asked with equal settings, and neither names its documents, so that one could be "
                    "served the other's answers: give each a name, such as corpus='handbook' "
                    "(or, where one takes the place of the other, the same name and another corpus_version)"
                )
            others[owner] = tuple(documents)
            for known in [key for key, owners in self._asked.items() if not owners]:
                del self._asked[known]
