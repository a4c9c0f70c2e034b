"""`print_summary`: what a run found, on the console."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mcq_jax.results import RunResults


def print_summary(results: "RunResults") -> None:
    """Prints the verdict and the strongest nodes."""
    import rich.console
    import rich.table

    from mcq_jax.results import verdict

    console = rich.console.Console()
    said = verdict(results).sentence
    console.print(f"\n{said}", style="bold", highlight=False, markup=False)
    if not results.nodes:
        return
    kinds = list(results.nodes[0].direct)
    table = rich.table.Table(title="Strongest nodes (net logits, 95 % intervals)")
    for name in ("node", "class", "chosen", *(f"direct, {k}" for k in kinds)):
        table.add_column(name)
    table.add_column(f"total, {kinds[0]}")
    order = sorted(results.nodes, key=lambda n: -abs(n.direct[kinds[0]].mean))
    for node in order[:15]:
        cells = [node.direct[kind] for kind in kinds] + [node.total[kinds[0]]]
        texts = [f"{c.mean:+.3f} [{c.low:+.3f}, {c.high:+.3f}]" for c in cells]
        table.add_row(node.name, node.head_class, "yes" * node.selected, *texts)
    console.print(table)
