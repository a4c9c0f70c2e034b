"""`collectives`: what a compiled program sends between devices, read from its text."""

import dataclasses
import math
import re

import numpy as np


@dataclasses.dataclass(frozen=True, kw_only=True)
class Collective:
    """One instruction by which devices exchange data."""

    # all-reduce, all-gather, reduce-scatter, all-to-all or collective-permute.
    kind: str
    # Of its result on one device.
    bytes: int
    # Devices that take part in one exchange.
    devices: int
    # The operation in our code that it comes from, as the compiler names it.
    source: str

    @property
    def bytes_sent(self) -> float:
        """What one device sends, if the exchange goes round a ring."""
        others = self.devices - 1
        factor = {
            "all-reduce": 2 * others / self.devices,
            "all-gather": others / self.devices,
            "reduce-scatter": others,
            "all-to-all": others / self.devices,
            "collective-permute": 1,
        }[self.kind]
        return self.bytes * factor


def collectives(program: str) -> list[Collective]:
    """Returns the exchanges in a compiled program's text (`compiled.as_text()`).

    Each stands once: however often the loop around it runs, and also where the TPU's
    compiler writes it into each of the computations that it goes on beside.
    """
    found = {}
    for number, line in enumerate(program.splitlines()):
        match = _INSTRUCTION.search(line)
        devices = _group_size(line) if match else 1
        if match and devices > 1:
            source, channel = _SOURCE.search(line), _CHANNEL.search(line)
            found[channel[1] if channel else f"line {number}"] = Collective(
                kind=match["kind"],
                bytes=_result_bytes(match["shape"], bool(match["start"])),
                devices=devices,
                source=source[1] if source else "",
            )
    return list(found.values())


_INSTRUCTION = re.compile(
    r"= (?P<shape>\(?[a-z]\w*\[.*?) (?P<kind>all-reduce|all-gather|reduce-scatter|"
    r"all-to-all|collective-permute)(?P<start>-start)?\("
)
_SOURCE = re.compile(r'op_name="([^"]*)"')
_CHANNEL = re.compile(r"channel_id=(\d+)")
_ARRAY = re.compile(r"\b(pred|[a-z]+\d+\w*)\[([\d,]*)\]")
_LISTED = re.compile(r"replica_groups=\{\{([\d,]*)\}")
_COUNTED = re.compile(r"replica_groups=\[\d+,(\d+)\]<=")
_NAMED = re.compile(r"replica_groups=mesh\[([^\]]*)\] \{([^}]*)\}")


def _result_bytes(shape: str, is_start: bool) -> int:
    """Bytes of an instruction's result; one that starts an exchange lists its input
    and its result, of which the larger is meant."""
    sizes = [_array_bytes(*array) for array in _ARRAY.findall(shape)]
    return max(sizes) if is_start else sum(sizes)


def _array_bytes(dtype: str, sizes: str) -> int:
    bits = 8 if dtype == "pred" else int(re.search(r"\d+", dtype)[0])  # type: ignore[index]
    count = math.prod(int(size) for size in sizes.split(",") if size)
    return int(np.ceil(count * bits / 8))


def _group_size(line: str) -> int:
    """Devices in one group of an exchange, in any of the compiler's three notations."""
    if listed := _LISTED.search(line):
        return len(listed[1].split(","))
    if counted := _COUNTED.search(line):
        return int(counted[1])
    if named := _NAMED.search(line):
        sizes = dict(re.findall(r"'(\w+)'=(\d+)", named[1]))
        return math.prod(int(sizes[axis]) for axis in re.findall(r"\w+", named[2]))
    return 2 if "source_target_pairs=" in line else 1
