"""`RunResults`: what a run left behind, read together for the report and for people.

    findings/run.json            what was asked, of which model
    findings/<experiment>.json   what one experiment found, written when it ended

A run that was stopped has the findings of the experiments that had ended. Nothing here
runs a model.
"""

import dataclasses
import functools
import json
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from mcq_jax import json_values
from mcq_jax.metrics import Gate
from mcq_jax.results.cloze_findings import ClozeFindings
from mcq_jax.results.content_findings import (
    ContentRouteFindings,
    DrawnCircuitFindings,
)
from mcq_jax.results.decide_then_bind import DecideThenBindFindings
from mcq_jax.results.elsewhere_findings import ElsewhereFindings
from mcq_jax.results.feed_forward_findings import FeedForwardFindings
from mcq_jax.results.findings import (
    About,
    BehaviourFindings,
    EarlierPositionsFindings,
    HeadClassesFindings,
    HeadFound,
    HeadKindsFindings,
    JointFound,
    JointTestsFindings,
    NodeEffectsFindings,
    NodeFound,
    PlantedTruthFindings,
    QuerySwapsFindings,
    RoutesFindings,
    SelectionFound,
)
from mcq_jax.results.grid_findings import MutationGridFindings
from mcq_jax.results.ladder import LadderFindings
from mcq_jax.results.learned import LearnedSubspacesFindings
from mcq_jax.results.paper_claims import PaperClaimsFindings
from mcq_jax.results.repair_findings import SelfRepairFindings
from mcq_jax.results.score_parts import ScorePartsFindings
from mcq_jax.results.spent import Spent
from mcq_jax.results.storage import Storage
from mcq_jax.results.transfer_findings import TransferFindings

Kind = TypeVar("Kind")

SCHEMA = 1
FOLDER = "findings"
ABOUT = "run"
# What each experiment of the package finds; those of others are kept as mappings.
KINDS: dict[str, type] = {
    "behaviour": BehaviourFindings,
    "cloze": ClozeFindings,
    "node_effects": NodeEffectsFindings,
    "joint_tests": JointTestsFindings,
    "feed_forward": FeedForwardFindings,
    "head_classes": HeadClassesFindings,
    "head_kinds": HeadKindsFindings,
    "routes": RoutesFindings,
    "query_swaps": QuerySwapsFindings,
    "ladder": LadderFindings,
    "self_repair": SelfRepairFindings,
    "elsewhere": ElsewhereFindings,
    "transfer": TransferFindings,
    "mutation_grid": MutationGridFindings,
    "score_parts": ScorePartsFindings,
    "learned_subspaces": LearnedSubspacesFindings,
    "decide_then_bind": DecideThenBindFindings,
    "content_route": ContentRouteFindings,
    "drawn_circuit": DrawnCircuitFindings,
    "earlier_positions": EarlierPositionsFindings,
    "planted_truth": PlantedTruthFindings,
    "paper_claims": PaperClaimsFindings,
}


