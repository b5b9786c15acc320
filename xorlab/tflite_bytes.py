"""An account of a TFLite file: what every one of its bytes is there for.

A TFLite file is a FlatBuffer: tables that point to vectors, strings and further tables. The walk follows every
pointer from the root and claims each byte it passes for one purpose. What nothing points to must be padding.
"""
import struct
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from xorlab import tflite_file
from xorlab.tables import Table, Tabular

PURPOSES = ("weights", "biases", "quantization", "shapes", "names", "operators", "metadata", "other constants",
            "structure", "padding")
ALIGNMENT = 16      # no vector needs more, so no padding is longer than 15 bytes

# what a table's own bytes are for; a table not named here holds an operator's options
TABLES = {"Model": "structure", "SubGraph": "structure", "Buffer": "structure", "Tensor": "structure",
          "QuantizationParameters": "quantization", "OperatorCode": "operators", "Operator": "operators",
          "Metadata": "metadata", "SignatureDef": "metadata", "TensorMap": "metadata"}

# (table, field) -> (what it points to, purpose): "Table", ["Table"] for a list of them, str, or the size of a number
POINTERS = {
    ("Model", "OperatorCodes"): (["OperatorCode"], "operators"),
    ("Model", "Subgraphs"): (["SubGraph"], "structure"),
    ("Model", "Description"): (str, "names"),
    ("Model", "Buffers"): (["Buffer"], "structure"),
    ("Model", "MetadataBuffer"): (4, "metadata"),
    ("Model", "Metadata"): (["Metadata"], "metadata"),
    ("Model", "SignatureDefs"): (["SignatureDef"], "metadata"),
    ("SubGraph", "Tensors"): (["Tensor"], "structure"),
    ("SubGraph", "Inputs"): (4, "structure"),
    ("SubGraph", "Outputs"): (4, "structure"),
    ("SubGraph", "Operators"): (["Operator"], "operators"),
    ("SubGraph", "Name"): (str, "names"),
    ("Tensor", "Shape"): (4, "shapes"),
    ("Tensor", "ShapeSignature"): (4, "shapes"),
    ("Tensor", "Name"): (str, "names"),
    ("Tensor", "Quantization"): ("QuantizationParameters", "quantization"),
    ("QuantizationParameters", "Min"): (4, "quantization"),
    ("QuantizationParameters", "Max"): (4, "quantization"),
    ("QuantizationParameters", "Scale"): (4, "quantization"),
    ("QuantizationParameters", "ZeroPoint"): (8, "quantization"),
    ("OperatorCode", "CustomCode"): (str, "operators"),
    ("Operator", "Inputs"): (4, "operators"),
    ("Operator", "Outputs"): (4, "operators"),
    ("Operator", "Intermediates"): (4, "operators"),
    ("Operator", "MutatingVariableInputs"): (1, "operators"),
    ("ReshapeOptions", "NewShape"): (4, "operators"),
    ("SqueezeOptions", "SqueezeDims"): (4, "operators"),
    ("Metadata", "Name"): (str, "metadata"),
    ("SignatureDef", "Inputs"): (["TensorMap"], "metadata"),
    ("SignatureDef", "Outputs"): (["TensorMap"], "metadata"),
    ("SignatureDef", "SignatureKey"): (str, "metadata"),
    ("TensorMap", "Name"): (str, "metadata"),
}
# operator -> what each of its inputs holds if it is a constant
CONSTANTS = {"FULLY_CONNECTED": (None, "weights", "biases"), "CONV_2D": (None, "weights", "biases"),
             "DEPTHWISE_CONV_2D": (None, "weights", "biases"), "RESHAPE": (None, "shapes")}


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
    rows = [(purpose, *(f"{account.parts[purpose]:,}" for account in accounts)) for purpose in PURPOSES
            if any(account.parts[purpose] for account in accounts)]
    return Table(("bytes for", *(account.name for account in accounts)),
                 (*rows, ("whole file", *(f"{account.total:,}" for account in accounts))))


def account(path, name=None):
    """Return the ByteAccount of a TFLite file.

    name : what tables call it; the file's name without its ending by default.
    Raises FileNotFoundError, or ValueError in one sentence if the file is damaged, holds a part of the format that
    this account does not know, uses a byte for two purposes, or has a gap that is no padding.
    """
    content = tflite_file.sound_content(path)
    walk = _Walk(content)
    try:
        walk.root()
        walk.padding()
    except _Unaccounted as error:
        raise ValueError(f"{path}: {error}") from None
    counts = np.bincount(walk.owner, minlength=len(PURPOSES))
    parts = {purpose: int(count) for purpose, count in zip(PURPOSES, counts, strict=True)}
    return ByteAccount(name or Path(path).stem, parts)


class _Unaccounted(Exception):
    """Bytes that have no purpose, or two."""


