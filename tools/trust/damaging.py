"""Damage to the content of a file, by a seed: of bytes, a TFLite file's tables, JSON's values, a ZIP's members.

`damaged` makes of a sound content one that has met with an accident; the tests and the trials of trust share it.
"""
import io
import json
import re
import struct
import zipfile
from collections.abc import Callable
from functools import cache

import numpy as np

FOLDER = None                           # in the place of a file's content: a folder stands under its name
PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x00\x00\x00\x00:~\x9bU"
FOREIGN = (b"", b"\0", b"\n", PNG, b"PK\x03\x04" + bytes(26), b"PK\x05\x06" + bytes(18), b"\x80\x04K\x01.",
           b"\x1f\x8b\x08\0", b"\x93NUMPY\x01\0v\0{", b"%PDF-1.7", b"\xff\xfe{\0}\0", b"\xef\xbb\xbf{}", b"{}", b"[]",
           b"null", b"\xff" * 64, b"[" * 100_000, b"<html>", bytes(1000), "ü".encode("latin-1"))
NUMBERS = (0, 1, 3, 2**16, 2**31 - 1, 2**31, 2**32 - 1)

Damage = Callable[[bytes, list, np.random.Generator], bytes | None]


def damaged(sources: list[bytes], kinds: tuple[Damage, ...], rng: np.random.Generator) -> bytes | None:
    """Return the content of one of the sources after one accident or two; FOLDER where a folder took its place."""
    content = sources[rng.integers(len(sources))]
    for _ in range(rng.choice([1, 1, 1, 2])):
        content = kinds[rng.integers(len(kinds))](content, sources, rng)
        if content is FOLDER:
            break
    return content


# --- of bytes

def _place(content, rng):
    return int(rng.integers(len(content))) if content else 0


def bit(content, sources, rng):
    """Turn one bit."""
    return byte(content, sources, rng, lambda old: old ^ 1 << int(rng.integers(8)))


def byte(content, sources, rng, of=None):
    """Put another byte in the place of one."""
    made = bytearray(content or b"\0")
    at = _place(made, rng)
    made[at] = of(made[at]) if of else int(rng.integers(256))
    return bytes(made)


