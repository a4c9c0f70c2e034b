"""Findings read back from JSON as they were written."""

import dataclasses
import json

from mcq_jax.results import (
    Asked,
    BehaviourFound,
    Estimate,
    Findings,
    GateFound,
    HeadFound,
    JointFound,
    NodeFound,
    PlantedFound,
    SelectionFound,
)

FILLERS = {
    float: 0.1,
    int: 3,
    str: "a <b> & 'ä'",
    bool: True,
    tuple[str, ...]: ("x", "y"),
    tuple[float, ...]: (0.25, -1e-12),
    tuple[tuple[float, ...], ...]: ((1.0, 2.0), (3.0, 4.0)),
    dict[str, float]: {"one": 1.5},
    dict[str, str]: {"L0H1": "counter"},
    dict[str, Estimate]: {"rotation": Estimate(mean=1.0, low=0.5, high=2, questions=9)},
    dict[str, tuple[str, ...]]: {"reader": ("L1H0", "L2MLP"), "none": ()},
}


def _filled(kind, **known):
    """An instance with something in every field."""
    values = dict(known)
    for field in dataclasses.fields(kind):
        if field.name in values:
            continue
        wanted = field.type
        if wanted in FILLERS:
            values[field.name] = FILLERS[wanted]
        else:
            values[field.name] = _filled(wanted)
    return kind(**values)


def _findings(**changes) -> Findings:
    joint = [_filled(JointFound, sufficiency=_filled(Estimate), necessity=None)]
    known = {
        "asked": _filled(Asked),
        "behaviour": _filled(BehaviourFound),
        "gate": _filled(GateFound),
        "conservation_error": 1e-6,
        "nodes": (_filled(NodeFound), _filled(NodeFound, head=-1)),
        "selection": _filled(SelectionFound),
        "joint": tuple(joint),
        "heads": (_filled(HeadFound),),
        "planted": _filled(PlantedFound),
    }
    return _filled(Findings, **{**known, **changes})


def test_full_findings_read_back_equal():
    findings = _findings()
    assert Findings.from_json(findings.to_json()) == findings


def test_findings_without_a_circuit_read_back_equal():
    findings = _findings(
        has_circuit=False,
        conservation_error=None,
        nodes=(),
        selection=None,
        joint=(),
        heads=(),
        planted=None,
    )
    again = Findings.from_json(findings.to_json())
    assert again == findings
    assert again.selection is None and again.nodes == ()


def test_read_back_findings_have_the_classes_they_were_written_from():
    again = Findings.from_json(_findings().to_json())
    assert isinstance(again.joint[0].sufficiency, Estimate)
    assert again.joint[0].necessity is None
    assert isinstance(again.nodes[1].direct["rotation"], Estimate)
    assert again.behaviour.gold_by_letter == ((1.0, 2.0), (3.0, 4.0))
    assert again.planted is not None
    assert again.planted.planted["reader"] == ("L1H0", "L2MLP")


def test_the_json_is_plain():
    assert json.loads(_findings().to_json())["behaviour"]["accuracy"]["mean"] == 0.1
