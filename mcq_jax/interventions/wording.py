"""An edit in words, for logs, tables and people who are handed a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax
import jax.core
import numpy as np

if TYPE_CHECKING:
    from mcq_jax.interventions.edits import Edit

# Longer lists of indices are cut.
LISTED = 8


def describe(edit: Edit) -> str:
    """Returns one sentence: `patch z of layer 20, head 3, at position 41 with 0`."""
    where = "".join(_places(edit))
    value = _value(edit.value)
    name = edit.site.label
    match edit.kind.name:
        case "INTERPOLATE":
            sentence = f"patch {name}{where} with {_stored('source', value)}"
        case "ADD":
            sentence = f"add {_stored('direction', value)} to {name}{where}"
        case "SCALE":
            sentence = f"scale {name}{where} by {_stored('factor', value)}"
        case _:
            assert edit.function is not None
            sentence = f"apply {edit.function.__qualname__} to {name}{where}"
    return sentence + _weight(edit.weight)


def _places(edit: Edit):
    if edit.site.per_layer:
        every = " of every layer" if edit.slots == 1 else " of each layer"
        yield every if edit.layers is None else f" of {_listed('layer', edit.layers)}"
    if edit.units is not None:
        assert edit.site.unit is not None
        kv = "kv " if edit.site.unit == "head" and len(edit.site.unit_axes) == 1 else ""
        yield f", {_listed(kv + edit.site.unit, edit.units)}"
    if edit.positions is not None:
        yield f", at {_listed('position', edit.positions)}"
    if edit.keys is not None:
        yield f", for {_listed('key', edit.keys)}"
    if edit.readers is not None:
        yield ", as some queries read it,"


def _listed(name: str, array) -> str:
    """`layer 3`, `heads 1 and 2`; row by row where rows differ."""
    if isinstance(array, jax.core.Tracer):
        return f"{name}s that are traced"
    if array.size == 0:
        return f"no {name}"
    rows = np.asarray(array).reshape(-1, array.shape[-1])
    if (rows == rows[0]).all():
        return f"{name}{'s' * (rows.shape[1] > 1)} {_joined(rows[0].tolist())}"
    texts = [_joined(row) for row in rows[:LISTED].tolist()]
    cut = ["…"] * (len(rows) > LISTED)
    return f"{name}s {'; '.join([*texts, *cut])} (by row)"


def _joined(numbers) -> str:
    texts = [str(number) for number in numbers]
    if len(texts) > LISTED:
        texts = [*texts[: LISTED - 1], "…", texts[-1]]
    if len(texts) == 1:
        return texts[0]
    return ", ".join(texts[:-1]) + f" and {texts[-1]}"


def _value(array) -> float | None:
    """The number that an array repeats; None if it holds several or is traced."""
    if isinstance(array, jax.core.Tracer) or array.size == 0:
        return None
    numbers = np.asarray(array)
    first = float(numbers.flat[0])
    return first if (numbers == first).all() else None


def _stored(name: str, value: float | None) -> str:
    return f"a stored {name}" if value is None else f"{value:g}"


def _weight(array) -> str:
    if isinstance(array, jax.core.Tracer):
        return " (weight traced)"
    value = _value(array)
    if value == 1:
        return ""
    return " (weights stored)" if value is None else f" (weight {value:g})"
