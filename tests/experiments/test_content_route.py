"""The content's way in planted circuits: exact layers, heads and edges."""

import pathlib

import numpy as np
import pytest

from mcq_jax import planted as circuits
from mcq_jax.checkpoints import Checkpoint
from mcq_jax.experiments import (
    Behaviour,
    ContentRoute,
    DrawnCircuit,
    HeadClasses,
    JointTests,
    Mutated,
    NodeEffects,
    content_spans,
    pipeline,
    run,
)
from mcq_jax.interventions import Node
from mcq_jax.results import ContentRouteFindings, DrawnCircuitFindings, SweepFound
from tests.experiments.runs import page_with, planted_config, quiet

pytestmark = pytest.mark.slow

# What is left of exact shares in float32.
EXACT = 1e-3
LISTED = (
    Behaviour(), NodeEffects(), JointTests(random_sets=1), HeadClasses(),
    ContentRoute(prompts_per_question=1, options_first="options first"),
    DrawnCircuit(
        share=1.0, most_nodes=24, ranking_prompts=2, prompts_per_question=1,
        random_draws=2,
    ),
)  # fmt: skip


def _run_of(model: circuits.Planted, out: pathlib.Path):
    """All of it on a planted model that run cards do not name."""
    config = planted_config(
        out, experiments=LISTED, question_count=6, effect_questions=6,
        other_prompts=(Mutated(name="options first", mutation="options_first"),),
    )  # fmt: skip
    checkpoint = Checkpoint(
        parameters=model.parameters, config=model.config, tokenizer=model.tokenizer,
        name="line ends", content_hash=f"line ends {model.seed} {model.agreement}",
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(
            pipeline, "open_model", lambda config: (checkpoint, model.truth)
        )
        return run(config, quiet())


@pytest.fixture(scope="module")
def line_ends(tmp_path_factory):
    model = circuits.plant_line_ends(1)
    found, folder = _run_of(model, tmp_path_factory.mktemp("line ends"))
    return model, found, page_with(found, folder, "content_route", "drawn_circuit")


def _by_layer(sweep: SweepFound, tokens: str) -> np.ndarray:
    return np.array([s.rotation.mean for s in sweep.spans if s.tokens == tokens])


def test_content_steps_from_options_to_line_breaks_to_the_last_token(line_ends):
    """In front of which layer each is held is known; a flag would change no step."""
    model, found, _ = line_ends
    sweep, first = found.get(ContentRouteFindings).sweeps
    # No token of an option knows the question there: the circuit has no answer.
    assert "interval" in first.refused and not first.spans
    truth = model.truth
    [collecting] = truth.playing("collector head")
    gathering = [node.layer for node in truth.playing("content gatherer")]
    layers = np.arange(model.config.layers)
    text = _by_layer(sweep, "option text, right line")
    assert (text[layers > collecting.layer] < EXACT).all()
    assert (text[layers <= collecting.layer] > 0.5).all()
    ends = _by_layer(sweep, "line ends, right line")
    is_held = (layers > collecting.layer) & (layers <= min(gathering))
    assert (ends[is_held] > 0.5).all() and is_held.any()
    assert (np.abs(ends[(layers <= collecting.layer)]) < EXACT).all()
    assert (np.abs(ends[layers > max(gathering)]) < EXACT).all()
    last = _by_layer(sweep, "last token")
    assert (np.abs(last[layers <= min(gathering)]) < EXACT).all()
    assert last[layers > max(gathering)] == pytest.approx(1, abs=EXACT)
    for tokens in ("labels, right line", "labels, other lines", "question"):
        assert np.abs(_by_layer(sweep, tokens)).max() < EXACT
    assert sweep.absent == ("cue",)  # of it these prompts have the last token alone


def test_kinds_that_a_prompt_has_no_token_of_are_named():
    """They have no row, which is not to say that they do nothing."""
    one, none = np.array([3]), np.array([], int)
    found = [{"question": one, "labels": one}, {"question": one, "labels": none}]
    assert content_spans.kinds_of(found) == (("question",), ("labels",))


def test_gatherers_are_found_and_no_other_head(line_ends):
    model, found, _ = line_ends
    values = found.get(ContentRouteFindings)
    names = {gatherer.name for gatherer in values.gatherers}
    assert names == set(map(str, model.truth.playing("content gatherer")))
    assert values.by_chance == 0
    for gatherer in values.gatherers:
        assert gatherer.token == -1
        assert gatherer.right.mean == pytest.approx(1, abs=EXACT)
        assert gatherer.wrong.mean == pytest.approx(0, abs=EXACT)
        assert gatherer.direct.mean == pytest.approx(0, abs=EXACT)
        assert gatherer.total.mean > 1


def _expected_edges(model: circuits.Planted) -> set[str]:
    """What reads the difference of two orders, by the circuit's story."""
    truth, edges = model.truth, set()

    def after(one: Node, other: Node) -> bool:
        return one.layer > other.layer or (
            one.layer == other.layer and one.head is None and other.head is not None
        )

    [agreeing] = truth.playing("agreeing block")
    [head], [block] = (
        truth.playing(f"amplif{name}") for name in ("ier head", "ying block")
    )
    pointers = truth.playing("correct-letter head")
    for gatherer in truth.playing("content gatherer"):
        edges |= {f"line ends -> {gatherer}.k", f"{gatherer} -> {agreeing}.mlp_in"}
    for pointer in pointers:
        edges |= {f"{agreeing} -> {pointer}.q"}
    for writer in (*pointers, head, block):
        edges |= {f"{writer} -> output"}
        edges |= {f"{writer} -> {head}.v"} if after(head, writer) else set()
        edges |= {f"{writer} -> {block}.mlp_in"} if after(block, writer) else set()
    return edges


def test_the_drawn_edges_are_those_that_were_planted(line_ends):
    model, found, _ = line_ends
    values = found.get(DrawnCircuitFindings)
    assert {edge.edge for edge in values.edges} == _expected_edges(model)
    kinds = {one.kind: one for one in values.sets}
    for kind in ("drawn", "every edge"):
        for share in (kinds[kind].sufficiency, kinds[kind].necessity):
            assert share is not None
            assert share.mean == pytest.approx(1, abs=EXACT)
    for kind in ("random", "next_best"):
        for share in (kinds[kind].sufficiency, kinds[kind].necessity):
            assert share is not None and abs(share.mean) < EXACT
    by_chance = kinds["random_paths"]
    assert by_chance.size == kinds["drawn"].size
    for share in (by_chance.sufficiency, by_chance.necessity):
        assert share is not None and abs(share.mean) < 0.5


def test_paths_into_queries_come_from_the_block_that_agrees(line_ends):
    model, found, _ = line_ends
    values = found.get(DrawnCircuitFindings)
    [agreeing] = model.truth.playing("agreeing block")
    paths = {(path.senders, path.into): path for path in values.paths}
    best = paths[f"best 1: {agreeing}", "queries"]
    assert best.score is not None and best.score.mean == pytest.approx(1, abs=EXACT)
    assert best.net is not None and best.net.mean == pytest.approx(1, abs=EXACT)
    random = paths["random", "queries"]
    assert random.score is not None and abs(random.score.mean) < EXACT
    # Labels are the same in every order.
    assert abs(values.contrast["label keys"].mean) < EXACT
    assert paths["all nodes", "label keys"].score is None


def test_the_page_shows_the_way_and_the_circuit(line_ends):
    _, _, page = line_ends
    assert "options first" in page
