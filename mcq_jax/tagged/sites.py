"""The map of a foreign function: every value that its author gave a name.

A site is found by walking the jaxpr, so it also knows what stands around it: loops,
branches, rematerialisation. A name met several times becomes `name[0]`, `name[1]`, ...
"""

import collections
import dataclasses
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from mcq_jax.tagged import jaxprs
from mcq_jax.tagged.jaxprs import Construct


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaggedSite:
    """One value with a name, in the order in which the function computes them."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype
    loops: tuple[int | None, ...]  # trip counts, outermost first; None: a while
    inside: tuple[str, ...]  # what stands around it, outermost first
    refused: str  # why it can only be listed; empty if it can be changed and seen
    path: tuple[int, ...] = dataclasses.field(repr=False)  # its place in the jaxpr

    def sizes(self, max_steps: int | None) -> tuple[int, ...]:
        """The loops that count iterations: a while does so if `max_steps` is given."""
        counted = (max_steps if loop is None else loop for loop in self.loops)
        return tuple(size for size in counted if size is not None)

    def layers(self, max_steps: int | None = None) -> int | None:
        """How many iterations there are to tell apart; None outside of loops."""
        sizes = self.sizes(max_steps)
        return math.prod(sizes) if sizes else None

    def __str__(self) -> str:
        return "  ".join(cell for cell in _cells(self) if cell)


def describe(sites: Sequence[TaggedSite]) -> str:
    """Returns a table of sites to print: name, type, loops, surroundings."""
    rows = [("name", "type", "layers", "inside"), *(_cells(site) for site in sites)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)


def _cells(site: TaggedSite) -> tuple[str, str, str, str]:
    loops = " x ".join("?" if loop is None else str(loop) for loop in site.loops)
    around = " > ".join(site.inside)
    if site.refused:
        around = f"{around} (only listed: {site.refused})"
    shape = ", ".join(map(str, site.shape))
    return site.name, f"{site.dtype}[{shape}]", loops, around


def find_sites(jaxpr: Any) -> tuple[TaggedSite, ...]:
    """Returns the sites of a jaxpr, repeated names told apart by a number."""
    found = tuple(_walk(jaxpr, ()))
    repeats = collections.Counter(site.name for site in found)
    met = collections.Counter()
    numbered = []
    for site in found:
        if repeats[site.name] > 1:
            number = met[site.name]
            met[site.name] += 1
            site = dataclasses.replace(site, name=f"{site.name}[{number}]")
        numbered.append(site)
    return tuple(numbered)


def _walk(jaxpr: Any, path: tuple[int, ...]) -> Iterator[TaggedSite]:
    for index, equation in enumerate(jaxprs.opened(jaxpr)[0].eqns):
        kind = jaxprs.construct(equation)
        if kind is Construct.NAME:
            aval = equation.outvars[0].aval
            yield TaggedSite(
                name=equation.params["name"],
                shape=tuple(aval.shape),
                dtype=aval.dtype,
                loops=(),
                inside=(),
                refused="",
                path=(*path, index),
            )
            continue
        for child, inner in enumerate(jaxprs.inner_jaxprs(equation)):
            for site in _walk(inner, (*path, index, child)):
                yield _enclosed(site, equation, child)


def _enclosed(site: TaggedSite, equation: Any, child: int) -> TaggedSite:
    kind = jaxprs.construct(equation)
    loops, word, refused = site.loops, kind.value, site.refused
    if kind is Construct.SCAN:
        loops = (equation.params["length"], *loops)
    if kind is Construct.WHILE:
        loops = (None, *loops)
        if child == 0:
            word, refused = "condition of while", "a condition gives only its verdict"
    if kind is Construct.OTHER:
        word = equation.primitive.name
        refused = f"we do not enter {word}"
    return dataclasses.replace(
        site, loops=loops, inside=(word, *site.inside), refused=refused
    )
