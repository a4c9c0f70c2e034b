"""What a corpus's text is, said once more: reads rows, and how likely they are.

Independent of how the corpus is made: it never draws, and it sees nothing but words.
"""

import math
from collections.abc import Callable

from mcq_jax.training.corpus.recipe import Arm, CorpusRecipe
from mcq_jax.training.corpus.vocabulary import FILLERS, LETTERS, NAME, THINGS, VALUES
from mcq_jax.training.corpus.world import World

RELATIONS = [*VALUES, NAME]


class Reader:
    """A row's words, read from the left; adds up how unlikely they were."""

    def __init__(self, words: list[str], recipe: CorpusRecipe, world: World):
        self.words, self.recipe, self.world = words, recipe, world
        self.nats: dict[str, float] = {}

    def of(self, what: str, probability: float) -> None:
        self.nats[what] = self.nats.get(what, 0.0) - math.log(probability)

    def take(self) -> str:
        return self.words.pop(0)

    def expect(self, *words: str) -> None:
        for word in words:
            assert self.take() == word

    def while_in(self, known: tuple[str, ...]) -> list[str]:
        found = []
        while self.words[0] in known:
            found.append(self.take())
        return found

    def row(self) -> None:
        """The kind of a row is told by its first document."""
        self.expect("<bos>")
        first = self.words[0]
        kinds = {"list": (2, 1), "copy": (3, 2), "back": (3, 2), "count": (4, 3)}
        if first in kinds:
            kind, documents = kinds[first]
        else:
            kind, documents = (0, 1) if "?" in self.words else (1, 3)
        self.of("kind", self.recipe.shares[kind])
        reads: list[Callable[[], None]] = [
            self.question, self.fact, self.list, self.copy, self.count,
        ]  # fmt: skip
        for index in range(documents):
            if index:
                self.expect("<bos>")
            reads[kind]()
        assert all(word == "<pad>" for word in self.words)

    def sentence(self) -> tuple[str, str]:
        fillers = self.while_in(FILLERS)
        self.of("fillers", 1 / 4 * (1 / 8) ** len(fillers))
        self.expect("the")
        relation = self.take()
        self.expect("of", "the")
        thing = self.take()
        self.expect("is")
        return relation, thing

    def value(self, relation: str) -> str:
        known = THINGS if relation == NAME else VALUES[relation]
        word = self.take()
        return word if word in known else f"{word} {self.take()}"

    def truth(self, relation: str, thing: str) -> str:
        if relation == NAME:
            return thing
        row, column = RELATIONS.index(relation), THINGS.index(thing)
        return VALUES[relation][self.world.value[row, column]]

    def fact(self) -> None:
        relation, thing = self.sentence()
        self.of("about", 1 / 3 / 40)
        assert self.value(relation) == self.truth(relation, thing)
        self.expect("<end>")

    def question(self) -> None:
        relation, thing = self.sentence()
        row = RELATIONS.index(relation)
        assert self.world.asked[row, THINGS.index(thing)]
        self.of("about", self.recipe.asked[row] / self.world.asked[row].sum())
        self.expect("?", "\n")
        labels, options = [], []
        while self.words[0] != "answer":
            labels.append(self.take())
            options.append(self.value(relation))
            self.expect("\n")
        n = len(options)
        self.of("options", self.recipe.options[n - 3])
        known = THINGS if relation == NAME else VALUES[relation]
        pairs = [known.index(option) // 2 for option in options]
        assert len(set(pairs)) == n, "siblings are never asked"
        total = len(known) // 2
        ways = math.prod(2 * (total - 1 - i) for i in range(n - 1))
        self.of("shown", 1 / n / ways)
        self.of("labels", self.chance_of_labels(labels))
        self.expect("answer")
        said = labels.index(self.take())
        right = options.index(self.truth(relation, thing))
        noise = self.recipe.noise
        self.of("answer", noise / n + (1 - noise) * (said == right))
        self.expect("<end>")

    def chance_of_labels(self, labels: list[str]) -> float:
        n, plain = len(labels), list(LETTERS[: len(labels)])
        if self.recipe.arm is Arm.RANDOM:
            assert max(labels) <= "R" and len(set(labels)) == n
            return 1 / math.perm(18, n)
        if self.recipe.arm is Arm.FIXED:
            assert labels == plain
            return 1.0
        assert sorted(labels) == plain
        return 0.5 * (labels == plain) + 0.5 / math.perm(n, n)

    def list(self) -> None:
        self.expect("list", "\n")
        labels, things = [], []
        while self.words[0] not in ("what", "where"):
            labels.append(self.take())
            things.append(self.take())
            self.expect("\n")
        n = len(things)
        known = THINGS[: self.recipe.listed]
        assert len(set(things)) == n and set(things) <= set(known)
        of_letters, of_any, of_numbers = self.recipe.lists

        def chance(by_label: bool) -> float:
            if by_label:
                return of_any / math.perm(26, n)
            in_order = [list(LETTERS[:n]), [str(i + 1) for i in range(n)]]
            return (of_letters, of_numbers)[in_order.index(labels)]

        by_label = self.words[0] == "what"
        lengths = self.recipe.list_lines
        assert n in lengths
        orders = math.perm(len(known), n)
        self.of("list", 1 / len(lengths) / orders * chance(by_label))
        for _ in range(6):
            self.expect("what" if by_label else "where")
            given, other = (labels, things) if by_label else (things, labels)
            line = given.index(self.take())
            self.expect(other[line])
            self.of("list", 1 / n)
        self.expect("<end>")

    def copy(self) -> None:
        is_back = self.take() == "back"
        words = self.while_in(THINGS)
        self.expect(":", *(words[::-1] if is_back else words), "<end>")
        assert len(set(words)) == len(words)
        self.of("copy", 1 / 2 / 5 / math.perm(40, len(words)))

    def count(self) -> None:
        self.expect("count")
        numbers = [int(self.take())]
        while self.words[0] != "<end>":
            numbers.append(int(self.take()))
        self.expect("<end>")
        steps = {b - a for a, b in zip(numbers, numbers[1:], strict=False)}
        assert steps in ({1}, {-1}) and 1 <= min(numbers) and max(numbers) <= 20
        self.of("count", 1 / 5 / 2 / (20 - len(numbers) + 1))
