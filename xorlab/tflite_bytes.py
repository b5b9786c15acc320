"""An account of a TFLite file: what every one of its bytes is there for.

Each piece of the file that a walk along its pointers meets has one purpose. What nothing points to must be padding.
"""
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from xorlab import arguments, tflite_file, tflite_format
from xorlab.tables import Table, Tabular

PURPOSES = ("weights", "biases", "quantization", "shapes", "names", "operators", "metadata", "other constants",
            "structure", "padding")
ALIGNMENT = 16      # no vector needs more, so no padding is longer than 15 bytes

# what a table and all that it points to are for; a table not named here holds an operator's options
TABLES = {**dict.fromkeys(("Model", "SubGraph", "Buffer", "Tensor", "VariantSubType", "ExternalBufferGroup",
                           "ExternalBuffer"), "structure"),
          **dict.fromkeys(("QuantizationParameters", "CustomQuantization", "BlockwiseQuantization",
                           "MultiAxisQuantization"), "quantization"),
          **dict.fromkeys(("Metadata", "SignatureDef", "TensorMap"), "metadata"),
          # where the weights of a sparse tensor stand
          **dict.fromkeys(("SparsityParameters", "DimensionMetadata", "Int32Vector", "Uint16Vector", "Uint8Vector"),
                          "weights")}
# the fields whose vector or string is for something else
FIELDS = {("Model", "OperatorCodes"): "operators", ("Model", "Metadata"): "metadata",
          ("Model", "MetadataBuffer"): "metadata", ("Model", "SignatureDefs"): "metadata",
          ("Model", "Description"): "names", ("SubGraph", "Name"): "names", ("Tensor", "Name"): "names",
          ("SubGraph", "Operators"): "operators", ("Tensor", "Shape"): "shapes",
          ("Tensor", "ShapeSignature"): "shapes", ("VariantSubType", "Shape"): "shapes"}
# operator -> what each of its inputs holds if it is a constant
CONSTANTS = {"FULLY_CONNECTED": (None, "weights", "biases"), "CONV_2D": (None, "weights", "biases"),
             "DEPTHWISE_CONV_2D": (None, "weights", "biases"), "RESHAPE": (None, "shapes"),
             "TRANSPOSE_CONV": ("shapes", "weights", None, "biases"), "CONV_3D": (None, "weights", "biases"),
             "SVDF": (None, "weights", "weights", "biases"), "PRELU": (None, "weights")}


@dataclass(frozen=True, repr=False)
class ByteAccount(Tabular):
    """How many bytes of a TFLite file serve each purpose; they add up to the file's size.

    name : the file's name.  parts : {purpose: bytes}, every name in PURPOSES in that order.
    """
    name: str
    parts: dict

    @property
    def total(self):
        """The sum of all parts in bytes."""
        return sum(self.parts.values())

    def table(self):
        return table([self])


def table(accounts):
    """Return a Table with a row for each purpose that occurs and a column for each account."""
    accounts = arguments.several("accounts", accounts, "what tflite_bytes.account returns", ByteAccount)
    rows = [(purpose, *(f"{account.parts[purpose]:,}" for account in accounts)) for purpose in PURPOSES
            if any(account.parts[purpose] for account in accounts)]
    return Table(("bytes for", *(account.name for account in accounts)),
                 (*rows, ("whole file", *(f"{account.total:,}" for account in accounts))))


def account(path, name=None):
    """Return the ByteAccount of a TFLite file.

    name : what tables call it; the file's name without its ending by default.  A part that several places share
    counts once, for the place that the file names first.
    Raises FileNotFoundError, or ValueError in one sentence if the file is damaged, holds a part of the format that
    this account does not know, uses a byte for two parts, or has a gap that is no padding.
    """
    content, graph = tflite_file.content_and_graph(path)
    if name is not None:
        arguments.text("name", name)
    try:
        owner = _owners(content, graph)
    except _Unaccounted as error:
        raise ValueError(f"{path}: {error}") from None
    counts = np.bincount(owner, minlength=len(PURPOSES))
    parts = {purpose: int(count) for purpose, count in zip(PURPOSES, counts, strict=True)}
    return ByteAccount(name or Path(path).stem, parts)


