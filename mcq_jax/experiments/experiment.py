"""`Experiment`: the contract of everything that a run can do.

An experiment is a frozen dataclass whose fields are its options. Its class says what it
is called, what it needs, and what it finds; `run` does it. A run card lists instances:

    experiments=(Behaviour(), NodeEffects(), JointTests(random_sets=20), MyOwn())

and that is all that is needed of one from outside the package. Whatever is expensive
goes into a table of the `Lab`, which knows what made it; findings are written as soon
as `run` returns.
"""

import dataclasses
import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from mcq_jax.checked_calls import CheckedOptions
from mcq_jax.results import key_of

if TYPE_CHECKING:
    from mcq_jax.experiments.config import RunConfig
    from mcq_jax.experiments.lab import Lab


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment(CheckedOptions):
    """A question put to a model; see the module for how to write one."""

    # On the command line, in files and in the report's anchors.
    name: ClassVar[str]
    # The class of what it finds: a dataclass of numbers and short texts.
    findings: ClassVar[type]
    # Experiments that have to be run before, and those that are if they are listed.
    needs: ClassVar[tuple[str, ...]] = ()
    uses: ClassVar[tuple[str, ...]] = ()
    # Raised when the same tables come to mean something else.
    version: ClassVar[int] = 1
    # Whether it asks about an effect, and so waits for the gate to open.
    explains: ClassVar[bool] = True

    def applies(self, lab: "Lab") -> bool:
        """Whether it makes sense for this model and these prompts."""
        return True

    def check(self, config: "RunConfig") -> None:
        """Raises ValueError for a card that it cannot be run on, before any work."""

    def reads(self, config: "RunConfig") -> Sequence[str]:
        """Names of the card's other prompts that it reads: no more are given to it.

        Cards of one folder that differ in others share what it found.
        """
        return ()

    def run(self, lab: "Lab") -> Any:
        """Returns its findings."""
        raise NotImplementedError(f"{type(self).__qualname__} has no method `run`.")

    def key(self, study: Any, needed: Sequence[str]) -> str:
        """Returns what stands for the experiment, its options and what it stands on.

        Args:
            study: what decides which prompts are studied, and those that it reads.
            needed: the keys of the findings that it needs or uses.
        """
        return key_of(
            {
                "experiment": self.name,
                "version": self.version,
                "source": inspect.getsource(type(self)),
                "options": self,
                "study": study,
                "needs": list(needed),
            }
        )


def check_reads(experiment: Experiment, config: "RunConfig") -> None:
    """Refuses an experiment that reads prompts that its card has not."""
    for name in experiment.reads(config):
        if name not in config.prompt_names:
            raise ValueError(
                f"{experiment.name} names the prompts {name!r}; the card has "
                f"{', '.join(config.prompt_names)}. Add them to other_prompts."
            )


def check_needs(experiments: Sequence[Experiment]) -> None:
    """Refuses a list that holds one twice, or not what another one needs."""
    for entry in experiments:
        if not isinstance(entry, Experiment):
            raise ValueError(
                f"experiments lists {entry!r}; list instances of experiments, such as "
                "NodeEffects()."
            )
    if not experiments:
        raise ValueError("experiments lists none; list one, such as Behaviour().")
    names = [experiment.name for experiment in experiments]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ValueError(
            f"experiments lists {', '.join(sorted(twice))} twice; once is enough."
        )
    for experiment in experiments:
        missing = [need for need in experiment.needs if need not in names]
        if missing:
            raise ValueError(
                f"{experiment.name} needs {', '.join(missing)}, not listed among the "
                f"experiments ({', '.join(names)}); add it."
            )


def in_order_of_need(
    experiments: Sequence[Experiment], only: Sequence[str] = ()
) -> list[Experiment]:
    """Returns experiments so that each comes behind all that it needs or uses.

    Args:
        only: the names of those that are wanted, with what they need; all if left out.
    """
    by_name = {experiment.name: experiment for experiment in experiments}
    unknown = [name for name in only if name not in by_name]
    if unknown:
        raise ValueError(
            f"no experiment of this card is called {', '.join(unknown)}; it lists "
            f"{', '.join(by_name)}."
        )
    order: list[Experiment] = []

    def visit(name: str, path: tuple[str, ...]) -> None:
        experiment = by_name[name]
        if name in path:
            raise ValueError(f"{' needs '.join((*path, name))}: none can come first.")
        if experiment in order:
            return
        wanted = [use for use in experiment.uses if use in by_name]
        for need in (*experiment.needs, *wanted):
            visit(need, (*path, name))
        order.append(experiment)

    for name in only or by_name:
        visit(name, ())
    return order
