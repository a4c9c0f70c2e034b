"""The pages for users: every snippet runs, every site is there."""

import re
from pathlib import Path

import pytest

from mcq_jax.interventions import Site, aliases

DOCS = Path(__file__).parents[2] / "docs"


def _page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("interventions.md", marks=pytest.mark.slow),
        pytest.param("sweeps.md", marks=pytest.mark.slow),
        "migrating.md",
    ],
)
def test_every_snippet_of_the_page_runs(name: str):
    page = _page(name)
    snippets = re.findall(r"^```python\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    assert snippets
    names: dict = {"__name__": name}
    for snippet in snippets:
        # As many lines ahead as in the page, so that errors name the page's lines.
        ahead = page[: page.index(snippet)].count("\n")
        exec(compile("\n" * ahead + snippet, name, "exec"), names)


@pytest.mark.parametrize("name", ["interventions.md", "migrating.md"])
def test_every_site_has_its_place_in_the_tables(name: str):
    rows = [line for line in _page(name).splitlines() if line.startswith("|")]
    missing = [
        site.name for site in Site if not any(f"`{site.name}`" in r for r in rows)
    ]
    assert not missing


def test_names_in_the_migration_page_are_known():
    page = _page("migrating.md")
    same = page[page.index("## Names that mean") : page.index("## Names that only")]
    found = re.findall(r"`((?:blocks\.l\.)?[a-z_0-9.]*hook_[a-z_]+)`", same)
    assert len(found) > 30
    for name in found:
        Site.parse(name.replace(".l.", ".3."), gated=True)


def test_names_that_are_refused_are_explained():
    page = _page("migrating.md")
    refused = page[page.index("## Names that only") : page.index("## Shapes")]
    for name in aliases.DIFFERENT:
        if name.startswith(("ln2.hook_n", "ln_final.hook_n")):
            continue  # like those of ln1
        assert name.removeprefix("attn.") in refused