def number(content, sources, rng):
    """Put another number in the place of one: pointers, counts and indices stand at multiples of four mostly."""
    made, at = bytearray(content.ljust(8, b"\0")), _place(content, rng) // 4 * 4
    value = int(rng.choice([*NUMBERS, 4 * rng.integers(len(content) // 4 + 1)]))
    struct.pack_into("<I", made, min(at, len(made) - 4), value)
    return bytes(made)


def cut(content, sources, rng):
    """Leave the end away."""
    return content[: _place(content, rng)]


def exchanged(content, sources, rng):
    """Exchange two pieces of equal length, as where tables are shuffled."""
    made, length = bytearray(content.ljust(16, b"\0")), int(rng.choice([1, 2, 4, 4, 8, 32]))
    length = min(length, len(made) // 2)
    a, b = (int(at) // length * length for at in rng.integers(len(made) - length + 1, size=2))
    made[a : a + length], made[b : b + length] = made[b : b + length], made[a : a + length]
    return bytes(made)


def dropped(content, sources, rng):
    """Leave a piece in the middle out, or have it twice."""
    a, b = sorted((_place(content, rng), _place(content, rng)))
    return content[:a] + content[b:] if rng.integers(2) else content[:b] + content[a:]


def spliced(content, sources, rng):
    """Begin as one file and end as another."""
    other = sources[rng.integers(len(sources))]
    at = _place(content, rng)
    return content[:at] + other[at if rng.integers(2) else _place(other, rng) :]


def rare(content, sources, rng):
    """Have garbage behind the end, another format under this name, nothing, a folder, or a long run of one byte."""
    chosen = rng.integers(6)
    if chosen == 0:
        return content + rng.bytes(int(rng.integers(1, 200)))
    if chosen == 1:
        return FOLDER
    if chosen == 2:
        at = _place(content, rng)
        return content[:at] + bytes([int(rng.choice([0, 255]))]) * 64 + content[at + 64 :]
    return FOREIGN[rng.integers(len(FOREIGN))]


BYTES = (bit, bit, byte, number, number, cut, exchanged, dropped, spliced, rare)


# --- of text

def recoded(content, sources, rng):
    """Have the text in another encoding, with a mark of byte order, a NUL, or other ends of lines."""
    text = content.decode("utf-8", "replace")
    chosen = rng.integers(6)
    if chosen == 0:
        return text.encode("utf-16")
    if chosen == 1:
        return b"\xef\xbb\xbf" + content
    if chosen == 2:
        at = _place(content, rng)
        return content[:at] + bytes([int(rng.choice([0, 7, 0x80, 0xff, 0xed]))]) + content[at:]
    if chosen == 3:
        return content.replace(b"\n", b"\r\n" if rng.integers(2) else b"\r")
    if chosen == 4:
        return text.encode("utf-32")
    at = _place(content, rng)
    sign = "\u2028Ünïcödé\x85".encode("utf-8" if rng.integers(2) else "latin-1", "replace")
    return content[:at] + sign + content[at:]


def digits(content, sources, rng):
    """Put an odd word in the place of a number or a word of a text."""
    words = list(re.finditer(rb"[\w.+-]+", content)) or [re.match(b"", content)]
    word = words[rng.integers(len(words))]
    odd = ODD_WORDS[rng.integers(len(ODD_WORDS))]
    return content[: word.start()] + odd + content[word.end() :]


ODD_WORDS = (b"nan", b"inf", b"-inf", b"1e400", b"1e39", b"-1", b"", b"0x10", b"1_0", "١".encode(), b"9" * 5000,
             b"'", b'"', b",", b"x" * 200_000, b"\0", b"None", b"1e-400", b"=1+1", b"[[[[", b"true", b"1979-05-27")
TEXT = (*BYTES, recoded, recoded, digits, digits)


# --- of JSON

# as text, for Python would not write all of them
ODD = ("null", "true", "false", "0", "-1", "3", "1.5", "-0.0", "1e308", "1e39", "1e400", "-1e400", "NaN", "Infinity",
       "-Infinity", "1" + "0" * 400, "9" * 5000, "9223372036854775808", "2147483648", "1000000000", '""', '"x"',
       '"\\ud800"', '"\\u0000"', '"a\\nb"', '"ä"', '"</script>"', '"1"', "[]", "{}", "[[]]", "[null]", "[1, 2]",
       '{"a": 1}', "[[1], [1, 2]]",
       "[" * 10_000 + "]" * 10_000, '{"a": ' * 10_000 + "1" + "}" * 10_000, "[" * 900 + "]" * 900,
       '"' + "x" * 10_000 + '"')
MARK, KEY = "@odd value@", "@odd key@"


def _nodes(value, path=()):
    """Yield the path of every value inside a JSON value."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inside:
        yield (*path, key)
        yield from _nodes(one, (*path, key))


def _holder(value, path):
    for key in path[:-1]:
        value = value[key]
    return value, path[-1]


def node(content, sources, rng, path=None, odd=None):
    """Put an odd value in the place of one; or have a key not, or twice, or one more, or values in another order."""
    try:
        document = json.loads(content)
        paths = list(_nodes(document))
    except (ValueError, RecursionError):
        return content
    if not paths or rng.integers(40) == 0:
        return (odd or ODD[rng.integers(len(ODD))]).encode()
    place = paths[rng.integers(len(paths))]
    if rng.integers(3) == 0:                    # high in the tree, where there are few
        high = [one for one in paths if len(one) <= 2]
        place = high[rng.integers(len(high))]
    holder, key = _holder(document, place if path is None else path)
    odd, chosen = odd or ODD[rng.integers(len(ODD))], rng.integers(12) if path is None else 11
    twice = None
    if chosen == 0:
        del holder[key]
    elif chosen == 1 and isinstance(holder, list):
        rng.shuffle(holder)
    elif chosen == 2 and isinstance(holder, list):
        holder.append(holder[key])
    elif chosen == 3 and isinstance(holder, dict):
        holder[KEY], twice = MARK, json.dumps(key)
    elif chosen == 4 and isinstance(holder, dict):
        holder["further"] = MARK
    else:
        holder[key] = MARK
    text = json.dumps(document, ensure_ascii=bool(rng.integers(2))).replace(f'"{MARK}"', odd)
    return text.replace(f'"{KEY}"', twice or "").encode("utf-8", "surrogatepass")


def systematic(content: bytes, turn: int) -> bytes:
    """Return a JSON text with one value replaced: each value by each odd one, as `turn` goes on."""
    paths = list(_nodes(json.loads(content)))
    turn = turn * 7919 % (len(paths) * len(ODD))        # a prime: a few turns are spread over all
    return node(content, [], np.random.default_rng(1), paths[turn // len(ODD)], ODD[turn % len(ODD)])


JSON = (*TEXT, *[node] * 20)


# --- of ZIP files: what the members hold, with sums that fit

def member(of: tuple[Damage, ...]) -> Damage:
    """Return the damage of one member of a ZIP file, by kinds of damage; of the file itself where it is none."""
    def damage(content, sources, rng):
        try:
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                members = {name: archive.read(name) for name in archive.namelist()}
        except Exception:                       # it is damaged already
            return bit(content, sources, rng)
        if not members:
            return content
        name = list(members)[rng.integers(len(members))]
        if rng.integers(12) == 0:
            del members[name]
        else:
            kinds = (*of, *JSON) if name.endswith("json") else of
            members[name] = kinds[rng.integers(len(kinds))](members[name], [members[name]], rng) or b""
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as archive:
            for name, one in members.items():
                archive.writestr(name, one)
        return stream.getvalue()
    return damage


# --- of protocol buffers

def message(parse) -> Damage:
    """Return the damage of one field of a message, as `parse` makes it of bytes; of a number in it where it cannot."""
    def damage(content, sources, rng):
        try:
            whole = parse(content)
        except Exception:                       # it is damaged already
            return number(content, sources, rng)
        messages = list(_messages(whole))
        for _ in range(10):
            one = messages[rng.integers(len(messages))]
            fields = one.ListFields()
            if fields:
                field, value = fields[rng.integers(len(fields))]
                try:
                    _change(one, field, value, rng, messages)
                    return whole.SerializeToString()
                except (TypeError, ValueError):         # it does not fit into the field
                    continue
        return number(content, sources, rng)
    return damage


def _messages(one):
    yield one
    for field, value in one.ListFields():
        if field.message_type is not None:
            for inner in value if hasattr(value, "add") else () if hasattr(value, "keys") else [value]:
                yield from _messages(inner)


def _change(one, field, value, rng, messages):
    """Put an odd value into a field, or change the order or the number of its values."""
    if hasattr(value, "keys") or field.message_type is not None and not hasattr(value, "add"):
        one.ClearField(field.name)
    elif hasattr(value, "append"):
        chosen, values = rng.integers(5), list(value)
        at = int(rng.integers(len(values)))
        if chosen == 0:
            del value[at]
        elif chosen == 1:
            value.extend([values[at]])
        elif chosen == 2 or field.message_type is not None:
            rng.shuffle(values)
            del value[:]
            value.extend(values)
        else:
            value[at] = _odd_like(values[at], rng, messages)
    else:
        setattr(one, field.name, _odd_like(value, rng, messages))


def _odd_like(value, rng, messages):
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return int(rng.choice([*ODD_NUMBERS, -2**63, 2**63 - 1, rng.integers(20)]))
    if isinstance(value, float):
        return float(rng.choice(ODD_REALS))
    if isinstance(value, bytes):
        return damaged([value], (bit, byte, cut, dropped), rng)
    names = [text for one in messages for _, text in one.ListFields() if isinstance(text, str)]
    return str(rng.choice([*names, "", "x\ny", "ü$<"]))


# --- of TFLite files: sound tables that say something odd

ODD_NUMBERS = (-2**31, -1, 0, 1, 2, 3, 5, 127, 255, 2**16, 2**24, 2**31 - 1)
ODD_REALS = (0.0, -0.0, -1.0, 1e-38, 1e-45, 1e38, float("inf"), float("nan"))


@cache
def _places(content):
    """Return (where numbers stand in a sound file's tables and vectors, with their size; where lists of tables do)."""
    from xorlab import tflite_format

    walk = tflite_format.walk(content)
    numbers, lists = [], []
    for start, length, table, kind, field in walk.pieces:
        known = {one.name: one for one in tflite_format.fields_of(kind).values()}
        if field == "vtable":
            for slot, one in tflite_format.fields_of(kind).items():
                place = 4 + 2 * slot
                offset = struct.unpack_from("<H", content, start + place)[0] if place < length else 0
                if offset and one.size:
                    numbers.append((table + offset, one.size))
        elif (kind, field) in tflite_format.TABLE_LISTS:
            lists.append((start, struct.unpack_from("<I", content, start)[0]))
        elif field and known[field].item and (kind, field) != ("Buffer", "Data"):
            numbers.append((start, 4))                  # how many
            numbers += [(at, known[field].item) for at in range(start + 4, start + length, known[field].item)]
    return numbers, [one for one in lists if one[1] > 1]


def table(content, sources, rng):
    """Change one number of a table, an option or a length; or exchange two tables of a list."""
    if content not in sources:                          # damaged already, so nobody knows what stands where
        return number(content, sources, rng)
    (numbers, lists), made = _places(content), bytearray(content)
    if lists and rng.integers(5) == 0:
        start, count = lists[rng.integers(len(lists))]
        a, b = (start + 4 + 4 * int(i) for i in rng.choice(count, 2, replace=False))
        first, second = (at + struct.unpack_from("<I", content, at)[0] for at in (a, b))
        if second > a and first > b:
            struct.pack_into("<I", made, a, second - a)
            struct.pack_into("<I", made, b, first - b)
        return bytes(made)
    at, size = numbers[rng.integers(len(numbers))]
    value = int(rng.choice([*ODD_NUMBERS, rng.integers(256)]))
    if size == 4 and rng.integers(4) == 0:
        struct.pack_into("<f", made, at, rng.choice(ODD_REALS))
    else:
        made[at : at + size] = (value % 2 ** (8 * size)).to_bytes(size, "little")
    return bytes(made)


TFLITE = (*BYTES, *[table] * 20)
