"""Wires: all drawn are the other run, none the base; parts equal plain forwards."""

import functools

import jax.numpy as jnp
import numpy as np
import pytest

from mcq_jax.interventions import Edge, Node, Site, all_nodes, patch
from mcq_jax.model import forward, read_by
from mcq_jax.passes import prefill
from mcq_jax.paths import (
    PATH_SITES,
    WIRED_SITES,
    TokenEdge,
    Wiring,
    patch_paths,
    random_like,
    random_paths,
    read_with,
    run_wired,
    written_by,
)
from tests import tiny

TOKENS = 5
# Relative to the largest residual, in float32.
ROUNDING = 2e-5
CASES = (
    "grouped heads, biases, partial rotation",
    "one key head, plain feed-forward, all biases, no rotation",
    "as GPT-2: layer norm, learned positions",
)
# Two of three kinds of earlier tokens; the first token is of none.
KINDS = np.array([-1, 0, 1, 1, 0])


class Setting:
    """Two prompts of one length whose last tokens are the same."""

    def __init__(self, case: str):
        self.config = config = tiny.CASES[case]
        self.parameters = tiny.random_parameters(config)
        ids = np.array(tiny.random_tokens(config, 2, TOKENS))
        ids[1, [0, -1]] = ids[0, [0, -1]]
        self.ids = jnp.asarray(ids)
        self.start = prefill(
            self.parameters, ids, np.full(2, TOKENS), config=config, sites=WIRED_SITES
        )
        capture = tuple({*PATH_SITES, Site.Q, Site.ROT_K, Site.V})
        self.seen = [
            forward(
                self.parameters, self.ids[i : i + 1], config=config, capture=capture
            ).activations
            for i in range(2)
        ]
        nodes = all_nodes(config.layers, config.heads)
        self.wiring = Wiring(nodes, ("one", "two"))

    def run(self, drawn, brings=None, base=1, wiring=None):
        """Final residuals with prompt 1 for a base, prompt 0 the other."""
        found = run_wired(
            self.parameters, self.start, wiring or self.wiring, np.atleast_2d(drawn),
            base=np.array([base]), other=np.array([1 - base]), kinds=KINDS[None],
            config=self.config, brings=None if brings is None else brings[None],
        )  # fmt: skip
        return found[0]

    def plain(self, edits=(), prompt=0):
        """The last residual of a whole forward pass."""
        run = forward(
            self.parameters, self.ids[prompt : prompt + 1], edits, config=self.config,
            capture=[Site.FINAL_RESID],
        )  # fmt: skip
        return run.activations[Site.FINAL_RESID][0, -1]


setting = functools.cache(Setting)


def _assert_equal(found, expected, other):
    scale = float(np.abs(expected).max())
    assert float(np.abs(found - expected).max()) <= ROUNDING * scale
    # and it is a run of its own
    assert float(np.abs(expected - other).max()) > 1e-3 * scale


@pytest.mark.few
@pytest.mark.parametrize("case", CASES)
def test_all_wires_are_the_other_run_and_none_is_the_base(case: str):
    at = setting(case)
    all_and_none = np.stack([np.ones(len(at.wiring.wires), bool)] * 2)
    all_and_none[1] = False
    whole, nothing = at.run(all_and_none)
    _assert_equal(whole, at.plain(prompt=0), at.plain(prompt=1))
    _assert_equal(nothing, at.plain(prompt=1), at.plain(prompt=0))


def _without(wiring: Wiring, is_left_out) -> np.ndarray:
    return np.array([not is_left_out(wire) for wire in wiring.wires])


