"""Write a BERT sentence encoder as one ONNX graph: token ids of texts of one length in, one unit vector each out.

The graph is built from the weights themselves, without torch: the same weights give the same bytes on every
machine, so a fleet that exports for itself still agrees on the embedder's identity. There is no attention mask,
because texts of one length need no padding, and activations are quantised row by row: so a vector does not depend on
what else was embedded with it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

from semroute.errors import EmbedderError, MissingExtra

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    FloatArray: TypeAlias = NDArray[np.float32]

Precision: TypeAlias = Literal["float32", "int8"]

BLOCK_SIZE = 64
"""Weights that share one scale in int8; activations are quantised in blocks of the same size, row by row."""


@dataclass(frozen=True, slots=True)
class Encoder:
    """What the graph needs to know of a sentence-transformers folder besides its weights."""

    layers: int
    heads: int
    hidden: int
    epsilon: float
    pooling: Literal["mean", "cls"]
    max_tokens: int


def read_encoder(folder: Path) -> Encoder:
    """Read the configuration of a sentence-transformers folder; EmbedderError when it is not a BERT encoder."""
    config = _read_json(folder / "config.json")
    expected = {"model_type": "bert", "hidden_act": "gelu", "position_embedding_type": "absolute"}
    for name, wanted in expected.items():
        found = config.get(name, wanted)
        if found != wanted:
            raise EmbedderError(
                f"{folder} cannot be exported: {name} is {found!r}, and only {wanted!r} is known. "
                "Use SentenceTransformerEmbedder for this model."
            )
    pooling = _read_json(folder / "1_Pooling" / "config.json")
    if not (pooling.get("pooling_mode_mean_tokens") or pooling.get("pooling_mode_cls_token")):
        raise EmbedderError(f"{folder} cannot be exported: it pools neither by mean nor by the first token")
    limits = _read_json(folder / "sentence_bert_config.json")
    return Encoder(
        layers=int(config["num_hidden_layers"]),
        heads=int(config["num_attention_heads"]),
        hidden=int(config["hidden_size"]),
        epsilon=float(config["layer_norm_eps"]),
        pooling="mean" if pooling.get("pooling_mode_mean_tokens") else "cls",
        max_tokens=int(limits["max_seq_length"]),
    )


def export_graph(weights: Path, encoder: Encoder, precision: Precision) -> bytes:
    """Return the serialised ONNX graph of an encoder; raises MissingExtra without `onnx` and `safetensors`."""
    try:
        import onnx
        from safetensors.numpy import load_file
    except ImportError as error:
        raise MissingExtra("exporting an embedding model to ONNX", "export") from error
    tensors: dict[str, FloatArray] = {name.removeprefix("bert."): array for name, array in load_file(weights).items()}
    graph = _Graph(tensors, encoder, precision)
    try:
        graph.encode()
    except KeyError as error:
        raise EmbedderError(f"{weights} is not a BERT encoder: it holds no tensor {error}") from error
    body = onnx.helper.make_graph(
        graph.nodes,
        "sentence_encoder",
        [onnx.helper.make_tensor_value_info("ids", onnx.TensorProto.INT32, ["texts", "tokens"])],
        [onnx.helper.make_tensor_value_info("vector", onnx.TensorProto.FLOAT, ["texts", encoder.hidden])],
        graph.constants,
    )
    opsets = [onnx.helper.make_opsetid("", 17), onnx.helper.make_opsetid("com.microsoft", 1)]
    model = onnx.helper.make_model(body, opset_imports=opsets, ir_version=9, producer_name="semroute")
    return cast(bytes, model.SerializeToString(deterministic=True))


class _Graph:
    """Nodes and constants of the graph under construction; every node is named after its only output."""

    def __init__(self, tensors: Mapping[str, FloatArray], encoder: Encoder, precision: Precision) -> None:
        self._tensors = tensors
        self._encoder = encoder
        self._precision = precision
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def encode(self) -> None:
        hidden = self._embeddings()
        for index in range(self._encoder.layers):
            hidden = self._layer(f"encoder.layer.{index}.", hidden)
        if self._encoder.pooling == "mean":
            pooled = self._standard("ReduceMean", [hidden], "pooled", axes=[1], keepdims=0)
        else:
            first = self._constant("first", _int64_scalar(0))
            pooled = self._standard("Gather", [hidden, first], "pooled", axis=1)
        self._standard("LpNormalization", [pooled], "vector", axis=-1, p=2)

    def _embeddings(self) -> str:
        # One text has one segment, so its embedding is added to the positions once and for all.
        positions = self._tensors["embeddings.position_embeddings.weight"][: self._encoder.max_tokens]
        segment = self._tensors["embeddings.token_type_embeddings.weight"][0]
        inputs = [
            "ids",
            "",
            self._weight("embeddings.word_embeddings.weight"),
            self._constant("embeddings.positions", positions + segment),
            "",
            self._weight("embeddings.LayerNorm.weight"),
            self._weight("embeddings.LayerNorm.bias"),
        ]
        return self._fused("EmbedLayerNormalization", inputs, "embeddings", "unmasked", epsilon=self._encoder.epsilon)

    def _layer(self, prefix: str, hidden: str) -> str:
        attended = self._linear(prefix + "attention.output.dense", self._attention(prefix, hidden))
        middle = self._add_and_norm(prefix + "attention.output", attended, hidden)
        raised = self._linear(prefix + "intermediate.dense", middle)
        bias = self._weight(prefix + "intermediate.dense.bias")
        activated = self._fused("BiasGelu", [raised, bias], prefix + "gelu")
        lowered = self._linear(prefix + "output.dense", activated)
        return self._add_and_norm(prefix + "output", lowered, middle)

    def _attention(self, prefix: str, hidden: str) -> str:
        import numpy as np

        names = [prefix + f"attention.self.{name}" for name in ("query", "key", "value")]
        biases = np.concatenate([self._tensors[name + ".bias"] for name in names])
        bias = self._constant(prefix + "attention.self.bias", biases)
        output = prefix + "attention"
        if self._precision == "float32":
            stacked = np.concatenate([self._tensors[name + ".weight"].T for name in names], axis=1)
            weight = self._constant(prefix + "attention.self.weight", stacked)
            return self._fused("Attention", [hidden, weight, bias], output, num_heads=self._encoder.heads)
        projections = [self._linear(name, hidden) for name in names]
        return self._fused("MultiHeadAttention", [*projections, bias], output, num_heads=self._encoder.heads)

    def _linear(self, name: str, operand: str) -> str:
        """Multiply by a dense layer's weights; its bias is left to the fused node that follows."""
        weight = self._tensors[name + ".weight"]
        if self._precision == "float32":
            return self._standard("MatMul", [operand, self._constant(name + ".weight", weight.T)], name)
        rows, columns = weight.shape
        quantised, scales = _quantise(weight)
        inputs = [operand, self._constant(name + ".int8", quantised), self._constant(name + ".scale", scales)]
        # accuracy_level 4: multiply in int8, each block of each row of activations with a scale of its own.
        attributes = {"K": columns, "N": rows, "bits": 8, "block_size": BLOCK_SIZE, "accuracy_level": 4}
        return self._fused("MatMulNBits", inputs, name, **attributes)

    def _add_and_norm(self, prefix: str, operand: str, skip: str) -> str:
        weights = [self._weight(prefix + name) for name in (".LayerNorm.weight", ".LayerNorm.bias", ".dense.bias")]
        inputs = [operand, skip, *weights]
        return self._fused("SkipLayerNormalization", inputs, prefix, epsilon=self._encoder.epsilon)

    def _weight(self, name: str) -> str:
        return self._constant(name, self._tensors[name])

    def _constant(self, name: str, array: NDArray[Any]) -> str:
        import numpy as np
        import onnx

        self.constants.append(onnx.numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def _standard(self, operator: str, inputs: list[str], output: str, **attributes: object) -> str:
        return self._node("", operator, inputs, [output], attributes)

    def _fused(self, operator: str, inputs: list[str], *outputs: str, **attributes: object) -> str:
        return self._node("com.microsoft", operator, inputs, list(outputs), attributes)

    def _node(
        self, domain: str, operator: str, inputs: list[str], outputs: list[str], attributes: Mapping[str, object]
    ) -> str:
        import onnx

        node = onnx.helper.make_node(operator, inputs, outputs, name=outputs[0], domain=domain, **attributes)
        self.nodes.append(node)
        return outputs[0]


def _quantise(weight: FloatArray) -> tuple[NDArray[np.uint8], FloatArray]:
    """Quantise rows in blocks, symmetric around 128; shapes (rows, blocks, BLOCK_SIZE) and (rows, blocks)."""
    import numpy as np

    rows, columns = weight.shape
    if columns % BLOCK_SIZE:
        raise EmbedderError(f"int8 needs layers whose width is a multiple of {BLOCK_SIZE}, not {columns}: use float32")
    blocks = weight.reshape(rows, columns // BLOCK_SIZE, BLOCK_SIZE)
    scales = (np.abs(blocks).max(axis=-1) / np.float32(127)).astype(np.float32)
    scales[scales == 0] = 1
    quantised = np.rint(blocks / scales[..., None]) + 128
    return quantised.astype(np.uint8), scales


def _int64_scalar(value: int) -> NDArray[np.int64]:
    import numpy as np

    return np.array(value, dtype=np.int64)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise EmbedderError(f"{path} cannot be read, and a sentence-transformers folder needs it: {error}") from error
    if not isinstance(content, dict):
        raise EmbedderError(f"{path} is damaged: it must hold one JSON object")
    return content
