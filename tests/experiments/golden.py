"""The numbers of commit a2a0856, and whether a run comes to them again."""

import json
import math
import pathlib
from typing import Any

from mcq_jax import json_values
from mcq_jax.results import RunResults

FOLDER = pathlib.Path(__file__).resolve().parents[1] / "golden"
# Of the largest number beside it: sums may come in another order.
ROUNDING = 2e-5
# A draw that ties with the data may count or not: of a p-value's 2,000, a few.
TIES = 0.003
# What is rounding itself, says in words what the numbers say, or was taken at random.
_NOT_COMPARED = ("verdict", "caveats", "conservation_error", "largest_error", "reason")


def assert_golden(name: str, run: RunResults) -> None:
    """Asserts that a run finds what the file of this name says."""
    expected = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    found = _as_it_was(run)
    for part, value in expected.items():
        if part not in _NOT_COMPARED and part != "has_circuit":
            assert_same(found[part], value, part, _scale(value))


def _as_it_was(run: RunResults) -> dict[str, Any]:
    """The findings in the form that they had then."""
    parts = {
        "asked": run.about,
        "behaviour": run.behaviour,
        "gate": run.gate,
        "nodes": run.nodes,
        "selection": run.selection,
        "joint": run.sets,
        "heads": run.heads,
        "planted": getattr(run.records.get("planted_truth"), "values", None),
        "effect_questions": run.effects and run.effects.questions,
        "effect_prompts": run.effects and run.effects.prompts,
    }
    return {name: json_values.to_json(value) for name, value in parts.items()}


def assert_same(found: Any, expected: Any, where: str = "", scale: float = 1.0) -> None:
    """Asserts that values in JSON's form are equal, their numbers to rounding."""
    if isinstance(expected, dict):
        for name, value in expected.items():
            if name not in _NOT_COMPARED and not _is_of_rounding(expected, name, scale):
                here = _scale(value) if isinstance(value, dict | list) else scale
                assert_same(found[name], value, f"{where}.{name}", here)
    elif isinstance(expected, list):
        assert len(found) == len(expected), where
        for index, value in enumerate(expected):
            assert_same(found[index], value, f"{where}[{index}]", scale)
    elif isinstance(expected, float) and math.isfinite(expected):
        bound = TIES if where.endswith("p_value") else ROUNDING * scale
        assert abs(found - expected) <= bound, (where, found, expected)
    else:
        assert found == expected or expected != expected, (where, found, expected)


def _is_of_rounding(expected: dict[str, Any], name: str, scale: float) -> bool:
    """Whether this is a test of a letter prior that is nothing but rounding."""
    prior = expected.get("letter_prior", [math.inf])
    return name == "p_value" and max(map(abs, prior)) <= ROUNDING * scale


def _scale(value: Any) -> float:
    """The largest finite number within, 1 at least."""
    if isinstance(value, dict):
        return max([1.0, *map(_scale, value.values())])
    if isinstance(value, list):
        return max([1.0, *map(_scale, value)])
    is_number = isinstance(value, int | float) and math.isfinite(value)
    return max(1.0, abs(float(value))) if is_number else 1.0
