"""The models of a chain, each by what changes its answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from langchain_core.language_models import BaseChatModel

from langchain_semroute import _identity
from langchain_semroute._routed_request import Asked
from langchain_semroute.cache import SemrouteCache
from semroute.entry import JSON

if TYPE_CHECKING:
    from langchain_semroute.routed_model import RoutedModel
    from semroute.calls.notices import Notices


class Models:
    """Reads the models of one chain."""

    def __init__(self, notices: Notices) -> None:
        self._notices = notices
        self.temperature: float | None = None
        """The highest temperature among them."""

    def chat(self, model: BaseChatModel, arguments: Mapping[str, object]) -> JSON:
        """Return the form of a chat model that is called with these arguments; raises Unsure."""
        given = dict(arguments)
        stop = given.pop("stop", None)
        held = model.cache
        name = held.asker.identity if isinstance(held, SemrouteCache) else None
        if stop is not None and not isinstance(stop, list):
            given["stop_given"] = stop
        identity = _identity.of_model(model, stop if isinstance(stop, list) else None, given, name)
        if identity.note is not None:
            self._notices.tell(identity.note)
        known = [one for one in (self.temperature, identity.temperature) if one is not None]
        self.temperature = max(known, default=None)
        return {"model": identity.digest}

    def routed(self, model: RoutedModel) -> JSON:
        """Return the form of a routed model: all that may answer, and what is asked of whichever does."""
        members = {name: self.chat(member.model, {}) for name, member in model._pool.members.items()}
        return {"routed": members, "asked": Asked((), model._declared, model._arguments).form()}
