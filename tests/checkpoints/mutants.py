"""Some hundred checkpoints, each broken in one way, the same ones on every run.

`mutants(sources)` gives names and functions that break a copy of a whole checkpoint.
"""

import copy
import dataclasses
import json
import os
import pathlib
import random
import struct
from collections.abc import Callable, Iterator
from typing import Any

Edit = Callable[[bytes], bytes]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mutant:
    """A way to break a checkpoint."""

    name: str
    # Which of the whole checkpoints: "single", "sharded" or "gguf".
    source: str
    # Breaks a copy of it in place.
    apply: Callable[[pathlib.Path], None]


def mutants(sources: dict[str, pathlib.Path]) -> list[Mutant]:
    """Returns all mutants of these whole checkpoints."""
    found = [
        Mutant(name=f"{source}/{file}: {name}", source=source, apply=on(file, edit))
        for source, file in FILES
        for name, edit in edits(sources[source], file)
    ]
    found += [
        Mutant(name=f"{source}/{file}: {name}", source=source, apply=change(file))
        for source, file in FILES
        if source != "gguf"
        for name, change in FILE_SYSTEM.items()
    ]
    return found


INDEX = "model.safetensors.index.json"
FILES = [
    ("single", "model.safetensors"),
    ("single", "config.json"),
    ("single", "tokenizer.json"),
    ("single", "tokenizer_config.json"),
    ("sharded", INDEX),
    ("gguf", "m.gguf"),
]


def on(file: str, edit: Edit) -> Callable[[pathlib.Path], None]:
    def apply(folder: pathlib.Path) -> None:
        path = folder / file
        path.write_bytes(edit(path.read_bytes()))

    return apply


