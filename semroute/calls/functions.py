"""Functions in a form that tells them apart: their code, their defaults, and all that they take from outside."""

from __future__ import annotations

import builtins
import dis
import inspect
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from types import CodeType, FunctionType, ModuleType
from typing import Final, TypeAlias

from semroute.calls.values import Unsure, plain
from semroute.entry import JSON
from semroute.request import canonical, content_digest

Read: TypeAlias = Callable[[object, str], JSON]
"""Reads a value; the text says where it stands. Raises Unsure."""

_PURE: Final = frozenset(
    {"abc", "base64", "bisect", "builtins", "collections", "contextlib", "copy", "dataclasses", "decimal", "difflib"}
    | {"enum", "fractions", "functools", "hashlib", "heapq", "html", "itertools", "json", "math", "numbers"}
    | {"operator", "pydantic", "pydantic_core", "re", "statistics", "string", "textwrap", "types", "typing"}
    | {"typing_extensions", "unicodedata"}
)
"""Modules of which the same call always gives the same result, as a clock, a file and the environment do not."""
_FRAMEWORKS: Final = ("langchain", "llama_index")
_OURS: Final = frozenset({"langchain_semroute", "llama_index_semroute"})
_IMPURE: Final = frozenset({"open", "input", "eval", "exec", "compile", "globals", "locals", "vars", "__import__"})


@dataclass(frozen=True, slots=True)
class _Code:
    digest: str
    takes: tuple[str, ...]
    """Names that it looks up outside of itself."""
    imports: tuple[str, ...]
    is_setter: bool
    """Whether it assigns to names outside of itself."""


@lru_cache(maxsize=1_024)
def is_known(module: str | None) -> bool:
    """Say whether the name of a module is enough to know what it does: it is pure, or of a framework or ours."""
    top = "" if module is None else module.partition(".")[0].removeprefix("_")
    if top in _PURE or top in _OURS:
        return True
    return top.startswith(_FRAMEWORKS) and _is_installed(top)


def _is_installed(package: str) -> bool:
    """Say whether a module is an installed package; one of the application's own may be named alike."""
    spec = getattr(sys.modules.get(package), "__spec__", None)
    # A package that several distributions share has no file of its own, but places.
    places = [getattr(spec, "origin", None), *(getattr(spec, "submodule_search_locations", None) or ())]
    return any(isinstance(place, str) and ("site-packages" in place or "dist-packages" in place) for place in places)


def path(kind: type | FunctionType) -> str:
    """Return the full name of a class or a function."""
    return f"{kind.__module__}.{kind.__qualname__}"


def methods_of(kind: type) -> list[tuple[str, FunctionType]]:
    """Return the functions that a class defines itself, by name, out of properties and decorators."""
    found: list[tuple[str, FunctionType]] = []
    for name, member in sorted(vars(kind).items()):
        function = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
        function = inspect.unwrap(function) if callable(function) else function
        if isinstance(function, FunctionType):
            found.append((name, function))
    return found


def code_digest(function: FunctionType) -> str:
    """Name a function by its code alone; what it takes from outside is left out."""
    return _read_code(function.__code__).digest


def names_outside(function: FunctionType) -> tuple[str, ...]:
    """Return the global names that a function looks up."""
    return _read_code(function.__code__).takes


def of_function(function: FunctionType, read: Read, where: str) -> JSON:
    """Return the form of a function; raises Unsure where what it takes from outside cannot be read."""
    code = _read_code(function.__code__)
    form: dict[str, JSON] = {"function": path(function), "code": code.digest}
    form["defaults"] = read([function.__defaults__, function.__kwdefaults__], f"the defaults of {where}")
    form["closure"] = {name: read(value, f"{name!r} in {where}") for name, value in _enclosed(function)}
    if is_known(function.__module__):
        return form
    if code.is_setter:
        raise Unsure("it assigns to global variables")
    for module in code.imports:
        if not is_known(module):
            raise Unsure(f"it imports {module}")
    form["globals"] = {name: _global(function, name, read, where) for name in code.takes}
    return form


def _enclosed(function: FunctionType) -> Iterator[tuple[str, object]]:
    """Yield the variables of a closure; `super()` has its class there, which says nothing new."""
    cells = () if function.__closure__ is None else function.__closure__
    for name, cell in zip(function.__code__.co_freevars, cells, strict=True):
        if name == "__class__":
            continue
        try:
            yield name, cell.cell_contents
        except ValueError as error:
            raise Unsure(f"its variable {name!r} is not set yet") from error


def _global(function: FunctionType, name: str, read: Read, where: str) -> JSON:
    if name not in function.__globals__:
        if name in _IMPURE or not hasattr(builtins, name):
            raise Unsure(f"it uses {name!r}")
        return None
    value = function.__globals__[name]
    if not isinstance(value, ModuleType):
        return read(value, f"the global {name!r} in {where}")
    if not is_known(value.__name__):
        raise Unsure(f"it uses the module {value.__name__}")
    return value.__name__


@lru_cache(maxsize=1_024)
def _read_code(code: CodeType) -> _Code:
    whole = list(_codes(code))
    steps = [step for one in whole for step in dis.get_instructions(one)]
    return _Code(
        digest=content_digest(canonical([_form(one) for one in whole])),
        takes=_named(steps, "LOAD_GLOBAL", "LOAD_NAME"),
        imports=_named(steps, "IMPORT_NAME"),
        is_setter=bool(_named(steps, "STORE_GLOBAL", "DELETE_GLOBAL")),
    )


def _named(steps: list[dis.Instruction], *operations: str) -> tuple[str, ...]:
    return tuple(sorted({str(step.argval) for step in steps if step.opname in operations}))


def _codes(code: CodeType) -> Iterator[CodeType]:
    """Yield a function's code and that of the functions inside it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def _form(code: CodeType) -> JSON:
    names: JSON = [list(code.co_names), list(code.co_varnames), list(code.co_freevars), list(code.co_cellvars)]
    shape: JSON = [code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags]
    constants: JSON = [_constant(constant) for constant in code.co_consts]
    return [plain(code.co_code), plain(code.co_exceptiontable), names, shape, constants]


def _constant(value: object) -> JSON:
    """Return a constant so that 1, 1.0 and True stay three, and sets do not depend on their order."""
    match value:
        case CodeType():
            return ["code"]
        case tuple():
            return ["tuple", *map(_constant, value)]
        case frozenset():
            return ["set", *sorted(map(_constant, value), key=canonical)]
        case str() | bytes():
            return [type(value).__name__, plain(value)]
        case _:
            return [type(value).__name__, repr(value)]
