"""The TFLite format: its tables, what they point to, and a walk along every pointer of a file.

A TFLite file is a FlatBuffer: tables that point to vectors, strings and further tables. The walk never leaves the
file. It refuses what FlatBuffers' own verifier refuses, by the same rules, so that a file that it accepts can be read
without further care; TFLite Micro has no verifier of its own.
"""
import struct
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

MARK = b"TFL3"                          # every TFLite file has it after the pointer to its root
MOST_TABLES = 1_000_000                 # as FlatBuffers' verifier

# fields that point to one table, to a list of tables, or to a table whose kind the field before them says
TABLES = {("Tensor", "Quantization"): "QuantizationParameters", ("Tensor", "Sparsity"): "SparsityParameters"}
TABLE_LISTS = {
    ("Model", "OperatorCodes"): "OperatorCode", ("Model", "Subgraphs"): "SubGraph", ("Model", "Buffers"): "Buffer",
    ("Model", "Metadata"): "Metadata", ("Model", "SignatureDefs"): "SignatureDef",
    ("Model", "ExternalBufferGroups"): "ExternalBufferGroup", ("Model", "ExternalBuffers"): "ExternalBuffer",
    ("SubGraph", "Tensors"): "Tensor", ("SubGraph", "Operators"): "Operator",
    ("Tensor", "VariantTensors"): "VariantSubType", ("SparsityParameters", "DimMetadata"): "DimensionMetadata",
    ("SignatureDef", "Inputs"): "TensorMap", ("SignatureDef", "Outputs"): "TensorMap"}
UNIONS = {
    ("Operator", "BuiltinOptions"): "BuiltinOptions", ("Operator", "BuiltinOptions2"): "BuiltinOptions2",
    ("QuantizationParameters", "Details"): "QuantizationDetails",
    ("DimensionMetadata", "ArraySegments"): "SparseIndexVector",
    ("DimensionMetadata", "ArrayIndices"): "SparseIndexVector"}


class Damaged(ValueError):
    """A file that is not whole, or not of this format."""


class Field(NamedTuple):
    """A field of a kind of table.

    size : bytes of a number, 0 for a pointer.  item : bytes of an item where it points to a vector of numbers.
    """
    name: str
    size: int
    item: int = 0


# fields that the format once had and old files still carry
FORMER = {("SignatureDef", 3): Field("Tag", 0), ("ResizeBilinearOptions", 0): Field("NewHeight", 4),
          ("ResizeBilinearOptions", 1): Field("NewWidth", 4)}


class Piece(NamedTuple):
    """Bytes that belong together: a table's own number, its list of places, or a vector or string of one field.

    table : where the table is that they belong to.  kind : what kind of table.  field : the field that points here,
    "" for the table's own bytes and its list of places ("vtable").
    """
    start: int
    length: int
    table: int
    kind: str
    field: str


@dataclass(frozen=True)
class Walk:
    """What a walk through a file met.

    pieces : every Piece, in the order in which pointers lead there.  lists : {(kind, field): where the tables are} of
    the lists that the root holds, e.g. ("Model", "Buffers").  unknown : a sentence for each part that this format
    does not have, and the walk could not follow.
    """
    pieces: list
    lists: dict
    unknown: list


def walk(content):
    """Follow every pointer of a TFLite file and return the Walk.  Raises Damaged, in one sentence."""
    return _Walker(bytes(content)).run()


