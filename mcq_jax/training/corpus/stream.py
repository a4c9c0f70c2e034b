"""`Corpus`: the corpus of a recipe as a stream of batches."""

import numpy as np

from mcq_jax.arguments import as_integer
from mcq_jax.training.corpus import documents, recipe, world
from mcq_jax.training.corpus.recipe import DOCUMENTS, TIME, CorpusRecipe, Row
from mcq_jax.training.corpus.vocabulary import IDS, PAD
from mcq_jax.training.stream import Batch


class Corpus:
    """Rows of 48 tokens, a function of recipe and step; see `CorpusRecipe`."""

    def __init__(self, recipe: CorpusRecipe):
        self.recipe = recipe
        self.world = world.make_world(recipe.seed, recipe.held_out)

    def batch(self, step: int) -> Batch:
        """Returns the rows of a step (0, 1, …), padded at weight 0."""
        step = as_integer(step, "a step")
        random, of_labels = (
            np.random.default_rng((self.recipe.seed, step, part)) for part in range(2)
        )
        # Fixed by the shares as nearly as can be would be another text with another
        # entropy: kinds are drawn.
        kind = np.searchsorted(
            recipe.cumulative(self.recipe.shares),
            random.random(self.recipe.rows),
            side="right",
        )
        ids = np.full((self.recipe.rows, TIME), IDS[PAD], np.int32)
        for index, row in enumerate(Row):
            where = np.flatnonzero(kind == index)
            if len(where):
                ids[where] = self._rows(row, len(where), random, of_labels)
        weights = (ids != IDS[PAD]).astype(np.float32)
        weights[:, 0] = 0
        return Batch(ids, weights)

    def _rows(
        self,
        row: Row,
        rows: int,
        random: np.random.Generator,
        of_labels: np.random.Generator,
    ) -> np.ndarray:
        count = rows * DOCUMENTS[row]
        match row:
            case Row.QUESTION:
                made = documents.questions(
                    self.recipe, self.world, count, random, of_labels
                ).tokens
            case Row.FACTS:
                made = documents.facts(self.world, count, random)
            case Row.LIST:
                made = documents.lists(self.recipe, count, random)
            case Row.COPIES:
                made = documents.copies(count, random)
            case Row.COUNTS:
                made = documents.counts(count, random)
        return documents.pack(made.reshape(rows, -1), TIME, IDS[PAD])
