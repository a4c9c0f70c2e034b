"""docs/semantics.md: every snippet runs by itself, and every mutation has its row."""

import re
from pathlib import Path

import pytest

from mcq_jax import prompts

PAGE = (Path(__file__).parents[1] / "docs" / "semantics.md").read_text("utf-8")
SNIPPETS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
_TITLES = re.findall(r"^## (.*)$", PAGE, re.MULTILINE)


@pytest.mark.slow
@pytest.mark.parametrize("snippet", SNIPPETS, ids=_TITLES[: len(SNIPPETS)])
def test_a_piece_is_used_alone(snippet: str):
    ahead = PAGE[: PAGE.index(snippet)].count("\n")
    exec(compile("\n" * ahead + snippet, "semantics.md", "exec"), {})


@pytest.mark.parametrize("mutation", prompts.MUTATIONS.values(), ids=lambda m: m.name)
def test_a_mutation_stands_on_the_page_in_its_own_words(mutation):
    name, changes = mutation.name, mutation.changes
    if re.match(r"\d+_options", name):
        name = "2_options` … `10_options"
        changes = re.sub(r"\d+", "so many", changes)
    assert f"| `{name}` | {changes} | {mutation.keeps} |" in PAGE