class _Walker:
    def __init__(self, content):
        self.content = content
        self.made = Walk([], {}, [])
        self.seen = set()

    def run(self):
        if self.content[4:8] != MARK:
            raise Damaged(f"it does not begin like one: bytes 4 to 7 must be {MARK.decode()}")
        self._piece(0, 8, 0, "Model", "")
        self._table(self._pointed(0), "Model")
        return self.made

    def _piece(self, *piece):
        self.made.pieces.append(Piece(*piece))

    def _number(self, kind, at):
        """Read a number, which must lie in the file, at a multiple of its size."""
        size = struct.calcsize(kind)
        self._inside(at, size)
        if at % size:
            raise Damaged(f"the number at byte {at} does not lie at a multiple of {size}")
        return struct.unpack_from("<" + kind, self.content, at)[0]

    def _inside(self, at, length):
        if at < 0 or at + length > len(self.content):
            raise Damaged(f"{length:,} bytes from {at:,} lie outside the file, which has {len(self.content):,}")

    def _pointed(self, at):
        offset = self._number("I", at)
        if not 0 < offset < 1 << 31:
            raise Damaged(f"the pointer at byte {at} leads nowhere")
        self._inside(at + offset, 1)
        return at + offset

    def _table(self, at, kind):
        if (at, kind) in self.seen:                     # one table may serve in several places
            return
        self.seen.add((at, kind))
        if len(self.seen) > MOST_TABLES:
            raise Damaged(f"it has more than {MOST_TABLES:,} tables")
        vtable = at - self._number("i", at)
        length = self._number("H", vtable)
        if length % 2:
            raise Damaged(f"the table at byte {at} has an odd list of places")
        self._inside(vtable, length)
        self._piece(at, 4, at, kind, "")
        self._piece(vtable, length, at, kind, "vtable")
        fields = fields_of(kind)
        for slot in range((length - 4) // 2):
            offset = self._number("H", vtable + 4 + 2 * slot)
            if offset and slot in fields:
                self._field(at, at + offset, kind, fields[slot])
            elif offset:
                self.made.unknown.append(f"a {kind} table has a field in place {slot} that the format does not know")

    def _field(self, table, at, kind, field):
        self._number({0: "I", 1: "B", 2: "H", 4: "I", 8: "Q"}[field.size], at)
        self._piece(at, field.size or 4, table, kind, "")
        key = kind, field.name
        if field.size:
            return
        if key in UNIONS:
            member = self._member(table, kind, field.name)
            if member:
                self._table(self._pointed(at), member)
        elif key in TABLES:
            self._table(self._pointed(at), TABLES[key])
        elif key in TABLE_LISTS:
            start, count = self._vector(table, at, kind, field.name, 4)
            tables = [i + self._number("I", i) for i in range(start, start + 4 * count, 4)]
            if kind == "Model":
                self.made.lists[key] = tables
            for one in tables:
                self._table(one, TABLE_LISTS[key])
        elif field.item:
            self._vector(table, at, kind, field.name, field.item)
        else:
            self._string(table, at, kind, field.name)

    def _member(self, table, kind, name):
        """Return the kind of table that a union holds, None if it holds none or one that is not known."""
        from ai_edge_litert import schema_py_generated as schema

        vtable = table - self._number("i", table)
        slot = next(slot for slot, field in fields_of(kind).items() if field.name == name) - 1
        offset = self._number("H", vtable + 4 + 2 * slot)
        number = self.content[table + offset] if offset else 0
        members = {value: member for member, value in vars(getattr(schema, UNIONS[kind, name])).items()}
        if number not in members:
            self.made.unknown.append(f"it uses {kind}.{name} of kind {number}, which the format does not know")
        return members.get(number) if number else None

    def _vector(self, table, at, kind, field, item, more=0):
        """Note a vector, its length first; return (where its items start, how many they are)."""
        at = self._pointed(at)
        count = self._number("I", at)
        self._inside(at, 4 + item * count + more)
        self._piece(at, 4 + item * count + more, table, kind, field)
        return at + 4, count

    def _string(self, table, at, kind, field):
        start, count = self._vector(table, at, kind, field, 1, more=1)
        if self.content[start + count]:
            raise Damaged(f"the string at byte {start} does not end in a zero byte")


@cache
def fields_of(kind):
    """Return {place in the vtable: Field} of a kind of table.

    Source: the functions that TFLite's generated schema writes such a table with.
    """
    from ai_edge_litert import schema_py_generated as schema

    fields = {slot: field for (owner, slot), field in FORMER.items() if owner == kind}
    for name in dir(schema):
        if name.startswith(f"{kind}Add"):
            field = name.removeprefix(f"{kind}Add")
            slot, size = _Recorder().record(getattr(schema, name))
            start = getattr(schema, f"{kind}Start{field}Vector", None)
            fields[slot] = Field(field, size, _Recorder().item(start) if start and not size else 0)
    return fields


class _Recorder:
    """Stands in for a FlatBuffers builder to learn where a generated function puts its field, and how large it is."""

    SIZES = {"Bool": 1, "Int8": 1, "Uint8": 1, "Int16": 2, "Uint16": 2, "Int32": 4, "Uint32": 4, "Float32": 4,
             "Int64": 8, "Uint64": 8, "Float64": 8, "UOffsetTRelative": 0}

    def record(self, write):
        """Return (place, size) of the field that `write` writes."""
        write(self, 0)
        return self.seen

    def item(self, start):
        """Return the size of an item of the vector that `start` begins."""
        start(self, 0)
        return self.seen

    def StartVector(self, size, count, alignment):
        self.seen = size

    def __getattr__(self, name):
        size = self.SIZES[name.removeprefix("Prepend").removesuffix("Slot")]
        return lambda slot, value, default: setattr(self, "seen", (slot, size))
