"""Fetch files of the default model from the Hugging Face hub, within a short deadline."""

from __future__ import annotations

import logging
import threading
import urllib.error
import urllib.request
from pathlib import Path

from semroute.errors import EmbedderError

REPOSITORY = "sentence-transformers/all-MiniLM-L6-v2"
DEADLINE_S = 3.0
CONFIGURATION = ("config.json", "1_Pooling/config.json", "sentence_bert_config.json", "tokenizer.json")
WEIGHTS = (*CONFIGURATION, "model.safetensors")
GRAPH = (*CONFIGURATION, "onnx/model.onnx")

_log = logging.getLogger("semroute.embedders")


def fetch(names: tuple[str, ...], *, local_files_only: bool) -> Path:
    """Return the snapshot folder that holds all of `names`; EmbedderError says in a few words why there is none."""
    try:
        from huggingface_hub import constants, hf_hub_download, hf_hub_url
        from huggingface_hub.errors import HfHubHTTPError
    except ImportError as error:
        raise EmbedderError("huggingface-hub is not installed") from error
    local = local_files_only or constants.HF_HUB_OFFLINE
    if not local and not _answers(hf_hub_url(REPOSITORY, names[0])):
        raise EmbedderError(f"the model hub did not answer within {DEADLINE_S:g} s")
    folder = Path()
    try:
        for name in names:
            found = hf_hub_download(REPOSITORY, name, etag_timeout=DEADLINE_S, local_files_only=local)
            folder = Path(found).parents[name.count("/")]
    except (HfHubHTTPError, OSError, ValueError) as error:
        place = "the hub's cache holds no" if local else "the model hub gave no"
        _log.debug("%s %s: %s", place, name, error)
        raise EmbedderError(f"{place} {name}") from error
    return folder


def _answers(url: str) -> bool:
    """Say whether the hub can be reached: its client would try for half a minute where there is no network.

    In a thread of its own, because resolving a name knows no timeout.
    """
    answered = threading.Event()

    def ask() -> None:
        request = urllib.request.Request(url, method="HEAD")
        try:
            with urllib.request.urlopen(request, timeout=DEADLINE_S):
                answered.set()
        except OSError as error:
            _log.debug("the model hub cannot be reached: %s", error)
        finally:
            done.set()

    done = threading.Event()
    threading.Thread(target=ask, name="semroute-hub", daemon=True).start()
    done.wait(DEADLINE_S)
    return answered.is_set()
