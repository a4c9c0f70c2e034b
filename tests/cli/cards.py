"""A run card as text."""

from collections.abc import Callable

Card = Callable[..., str]

CONFIG = """
from mcq_jax.experiments import RunConfig

def config():
    return RunConfig(title="Test", model={model!r}, questions={questions!r}, {more})
"""