def findings_file(experiment: str) -> str:
    """Returns where an experiment's findings lie in a run's folder."""
    return f"{FOLDER}/{experiment}.json"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Record:
    """One experiment's findings, and what they came from."""

    # A dataclass; of an experiment that this package does not know, a mapping.
    values: Any
    # What stands for the experiment, its options, and all that it needed.
    key: str = ""
    # The keys of the findings that it used, and of the tables that it read or made.
    needs: Mapping[str, str] = dataclasses.field(default_factory=dict)
    tables: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    seconds: Mapping[str, float] = dataclasses.field(default_factory=dict)
    # None of runs that did not measure it yet.
    spent: Spent | None = None

    def to_json(self, name: str) -> str:
        return json.dumps(
            {
                "schema": SCHEMA,
                "experiment": name,
                "key": self.key,
                "needs": json_values.to_json(self.needs),
                "tables": json_values.to_json(self.tables),
                "seconds": json_values.to_json(self.seconds),
                "spent": json_values.to_json(self.spent),
                "values": json_values.to_json(self.values),
            },
            indent=1,
        )

    @classmethod
    def from_json(cls, text: str, kind: type | None, path: str) -> "Record":
        """Reads what `to_json` wrote, also if it was an earlier or a later version."""
        try:
            said = json.loads(text)
            values = said["values"]
            if kind is not None:
                values = json_values.from_json(kind, values, ignore_unknown=True)
            tables = {name: tuple(keys) for name, keys in said["tables"].items()}
            return cls(
                values=values, key=said["key"], needs=said["needs"], tables=tables,
                seconds=said["seconds"],
                spent=json_values.from_json(Spent | None, said.get("spent")),
            )  # fmt: skip
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(
                f"{path} cannot be read as findings ({type(error).__name__}: {error}); "
                "delete it, and `mcq-jax run` with the same card writes it anew."
            ) from error


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunResults:
    """About a run, and by experiment what was found."""

    about: About
    records: Mapping[str, Record]
    # What came before the first experiment took, by stage.
    opening: Mapping[str, float] = dataclasses.field(default_factory=dict)

    @classmethod
    def read(
        cls, storage: Storage, kinds: Mapping[str, type] | None = None
    ) -> "RunResults":
        """Reads all findings that are there.

        Args:
            kinds: what experiments from outside the package find, by their names.

        Raises:
            FileNotFoundError: if no run began here.
            ValueError: for a folder of an earlier version, or a damaged file.
        """
        kinds = KINDS | dict(kinds or {}) | {ABOUT: About}
        names = [n for n in storage.names(FOLDER) if n.endswith(".json")]
        order = [findings_file(name) for name in KINDS]
        names.sort(key=lambda n: order.index(n) if n in order else len(order))
        records = {
            (experiment := name.removeprefix(f"{FOLDER}/").removesuffix(".json")):
            Record.from_json(
                storage.read(name).decode(), kinds.get(experiment),
                f"{storage.path}/{name}",
            )
            for name in names
        }  # fmt: skip
        if ABOUT in records:
            first = records.pop(ABOUT)
            return cls(about=first.values, records=records, opening=first.seconds)
        if storage.exists("findings.json"):
            raise ValueError(
                f"{storage.path} was written by an earlier version, whose findings are "
                "one file; run its card again in a folder of its own."
            )
        raise FileNotFoundError(
            f"{storage.path} has no {FOLDER}/{ABOUT}.json: no run has begun there. "
            "`mcq-jax run CARD` makes one."
        )

    def get(self, kind: type[Kind]) -> Kind | None:
        """Returns the findings of this class; None if their experiment was not run."""
        found = (record.values for record in self.records.values())
        return next((values for values in found if type(values) is kind), None)

    def need(self, kind: type[Kind]) -> Kind:
        """Returns the findings of this class, which have to be there."""
        found = self.get(kind)
        if found is None:
            raise ValueError(
                f"{kind.__name__} are needed, and their experiment was not run; there "
                f"are findings of {', '.join(self.records) or 'none'}."
            )
        return found

    @functools.cached_property
    def stale(self) -> dict[str, str]:
        """Experiments whose findings stand on others than those that are there now.

        Either on findings of another key, or on tables that these no longer come from.
        """
        found = {}
        for name, record in self.records.items():
            changed = [
                need
                for need, key in record.needs.items()
                if not self._stands(need, key, record.tables)
            ]
            if changed:
                found[name] = f"{', '.join(changed)} changed since; run it again."
        return found

    def _stands(
        self, need: str, key: str, tables: Mapping[str, tuple[str, ...]]
    ) -> bool:
        """Whether findings still have this key, and come from the tables read then."""
        there = self.records.get(need)
        if there is None or there.key != key:
            return False
        both = there.tables.keys() & tables.keys()
        return all(set(there.tables[one]) & set(tables[one]) for one in both)

    @property
    def seconds(self) -> dict[str, float]:
        """What each stage of each experiment took."""
        spent = (record.seconds for record in self.records.values())
        return _joined((self.opening, *spent))

    # The findings that figures and tables of several sections read.

    @property
    def behaviour(self) -> BehaviourFindings | None:
        return self.get(BehaviourFindings)

    @property
    def gate(self) -> Gate | None:
        return None if self.behaviour is None else self.behaviour.gate

    @property
    def effects(self) -> NodeEffectsFindings | None:
        return self.get(NodeEffectsFindings)

    @functools.cached_property
    def nodes(self) -> tuple[NodeFound, ...]:
        """Every node with its effects, whether it was chosen, and its head's class."""
        if self.effects is None:
            return ()
        chosen = set(() if self.selection is None else self.selection.nodes)
        classes = {head.name: head.head_class for head in self.heads}
        others = "" if self.get(HeadClassesFindings) is None else "other"
        return tuple(
            dataclasses.replace(
                node,
                selected=node.name in chosen,
                head_class="mlp" if node.head < 0 else classes.get(node.name, others),
            )
            for node in self.effects.nodes
        )

    @property
    def selection(self) -> SelectionFound | None:
        found = self.get(JointTestsFindings)
        return None if found is None else found.selection

    @property
    def sets(self) -> tuple[JointFound, ...]:
        found = self.get(JointTestsFindings)
        return () if found is None else found.sets

    @property
    def heads(self) -> tuple[HeadFound, ...]:
        found = self.get(HeadClassesFindings)
        return () if found is None else found.heads


def _joined(seconds: Iterable[Mapping[str, float]]) -> dict[str, float]:
    joined: dict[str, float] = {}
    for stages in seconds:
        for name, spent in stages.items():
            joined[name] = joined.get(name, 0.0) + spent
    return joined
