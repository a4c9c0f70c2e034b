"""`SweepTable`: what a sweep measured, with names for its axes."""

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from mcq_jax import metrics

if TYPE_CHECKING:
    import pandas
    import xarray

AXES = ("prompt", "source", "row")
# The column that says where the source held anything else.
MOVED = "moved"


@dataclasses.dataclass(frozen=True, kw_only=True)
class SweepTable:
    """One number per prompt, source, row and metric; values by question are kept."""

    # A metric that is a vector has its axes behind these.
    values: Mapping[str, Shaped[np.ndarray, "prompt source row *metric"]]
    # By prompt: question, rotation, gold, …; by row: as the plan labels them.
    prompts: Mapping[str, np.ndarray]
    sources: tuple[str, ...]
    rows: Mapping[str, np.ndarray]
    # Which prompt each source is; None where sources are no prompts.
    source_prompts: Int[np.ndarray, "prompt source"] | None = None
    # Whether the source held anything else at what the row patches: where it did not,
    # an effect of 0 says nothing. None where sources are no prompts.
    moved: Bool[np.ndarray, "prompt source row"] | None = None
    # Which table of its name in the folder it is; None where no folder keeps it.
    key: str | None = None

    def summary(self, metric: str, *, source: str | None = None) -> "Summary":
        """Returns each row's mean over prompts with interval and corrected p-value.

        The question is the unit: intervals are bootstrapped and signs flipped by it.
        """
        index = 0 if source is None else self.sources.index(source)
        values, question = self.values[metric][:, index], self.prompts["question"]
        if values.ndim > 2:
            raise ValueError(
                f"{metric} is a vector of shape {values.shape[2:]} in every row; "
                "summarise a number of it, by a metric of your own."
            )
        found = metrics.intervals(values, question)
        return Summary(
            rows=self.rows,
            mean=found.mean,
            low=found.low,
            high=found.high,
            standard_error=found.standard_error,
            p_value=metrics.max_statistic_p(values, question),
            questions=found.questions,
        )

    def columns(self) -> dict[str, np.ndarray]:
        """Returns one record per prompt, source and row: the form of files."""
        shape = next(iter(self.values.values())).shape[:3]

        def spread(column, axis):
            sizes = [-1 if i == axis else 1 for i in range(3)]
            return np.broadcast_to(np.asarray(column).reshape(sizes), shape).reshape(-1)

        found = {name: spread(c, 0) for name, c in self.prompts.items()}
        found["source"] = spread(np.array(self.sources), 1)
        if self.source_prompts is not None:
            of_rows = np.broadcast_to(self.source_prompts[:, :, None], shape)
            found["source_prompt"] = of_rows.reshape(-1)
        found["row"] = spread(np.arange(shape[2]), 2)
        found |= {name: spread(c, 2) for name, c in self.rows.items()}
        if self.moved is not None:
            found[MOVED] = self.moved.reshape(-1)
        return found | {
            name: np.asarray(v).reshape(-1, *np.shape(v)[3:])
            for name, v in self.values.items()
        }

    def to_pandas(self) -> "pandas.DataFrame":
        """Returns `columns` as a data frame (needs pandas); vectors as columns each."""
        import pandas

        flat = {}
        for name, column in self.columns().items():
            if column.ndim == 1:
                flat[name] = column
            for place in np.ndindex(column.shape[1:] if column.ndim > 1 else (0,)):
                flat[f"{name}_{'_'.join(map(str, place))}"] = column[:, *place]
        return pandas.DataFrame(flat)

    def to_xarray(self) -> "xarray.Dataset":
        """Returns a data set with the axes prompt, source and row (needs xarray)."""
        import xarray

        of_axis: dict[str, Any] = {
            name: ("prompt", c) for name, c in self.prompts.items()
        }
        of_axis |= {f"row_{name}": ("row", c) for name, c in self.rows.items()}
        of_axis["source"] = list(self.sources)
        values = {
            name: (AXES + tuple(f"{name}_{i}" for i in range(value.ndim - 3)), value)
            for name, value in self.values.items()
        }
        if self.moved is not None:
            values[MOVED] = (AXES, self.moved)
        return xarray.Dataset(values, of_axis)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Summary:
    """Rows with their means over prompts, 95 % intervals by question."""

    rows: Mapping[str, np.ndarray]
    mean: Float[np.ndarray, " row"]
    low: Float[np.ndarray, " row"]
    high: Float[np.ndarray, " row"]
    standard_error: Float[np.ndarray, " row"]
    # Two-sided, corrected for all rows (Westfall-Young).
    p_value: Float[np.ndarray, " row"]
    questions: int

    def top(self, count: int = 10) -> list[dict[str, Any]]:
        """Returns the rows of largest absolute mean, as records."""
        order = np.argsort(-np.abs(self.mean), kind="stable")[:count]
        numbers = ("mean", "low", "high", "p_value")
        return [
            {name: column[row].item() for name, column in self.rows.items()}
            | {name: float(getattr(self, name)[row]) for name in numbers}
            for row in order
        ]