def edits(folder: pathlib.Path, file: str) -> Iterator[tuple[str, Edit]]:
    """Yields everything that is done to the bytes of a file."""
    content = (folder / file).read_bytes()
    end = header_end(content, file)
    generator = random.Random(file)
    for _ in range(50):
        yield flip(generator.randrange(8 * end))
    for _ in range(8 if end < len(content) else 0):
        yield flip(generator.randrange(8 * end, 8 * len(content)))
    for kept in (0, 1, 7, 8, 9, end // 2, end - 1, end, end + 1, len(content) - 1):
        yield f"first {kept} bytes", lambda b, kept=kept: b[:kept]
    yield "more bytes", lambda b: b + b"\0" * 64
    yield "only zeros", lambda b: bytes(len(b))
    if file.endswith(".gguf"):
        yield from gguf_edits(content)
    elif file.endswith(".safetensors"):
        yield from header_edits(content)
    else:
        hostile = HOSTILE[::2] if file == "config.json" else HOSTILE[::3]
        hostile = hostile + OUTSIDE if file == INDEX else hostile
        yield from json_edits(json.loads(content), hostile)


def header_end(content: bytes, file: str) -> int:
    """Where descriptions end and numbers begin."""
    if file.endswith(".safetensors"):
        return 8 + int.from_bytes(content[:8], "little")
    if file.endswith(".gguf"):
        return content.rindex(b"weight") + 40
    return len(content)


def flip(bit: int) -> tuple[str, Edit]:
    def edit(content: bytes) -> bytes:
        changed = bytearray(content)
        changed[bit // 8] ^= 1 << bit % 8
        return bytes(changed)

    return f"bit {bit} flipped", edit


HUGE = (2**31, 2**40, 2**63, 2**64 - 1)
DEEP = "[" * 100_000 + "]" * 100_000
HOSTILE = [None, -1, 0, 10**15, 2**31, float("nan"), "x", 10**30, True, {}, []]
OUTSIDE = ["../outside.safetensors", "/etc/passwd", "..\\outside.safetensors"]


def json_edits(value: Any, hostile: list) -> Iterator[tuple[str, Edit]]:
    """Every place of a JSON file (the first few of lists and vocabularies) replaced."""
    yield "deep nesting", lambda b: DEEP.encode()
    inside = b'{"a":' + DEEP.encode() + b","
    yield "deep nesting of a value", lambda b: b.replace(b"{", inside, 1)
    yield "a number of many digits", lambda b: b"9" * 100_000
    yield "a list", lambda b: b"[]"
    for path in places(value):
        for new in hostile:
            text = json.dumps(replaced(value, path, new)).encode()
            where = ".".join(map(str, path))
            yield f"{where} = {new!r}", lambda b, text=text: text
        if isinstance(path[-1], str) and len(path) < 3:
            text = twice(value, path)
            yield f"{'.'.join(map(str, path))} twice", lambda b, text=text: text


def places(value: Any, path: tuple = ()) -> Iterator[tuple]:
    if path:
        yield path
    if len(path) == 3:
        return
    if isinstance(value, dict):
        for key in list(value)[: 40 if not path else 4]:
            yield from places(value[key], (*path, key))
    if isinstance(value, list):
        for key in range(min(2, len(value))):
            yield from places(value[key], (*path, key))


def replaced(value: Any, path: tuple, new: Any) -> Any:
    changed = copy.deepcopy(value)
    inner = changed
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = new
    return changed


def twice(value: Any, path: tuple) -> bytes:
    """The same file with a key given twice, the second time as null."""
    marked = replaced(value, path, "\0marker")
    own = value
    for key in path:
        own = own[key]
    both = f"{json.dumps(own)}, {json.dumps(path[-1])}: null"
    return json.dumps(marked).replace(json.dumps("\0marker"), both).encode()


def header_edits(content: bytes) -> Iterator[tuple[str, Edit]]:
    """Hostile safetensors headers in front of the right numbers."""
    length = int.from_bytes(content[:8], "little")
    header, body = json.loads(content[8 : 8 + length]), content[8 + length :]
    for claimed in (0, 1, length - 1, length + 1, len(content), 10**8, *HUGE):
        claim = claimed.to_bytes(8, "little")
        yield f"header of {claimed} bytes", lambda b, claim=claim: claim + b[8:]

    def with_header(text: str) -> bytes:
        raw = text.encode()
        return len(raw).to_bytes(8, "little") + raw + body

    names = [name for name in header if name != "__metadata__"]
    one, other = names[0], names[1]
    start, stop = header[one]["data_offsets"]
    entries: dict[str, Any] = {
        "overlapping": {"data_offsets": header[other]["data_offsets"]},
        "backwards": {"data_offsets": [stop, start]},
        "negative": {"data_offsets": [-4, stop]},
        "behind the end": {"data_offsets": [len(body), len(body) + stop - start]},
        "one offset": {"data_offsets": [start]},
        "offsets as text": {"data_offsets": ["0", "4"]},
        "offsets as floats": {"data_offsets": [float(start), float(stop)]},
        "unknown type": {"dtype": "Q9"},
        "wider type": {"dtype": "F64"},
        "narrower type": {"dtype": "BF16"},
        "type as list": {"dtype": []},
        "shape as text": {"shape": "x"},
        "negative shape": {"shape": [-1, -1]},
        "shape with a zero": {"shape": [0, 10**15]},
        "shape of too many axes": {"shape": [1] * 1000},
        "huge shape": {"shape": [2**40, 2**40]},
        "wrapping shape": {"shape": [2**32, 2**32]},
        "flat shape": {"shape": [(stop - start) // 4]},
        "nested shape": {"shape": [[1]]},
        "another key": {"extra": 1},
    }
    for name, changes in entries.items():
        changed = header | {one: header[one] | changes}
        text = with_header(json.dumps(changed))
        yield f"{name} ({one})", lambda b, text=text: text
    bad: dict[str, str] = {
        "deep": DEEP,
        "deep inside": '{"a":' + DEEP + "}",
        "a list": "[]",
        "no tensors": "{}",
        "a name twice": json.dumps(header)[:-1] + f", {json.dumps(one)}: {{}}}}",
        "the same twice": json.dumps(header)[:-1]
        + f", {json.dumps(one)}: {json.dumps(header[one])}}}",
        "an entry of null": json.dumps(header | {one: None}),
        "metadata of numbers": json.dumps(header | {"__metadata__": 3}),
        "many digits": "9" * 100_000,
        "a NUL in a name": json.dumps(header | {"a\0b": header[one]}),
    }
    for name, text in bad.items():
        raw = with_header(text)
        yield f"header {name}", lambda b, raw=raw: raw


def gguf_edits(content: bytes) -> Iterator[tuple[str, Edit]]:
    """Hostile numbers in every kind of place that a GGUF header has."""

    def put(place: int, layout: str, value: int) -> Edit:
        def edit(content: bytes) -> bytes:
            changed = bytearray(content)
            struct.pack_into(layout, changed, place, value)
            return bytes(changed)

        return edit

    def behind(text: bytes) -> int:
        return content.rindex(text) + len(text)

    tensor = behind(b"blk.0.attn_q.weight")
    other = behind(b"blk.0.attn_k.weight")
    tokens = behind(b"tokenizer.ggml.tokens")
    words = {
        "version": (4, (0, 1, 4, 2**32 - 1)),
        "a key's type": (24 + 8 + content[24], (8, 9, 13, 2**32 - 1)),
        "a list's type": (tokens + 4, (0, 9, 12, 13, 2**32 - 1)),
        "dimensions": (tensor, (0, 1, 3, 5, 2**32 - 1)),
        "quantisation": (tensor + 4 + 16, (1, 2, 12, 30, 99, 2**32 - 1)),
    }
    for name, (place, values) in words.items():
        for value in values:
            yield f"{name} = {value}", put(place, "<I", value)
    quads = {
        "tensors": 8,
        "keys": 16,
        "a key's length": 24,
        "a list's length": tokens + 8,
        "a text's length": tokens + 16,
        "rows": tensor + 4,
        "columns": tensor + 12,
        "a tensor's place": tensor + 24,
    }
    for name, place in quads.items():
        for value in (0, 1, *HUGE):
            yield f"{name} = {value}", put(place, "<Q", value)
    place = struct.unpack_from("<Q", content, other + 24)[0]
    yield "overlapping tensors", put(tensor + 24, "<Q", place)
    twins = (b"blk.0.attn_q.weight", b"blk.1.attn_q.weight")
    yield "a tensor twice", lambda b: b.replace(*twins)
    keys = (b"llama.context_length", b"llama.embedding_long")
    yield "an unknown key", lambda b: b.replace(*keys)
    for key in (b"block_count", b"head_count", b"embedding_length", b"key_length"):
        for value in (0, 2**31, 2**32 - 1):
            where = content.index(key) + len(key) + 4
            yield f"{key.decode()} = {value}", put(where, "<I", value)


def link_out(file: str) -> Callable[[pathlib.Path], None]:
    def apply(folder: pathlib.Path) -> None:
        (folder / file).rename(folder.parent / f"outside-{file}")
        (folder / file).symlink_to(folder.parent / f"outside-{file}")

    return apply


def link_to_itself(file: str) -> Callable[[pathlib.Path], None]:
    def apply(folder: pathlib.Path) -> None:
        (folder / file).unlink()
        (folder / file).symlink_to(folder / file)

    return apply


def as_folder(file: str) -> Callable[[pathlib.Path], None]:
    def apply(folder: pathlib.Path) -> None:
        (folder / file).unlink()
        (folder / file).mkdir()

    return apply


def as_pipe(file: str) -> Callable[[pathlib.Path], None]:
    def apply(folder: pathlib.Path) -> None:
        (folder / file).unlink()
        os.mkfifo(folder / file)

    return apply


def gone(file: str) -> Callable[[pathlib.Path], None]:
    return lambda folder: (folder / file).unlink()


FILE_SYSTEM = {
    "a link out of the folder": link_out,
    "a link to itself": link_to_itself,
    "a folder": as_folder,
    "a pipe that nobody writes to": as_pipe,
    "gone": gone,
}
