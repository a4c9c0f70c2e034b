"""`run`: the experiments of a card, one after another, in order of need.

Each finished chunk of work is part of a table, each finished experiment a file of
findings: a run that was stopped picks up where it was, and what it had opens in
`mcq-jax report`.
"""

import re
from collections.abc import Sequence

import numpy as np

from mcq_jax import costs, planted, sharding
from mcq_jax.checkpoints import Checkpoint
from mcq_jax.experiments import prompt_set
from mcq_jax.experiments.about import about
from mcq_jax.experiments.config import RunConfig
from mcq_jax.experiments.experiment import (
    Experiment,
    check_reads,
    in_order_of_need,
)
from mcq_jax.experiments.lab import Lab
from mcq_jax.experiments.manifest import make_manifest, moment_of
from mcq_jax.experiments.memory import check_memory
from mcq_jax.experiments.opening import open_model
from mcq_jax.experiments.progress import Progress, duration
from mcq_jax.experiments.prompt_options import PromptOptions
from mcq_jax.experiments.spending import spending
from mcq_jax.results import (
    Record,
    RunFolder,
    RunResults,
    Storage,
    findings_file,
)


def run(
    config: RunConfig,
    progress: Progress | None = None,
    *,
    only: Sequence[str] = (),
    again: Sequence[str] = (),
) -> tuple[RunResults, RunFolder]:
    """Runs the experiments of a config and returns what they found.

    Args:
        only: names of the experiments that are wanted, with what they need; all of the
            card's if left out.
        again: names of experiments whose tables and findings are dropped first.
    """
    progress = progress or Progress()
    order = in_order_of_need(config.experiments, only)
    in_order_of_need(config.experiments, again)  # whether there are such
    with progress.stage("loading"):
        for experiment in order:
            check_reads(experiment, config)
            experiment.check(config)
        asked = _asked(config, order)
        for options in asked:
            prompt_set.check(options)  # first: weights take longer than questions
        if sharding.is_first_host():
            Storage.at(run_path(config)).check_writable()
        moment = moment_of(run_path(config))
        checkpoint, truth = open_model(config)
        prompts = {
            options.name: prompt_set.make_prompts(options, checkpoint, moment)
            for options in asked
        }
    with sharding.use_mesh_of(checkpoint.parameters):
        manifest = make_manifest(config, checkpoint, prompts, moment)
        lab = _open_lab(config, checkpoint, truth, prompts, manifest, progress)
        for line in _what_else(lab, order):
            progress.say(line)
        for name in again:
            lab.folder.forget(name)
        for number, experiment in enumerate(order, 1):
            _run_one(lab, experiment, f"{number} of {len(order)}")
        return lab.results(about(lab)), lab.folder


def _asked(config: RunConfig, order: Sequence[Experiment]) -> list[PromptOptions]:
    """The main prompts, and of the others those that an experiment reads."""
    read = {name for experiment in order for name in experiment.reads(config)}
    names = [name for name in config.prompt_names if name in {config.name, *read}]
    return [config.prompts_called(name) for name in names]


def run_path(config: RunConfig) -> str:
    """Returns the run's folder: a local path, or a URI of an object store."""
    if config.out:
        return config.out
    name = re.sub(r"[^a-z0-9]+", "-", config.title.lower()).strip("-")
    if not name:
        raise ValueError(
            f"the title {config.title!r} names no folder, which takes letters a to z "
            "and digits from it; give one (--out)."
        )
    return f"runs/{name}"


def _open_lab(
    config: RunConfig,
    checkpoint: Checkpoint,
    truth: planted.Truth | None,
    prompts: dict[str, prompt_set.PromptSet],
    manifest: dict,
    progress: Progress,
) -> Lab:
    """All that experiments work with; the folder is open, and marked as this run's."""
    main = prompts[config.name]
    check_memory(
        checkpoint.config,
        batch=config.batch,
        chunk=4 if config.are_pairs else main.rotations,
        tokens=max(int(one.length.max()) for one in prompts.values()),
    )
    lab = Lab(
        config=config, checkpoint=checkpoint, truth=truth, prompt_sets=prompts,
        folder=RunFolder.open(run_path(config), manifest), progress=progress,
    )  # fmt: skip
    seconds = {"loading": progress.seconds["loading"]}
    said = Record(values=about(lab), seconds=seconds)
    lab.folder.write_text(findings_file("run"), said.to_json("run"))
    for note in main.notes:
        progress.say(note)
    progress.say(_plan(config, checkpoint, main))
    return lab


def _run_one(lab: Lab, experiment: Experiment, place: str) -> None:
    """Runs an experiment, unless its findings are there and nothing changed since."""
    if not experiment.applies(lab):
        return
    if experiment.explains and lab.study is None:
        return
    listed = {other.name for other in lab.config.experiments}
    wanted = [*experiment.needs, *(use for use in experiment.uses if use in listed)]
    needs = {name: lab.records[name].key for name in wanted if name in lab.records}
    key = experiment.key(_studied(lab, experiment), list(needs.values()))
    record = _finished(lab, experiment, key)
    if record is None:
        lab.progress.say(f"{experiment.name}, {place}")
        before = dict(lab.progress.seconds)
        with (
            lab.tables_opened() as tables,
            lab.progress.stage(experiment.name),
            lab.reading(experiment.reads(lab.config)),
            spending(lab.checkpoint.config) as spent,
        ):
            values = experiment.run(lab)
        record = Record(
            values=values,
            key=key,
            needs=needs,
            tables={name: tuple(sorted(keys)) for name, keys in tables.items()},
            seconds={
                name: now - before.get(name, 0.0)
                for name, now in lab.progress.seconds.items()
                if now != before.get(name)
            },
            spent=spent(),
        )
        text = record.to_json(experiment.name)
        lab.folder.write_text(findings_file(experiment.name), text)
    lab.records[experiment.name] = record


def _studied(lab: Lab, experiment: Experiment) -> dict:
    """What decides which prompts an experiment is about."""
    config = lab.config
    names = dict.fromkeys((config.name, *experiment.reads(config)))
    about_all = {
        "read": [(name, lab.prompts_of(name).identity) for name in names],
        "seed": config.seed,
        "filters": config.filters,
    }
    if not experiment.explains:
        return about_all
    return about_all | lab.studied.identity | {"choosing": lab.studied.choosing}


def _finished(lab: Lab, experiment: Experiment, key: str) -> Record | None:
    """The findings that are there, if they are of this experiment as it is now."""
    name = findings_file(experiment.name)
    if not lab.folder.has_file(name):
        return None
    kind = experiment.findings
    path = f"{lab.folder.path}/{name}"
    record = Record.from_json(lab.folder.read_text(name), kind, path)
    return record if record.key == key else None


def _plan(
    config: RunConfig, checkpoint: Checkpoint, asked: prompt_set.PromptSet
) -> str:
    """Says what is about to be done and how long it may take on this machine."""
    model, lengths = checkpoint.config, asked.length
    rate = 0.7 * costs.flop_rate() * sharding.devices_in_use()
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


def _what_else(lab: Lab, order: Sequence[Experiment]) -> list[str]:
    """What the estimate does not count, and what needs no time any more."""
    more = [e.name for e in order if e.name not in ("behaviour", "node_effects")]
    said = []
    if more:
        said.append(
            f"Not in this estimate: {', '.join(more)}. `mcq-jax plan MODEL --run "
            "FOLDER` estimates them from a folder of a smaller model's run."
        )
    if lab.folder.tables():
        said.append("What the folder has of these runs is not run again.")
    return said
