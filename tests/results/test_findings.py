"""Findings read back from JSON as they were written."""

import dataclasses
import json
import typing

import pytest

from mcq_jax import json_values
from mcq_jax.metrics import Interval
from mcq_jax.results import (
    KINDS,
    About,
    JointFound,
    JointTestsFindings,
    NodeEffectsFindings,
    Record,
)

FILLERS = {
    float: 0.1,
    int: 3,
    str: "a <b> & 'ä'",
    bool: True,
    tuple[str, ...]: ("x", "y"),
    tuple[int, ...]: (3, 4),
    tuple[str, str]: ("x", "y"),
    tuple[float, ...]: (0.25, -1e-12),
    tuple[tuple[float, ...], ...]: ((1.0, 2.0), (3.0, 4.0)),
    dict[str, float]: {"one": 1.5},
    dict[str, str]: {"L0H1": "counter"},
    dict[str, Interval]: {"rotation": Interval(mean=1.0, low=0.5, high=2, questions=9)},
    dict[str, tuple[str, ...]]: {"reader": ("L1H0", "L2MLP"), "none": ()},
}


def filled(kind, **known):
    """An instance with something in every field."""
    values = dict(known)
    for field in dataclasses.fields(kind):
        if field.name in values:
            continue
        wanted = typing.get_type_hints(kind)[field.name]
        many = typing.get_origin(wanted) is tuple and wanted not in FILLERS
        if wanted in FILLERS:
            values[field.name] = FILLERS[wanted]
        elif many:
            values[field.name] = (filled(typing.get_args(wanted)[0]),)
        else:
            first, *_ = typing.get_args(wanted) or (wanted,)
            values[field.name] = FILLERS.get(first) or filled(first)
    return kind(**values)


def _record(kind: type) -> Record:
    return Record(
        values=filled(kind),
        key="0f",
        needs={"behaviour": "1e"},
        tables={"joint_tests": ("2d", "3c")},
        seconds={"patching": 1.5},
    )


def _again(record: Record, kind: type) -> Record:
    return Record.from_json(record.to_json("x"), kind, "here")


@pytest.mark.parametrize("kind", [*KINDS.values(), About])
def test_full_findings_read_back_equal(kind: type):
    record = _record(kind)
    assert _again(record, kind) == record


def test_read_back_findings_have_the_classes_they_were_written_from():
    again = Record.from_json(
        _record(JointTestsFindings).to_json("x"), JointTestsFindings, ""
    )
    (found,) = again.values.sets
    assert isinstance(found, JointFound) and isinstance(found.sufficiency, Interval)
    again = Record.from_json(
        _record(NodeEffectsFindings).to_json("x"), NodeEffectsFindings, ""
    )
    assert isinstance(again.values.nodes[0].direct["rotation"], Interval)


def test_what_was_not_measured_stays_none():
    found = filled(JointFound, sufficiency=None)
    said = json_values.to_json(found)
    assert json_values.from_json(JointFound, said).sufficiency is None


def test_unknown_fields_are_refused_of_configs_and_passed_over_in_findings():
    said = json_values.to_json(filled(Interval)) | {"later": 1}
    assert json_values.from_json(Interval, said, ignore_unknown=True)
    with pytest.raises(ValueError, match="later of the saved Interval is not known"):
        json_values.from_json(Interval, said)


def test_the_json_is_plain():
    said = json.loads(_record(JointTestsFindings).to_json("joint_tests"))
    assert said["values"]["sets"][0]["sufficiency"]["mean"] == 0.1
    assert said["experiment"] == "joint_tests" and said["schema"] == 1
