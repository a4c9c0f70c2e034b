"""`python -m mcq_jax.cli`, which processes start their like with."""

import sys

from mcq_jax.cli import main

if __name__ == "__main__":
    sys.exit(main())
