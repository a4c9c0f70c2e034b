"""`python -m mcq_jax.planning MODEL [options]`: the planner, in this very process."""

import sys

import tyro

from mcq_jax.planning.command import PlanOptions, print_plan


def main(arguments: list[str]) -> int:
    model, *rest = arguments
    try:
        print_plan(model, tyro.cli(PlanOptions, args=rest))
    except ValueError as error:
        print(f"mcq-jax plan: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
