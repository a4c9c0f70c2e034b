"""Studies over many trainings, each fixed beforehand in `docs/registered/`."""