class _Walk:
    """One walk through a FlatBuffer; owner[i] is the index in PURPOSES of byte i, -1 until it is claimed."""

    def __init__(self, content):
        self.content = content
        self.owner = np.full(len(content), -1)
        self.vtables = set()
        # what only the whole model tells, in the order in which the walk comes by
        self.buffers, self.options = iter(_purposes_of_buffers(content)), iter(_options_of_operators(content))

    def root(self):
        self._claim(0, 4, "structure")                              # where the root table is
        if self.content[4:8] == b"TFL3":
            self._claim(4, 4, "structure")
        self._table(self._number("I", 0), "Model")

    def padding(self):
        """Claim what is left as padding: zeros only, in runs shorter than the alignment."""
        free = np.flatnonzero(self.owner == -1)
        runs = np.split(free, np.flatnonzero(np.diff(free) > 1) + 1)
        for run in filter(len, runs):
            if len(run) >= ALIGNMENT:
                raise _Unaccounted(f"nothing points to the {len(run)} bytes from {run[0]}, too many for padding")
            if any(self.content[run[0] : run[-1] + 1]):
                raise _Unaccounted(f"nothing points to bytes {run[0]} to {run[-1]}, and they are not zero")
        self.owner[free] = PURPOSES.index("padding")

    def _claim(self, start, length, purpose):
        span = self.owner[start : start + length]
        if len(span) < length:
            raise _Unaccounted(f"{length} bytes from {start} for {purpose} go beyond the end of the file")
        if (span != -1).any():
            raise _Unaccounted(f"bytes from {start} are for {purpose} and for {PURPOSES[span.max()]}")
        span[:] = PURPOSES.index(purpose)

    def _number(self, kind, at):
        try:
            return struct.unpack_from("<" + kind, self.content, at)[0]
        except struct.error:
            raise _Unaccounted(f"a pointer leads to byte {at}, beyond the end of the file") from None

    def _table(self, at, kind):
        """Claim a table: the pointer to its vtable, its fields, and what they point to."""
        purpose = TABLES.get(kind, "operators")
        self._claim(at, 4, purpose)
        vtable = at - self._number("i", at)
        length = self._number("H", vtable)
        if vtable not in self.vtables:                              # tables of one shape share a vtable
            self._claim(vtable, length, "structure")
            self.vtables.add(vtable)
        fields = _fields(kind)
        for slot in range((length - 4) // 2):
            offset = self._number("H", vtable + 4 + 2 * slot)
            if offset:
                if slot not in fields:
                    raise _Unaccounted(f"a {kind} table has a field in place {slot} that the format does not know")
                field, size = fields[slot]
                self._claim(at + offset, size or 4, purpose)
                if not size:
                    self._follow(at + offset, *self._pointer(kind, field))

    def _pointer(self, kind, field):
        """Return (what a field points to, its purpose)."""
        if (kind, field) == ("Buffer", "Data"):
            return 1, next(self.buffers)
        if (kind, field) == ("Operator", "BuiltinOptions"):
            return next(self.options), "operators"
        if (kind, field) not in POINTERS:
            raise _Unaccounted(f"it uses {kind}.{field}, which this account does not know")
        return POINTERS[kind, field]

    def _follow(self, pointer, what, purpose):
        at = pointer + self._number("I", pointer)
        if what is str:
            self._vector(at, 1, purpose, more=1)                    # a string ends in a zero byte
        elif isinstance(what, str):
            self._table(at, what)
        elif isinstance(what, list):
            for i in range(self._vector(at, 4, purpose)):
                self._follow(at + 4 + 4 * i, what[0], purpose)
        else:
            self._vector(at, what, purpose)

    def _vector(self, at, size, purpose, more=0):
        """Claim a vector, its length first; return how many elements it has."""
        length = self._number("I", at)
        self._claim(at, 4 + size * length + more, purpose)
        return length


@cache
def _fields(kind):
    """Return {place in the vtable: (field, size in bytes; 0 for a pointer)} of a kind of table.

    Source: the functions that TFLite's generated schema writes such a table with.
    """
    from ai_edge_litert import schema_py_generated as schema

    prefix = f"{kind}Add"
    fields = {}
    for name in dir(schema):
        if name.startswith(prefix):
            slot, size = _Recorder().record(getattr(schema, name))
            fields[slot] = (name.removeprefix(prefix), size)
    return fields


class _Recorder:
    """Stands in for a FlatBuffers builder to learn where a generated function puts its field."""

    SIZES = {"Bool": 1, "Int8": 1, "Uint8": 1, "Int16": 2, "Uint16": 2, "Int32": 4, "Uint32": 4, "Float32": 4,
             "Int64": 8, "Uint64": 8, "Float64": 8, "UOffsetTRelative": 0}

    def record(self, write):
        """Return (place, size) of the field that `write` writes."""
        write(self, 0)
        return self.seen

    def __getattr__(self, name):
        size = self.SIZES[name.removeprefix("Prepend").removesuffix("Slot")]
        return lambda slot, value, default: setattr(self, "seen", (slot, size))


def _purposes_of_buffers(content):
    """Return what each buffer that holds anything is for, in the file's order."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    names = {value: name for name, value in vars(schema.BuiltinOperator).items()}
    purposes = {item.buffer: "metadata" for item in model.metadata or ()}
    for graph in model.subgraphs:
        for op in reversed(graph.operators):            # a DEQUANTIZE comes before the operator it serves
            code = model.operatorCodes[op.opcodeIndex]
            operator = names[max(code.builtinCode, code.deprecatedBuiltinCode)]
            served = purposes.get(("tensor", op.outputs[0])) if operator == "DEQUANTIZE" else None
            for index, purpose in zip(op.inputs, CONSTANTS.get(operator, (served,)), strict=False):
                if purpose:
                    purposes["tensor", index] = purpose
                    purposes[graph.tensors[index].buffer] = purpose
    return [purposes.get(i, "other constants") for i, buffer in enumerate(model.buffers) if buffer.data is not None]


def _options_of_operators(content):
    """Return the kind of table that holds each operator's options, for those that have one, in the file's order."""
    from ai_edge_litert import schema_py_generated as schema

    names = {value: name for name, value in vars(schema.BuiltinOptions).items()}
    model = schema.Model.GetRootAs(content, 0)
    operators = [graph.Operators(i) for graph in map(model.Subgraphs, range(model.SubgraphsLength()))
                 for i in range(graph.OperatorsLength())]
    return [names[op.BuiltinOptionsType()] for op in operators if op.BuiltinOptions() is not None]