@pytest.mark.few
@pytest.mark.parametrize("case", CASES)
def test_wires_that_are_not_drawn_are_patches_of_plain_forwards(case: str):
    """Of what a head writes, of a query, of keys and values as one head reads them."""
    at = setting(case)
    config, (_, other) = at.config, at.seen
    head, last = Node(1, config.heads - 1), [[TOKENS - 1]]
    unit = divmod(config.heads - 1, config.group)
    readers = np.zeros((TOKENS, config.kv_heads, config.group), bool)
    readers[-1, *unit] = True

    def at_answer(site):
        value = other[site][1:2, :, -1:]
        return patch(site, value, layers=[1], positions=last, heads=[config.heads - 1])

    def as_read(site, kind):
        where = np.flatnonzero(KINDS == kind)
        where = where[where < TOKENS - 1]
        value = other[site][1:2][:, :, where]
        edit = patch(site, value, layers=[1], positions=where[None])
        return read_by(edit, readers)

    def into(site, sender):
        def is_left_out(wire):
            is_token = isinstance(wire, TokenEdge)
            same = is_token and wire.tokens == sender
            return wire.receiver == head and wire.site is site and (
                same if isinstance(sender, str) else not is_token
            )  # fmt: skip

        return is_left_out

    cases = {
        "what a head writes": (
            lambda wire: isinstance(wire, Edge) and wire.sender == head,
            at_answer(Site.Z),
        ),
        "a query": (into(Site.Q, None), at_answer(Site.Q)),
        "keys": (into(Site.K, "two"), as_read(Site.ROT_K, 1)),
        "values": (into(Site.V, "one"), as_read(Site.V, 0)),
    }
    drawn = np.stack([_without(at.wiring, left_out) for left_out, _ in cases.values()])
    found = at.run(drawn)
    for row, (name, (_, edit)) in enumerate(cases.items()):
        assert name
        _assert_equal(found[row], at.plain([edit]), at.plain())


@pytest.mark.slow
def test_wires_that_bring_are_path_patches():
    """As `patch_paths` has them, at the answer position; a chain ends in the output."""
    at = setting(CASES[0])
    clean, other = at.seen
    edges = {
        "one edge, all behind it recomputed": ("L0H1 -> L1H2.q",),
        "two, into a key of the answer's own and a block": (
            "L0MLP -> L1H0.k", "L0H3 -> L0MLP.mlp_in"
        ),
        "a chain": ("L0H1 -> L1H0.v", "L1H0 -> L2MLP.mlp_in", "L2MLP -> output"),
    }  # fmt: skip
    last = [TOKENS - 1]
    for name, texts in edges.items():
        wanted = [Edge.parse(text) for text in texts]
        edits = patch_paths(
            at.parameters, clean, other, wanted, config=at.config,
            positions={edge: last for edge in wanted},
        )  # fmt: skip
        if name == "a chain":
            brings = at.wiring.mask(wanted[:1])
            drawn = at.wiring.mask(wanted[1:])
        else:
            brings = at.wiring.mask(wanted)
            drawn = np.array([isinstance(w, Edge) for w in at.wiring.wires])
        if name.startswith("two"):  # of which the first sender hears the second
            brings = at.wiring.mask(wanted[1:])
            drawn = drawn & ~at.wiring.mask([Edge.parse("L0MLP -> L1H0.k")])
            drawn |= at.wiring.mask([Edge.parse("L0MLP -> L1H0.k")])
            edits = patch_paths(
                at.parameters, clean, other, wanted[1:], config=at.config,
                positions={wanted[1]: last},
            )  # fmt: skip
        found = at.run(drawn, brings=brings, base=0)
        _assert_equal(found[0], at.plain(edits), at.plain())


def test_a_wiring_of_some_nodes_leaves_the_others_as_in_the_base():
    at = setting(CASES[0])
    some = (Node(0, 1), Node(1, 2), Node(1))
    few = Wiring(some, ("one", "two"))
    whole = at.wiring.mask([w for w in few.wires])
    found = at.run(np.ones(len(few.wires), bool), wiring=few)
    # By the wiring of all nodes: what the others write is read as in the base.
    same = at.run(whole)
    _assert_equal(found[0], same[0], at.plain(prompt=1))


def test_wires_that_lead_nowhere_are_told_apart():
    wiring = Wiring((Node(0, 0), Node(0, 1), Node(1, 0), Node(1)), ("labels",))
    read = TokenEdge("labels", Node(0, 0), Site.V)
    texts = ["L0H0 -> L1H0.q", "L1H0 -> L1MLP.mlp_in", "L1MLP -> output"]
    way = [read, *map(Edge.parse, texts)]
    deaf = Edge.parse("L0H1 -> output")  # its sender hears nothing
    unheard = Edge.parse("L0H0 -> L1H0.k")
    lost = TokenEdge("labels", Node(0, 1), Site.K)
    drawn = wiring.mask([*way, deaf])
    np.testing.assert_array_equal(wiring.connected(drawn), wiring.mask(way))
    drawn = wiring.mask([*way, lost, unheard])
    np.testing.assert_array_equal(wiring.connected(drawn), wiring.mask([*way, unheard]))
    np.testing.assert_array_equal(
        wiring.connected(wiring.mask(way[:-1])), wiring.mask([])
    )


