"""Chips by published or measured figures, and the names by which slices are rented."""

import dataclasses
import math
import re

from mcq_jax.costs.machine import flop_rate, free_bytes, memory_bandwidth

GIB = 2**30


@dataclasses.dataclass(frozen=True, kw_only=True)
class Chip:
    """One accelerator, by what its maker publishes, or a CPU, by what was measured."""

    name: str
    # Memory that a program may fill: what the compiler leaves of the published size.
    memory: float
    # Bytes per second to and from that memory.
    memory_bandwidth: float
    # Floating-point operations per second in bfloat16.
    peak_flops: float
    # Bytes per second that one chip sends to its neighbours, over all links.
    link_bandwidth: float


# Google Cloud's system architecture pages (links in Gbit/s) and NVIDIA's data sheets
# (dense figures; NVLink's, one way).
CHIPS = {
    "v5e": Chip(
        name="v5e", memory=15.75 * GIB, memory_bandwidth=819e9, peak_flops=197e12,
        link_bandwidth=1600e9 / 8,
    ),
    "v5p": Chip(
        name="v5p", memory=95.74 * GIB, memory_bandwidth=2765e9, peak_flops=459e12,
        link_bandwidth=4800e9 / 8,
    ),
    "v6e": Chip(
        name="v6e", memory=31.25 * GIB, memory_bandwidth=1640e9, peak_flops=918e12,
        link_bandwidth=3584e9 / 8,
    ),
    "h100": Chip(
        name="h100", memory=76e9, memory_bandwidth=3350e9, peak_flops=989e12,
        link_bandwidth=450e9,
    ),
    "h200": Chip(
        name="h200", memory=134e9, memory_bandwidth=4800e9, peak_flops=989e12,
        link_bandwidth=450e9,
    ),
}  # fmt: skip

# How devices name themselves.
_KINDS = {
    "TPU v5 lite": "v5e",
    "TPU v5e": "v5e",
    "TPU v5": "v5p",
    "TPU v5p": "v5p",
    "TPU v6 lite": "v6e",
    "TPU v6e": "v6e",
    "NVIDIA H100 80GB HBM3": "h100",
    "NVIDIA H200": "h200",
}

# What the command line and the consoles call them.
_SPELLINGS = {"v5litepod": "v5e", "v5e": "v5e", "v5p": "v5p", "v6e": "v6e"}

# How many chips, in which arrangement.
_SQUARES = ("1x1", "2x2", "2x4", "4x4", "4x8", "8x8", "8x16", "16x16")
_CUBES = (
    "2x2x1", "2x2x2", "2x2x4", "2x4x4", "4x4x4", "4x4x8", "4x8x8", "8x8x8", "8x8x16",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Topology:
    """A slice of a pod: which chips, in which arrangement."""

    chip: str
    arrangement: str

    @classmethod
    def parse(cls, name: str) -> "Topology":
        """Reads "v5e:4x4", or the name of an accelerator: "v5litepod-16", "v5p-64".

        In the names of v5p the number counts cores, of which a chip has two.
        """
        match = re.fullmatch(r"(\w+?)(?::([\dx]+)|-(\d+))", name.strip().lower())
        chip = _SPELLINGS.get(match[1]) if match else None
        if match is None or chip is None:
            raise ValueError(
                f"no topology {name!r}; write a chip ({', '.join(_SPELLINGS)}) and an "
                "arrangement, as in v5e:4x4, or an accelerator's name, as in v5p-64."
            )
        arrangements = _CUBES if chip == "v5p" else _SQUARES
        if match[2]:
            if match[2].count("x") != arrangements[0].count("x"):
                raise ValueError(
                    f"{name!r}: {chip} is arranged as in {arrangements[3]!r}; the "
                    "arrangement says how many chips lie along each side."
                )
            return cls(chip, match[2])
        count = int(match[3]) // (2 if chip == "v5p" else 1)
        by_count = {_count(sides): sides for sides in arrangements}
        if count not in by_count:
            raise ValueError(
                f"{name!r} would be {count} chips; slices of {chip} have "
                f"{', '.join(map(str, by_count))}."
            )
        return cls(chip, by_count[count])

    @property
    def figures(self) -> Chip:
        return CHIPS[self.chip]

    @property
    def chips(self) -> int:
        return _count(self.arrangement)

    def __str__(self) -> str:
        return f"{self.chip}:{self.arrangement}"


def chip_of(device_kind: str) -> Chip:
    """Returns the published figures of a local device, by how it names itself."""
    if device_kind not in _KINDS:
        raise ValueError(
            f"no published figures for {device_kind!r}; name a slice of a TPU pod by "
            "--topology, as in v5e:4x4."
        )
    return CHIPS[_KINDS[device_kind]]


def measured_cpu(devices: int) -> Chip:
    """Returns one of the devices that share this machine's cores and memory.

    Rates are of float32 programs that ran now, so whatever else runs slows them.
    """
    free, flops, bandwidth = free_bytes(), flop_rate(), memory_bandwidth()
    return Chip(
        name=f"CPU ({flops / 1e9:.0f} GFLOP/s and {bandwidth / 1e9:.0f} GB/s measured)",
        memory=math.inf if free is None else free / devices,
        memory_bandwidth=bandwidth / devices,
        peak_flops=flops / devices,
        link_bandwidth=math.inf,  # they share their memory
    )


def _count(arrangement: str) -> int:
    return math.prod(map(int, arrangement.split("x")))
