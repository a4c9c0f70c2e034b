"""Sliding windows of attention: which layers have one, as fields of `ModelConfig`."""

from collections.abc import Sequence
from typing import Any

from mcq_jax.checkpoints.attributes import Attributes


def windows_in(layers: Sequence[int], window: int | None) -> dict[str, Any]:
    """The fields for a window (in tokens) in these layers, or for none."""
    if window is None or not layers:
        return {}
    return {"window": window, "windowed_layers": tuple(layers)}


def read_windows(
    attributes: Attributes, layers: int, window: int | None, usual: Sequence[int]
) -> dict[str, Any]:
    """The windows of a `config.json`, in the layers that `layer_types` lists.

    Args:
        layers: how many the model has.
        usual: the layers with windows where nothing is listed.
    """
    kinds = attributes.take("layer_types", list, None)
    windowed = tuple(usual)
    if kinds is not None:
        windowed = tuple(i for i, k in enumerate(kinds) if k == "sliding_attention")
        known = {"full_attention", "sliding_attention"}
        if len(kinds) != layers or set(map(str, kinds)) - known:
            raise ValueError(
                f"layer_types is {kinds} in {attributes.source}; expected "
                f"'full_attention' or 'sliding_attention' for each of {layers} layers."
            )
    if windowed and window is None:
        raise ValueError(
            f"layer_types has windows in layers {windowed} in {attributes.source}, but "
            "no sliding_window is in use; mend the one or the other."
        )
    return windows_in(windowed, window)


def read_upper_windows(attributes: Attributes, layers: int) -> dict[str, Any]:
    """The same as Qwen describes them: in most of its configs, and used in few."""
    uses_window = attributes.take("use_sliding_window", bool, False)
    window = attributes.take("sliding_window", int, 4096, null=None)
    first = attributes.take("max_window_layers", int, 28)
    window = window if uses_window else None
    usual = range(first, layers) if window is not None else ()
    return read_windows(attributes, layers, window, usual)
