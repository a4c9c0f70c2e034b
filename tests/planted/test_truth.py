"""What `Truth` says of a planted model is what its forward pass does."""

import numpy as np
import pytest

from mcq_jax.interventions import Site
from mcq_jax.planted import Agreement, Planted, Truth, Variant, plant
from mcq_jax.planted.weights import Head, Neurons
from mcq_jax.prompts import rotations
from tests.planted.asked import ROWS, Asked, ask, net, replace_node, story_nodes

# Float32 against exact arithmetic, as a share of the logit scale.
TOLERANCE = 1e-4
KINDS = ("rotation", "other", "placebo")

PLANTED: dict[str, Planted] = {
    "ordinal, or": plant(0, agreement=Agreement.OR),
    "letter, or, 3 options": plant(
        2, choices=3, variant=Variant.LETTER, agreement=Agreement.OR
    ),
    "mixed, and, 6 options": plant(
        3, choices=6, variant=Variant.MIXED, agreement=Agreement.AND
    ),
}
cases = pytest.mark.parametrize("planted", PLANTED.values(), ids=PLANTED)


def _prompts(planted: Planted, *, shuffled: bool = False) -> Asked:
    shifts = [
        shifted
        for question in planted.questions(ROWS // planted.choices)
        for shifted in rotations(question)
    ]
    if not shuffled:
        return ask(planted, shifts)
    generator = np.random.default_rng(1)
    letters = [list(generator.permutation(list("ABCDEFGHIJ"))) for _ in shifts]
    return ask(planted, shifts, labels=[row[: planted.choices] for row in letters])


def _sources(asked: Asked, kind: str) -> np.ndarray:
    """For each prompt the row of a source: rotations of a question are neighbours."""
    rows, choices = np.arange(len(asked.facts)), asked.planted.choices
    question, shift = np.divmod(rows, choices)
    if kind == "rotation":
        return question * choices + (shift + 1) % choices
    wanted = asked.gold if kind == "placebo" else (asked.gold + 1) % choices
    following = (question + 1) % (len(rows) // choices)
    candidates = following[:, None] * choices + np.arange(choices)
    return candidates[rows, (asked.gold[candidates] == wanted[:, None]).argmax(1)]


def _source_outputs(asked: Asked, rows: np.ndarray) -> dict[Site, np.ndarray]:
    spare = np.zeros(ROWS - len(rows), int)
    order = np.concatenate([rows, spare])
    return {site: x[:, order] for site, x in asked.node_outputs().items()}


def _measured_contributions(
    asked: Asked,
) -> np.ndarray:  # [prompt, layer, node, choice]
    parameters, outputs = asked.planted.parameters, asked.node_outputs()
    weights = np.concatenate([g["attention"]["output"] for g in parameters.layers])
    heads = np.einsum("lrpkgh,lkghw->rlkw", outputs[Site.Z], weights)
    blocks = outputs[Site.MLP_OUT][:, :, 0].transpose(1, 0, 2)[:, :, None]
    writes = np.concatenate([heads, blocks], axis=2)[: len(asked.facts)]
    table = np.asarray(parameters.unembed["~"]["table"])
    return np.einsum("rlnw,rcw->rlnc", writes, table[asked.answer_ids])


def _scale(asked: Asked) -> float:
    logits = [asked.planted.truth.answer_logits(prompt) for prompt in asked.facts]
    return float(np.abs(logits).max())


@cases
@pytest.mark.parametrize("shuffled", [False, True])
def test_contributions_are_the_analytic_ones(planted: Planted, shuffled: bool):
    asked = _prompts(planted, shuffled=shuffled)
    measured = _measured_contributions(asked)
    expected = np.stack([planted.truth.contributions(f) for f in asked.facts])
    atol = TOLERANCE * _scale(asked)
    np.testing.assert_allclose(measured, expected, atol=atol, rtol=0)
    # Conservation: nothing else writes to the answer.
    np.testing.assert_allclose(measured.sum((1, 2)), asked.logits(), atol=atol, rtol=0)


@pytest.mark.few
@cases
@pytest.mark.parametrize("kind", KINDS)
def test_patched_logits_are_the_analytic_ones(planted: Planted, kind: str):
    asked = _prompts(planted, shuffled=planted.variant is not Variant.ORDINAL)
    rows, truth = _sources(asked, kind), planted.truth
    outputs = _source_outputs(asked, rows)
    pairs = [(f, asked.facts[row]) for f, row in zip(asked.facts, rows, strict=True)]
    expected = np.stack([truth.patched_logits(*pair) for pair in pairs])
    atol = TOLERANCE * _scale(asked)
    for node in story_nodes(planted):
        patched = asked.logits(replace_node(asked, node, outputs))
        mine = expected[:, node.layer, node.column(truth.heads)]
        np.testing.assert_allclose(patched, mine, atol=atol, rtol=0, err_msg=str(node))


@pytest.mark.few
@cases
@pytest.mark.parametrize("kind", KINDS)
def test_mean_effects_of_nodes_that_treat_letters_alike_need_few_sources(
    planted: Planted, kind: str
):
    asked, truth = _prompts(planted), planted.truth
    rows, effects = _sources(asked, kind), planted.truth.effects(kind)
    outputs = _source_outputs(asked, rows)
    contributions = _measured_contributions(asked)
    direct = net(contributions - contributions[rows], asked.gold).mean(0)
    clean, atol = net(asked.logits(), asked.gold), TOLERANCE * _scale(asked)
    for role in ("correct-letter head", "negative head", "content gatherer"):
        node = truth.playing(role)[0]
        patched = asked.logits(replace_node(asked, node, outputs))
        total = (clean - net(patched, asked.gold)).mean()
        found = direct[node.layer, node.column(truth.heads)]
        assert found == pytest.approx(effects[node].direct, abs=atol)
        if role != "content gatherer":
            assert total == pytest.approx(effects[node].total, abs=atol)
        elif kind == "placebo":
            assert effects[node].total == pytest.approx(0)


def test_effects_tell_content_nodes_from_pointers():
    truth = plant(0).truth
    rotation, placebo = truth.effects("rotation"), truth.effects("placebo")
    [reader], [gatherer, _] = (
        truth.playing("reader head"),
        truth.playing("content gatherer"),
    )
    assert rotation[reader].total == pytest.approx(0)
    assert placebo[reader].total is None  # depends on the words of both questions
    assert (rotation[gatherer].total or 0) > 1
    assert placebo[gatherer].total == pytest.approx(0)
    assert all(effect.direct == pytest.approx(0) for effect in placebo.values())


@pytest.mark.parametrize("choices", [2, 4, 7])
def test_effects_of_correct_letter_heads_have_their_closed_form(choices: int):
    truth = plant(4, choices=choices, variant=Variant.MIXED).truth
    attribution, effects = truth.direct_logit_attribution(), truth.effects("other")
    [node] = truth.playing("amplifying block")
    block = truth.parts[node].weights
    assert isinstance(block, Neurons)
    [amplifier] = _heads(truth, "amplifier head")
    louder = 1 + amplifier.writes[0].strength
    louder *= 1 + np.linalg.norm(block.writes[0])
    nodes = truth.playing("correct-letter head")
    for node, head in zip(nodes, _heads(truth, "correct-letter head"), strict=True):
        write, *_ = head.writes
        *_, by_position, by_letter = head.matches
        sharpness = by_position.strength + by_letter.strength
        normaliser = np.exp(sharpness) + choices - 1
        alone = write.strength * (np.exp(sharpness) - 1) / normaliser
        direct = alone * choices / (choices - 1)
        assert attribution[node] == pytest.approx(alone)
        assert effects[node].direct == pytest.approx(direct)
        assert effects[node].total == pytest.approx(direct * louder)


def _heads(truth: Truth, role: str) -> list[Head]:
    weights = [truth.parts[node].weights for node in truth.playing(role)]
    return [head for head in weights if isinstance(head, Head)]


def test_an_unknown_kind_of_source_is_refused():
    with pytest.raises(ValueError, match="'swapped' is no kind of source"):
        plant(0).truth.effects("swapped")


def test_an_unknown_role_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="no node is a 'pianist'.*amplifier head"):
        plant(0).truth.playing("pianist")
