"""`Lab`: all that an experiment has at hand: a model, prompts, a folder, a bar.

What several experiments need is worked out once (`once`), whoever asks first. What is
expensive is a table (`table`); what chooses a program or a node is decided on the first
host and told to the others (`decide`), since hosts may round differently.
"""

import contextlib
import dataclasses
import functools
import json
from collections.abc import (
    Callable,
    Hashable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from typing import TYPE_CHECKING, Any, TypeVar

from mcq_jax import json_values, planted, sharding
from mcq_jax.checkpoints import Checkpoint
from mcq_jax.experiments.progress import Progress
from mcq_jax.experiments.prompt_set import PromptSet
from mcq_jax.experiments.study import Study
from mcq_jax.passes import Plan
from mcq_jax.results import (
    ENGINE_VERSION,
    About,
    Record,
    RunFolder,
    RunResults,
    Table,
    fingerprint,
)
from mcq_jax.sweeps import Sources, SweepTable, sweep

if TYPE_CHECKING:
    from mcq_jax.experiments.config import RunConfig

Value = TypeVar("Value")
Findings = TypeVar("Findings")


class Lab:
    """One run at work; experiments read its attributes and call its methods."""

    def __init__(
        self,
        *,
        config: "RunConfig",
        checkpoint: Checkpoint,
        truth: planted.Truth | None,
        prompt_sets: Mapping[str, PromptSet],
        folder: RunFolder,
        progress: Progress,
        within: "Lab | None" = None,
    ):
        self.config, self.checkpoint, self.truth = config, checkpoint, truth
        self.folder, self.progress = folder, progress
        self._prompt_sets = prompt_sets
        # Names of the other prompts that may be read now; None: all.
        self._readable: frozenset[str] | None = None
        # What experiments found so far, by their names.
        self.records: dict[str, Record] = {}
        self._others: dict[str, Lab] = {}
        self._once: dict[Hashable, tuple[Any, dict[str, set[str]]]] = {}
        # Whether the first host alone is at work, choosing something.
        self._deciding = False
        # The tables that the experiment at work has opened, by name.
        self._opened: dict[str, set[str]] = {}
        # The lab that this one is part of: what is opened here is opened there, too.
        self._within = within

    def on(self, name: str) -> "Lab":
        """Returns a lab for other prompts of the card, with a study of their own.

        It has the same folder, where tables differ by their prompts.
        """
        if name == self.config.name:
            return self
        asked = self.prompts_of(name)
        if name not in self._others:
            options = self.config.prompts_called(name)
            said = {
                f.name: getattr(options, f.name) for f in dataclasses.fields(options)
            }
            self._others[name] = Lab(
                config=dataclasses.replace(self.config, other_prompts=(), **said),
                checkpoint=self.checkpoint, truth=self.truth,
                prompt_sets={name: asked}, folder=self.folder,
                progress=self.progress, within=self,
            )  # fmt: skip
        return self._others[name]

    def prompts_of(self, name: str) -> PromptSet:
        """Returns prompts of the card by their name.

        Raises:
            ValueError: if the card has none of this name, or the experiment at work
                does not say that it reads them.
        """
        if name not in self.config.prompt_names:
            raise ValueError(
                f"prompts {name!r} are asked for; the card has "
                f"{', '.join(self.config.prompt_names)}. Add them to other_prompts."
            )
        allowed = self._readable is None or name in self._readable
        if name != self.config.name and not allowed:
            raise ValueError(
                f"prompts {name!r} are asked for by an experiment whose findings would "
                "not know of them; name them in its `reads`."
            )
        return self._prompt_sets[name]

    @contextlib.contextmanager
    def reading(self, names: Iterable[str]) -> Iterator[None]:
        """Within it, of the other prompts only these are given out."""
        before, self._readable = self._readable, frozenset(names)
        try:
            yield
        finally:
            self._readable = before

    def _note(self, name: str, keys: Iterable[str]) -> None:
        """Notes that tables of a name were opened; of other prompts, under theirs too.

        An experiment's own tables are those of the main prompts.
        """
        self._opened.setdefault(name, set()).update(keys)
        if self._within is not None:
            self._within._note(f"{name} of {self.config.name}", keys)

    @property
    def prompts(self) -> PromptSet:
        """The run's main prompts."""
        return self._prompt_sets[self.config.name]

    @functools.cached_property
    def study(self) -> Study | None:
        """The prompts whose nodes are patched; None with too few questions."""
        from mcq_jax.experiments import behaviour

        return behaviour.choose_study(self)

    @property
    def studied(self) -> Study:
        """The same, for experiments that are run only where there is one."""
        if self.study is None:
            raise ValueError(
                "there are too few questions to study, and this experiment needs them; "
                "an experiment that does not sets `explains = False`."
            )
        return self.study

    def once(self, name: Hashable, work: Callable[[], Value]) -> Value:
        """Returns what `work` returns, worked out once per run and name.

        The tables that it opens count as opened by everyone who asks.
        """
        if name not in self._once:
            self._need_every_host(f"what is worked out once as {name!r}")
            with self.tables_opened() as tables:
                self._once[name] = work(), tables
        value, tables = self._once[name]
        for table, keys in tables.items():
            self._note(table, keys)
        return value

    def table(self, name: str, identity: Mapping[str, Any]) -> Table:
        """Returns the run's table of this name and identity (see `RunFolder.table`)."""
        self._need_every_host(f"table {name!r}")
        table = self.folder.table(name, {"engine": ENGINE_VERSION, **identity})
        self._note(name, {table.key})
        return table

    def sweep(
        self, name: str, plan: Plan, sources: Sources, **options: Any
    ) -> SweepTable:
        """Patches studied prompts, as `sweeps.sweep`, into the run's table `name`."""
        self._need_every_host(f"sweep {name!r}")
        table = sweep(
            self.checkpoint.parameters, self.studied.prompts, plan, sources,
            config=self.checkpoint.config, folder=self.folder, name=name,
            weights=self.checkpoint.content_hash, **options,
        )  # fmt: skip
        assert table.key is not None  # it is kept in a folder
        self._note(name, {table.key})
        return table

    def findings(self, kind: type[Findings]) -> Findings:
        """Returns what an experiment found that this one needs."""
        for record in self.records.values():
            if type(record.values) is kind:
                return record.values
        raise ValueError(
            f"{kind.__name__} are asked for and not there; name their experiment among "
            "the `needs` of the one that asks."
        )

    def decide(self, kind: Any, choose: Callable[[], Value]) -> Value:
        """Returns the first host's choice on every host.

        Args:
            kind: its type, as a field of a dataclass would be annotated.
            choose: asks for no work that hosts share: that is done before.
        """

        def chosen() -> bytes:
            self._deciding = True
            try:
                return json.dumps(json_values.to_json(choose())).encode()
            finally:
                self._deciding = False

        return json_values.from_json(kind, json.loads(sharding.on_first_host(chosen)))

    def _need_every_host(self, what: str) -> None:
        """Refuses shared work that one host begins: all would wait for each other."""
        if self._deciding:
            raise ValueError(
                f"{what} is asked for within `decide`, where the first host is alone; "
                "ask for it before, and let `decide` choose from it."
            )

    def results(self, about: About) -> RunResults:
        """Returns what experiments found so far."""
        opening = {"loading": self.progress.seconds.get("loading", 0.0)}
        return RunResults(about=about, records=dict(self.records), opening=opening)

    def tables_apart_from(
        self, field: str, name: str, identity: Mapping[str, Any]
    ) -> list[tuple[Table, Any]]:
        """Returns the tables made in this way but for one field, and that field.

        So work that grows row by row finds the rows that are there already.
        """
        wanted = fingerprint({"engine": ENGINE_VERSION, **identity})
        wanted.pop(field, None)
        found = []
        for key, said in self.folder.identities(name).items():
            rest = {one: value for one, value in said.items() if one != field}
            if rest == wanted and field in said:
                found.append((self.folder.table_of(name, key), said[field]))
                self._note(name, {key})
        return found

    def track(self, name: str) -> sharding.Track:
        """Returns a bar for `sharding.run_chunks` and `sweep`."""
        return functools.partial(self.progress.track, name=name)

    def steps(self, name: str) -> sharding.Track:
        """Returns a bar for what one part of a table takes, where that is long.

        Told to stop, a run does so between two of them: the part is lost. Every host
        goes through the same ones.
        """

        def track(items: Sequence[Any]) -> Iterator[Any]:
            for item in self.progress.track(items, name=name):
                sharding.check_stop()
                yield item

        return track

    @contextlib.contextmanager
    def tables_opened(self) -> Iterator[dict[str, set[str]]]:
        """Within it, collects which tables are opened."""
        before, self._opened = self._opened, {}
        try:
            yield self._opened
        finally:
            self._opened = before
