"""Real Redis Stack servers for tests and benchmarks, without Docker: processes on free loopback ports.

    with redis_stack(3) as nodes:
        cache = SemanticCache(nodes[0].url)

`python -m semroute.testing.redis_stack --nodes 3` prints the URLs, one a line, and runs until its input closes.
They keep everything in memory, and nothing of them is left afterwards.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from semroute.errors import ConfigError, SemrouteError, StoreError
from semroute.testing._redis_program import find_program

if TYPE_CHECKING:
    from semroute.testing._redis_program import Program

_HOST: Final = "127.0.0.1"
_START_S: Final = 30.0
_POLL_S: Final = 0.02
_PORTS_TRIED: Final = 5
_TAKEN: Final = "Address already in use"


class RedisNode:
    """One server process. Its port stays the same through `restart`."""

    def __init__(self, program: Program, folder: Path, options: Sequence[str], *, has_search: bool) -> None:
        self._program = program
        self._folder = folder
        self._options = tuple(options)
        self._has_search = has_search
        self._log = folder / "log"
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0
        self._bus_port = 0

    def __repr__(self) -> str:
        return f"<RedisNode {self.url} {'running' if self._is_running else 'down'}>"

    @property
    def url(self) -> str:
        return f"redis://{_HOST}:{self.port}"

    @property
    def pid(self) -> int:
        """The number of the process; raises StoreError when it is down."""
        if self._process is None:
            raise StoreError(f"the server of {self.url} is down: it has no process")
        return self._process.pid

    def kill(self) -> None:
        """End the process as a crash would (SIGKILL); all it held is gone."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def stop(self) -> None:
        """Freeze the process (SIGSTOP): it accepts connections and never answers."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let a frozen process go on."""
        os.kill(self.pid, signal.SIGCONT)

    def restart(self) -> None:
        """Start anew on the same port, empty; raises StoreError when the server does not come up."""
        self.kill()
        self._launch()
        self._wait()

    def _start(self) -> None:
        """Launch on a free port; another process may take that port first, and then another one is tried."""
        for attempt in range(_PORTS_TRIED):
            self.port, self._bus_port = _free_port(), _free_port()
            self._launch()
            try:
                self._wait()
            except StoreError as error:
                if attempt + 1 == _PORTS_TRIED or _TAKEN not in str(error):
                    raise
            else:
                return

    def _launch(self) -> None:
        command = [str(self._program.server), "--port", str(self.port), "--bind", _HOST, "--dir", str(self._folder)]
        command += ["--save", "", "--appendonly", "no"]
        if "--cluster-enabled" in self._options:
            command += ["--cluster-port", str(self._bus_port)]
        if self._has_search:
            command += ["--loadmodule", str(self._program.module)]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*command, *self._options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._program.environment,
            )

    def _wait(self) -> None:
        deadline = time.monotonic() + _START_S
        while self._is_running and time.monotonic() < deadline:
            if _answers(self.port):
                return
            time.sleep(_POLL_S)
        self.kill()
        said = self._log.read_text(errors="replace").strip()[-2000:]
        raise StoreError(f"the Redis server did not start on port {self.port}. It said:\n{said}")

    @property
    def _is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None


@contextmanager
def redis_stack(n: int = 1, *options: str, has_search: bool = True) -> Iterator[list[RedisNode]]:
    """Run `n` servers while the block runs, and yield them; they end with the block.

    `options` go to every server as they are ("--maxmemory", "10mb"); `has_search=False` leaves the search module out.
    Raises ConfigError when no server with search can be found on this machine, StoreError when one does not start.
    """
    if n < 1:
        raise ConfigError(f"n={n!r} is out of range: at least one server must run")
    program = find_program()
    with tempfile.TemporaryDirectory(prefix="redis-stack-", ignore_cleanup_errors=True) as folder:
        nodes = [_made(program, Path(folder) / str(number), options, has_search) for number in range(n)]
        try:
            for node in nodes:
                node._start()
            yield nodes
        finally:
            for node in nodes:
                node.kill()


@contextmanager
def redis_cluster(n: int = 3, *options: str, replicas: int = 0) -> Iterator[list[RedisNode]]:
    """Run a Redis Cluster of `n` masters with so many `replicas` each while the block runs, and yield its nodes.

    A node that is lost costs its slots only. Raises what `redis_stack` raises; a cluster has at least 3 masters.
    """
    if n < 3:
        raise ConfigError(f"n={n!r} is out of range: a cluster has at least 3 masters")
    mode = ("--cluster-enabled", "yes", "--cluster-require-full-coverage", "no", "--cluster-node-timeout", "1000")
    with redis_stack(n * (1 + replicas), *mode, *options) as nodes:
        program = find_program()
        places = [f"{_HOST}:{node.port}" for node in nodes]
        command = [str(program.server.with_name("redis-cli")), "--cluster", "create", *places]
        done = subprocess.run(
            [*command, "--cluster-replicas", str(replicas), "--cluster-yes"],
            capture_output=True,
            text=True,
            timeout=_START_S,
            env=program.environment,
            check=False,
        )
        if done.returncode != 0:
            said = (done.stdout + done.stderr)[-2000:]
            raise StoreError(f"the nodes did not become a cluster. redis-cli said:\n{said}")
        _await_cluster(nodes)
        yield nodes


def _await_cluster(nodes: Sequence[RedisNode]) -> None:
    """Wait until every node has heard that all slots are served."""
    deadline = time.monotonic() + _START_S
    while not all(_said(node.port, b"CLUSTER INFO").find(b"cluster_state:ok") > 0 for node in nodes):
        if time.monotonic() > deadline:
            raise StoreError("the nodes of the cluster did not find each other")
        time.sleep(_POLL_S)


def _made(program: Program, folder: Path, options: Sequence[str], has_search: bool) -> RedisNode:
    folder.mkdir()
    return RedisNode(program, folder, options, has_search=has_search)


def _answers(port: int) -> bool:
    """Say whether a server is up: it answers PING, or asks for a password."""
    return _said(port, b"PING").startswith((b"+PONG", b"-NOAUTH"))


def _said(port: int, command: bytes) -> bytes:
    """Return the beginning of what a server answers, nothing where it cannot be reached."""
    with suppress(OSError), socket.create_connection((_HOST, port), timeout=1) as connection:
        connection.sendall(command + b"\r\n")
        return connection.recv(1024)
    return b""


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def main() -> int:
    """Run servers until standard input closes; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m semroute.testing.redis_stack", description=main.__doc__)
    parser.add_argument("--nodes", type=int, default=1, metavar="N", help="how many servers to run")
    parser.add_argument("--fetch", action="store_true", help="only make sure that a server can be started")
    arguments = parser.parse_args()
    if arguments.fetch:
        find_program()
        return 0
    if arguments.nodes < 1:
        parser.error("--nodes must be at least 1")
    try:
        with redis_stack(arguments.nodes) as nodes:
            print(*(node.url for node in nodes), sep="\n", flush=True)
            with suppress(KeyboardInterrupt):
                sys.stdin.buffer.read()
    except SemrouteError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # the servers end before this process does
    sys.exit(main())