def test_random_wires_are_others_of_the_same_sorts():
    wiring = Wiring(all_nodes(3, 4), ("labels", "ends"))
    generator = np.random.default_rng(0)
    drawn = generator.random(len(wiring.wires)) < 0.1
    other = random_like(wiring, drawn, generator)
    assert not (drawn & other).any() and drawn.sum() == other.sum()

    def sorts(chosen):
        return sorted(
            (type(wiring.wires[i]).__name__, wiring.wires[i].site)
            for i in np.flatnonzero(chosen)
        )

    assert sorts(drawn) == sorts(other)
    most = np.arange(len(drawn)) < len(drawn) // 2 + 1
    with pytest.raises(ValueError, match="not as many others; draw half"):
        random_like(wiring, most, generator)


@pytest.mark.parametrize("most", [2, 3, 40])
def test_random_paths_lead_from_tokens_to_the_output(most: int):
    wiring = Wiring(all_nodes(3, 4), ("labels", "ends"))
    found = random_paths(wiring, most, np.random.default_rng(0))
    np.testing.assert_array_equal(wiring.connected(found), found)
    assert found.sum() == most
    # The shortest path is two wires.
    assert not random_paths(wiring, 1, np.random.default_rng(0)).any()


def test_every_wire_is_on_some_random_path():
    wiring = Wiring(all_nodes(2, 2), ("labels",))
    generator = np.random.default_rng(0)
    every = np.ones(len(wiring.wires), bool)
    drawn = [random_paths(wiring, 10, generator) for _ in range(100)]
    np.testing.assert_array_equal(np.any(drawn, axis=0), wiring.connected(every))
    assert len({row.tobytes() for row in drawn}) > 90
    assert not random_paths(Wiring((Node(0),), ("labels",)), 1, generator).any()
    for most in (0, len(every) + 1):
        with pytest.raises(ValueError, match="ask for one of them at least, and all"):
            random_paths(wiring, most, generator)


def test_wrong_wires_are_refused():
    with pytest.raises(ValueError, match="heads read earlier tokens"):
        TokenEdge("labels", Node(0, 0), Site.Q)
    with pytest.raises(ValueError, match="name at least one"):
        Wiring((), ("labels",))
    wiring = Wiring((Node(0, 0),), ("labels",))
    with pytest.raises(ValueError, match="no wire ends -> L0H0.k"):
        wiring.mask([TokenEdge("ends", Node(0, 0), Site.K)])
    at = setting(CASES[0])
    outside = Wiring((Node(7, 0),), ())
    with pytest.raises(ValueError, match="name the\n?.*model's own"):
        at.run(np.zeros(len(outside.wires), bool), wiring=outside)


@pytest.mark.few
@pytest.mark.parametrize("case", CASES)
def test_queries_read_with_more_written_are_those_of_a_patched_residual(case: str):
    """Sets of senders at once; what one head and one block changed, by a plain run."""
    at = setting(case)
    held = {
        site: at.seen[0][site][:, :, -1:] - at.seen[1][site][:, :, -1:]
        for site in (Site.Z, Site.MLP_OUT)
    }
    nodes, last = (Node(0, 1), Node(1)), np.array([[TOKENS - 1]])
    changes = written_by(at.parameters, nodes, held, at.config)
    sets = np.array([[False, False], [True, False], [True, True]])
    residual = at.seen[1][Site.RESID_PRE][2][:, -1:]
    found = read_with(
        at.parameters, 2, Site.Q, residual, changes, sets, last, config=at.config
    )
    for row, chosen in enumerate(sets):
        more = sum(
            (changes[i] for i in np.flatnonzero(chosen)), jnp.zeros_like(residual)
        )
        edit = patch(
            Site.RESID_PRE, (residual + more)[None], layers=[2], positions=last
        )
        plain = forward(
            at.parameters, at.ids[1:], [edit], config=at.config, capture=[Site.Q]
        ).activations[Site.Q][2][0, -1]
        np.testing.assert_allclose(found[0, row, 0], plain, rtol=2e-5, atol=2e-5)
    assert float(np.abs(found[0, 2] - found[0, 0]).max()) > 1e-3
