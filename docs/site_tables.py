"""Writes the tables of sites into the pages of this folder.

    python -m docs.site_tables

What they say has one source each: axes are those of `Site`, other libraries' names
those that `Site.parse` reads, and what a site is stands here. A table lies between two
comments in its page; whatever is written there by hand is lost.
"""

import pathlib
import re
from collections.abc import Callable, Iterable, Sequence

from mcq_jax.interventions import Site, aliases

FOLDER = pathlib.Path(__file__).parent

WHAT_IT_IS = {
    Site.EMBED: "token embeddings, scaled where the model does (Gemma)",
    Site.POS_EMBED: "learned positions (GPT-2)",
    Site.RESID_PRE: "residual stream into the layer",
    Site.ATTN_SCALE: (
        "what the norm before attention multiplies by: 1 / RMS (in a layer norm, the "
        "RMS of x less its mean)"
    ),
    Site.ATTN_IN: "normed input of attention, behind the gain",
    Site.Q: "queries as projected, before norm and rotation",
    Site.K: "keys as projected, before norm and rotation",
    Site.V: "values as projected",
    Site.Q_SCALE: (
        "what normed queries are multiplied by, per head (Qwen3, Gemma 3, OLMo 2)"
    ),
    Site.K_SCALE: "the same of keys",
    Site.ROT_Q: "queries after norm and rotation",
    Site.ROT_K: "keys after norm and rotation",
    Site.SCORES: "attention before the softmax: scaled, capped, masked",
    Site.PATTERN: "attention after the softmax",
    Site.Z: "each head's mix of values, before the output matrix",
    Site.HEAD_OUT: (
        "what each head adds, before any norm behind attention and without the bias"
    ),
    Site.ATTN_OUT_SCALE: (
        "what the norm behind attention multiplies by (Gemma 2 and 3, OLMo 2)"
    ),
    Site.ATTN_OUT: "what attention adds, behind any norm of it",
    Site.RESID_MID: (
        "residual stream between the halves; where they are in parallel (Pythia), only "
        "the sum so far: the MLP does not read it"
    ),
    Site.MLP_SCALE: "what the norm before the MLP multiplies by",
    Site.MLP_IN: "normed input of the MLP, behind the gain",
    Site.MLP_GATE: "gate of a gated MLP, before its activation",
    Site.MLP_PRE: "the other projection (the only one without a gate)",
    Site.MLP_POST: "hidden units, into the output matrix",
    Site.MLP_OUT_SCALE: (
        "what the norm behind the MLP multiplies by (Gemma 2 and 3, OLMo 2)"
    ),
    Site.MLP_OUT: "what the MLP adds, behind any norm of it",
    Site.RESID_POST: "residual stream out of the layer",
    Site.FINAL_RESID: "residual stream behind the last layer",
    Site.FINAL_SCALE: "what the final norm multiplies by",
    Site.FINAL_NORM: "what the unembedding reads, behind the gain",
    Site.LOGITS: "the output, behind any cap",
}

# What stands behind the names of a cell, since `Site.parse` alone does not say it.
_THEIRS_DIVIDES = "(theirs divides: see below)"
_NOTES = {
    (Site.MLP_GATE, "lens"): "`blocks.l.mlp.hook_pre` (models with a gate)",
    (Site.MLP_PRE, "lens"): "`blocks.l.mlp.hook_pre` (models without a gate)",
    (Site.FINAL_RESID, "lens"): "(the residual stream out of the last layer)",
    (Site.LOGITS, "lens"): "(the return value)",
    (Site.RESID_POST, "mishax"): "(of every layer)",
} | {(site, "lens"): _THEIRS_DIVIDES for site in Site if site.name.endswith("_SCALE")}
# Hooks that TransformerLens 4 has kept under the names of 2 and 3.
_KEPT_IN_4 = {Site.ROT_Q, Site.ROT_K, Site.SCORES, Site.PATTERN}


def axes_table() -> str:
    """Which axes sites have, and what can be selected along them."""
    by_axes: dict[tuple[str, ...], list[Site]] = {}
    for site in Site:
        by_axes.setdefault(site.axes, []).append(site)
    return _table(
        ("`Site`", "axes, for one sequence", "can be selected"),
        (
            (", ".join(map(_code, sites)), ", ".join(axes), _selectable(sites[0]))
            for axes, sites in by_axes.items()
        ),
    )


def names_table() -> str:
    """Which names of other libraries are read as which site."""
    return _table(
        ("`Site`", "TransformerLens 2 and 3", "TransformerLens 4", "mishax"),
        (
            (
                _code(site),
                _cell(site, "lens", _lens_names(site, own_of_4=False)),
                "the same" if site in _KEPT_IN_4
                else _cell(site, "lens 4", _lens_names(site, own_of_4=True)),
                _cell(site, "mishax", _names(aliases.MISHAX, site)),
            )
            for site in Site
        ),
    )  # fmt: skip


def terms_table() -> str:
    """What each site is."""
    rows = []
    for site in Site:
        theirs = _cell(site, "lens", _lens_names(site, own_of_4=False))
        if "`" not in theirs:
            theirs = _quoted(_lens_names(site, own_of_4=True)[:1]) or "–"
        rows.append((_code(site), WHAT_IT_IS[site], theirs))
    return _table(("`Site`", "what it is", "TransformerLens"), rows)


TABLES: dict[str, Callable[[], str]] = {
    "interventions.md": axes_table,
    "migrating.md": names_table,
    "terminology.md": terms_table,
}
_BEGIN, _END = "<!-- python -m docs.site_tables -->\n", "<!-- end of table -->"


def with_table(page: str, table: str) -> str:
    """Returns a page with this table between its comments.

    Raises:
        ValueError: if the page has not both of them.
    """
    before, begin, rest = page.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not (begin and end):
        raise ValueError(
            f"no place for the table of sites; put {_BEGIN.strip()!r} and {_END!r}, "
            "each in a line of its own, where it is to stand."
        )
    return f"{before}{begin}\n{table}\n{end}{after}"


def main() -> None:
    """Rewrites the pages."""
    for name, table in TABLES.items():
        path = FOLDER / name
        page = path.read_text(encoding="utf-8")
        path.write_text(with_table(page, table()), encoding="utf-8")


def _selectable(site: Site) -> str:
    parts = []
    if "group" in site.axes:
        parts.append("query heads")
    elif "kv_head" in site.axes:
        parts.append("kv heads")
    if "neuron" in site.axes:
        parts.append("neurons")
    if site.key_axes:
        return ", ".join([*parts, "positions (who looks), keys (at whom)"])
    return ", ".join(["positions", *parts])


def _lens_names(site: Site, *, own_of_4: bool) -> list[str]:
    """Hooks of TransformerLens; those of 4 are what goes into a module or out of it."""
    start = "blocks.l." if site.per_layer else ""
    return [
        start + name
        for name in _names(aliases.TRANSFORMER_LENS, site)
        if bool(re.search(r"\bhook_(in|out)$", name)) is own_of_4
    ]


def _names(names: dict[str, str], site: Site) -> list[str]:
    return [name for name, member in names.items() if member == site.name]


def _cell(site: Site, library: str, names: Sequence[str]) -> str:
    note = _NOTES.get((site, library), "")
    between = ", " if note.startswith("`") else " "
    return between.join(filter(None, (_quoted(names), note)))


def _code(site: Site) -> str:
    return f"`{site.name}`"


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(cells) + " |\n" for cells in (head, *rows)]
    return lines[0] + "|" + "---|" * len(head) + "\n" + "".join(lines[1:])


if __name__ == "__main__":
    main()
