"""Runs cases and prints what became of them.

    python -m tests.fuzz --cases 2000 --seed 0 [--first 0] [--out cases.jsonl]

With `--out`, cases that stand there already are not run again. `--kinds paths,joint`
leaves the others out, `--draws 3` all but the first three cases of each structure.
"""

import argparse
import collections
import dataclasses
import json
import pathlib
import sys

import jax
import numpy as np

from tests.fuzz import cases
from tests.fuzz.cases import Case, Outcome


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=100)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--until-fault", action="store_true", help="stop at the first")
    parser.add_argument("--out", type=pathlib.Path)
    parser.add_argument("--kinds", default=",".join(dict.fromkeys(cases.KINDS)))
    parser.add_argument("--draws", type=int, default=cases.DRAWS)
    options = parser.parse_args()
    np.set_printoptions(threshold=20, precision=3)  # of what was asked, to read it
    jax.config.update("jax_disable_most_optimizations", True)  # compiles faster
    done = _done(options.out, options.seed)
    found = [case for case in done if case.number >= options.first]
    first = max([options.first, *(case.number + 1 for case in done)])
    numbers = [
        number
        for number in range(first, options.first + options.cases)
        if cases.kind_of(number) in options.kinds.split(",")
        and number % cases.DRAWS < options.draws
    ]
    for case in cases.run_cases(options.seed, numbers):
        found.append(case)
        if options.out:
            with options.out.open("a") as file:
                words = dataclasses.asdict(case) | {"outcome": case.outcome.name}
                words["seed"] = options.seed
                file.write(json.dumps(words) + "\n")
        if case.outcome in (Outcome.WRONG, Outcome.CRASHED):
            print(f"{case.number} {case.family} {case.kind}: {case.outcome.value}")
            print(case.asked, case.detail, sep="\n", flush=True)
            if options.until_fault:
                break
    print(table(found))
    sys.exit(any(c.outcome in (Outcome.WRONG, Outcome.CRASHED) for c in found))


def table(found: list[Case]) -> str:
    """Outcomes by family and kind, and refusals by class."""
    lines = [f"{'':24}" + "".join(f"{o.value:>9}" for o in Outcome)]
    for group in ("family", "kind"):
        names = sorted({getattr(case, group) for case in found})
        for name in names:
            counts = collections.Counter(
                case.outcome for case in found if getattr(case, group) == name
            )
            lines.append(f"{name:24}" + "".join(f"{counts[o]:9}" for o in Outcome))
    counts = collections.Counter(case.outcome for case in found)
    lines.append(f"{'all':24}" + "".join(f"{counts[o]:9}" for o in Outcome))
    refusals = collections.Counter(
        case.detail for case in found if case.outcome is Outcome.REFUSED
    )
    lines += [f"refused, {name}: {count}" for name, count in refusals.most_common()]
    return "\n".join(lines)


def _done(path: pathlib.Path | None, seed: int) -> list[Case]:
    if path is None or not path.exists():
        return []
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    others = {row.pop("seed") for row in rows} - {seed}
    if others:
        sys.exit(f"{path} has cases of seed {others.pop()}; give another file.")
    return [Case(**row | {"outcome": Outcome[row["outcome"]]}) for row in rows]


if __name__ == "__main__":
    main()