def parameters(graph: tflite_file.Graph) -> int:
    """Return how many numbers a file's weights and biases are; a constant that several operators share counts once.

    >>> from xorlab import models
    >>> parameters(tflite_file.read(models.reference_file("relu-2-4-1", "int8.tflite")))
    17
    """
    arguments.instance("graph", graph, tflite_file.Graph, "what tflite_file.read returns")
    constants = {tensor.buffer: math.prod(tensor.shape) for one in (graph, *graph.others) for tensor in one.tensors
                 if tensor.data is not None}
    purposes = _purposes_of_buffers(graph, max(constants, default=0) + 1)
    return sum(numbers for buffer, numbers in constants.items() if purposes[buffer] in ("weights", "biases"))


class _Unaccounted(Exception):
    """Bytes that have no purpose, or two."""


def _owners(content, graph):
    """Return the index in PURPOSES of every byte: int8 (size,)."""
    walk = tflite_format.walk(content)
    if walk.unknown:
        raise _Unaccounted(f"{walk.unknown[0]}; this account cannot say what it is for")
    owner = np.full(len(content), -1, np.int8)
    buffers = walk.lists.get(("Model", "Buffers"), [])
    purposes = {}
    for table, purpose in zip(buffers, _purposes_of_buffers(graph, len(buffers)), strict=True):
        purposes.setdefault(table, purpose)
    for start, length, purpose in [*_pieces(walk, purposes), *_behind(content, buffers, purposes)]:
        _claim(owner, start, length, PURPOSES.index(purpose))
    _pad(owner, content)
    return owner


def _pieces(walk, purposes):
    """Yield (start, length, purpose) of every piece of the flatbuffer, one that is shared once."""
    known = {}
    for piece in walk.pieces:
        if piece.field == "vtable":
            purpose = "structure"
        elif (piece.kind, piece.field) == ("Buffer", "Data"):
            purpose = purposes[piece.table]
        else:
            purpose = FIELDS.get((piece.kind, piece.field), TABLES.get(piece.kind, "operators"))
        known.setdefault(piece[:2], purpose)
    for (start, length), purpose in known.items():
        yield start, length, purpose


def _behind(content, buffers, purposes):
    """Yield (start, length, purpose) of what a large file keeps behind its flatbuffer."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAs(content, 0)
    places = {}
    for table, buffer in zip(buffers, map(model.Buffers, range(len(buffers))), strict=True):
        if buffer.Offset() > 1:
            places.setdefault((buffer.Offset(), buffer.Size()), purposes[table])
    for graph in map(model.Subgraphs, range(model.SubgraphsLength())):
        for operator in map(graph.Operators, range(graph.OperatorsLength())):
            if operator.LargeCustomOptionsOffset() > 1:
                places.setdefault((operator.LargeCustomOptionsOffset(), operator.LargeCustomOptionsSize()), "operators")
    for (start, length), purpose in places.items():
        yield start, length, purpose


def _claim(owner, start, length, purpose):
    span = owner[start : start + length]
    if len(span) < length:
        raise _Unaccounted(f"{length} bytes from {start} for {PURPOSES[purpose]} go beyond the end of the file")
    if (span != -1).any():
        raise _Unaccounted(f"bytes from {start} are for {PURPOSES[purpose]} and for {PURPOSES[span.max()]}")
    span[:] = purpose


def _pad(owner, content):
    """Claim what is left as padding: zeros only, in runs shorter than the alignment."""
    free = np.flatnonzero(owner == -1)
    runs = np.split(free, np.flatnonzero(np.diff(free) > 1) + 1)
    for run in filter(len, runs):
        if len(run) >= ALIGNMENT:
            raise _Unaccounted(f"nothing points to the {len(run)} bytes from {run[0]}, too many for padding")
        if any(content[run[0] : run[-1] + 1]):
            raise _Unaccounted(f"nothing points to bytes {run[0]} to {run[-1]}, and they are not zero")
    owner[free] = PURPOSES.index("padding")


def _purposes_of_buffers(graph, count):
    """Return what each of the file's buffers is for."""
    purposes = dict.fromkeys(graph.metadata, "metadata")
    for one in (graph, *graph.others):
        of_tensors = {}
        for op in reversed(one.operators):              # a DEQUANTIZE comes before the operator it serves
            served = of_tensors.get(op.outputs[0]) if op.name == "DEQUANTIZE" and op.outputs else None
            for index, purpose in zip(op.inputs, CONSTANTS.get(op.name, (served,)), strict=False):
                if purpose and index >= 0:
                    of_tensors[index] = purpose
                    purposes[one.tensors[index].buffer] = purpose
    return [purposes.get(i, "other constants") for i in range(count)]
