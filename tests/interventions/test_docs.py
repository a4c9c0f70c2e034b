"""The pages for users: every snippet runs, every site is there."""

import re
from pathlib import Path

import pytest

from docs import site_tables
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
        pytest.param("training.md", marks=pytest.mark.slow),
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


def _site_table(name: str) -> dict[Site, set[str]]:
    """The page's table of sites: the names of other libraries, by site."""
    page = _page(name)
    rows: dict[Site, set[str]] = {}
    for line in page[page.index("| `Site` |") :].splitlines()[2:]:
        if not line.startswith("|"):
            return rows
        first, *cells = line.strip("|").split("|")
        names = re.findall(r"`([A-Z_]+|[a-z0-9_.]*hook_[a-z_]+)`", "|".join(cells))
        for site in re.findall(r"`([A-Z_]+)`", first):
            assert Site[site] not in rows, f"{site} has two rows"
            rows[Site[site]] = {name.replace(".l.", ".3.") for name in names}
    return rows


@pytest.mark.parametrize("name", site_tables.TABLES)
def test_tables_of_sites_are_those_that_are_written(name: str):
    """`python -m docs.site_tables` would change nothing."""
    page, table = _page(name), site_tables.TABLES[name]()
    assert site_tables.with_table(page, table) == page
    assert not set(Site) - set(_site_table(name))


def test_a_page_without_a_place_for_its_table_is_refused():
    with pytest.raises(ValueError, match="put .* where it is to stand"):
        site_tables.with_table("# A page", "| a table |")


@pytest.mark.parametrize("name", ["migrating.md", "terminology.md"])
def test_names_in_the_tables_are_those_that_are_read(name: str):
    """What stands beside a site is read as that site, and not refused."""
    table = _site_table(name)
    for site, names in table.items():
        together = {other for other in table if table[other] == names}
        for written in names:
            read = {Site.parse(written, gated=gated)[0] for gated in (True, False)}
            assert read & together, f"{written} beside {site} is {read}"


def test_every_name_that_is_read_stands_in_the_migration_page():
    table = _site_table("migrating.md")
    for name, member in (aliases.TRANSFORMER_LENS | aliases.MISHAX).items():
        # Hooks outside the layers have no prefix there, and none has one in mishax.
        assert {name, f"blocks.3.{name}"} & table[Site[member]], (name, member)


def test_names_that_are_refused_are_explained():
    page = _page("migrating.md")
    refused = page[page.index("## Names that only") : page.index("## Shapes")]
    for name in aliases.DIFFERENT:
        if name.startswith(("ln2.hook_n", "ln_final.hook_n")):
            continue  # like those of ln1
        assert name.removeprefix("attn.") in refused
