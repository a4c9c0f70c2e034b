"""Inputs of the right kind that make no sense: a sentence, not a number."""

import functools

import numpy as np
import pytest

from mcq_jax import learning, metrics, passes, paths
from mcq_jax.interventions import Node, Site
from mcq_jax.learning import Where
from mcq_jax.paths import TokenEdge, Wiring
from tests import tiny

CONFIG = tiny.CASES["grouped heads, biases, partial rotation"]
WIRING = Wiring((Node(0, 1), Node(1)), ("label",))
RANDOM = np.random.default_rng(0)
NAN = np.where(np.arange(12).reshape(6, 2) == 5, np.nan, 1.0)
SIX = np.arange(6)
HALF = SIX < 3


@functools.cache
def _parameters():
    return tiny.random_parameters(CONFIG)


@functools.cache
def _pass():
    tokens = tiny.random_tokens(CONFIG, 2, 5)
    lengths = np.full(2, 5)
    sites = paths.WIRED_SITES
    return passes.prefill(_parameters(), tokens, lengths, config=CONFIG, sites=sites)


def _resumed(of):
    passes.resume_edited(_parameters(), _pass(), of=np.array(of), config=CONFIG)


def _wired(base=(0,), other=(1,), kinds=((-1, 0),), drawn=5):
    paths.run_wired(
        _parameters(), _pass(), WIRING, np.ones((1, drawn), bool), base=np.array(base),
        other=np.array(other), kinds=np.array(kinds), config=CONFIG,
    )  # fmt: skip


# By room: the call, and what its error has to say.
THINGS = {
    "numbers that are not finite": [
        (lambda: metrics.rank(NAN), "effects to rank: 1 of 12 .* nan at .2, 1."),
        (lambda: metrics.rank_for(NAN[2], 0.9), "weights of a basis: 1 of 2"),
        (lambda: metrics.percentiles(NAN), "excess attention: 1 of 12"),
        (lambda: metrics.overlap(NAN, NAN, ([(0, 0)], [(0, 0)])), "effects to rank"),
        (
            lambda: metrics.predictions(NAN, without_prior=False),
            "answer logits: 1 of 12 numbers are not finite",
        ),
        (
            lambda: metrics.probe_classes(NAN, SIX % 2, SIX, HALF),
            "features of a probe: 1 of 12",
        ),
        (
            lambda: learning.read_part(np.full((1, 3), np.nan), np.eye(3)),
            "a basis: 3 of 3",
        ),
    ],
    "nothing": [
        (lambda: learning.read_part(np.zeros((1, 3)), np.eye(3)), "a basis of zeros"),
        (lambda: learning.rows_of(0, 4), "0 rows, 4 at once"),
        (lambda: learning.rows_of(4, 0), "0 as at_once of rows_of; give at least 1"),
        (
            lambda: metrics.share_two_way(HALF[:0], SIX[:0], SIX[:0]),
            "shares of no rows",
        ),
        (lambda: metrics.control_classes(SIX, 0, seed=0), "labels of 0 choices"),
        (lambda: metrics.control_classes(SIX, 2, seed=-1), "-1 as seed .* at least 0"),
        (lambda: Wiring((), ("label",)), "a wiring of no nodes"),
    ],
    "names of what is not there": [
        (lambda: Where(heads=(Node(0),)), "queries of L0MLP; .* name heads"),
        (
            lambda: learning.whole_basis(Where(heads=(Node(0, 99),)), CONFIG),
            "layers .0. of L0H99; the model has 3 layers of 8 heads",
        ),
        (
            lambda: learning.whole_basis(Where(layer=-1), CONFIG),
            "layers .-1.; the model has 3",
        ),
        (
            lambda: learning.read_directions(_parameters(), 4, 3),
            "from layer 4 on, of 3; give 0 to 3",
        ),
        (lambda: _resumed([0, 2]), "rows are of run from 0 to 2; give some of 0 to 1"),
        (lambda: _resumed([-1]), "run from -1 to -1"),
        (lambda: Wiring(("L0H1",), ()), "'L0H1' as a node of a wiring; Node.parse"),  # type: ignore[arg-type]
        (lambda: Wiring((Node(0),), ("a", "a")), "'a', 'a'.; give .* each once"),
        (lambda: TokenEdge("label", "L0H1", Site.K), "'L0H1' as a receiver"),  # type: ignore[arg-type]
        (lambda: _wired(base=(2,)), "base prompts run from 2 to 2"),
        (lambda: _wired(other=(-1,)), "other prompts run from -1"),
        (lambda: _wired(kinds=((0, 1),)), "kinds of tokens, plus 1, run from"),
        (lambda: _wired(drawn=2), "a mask of 2 wires, and there are"),
        (
            lambda: paths.random_like(WIRING, HALF, RANDOM),
            "a mask of 6 wires, and there are",
        ),
    ],
    "halves that do not fit": [
        (
            lambda: learning.run_pairs(_parameters(), [], [object()], config=CONFIG),  # type: ignore[list-item]
            "one of sources of run_pairs; give a TokenisedPrompt",
        ),
        (lambda: WIRING.connected(HALF), "a mask of 6 wires"),
    ],
}


@pytest.mark.parametrize("room", THINGS)
def test_what_makes_no_sense_ends_in_a_sentence(room: str):
    for call, said in THINGS[room]:
        with pytest.raises(ValueError, match=said):
            call()
