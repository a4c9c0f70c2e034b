"""Self-repair of planted circuits is what arithmetic says, in all three ablations."""

import dataclasses
import functools
import pathlib
from collections.abc import Iterable, Mapping

import numpy as np
import pytest

from mcq_jax import planted
from mcq_jax.experiments import (
    Behaviour,
    HeadClasses,
    JointTests,
    Lab,
    NodeEffects,
    SelfRepair,
    run,
)
from mcq_jax.experiments.repair_readings import BOTH, EITHER, reading
from mcq_jax.experiments.repair_rows import units_of
from mcq_jax.experiments.self_repair import ABLATIONS
from mcq_jax.interventions import Node
from mcq_jax.metrics import Interval
from mcq_jax.planted import Facts, asking, ideal
from mcq_jax.report import sections
from mcq_jax.results import RunResults, SelfRepairFindings
from tests.experiments.runs import page_with, planted_config, quiet

# Of the answers' scale, in float32.
ROUNDING = 1e-4
_LABS: list[Lab] = []


class _Watched(SelfRepair):
    """Leaves its lab behind."""

    def run(self, lab: Lab) -> SelfRepairFindings:
        _LABS.append(lab)
        return super().run(lab)


def _ran(out: pathlib.Path, circuit: int) -> tuple[RunResults, Lab]:
    listed = (
        Behaviour(), NodeEffects(), JointTests(random_sets=1), HeadClasses(),
        _Watched(random_sets=1),
    )  # fmt: skip
    found, folder = run(planted_config(out, circuit=circuit, experiments=listed),
                        quiet())  # fmt: skip
    page_with(found, folder, "repair")
    return found, _LABS.pop()


def _facts(ids: np.ndarray) -> Facts:
    """What the circuit sees of a prompt, read off its tokens."""
    words = [asking.VOCABULARY[i] for i in ids]
    named = [asking.OPTION_WORDS.index(w) for w in words if w in asking.OPTION_WORDS]
    letters = tuple(asking.LABELS.index(w) for w in words if w in asking.LABELS)
    return Facts(asked=named[0], options=tuple(named[1:]), letters=letters)


def _mean(tokens: Iterable[ideal.LastToken]) -> ideal.LastToken:
    """The mean of what a node writes."""
    tokens = list(tokens)
    total = functools.reduce(lambda a, b: a + b, tokens)
    fields = (f.name for f in dataclasses.fields(total))
    return ideal.LastToken(**{f: getattr(total, f) / len(tokens) for f in fields})


def _net(written: ideal.LastToken, facts: Facts) -> float:
    logits = written.out[list(facts.letters)]
    return float(logits[facts.gold] - np.delete(logits, facts.gold).mean())


def _expected(
    truth: planted.Truth,
    facts: Facts,
    nodes: Iterable[Node],
    others: Mapping[Node, ideal.LastToken],
) -> tuple[float, dict[Node, float]]:
    """Direct effect, and what every node makes up for."""
    clean = truth.written(facts)
    ablated = {node: others[node] for node in nodes if node in clean}
    after = truth.written_under(facts, ablated)
    direct = sum(_net(clean[n], facts) - _net(o, facts) for n, o in ablated.items())
    return direct, {n: _net(after[n], facts) - _net(clean[n], facts)
                    for n in clean if n not in ablated}  # fmt: skip


def _assert_repair_is_arithmetic(out: pathlib.Path, circuit: int) -> None:
    found, lab = _ran(out, circuit)
    truth, study, heads = lab.truth, lab.studied, lab.checkpoint.config.heads
    assert truth is not None
    facts = [_facts(prompt.ids) for prompt in study.prompts]
    writes = [truth.written(one) for one in facts]
    chosen = [writes[i] for i in np.flatnonzero(study.choosing)]
    means = {n: _mean(w[n] for w in chosen) for n in writes[0]}
    units = units_of(lab)
    table = _table(lab)
    scale = max(abs(w.out).max() for by in writes for w in by.values())
    [reader] = truth.playing("reader head")
    checked = 0
    for row, prompt in enumerate(table["prompt"]):
        source = study.sources.index[prompt, 0]
        zeros = dict.fromkeys(writes[0], ideal.NOTHING)
        for number, others in enumerate((writes[source], means, zeros)):
            for place, unit in enumerate(units):
                nodes = [
                    Node.at(layer, column, heads)
                    for layer, column in np.argwhere(unit.mask).tolist()
                ]
                if ABLATIONS[number] == "mean" and reader in nodes:
                    continue  # the mean of several words is no word
                direct, later = _expected(truth, facts[prompt], nodes, others)
                expected = np.zeros(table["later"].shape[-2:])
                for node, value in later.items():
                    expected[node.layer, node.column(heads)] = value
                at = (row, number, place)
                bound = ROUNDING * scale
                assert abs(table["direct"][at] - direct) < bound, (unit.name, at)
                np.testing.assert_allclose(table["later"][at], expected, atol=bound)
                lost = direct - expected.sum()
                assert abs(table["free"][at] - lost) < 3 * bound
                assert abs(table["frozen"][at] - lost) < 3 * bound
                checked += 1
    assert checked > 100
    values = found.get(SelfRepairFindings)
    assert values is not None and values.conservation_error < 3 * ROUNDING * scale
    _assert_slopes_only_where_effects_differ(values, table)
    _assert_zeros_wake_the_backup(values, truth)
    shown = {section.anchor: section for section in sections.sections(found)}
    # Planted layers pass a loss on, and make up for none of it by resampling.
    assert [claim.status for claim in shown["repair"].claims] == ["contradicted"]
    _assert_gatherers_are_as_planted(values, lab)


