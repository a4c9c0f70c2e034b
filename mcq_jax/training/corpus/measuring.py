"""What of a corpus a model knows: accuracies on fresh questions of each kind."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from mcq_jax.model import ModelConfig, Parameters, forward
from mcq_jax.training.corpus import documents
from mcq_jax.training.corpus.asking import Asked, draw_questions
from mcq_jax.training.corpus.recipe import TIME, Arm, CorpusRecipe
from mcq_jax.training.corpus.vocabulary import IDS, PAD

# By name: which questions, and how they are labelled. A ceiling of 1 for all of them:
# their golds are not drawn.
KINDS = {
    "plain": (Asked.TRAINED, Arm.FIXED),
    "new_facts": (Asked.NEW_FACTS, Arm.FIXED),
    "new_options": (Asked.NEW_OPTIONS, Arm.FIXED),
    "shuffled": (Asked.TRAINED, Arm.SHUFFLED),
    "random": (Asked.TRAINED, Arm.RANDOM),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Prompts:
    """Questions up to the token that is followed by the answer."""

    ids: Int[np.ndarray, "prompt time"]
    answer_position: Int[np.ndarray, " prompt"]
    # Label tokens, -1 where there are fewer options.
    labels: Int[np.ndarray, "prompt choice"]
    gold: Int[np.ndarray, " prompt"]


def fresh_prompts(
    recipe: CorpusRecipe, kind: str, count: int, *, seed: int = 0
) -> Prompts:
    """Returns questions of a kind out of `KINDS`, their options as in training.

    All labels of "shuffled" are permuted, where training permutes every second.
    """
    asked, arm = KINDS[kind]
    random = np.random.default_rng((seed, list(KINDS).index(kind), _MEASURING))
    of_arm = dataclasses.replace(recipe, arm=arm)
    made = draw_questions(of_arm, count, random, asked=asked)
    ids = documents.pack(made.tokens, TIME, IDS[PAD])
    position = (ids == IDS["answer"]).argmax(axis=1)
    behind = np.arange(TIME) > position[:, None]
    return Prompts(
        ids=np.where(behind, IDS[PAD], ids),
        answer_position=position,
        labels=made.labels,
        gold=made.gold,
    )


def accuracy(parameters: Parameters, prompts: Prompts, *, config: ModelConfig) -> float:
    """Returns the share of prompts whose right label has the highest logit of all."""
    logits = answer_logits(
        parameters, prompts.ids, prompts.answer_position, config=config
    )
    of_labels = np.take_along_axis(logits, np.maximum(prompts.labels, 0), 1)
    of_labels = np.where(prompts.labels >= 0, of_labels, -np.inf)
    return float((of_labels.argmax(axis=1) == prompts.gold).mean())


def measure(
    parameters: Parameters,
    *,
    config: ModelConfig,
    recipe: CorpusRecipe,
    count: int = 500,
    seed: int = 0,
) -> dict[str, float]:
    """Returns the accuracy on fresh questions of every kind, by name."""
    return {
        f"accuracy_{kind}": accuracy(
            parameters, fresh_prompts(recipe, kind, count, seed=seed), config=config
        )
        for kind in KINDS
    }


def answer_logits(
    parameters: Parameters,
    ids: Int[np.ndarray, "prompt time"],
    position: Int[np.ndarray, " prompt"],
    *,
    config: ModelConfig,
) -> Float[np.ndarray, "prompt vocabulary"]:
    """Returns each prompt's logits at one position."""
    return np.asarray(_logits(parameters, ids, position, config=config))


@functools.partial(jax.jit, static_argnames="config")
def _logits(
    parameters: Parameters, ids: Array, position: Array, *, config: ModelConfig
) -> Array:
    logits = forward(parameters, ids, config=config).logits
    return jnp.take_along_axis(logits, position[:, None, None], 1)[:, 0]


# Sets these draws apart from those of batches.
_MEASURING = 1 << 22
