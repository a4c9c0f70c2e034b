"""The rotary positions that a `config.json` describes, in its old spelling and new."""

from collections.abc import Callable
from typing import Any

from mcq_jax.checkpoints.attributes import Attributes
from mcq_jax.model import RopeScaling


def read_rope(
    attributes: Attributes,
    head_width: int,
    *,
    base: float = 10_000.0,
    fraction: float | None = None,
    base_name: str = "rope_theta",
    fraction_name: str = "partial_rotary_factor",
) -> dict[str, Any]:
    """Returns the settings of `ModelConfig` that concern rotation.

    Args:
        head_width: of which a fraction rotates.
        base: where none is given.
        fraction: where none is given; None if the family only rotates whole heads.
        base_name: what the base is called outside of the rope parameters.
    """
    given = attributes.take(base_name, float, None)
    old = attributes.take("rope_scaling", dict, {})
    new = attributes.take("rope_parameters", dict, {})
    if old and new and old != new:
        raise ValueError(
            f"{attributes.source} has rope_scaling and rope_parameters, and they "
            "differ; remove the one that does not hold."
        )
    rope = Attributes(new or old, f"{attributes.source} (rope parameters)")
    if fraction is None:
        rope.expect("partial_rotary_factor", 1.0)
        part = 1.0
    else:
        outside = attributes.take(fraction_name, float, None)
        part = _once("partial_rotary_factor", rope, outside, fraction)
    settings = {
        "rotary_width": int(head_width * part),
        "rope_base": _once("rope_theta", rope, given, base),
        **_scaling(rope, attributes.source),
    }
    rope.finish()
    return settings


def read_two_ropes(attributes: Attributes, head_width: int) -> dict[str, Any]:
    """Returns the same where windowed layers have a base of their own (Gemma 3)."""
    new = attributes.take("rope_parameters", dict, {})
    local_base = attributes.take("rope_local_base_freq", float, None)
    if not new:
        settings = read_rope(attributes, head_width, base=1_000_000.0)
        local_base = 10_000.0 if local_base is None else local_base
        return settings | {"windowed_rope_base": local_base}
    source = f"{attributes.source} (rope parameters)"
    by_kind = Attributes(new, source)
    full = by_kind.take("full_attention", dict, {})
    outside = {"rope_theta": attributes.take("rope_theta", float, None)}
    local = Attributes(by_kind.take("sliding_attention", dict, {}), source)
    by_kind.finish()
    settings = read_rope(
        Attributes({"rope_parameters": full} | outside, source),
        head_width,
        base=1_000_000.0,
    )
    local.expect("rope_type", "default")
    settings["windowed_rope_base"] = _once("rope_theta", local, local_base, 10_000.0)
    local.finish()
    return settings


def _once(name: str, rope: Attributes, outside: float | None, default: float) -> float:
    """A number that may stand in the rope parameters, outside of them, or in both."""
    inside = rope.take(name, float, outside)
    if outside is not None and inside != outside:
        raise ValueError(
            f"{rope.source} give {name} {outside} and {inside}; remove the one that "
            "does not hold."
        )
    return default if inside is None else inside


def _scaling(rope: Attributes, source: str) -> dict[str, Any]:
    kind = rope.take("type", str, "default")
    kind = rope.take("rope_type", str, kind)
    if kind not in _SCALINGS:
        raise ValueError(
            f"The rotary positions of {source} are of type {kind!r}; supported are "
            f"{', '.join(_SCALINGS)}."
        )
    return _SCALINGS[kind](rope)


def _linear(rope: Attributes) -> dict[str, Any]:
    return {
        "rope_scaling": RopeScaling.LINEAR,
        "rope_factor": rope.take("factor", float),
    }


def _dynamic(rope: Attributes) -> dict[str, Any]:
    """Stretches only what is longer than max_position_embeddings, which is refused.

    The reference does not read an original context here.
    """
    rope.ignore("factor", "original_max_position_embeddings")
    return {}


def _llama3(rope: Attributes) -> dict[str, Any]:
    return {
        "rope_scaling": RopeScaling.LLAMA3,
        "rope_factor": rope.take("factor", float),
        "rope_low_factor": rope.take("low_freq_factor", float),
        "rope_high_factor": rope.take("high_freq_factor", float),
        "rope_original_context": rope.take("original_max_position_embeddings", int),
    }


_SCALINGS: dict[str, Callable[[Attributes], dict[str, Any]]] = {
    "default": lambda rope: {},
    "dynamic": _dynamic,
    "linear": _linear,
    "llama3": _llama3,
}
