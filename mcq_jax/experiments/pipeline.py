"""`run`: questions, behaviour, gate, node effects, a set, head classes, findings.

The main job, in the order in which a sceptical reader would ask for it. Each stage that
takes long writes its parts as it goes; a run that was stopped picks up where it was.
"""

import dataclasses
import re

import numpy as np

from mcq_jax import costs, metrics, planted, sharding
from mcq_jax.checkpoints import Checkpoint
from mcq_jax.costs.machine import flop_rate
from mcq_jax.experiments import (
    behaviour,
    conclusions,
    earlier_positions,
    head_classes,
    joint_tests,
    node_effects,
    prompt_set,
)
from mcq_jax.experiments.config import RunConfig
from mcq_jax.experiments.manifest import make_manifest
from mcq_jax.experiments.memory import check_memory
from mcq_jax.experiments.opening import open_model
from mcq_jax.experiments.progress import Progress, duration
from mcq_jax.experiments.prompt_set import PromptSet
from mcq_jax.experiments.study import Study, study_pairs, study_questions
from mcq_jax.results import Findings, GateFound, RunFolder
from mcq_jax.sweeps.sources import choose_sources


def run(
    config: RunConfig, progress: Progress | None = None
) -> tuple[Findings, RunFolder]:
    """Runs everything that a config asks for and returns what was found."""
    progress = progress or Progress()
    with progress.stage("loading"):
        prompt_set.check(config)  # first: weights take longer than questions
        checkpoint, truth = open_model(config)
        asked = prompt_set.make_prompts(config, checkpoint)
    with sharding.use_mesh_of(checkpoint.parameters):
        return _answer(config, checkpoint, truth, asked, progress)


def run_path(config: RunConfig) -> str:
    """Returns the run's folder: a local path, or a URI of an object store."""
    name = re.sub(r"[^a-z0-9]+", "-", config.title.lower()).strip("-")
    return config.out or f"runs/{name}"


def _answer(
    config: RunConfig,
    checkpoint: Checkpoint,
    truth: planted.Truth | None,
    asked: PromptSet,
    progress: Progress,
) -> tuple[Findings, RunFolder]:
    """Everything but loading."""
    check_memory(
        checkpoint.config,
        batch=config.batch,
        chunk=4 if config.are_pairs else asked.rotations,
        tokens=int(asked.length.max()),
    )
    manifest = make_manifest(config, checkpoint, asked)
    folder = RunFolder.open(run_path(config), manifest)
    progress.say(_plan(config, checkpoint, asked))

    with progress.stage("behaviour"):
        table = behaviour.ask(checkpoint, asked, folder, progress, batch=config.batch)
    gate, kept, base = _judge(config, asked, table)
    found = conclusions.Conclusions(
        config=config, checkpoint=checkpoint, asked=asked, gate=gate, truth=truth,
        behaviour=behaviour.describe(base, len(kept)), seconds=progress.seconds,
    )  # fmt: skip
    progress.say(gate.reason)
    study = _study(config, asked, kept) if gate.open else None
    if study is not None:
        found = _explain(found, study, folder, progress)
    findings = conclusions.draw(found)
    folder.write_text("findings.json", findings.to_json())
    return findings, folder


def _judge(
    config: RunConfig, asked: PromptSet, table: dict[str, np.ndarray]
) -> tuple[GateFound, np.ndarray, dict[str, np.ndarray]]:
    """Returns the gate, the questions to study, and the table of studied prompts."""
    if asked.pair_source is not None:
        half = len(asked.pair_source)
        base = {name: column[:half] for name, column in table.items()}
        source = {name: column[half:] for name, column in table.items()}
        gate = behaviour.gate_pairs(base, source, seed=config.seed)
        chosen = metrics.predictions(base["answer_logits"], without_prior=False)
        right = chosen == base["gold"]
        kept = base["question"][right] if config.filters else base["question"]
        return gate, kept, base
    gate = behaviour.gate_questions(table, seed=config.seed)
    kept = np.unique(table["question"])
    if config.filters:
        kept = metrics.kept_questions(
            table["answer_logits"], table["gold"], table["question"]
        )
    return gate, kept, table


