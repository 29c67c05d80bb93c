"""A process of its own that embeds with sentence-transformers on torch: one text a line in, its seconds out.

Torch keeps threads and caches that would disturb what is measured beside it, so that it lives apart.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import time
from pathlib import Path

from semroute.embedders import _hub
from semroute.embedders._models import PACKAGED_WEIGHTS
from semroute.errors import EmbedderError


def weights_folder() -> Path:
    """Return the folder of the default embedder's weights: out of the hub's cache, or of the package."""
    try:
        return _hub.fetch(_hub.WEIGHTS, local_files_only=True)
    except EmbedderError:
        spec = importlib.util.find_spec(PACKAGED_WEIGHTS)
        if spec is None or not spec.submodule_search_locations:
            raise
        return Path(spec.submodule_search_locations[0]) / "model"


def main() -> None:
    """Answer each line, a text as JSON, with the seconds that its embedding took."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(weights_folder()), device="cpu")
    model.encode(["warm up"], normalize_embeddings=True, show_progress_bar=False)
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        text = json.loads(line)
        began = time.perf_counter()
        model.encode([text], normalize_embeddings=True, show_progress_bar=False)
        print(json.dumps(time.perf_counter() - began), flush=True)


if __name__ == "__main__":
    main()