def _table(lab: Lab) -> dict[str, np.ndarray]:
    """The table of the run, read again: nothing is missing from it."""
    [key] = lab.folder.tables()["self_repair"]
    columns = lab.folder.table_of("self_repair", key).read()
    order = np.argsort(columns["prompt"])
    return {name: column[order] for name, column in columns.items()}


def _assert_slopes_only_where_effects_differ(found: SelfRepairFindings, table):
    sloped = [repair for repair in found.repairs if repair.slope is not None]
    assert sloped
    for place, repair in enumerate(found.repairs):
        unit, ablation = divmod(place, len(ABLATIONS))
        spread = table["direct"][:, ablation, unit].std()
        differs = spread > 1e-4 * np.abs(table["net"]).max()
        assert (repair.slope is not None) == differs, repair.name
        assert repair.share is None or abs(repair.direct.mean) > 1e-3


def _assert_zeros_wake_the_backup(found: SelfRepairFindings, truth: planted.Truth):
    [backup] = truth.playing("backup head")
    for node in truth.playing("correct-letter head"):
        by_ablation = {r.ablation: r for r in found.repairs if r.name == str(node)}
        # At most the amplifiers answer to resampling, by writing less.
        assert by_ablation["resample"].compensation.mean < 1e-4
        named = {later.name: later for later in by_ablation["zero"].later}
        assert named[str(backup)].compensation.low > 1
        woken = named[str(backup)].compensation.mean
        assert by_ablation["zero"].compensation.mean > (
            woken + by_ablation["mean"].compensation.mean - 1e-3
        )


def _assert_gatherers_are_as_planted(found: SelfRepairFindings, lab: Lab):
    """Two gatherers that agree by OR replace each other; by AND both are needed.

    Of zeros, that is: another prompt's find is a second line that is wanted as well.
    """
    [both] = [
        i for i in found.interactions
        if i.of == "content gatherers" and i.ablation == "zero"
    ]  # fmt: skip
    alone = (both.first_effect.mean, both.second_effect.mean)
    planted_model = planted.plant(lab.config.planted_seed)
    if planted_model.agreement is planted.Agreement.OR:
        assert max(map(abs, alone)) < 1e-3 and both.reading == EITHER
        assert both.interaction.mean == pytest.approx(both.both.mean, abs=1e-3)
    else:
        assert alone[0] == pytest.approx(both.both.mean, rel=1e-3)
        assert both.reading == BOTH
    [group] = [
        g for g in found.groups
        if g.name == "content gatherers" and g.ablation == "resample"
    ]  # fmt: skip
    assert group.noised.low > 1


@pytest.mark.slow
@pytest.mark.parametrize("circuit", [0, pytest.param(1, marks=pytest.mark.exhaustive)])
def test_repair_is_arithmetic(tmp_path: pathlib.Path, circuit: int):
    _assert_repair_is_arithmetic(tmp_path, circuit)


@pytest.mark.exhaustive
@pytest.mark.parametrize("circuit", range(2, 22))
def test_repair_is_arithmetic_in_more_circuits(tmp_path: pathlib.Path, circuit: int):
    _assert_repair_is_arithmetic(tmp_path, circuit)


def test_an_interaction_is_read_only_beyond_the_share_set_beforehand():
    def about(mean: float, width: float = 0.05) -> Interval:
        return Interval(mean=mean, low=mean - width, high=mean + width, questions=9)

    whole = about(2.0)
    assert reading(about(0.5), whole, 0.1) == EITHER
    assert reading(about(-0.5), whole, 0.1) == BOTH
    assert reading(about(-0.5), about(-2.0), 0.1) == EITHER
    assert reading(about(0.0), whole, 0.1) == "independent"
    assert reading(about(0.2), whole, 0.1) == "undecided"
    assert reading(about(0.5), about(0.01), 0.1) == "undecided"


def test_options_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="random_sets is 0; give at least 1"):
        SelfRepair(random_sets=0)
    with pytest.raises(ValueError, match="independent_within is 1.5, a share"):
        SelfRepair(independent_within=1.5)