def _study(config: RunConfig, asked: PromptSet, kept: np.ndarray) -> Study | None:
    """Returns the prompts to patch: the first kept questions, split in two.

    None where a half has fewer than two questions, without which there are neither
    sources from another question nor intervals.
    """
    chosen = _first(kept, asked.question, config.effect_questions)
    pairs = asked.pair_source
    candidates = asked.question if pairs is None else asked.question[: len(pairs)]
    index = np.flatnonzero(np.isin(candidates, chosen))
    question, gold = asked.question[index], asked.gold[index]
    choosing = _choosing(config, question)
    if choosing is None:
        return None
    if pairs is not None:
        return study_pairs(asked, index, choosing)
    sources = choose_sources(question, gold, choosing, seed=config.seed)
    return study_questions(asked, chosen, choosing, sources)


def _first(kept: np.ndarray, question: np.ndarray, count: int) -> list[str]:
    """Returns the first of the kept questions, in the order in which they are asked."""
    names = set(kept.tolist())
    in_order = dict.fromkeys(question.tolist())
    return [name for name in in_order if name in names][:count]


def _choosing(config: RunConfig, question: np.ndarray) -> np.ndarray | None:
    """Returns on which prompts nodes are chosen, None if a half is too small."""
    if len(np.unique(question)) < 4:
        return None
    try:
        choosing = metrics.split_by_question(
            question, fraction=config.choosing_fraction, seed=config.seed
        )
    except ValueError:  # one half is empty
        return None
    halves = (question[choosing], question[~choosing])
    return choosing if min(len(np.unique(half)) for half in halves) >= 2 else None


def _explain(
    found: conclusions.Conclusions,
    study: Study,
    folder: RunFolder,
    progress: Progress,
) -> conclusions.Conclusions:
    """Everything behind an open gate."""
    config, checkpoint = found.config, found.checkpoint
    with progress.stage("taking apart"):
        bank = node_effects.fill_bank(checkpoint, study, progress)
    with progress.stage("node effects"):
        table = node_effects.patch_every_node(checkpoint, study, bank, folder, progress)
        effects = node_effects.measure(study, bank, table)
    selection = joint_tests.choose_nodes(
        study, effects, bank, share=config.selection_share
    )
    shape = (checkpoint.config.layers, checkpoint.config.nodes)
    sets = joint_tests.make_sets(selection, shape, config)
    with progress.stage("joint tests"):
        joint = joint_tests.patch_sets(checkpoint, study, bank, sets, folder, progress)
    classes, heads = (), ()
    if not config.are_pairs:  # which have no labels to look at
        with progress.stage("head classes"):
            classes, evidence = head_classes.classify(
                checkpoint,
                study,
                bank,
                effects,
                float(joint_tests.source_difference(study, bank).mean()),
                progress,
                thresholds=config.thresholds,
            )
            heads = head_classes.describe(classes, evidence, bank, study)
    earlier = None
    if config.earlier_position_questions:
        with progress.stage("earlier positions"):
            earlier = earlier_positions.patch_earlier_positions(
                checkpoint,
                study,
                progress,
                questions=config.earlier_position_questions,
            )
    return dataclasses.replace(
        found,
        explained=conclusions.Explained(
            study=study,
            bank=bank,
            effects=effects,
            patched=table,
            selection=selection,
            joint=joint_tests.describe(study, bank, sets, joint),
            classes=classes,
            heads=heads,
            earlier=earlier,
        ),
    )


def _plan(config: RunConfig, checkpoint: Checkpoint, asked: PromptSet) -> str:
    """Says what is about to be done and how long it may take on this machine."""
    model, lengths = checkpoint.config, asked.length
    rate = 0.7 * flop_rate() * sharding.devices_in_use()
    asking = sum(costs.prefill_flops(model, tokens=int(n)) for n in lengths)
    rotations = len(lengths) / len(set(asked.question.tolist()))
    studied = min(len(lengths), config.effect_questions * rotations)
    tokens = int(np.mean(lengths))
    kinds = 1 if config.are_pairs else 3
    patching = studied * (
        2 * costs.prefill_flops(model, tokens=tokens)
        + costs.node_sweep_flops(model, tokens=tokens, sources=kinds)
    )
    return (
        f"{checkpoint.name}: {model.layers} layers x ({model.heads} heads + MLP). "
        f"{len(lengths)} prompts of {lengths.min()} to {lengths.max()} tokens"
        + (f" ({asked.left_out} questions left out as too long)" * bool(asked.left_out))
        + f".\nEstimate: asking {duration(asking / rate)}, patching "
        f"{model.layers * model.nodes} nodes of {studied:.0f} prompts from {kinds} "
        f"kinds of source {duration(patching / rate)} (if the gate opens); "
        f"{rate / 1e9:.0f} GFLOP/s assumed."
    )
