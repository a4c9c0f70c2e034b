"""Slices of pods go by many names."""

import pytest

from mcq_jax.planning import CHIPS, Topology, chips
from mcq_jax.planning.chips import chip_of, measured_cpu


@pytest.mark.parametrize(
    ("name", "chip", "arrangement", "chips"),
    [
        ("v5e:4x4", "v5e", "4x4", 16),
        ("v5litepod-16", "v5e", "4x4", 16),
        ("V5E-256", "v5e", "16x16", 256),
        ("v6e-8", "v6e", "2x4", 8),
        ("v5p-64", "v5p", "2x4x4", 32),
        ("v5p:4x4x4", "v5p", "4x4x4", 64),
    ],
)
def test_every_name_of_a_slice_is_understood(name, chip, arrangement, chips):
    topology = Topology.parse(name)
    assert (topology.chip, topology.arrangement) == (chip, arrangement)
    assert topology.chips == chips
    assert topology.figures is CHIPS[chip]


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("v9-8", "write a chip"),
        ("v5e", "write a chip"),
        ("v5e-17", "would be 17 chips"),
        ("v5e:4x4x4", "arranged as in"),
        ("v5p:4x4", "arranged as in"),
    ],
)
def test_a_slice_that_does_not_exist_is_refused(name: str, what: str):
    with pytest.raises(ValueError, match=what):
        Topology.parse(name)


def test_a_device_without_published_figures_is_refused():
    assert chip_of("TPU v5 lite") is CHIPS["v5e"]
    with pytest.raises(ValueError, match="no published figures for 'NVIDIA A100'"):
        chip_of("NVIDIA A100")


def test_the_devices_of_a_cpu_share_what_is_measured(monkeypatch):
    monkeypatch.setattr(chips, "free_bytes", lambda: 8e9)
    monkeypatch.setattr(chips, "flop_rate", lambda: 4e11)
    monkeypatch.setattr(chips, "memory_bandwidth", lambda: 2e10)
    one, half = measured_cpu(1), measured_cpu(2)
    assert (one.memory, one.peak_flops, one.memory_bandwidth) == (8e9, 4e11, 2e10)
    assert (half.memory, half.peak_flops, half.memory_bandwidth) == (4e9, 2e11, 1e10)
    assert "400 GFLOP/s and 20 GB/s measured" in one.name
