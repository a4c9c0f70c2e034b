"""Questions on which knowledge is no bottleneck: the answer stands in the question.

What is left is the step from the right option to its label, which is what circuits for
multiple choice are about. Any checkpoint can be studied with them, without a data set.
"""

from collections.abc import Callable, Sequence

import numpy as np

from mcq_jax.prompts import questions

# Short common nouns, which common tokenizers hold as one token after a space.
WORDS: tuple[str, ...] = tuple(
    """
    apple arm army baby bag ball band bank bar base bed bell bird board boat body bone
    book bottle bowl box boy bread bridge brother bus cake camera camp car card cat
    chain chair chest child church city class clock cloud coat coffee corn country
    court cow crown cup dance desk dog door dream dress drink driver duck ear earth egg
    engine eye face family farm father field finger fire fish flag floor flower food
    foot forest fruit game garden gas gate girl glass gold guard gun hair hall hand hat
    head heart hill home horse hospital hotel house ice iron island key king kitchen
    knife lake leg letter library light lion lip machine map market meat milk mirror
    money moon mother mountain mouse mouth music nail neck night nose ocean office oil
    paper park pen phone picture pig pilot plane plant plate pool prince queen rain
    rice ring river road rock roof room root rose salt school sea seed sheep ship shirt
    shoe shop skin sky snow song spring star station stone storm street sugar sun table
    teacher tiger tower town train tree truck valley village voice wall watch water
    wheel wife wind window wine wing winter wolf wood
    """.split()
)

# What an item is called in a sentence, and the colour it typically has.
COLOURS_OF_ITEMS: tuple[tuple[str, str], ...] = (
    ("coal", "black"),
    ("a raven", "black"),
    ("tar", "black"),
    ("a car tire", "black"),
    ("a panther", "black"),
    ("the sky", "blue"),
    ("the ocean", "blue"),
    ("a sapphire", "blue"),
    ("a blueberry", "blue"),
    ("a cornflower", "blue"),
    ("chocolate", "brown"),
    ("coffee", "brown"),
    ("a walnut", "brown"),
    ("a tree trunk", "brown"),
    ("a potato", "brown"),
    ("an elephant", "gray"),
    ("concrete", "gray"),
    ("a dolphin", "gray"),
    ("ash", "gray"),
    ("a rhinoceros", "gray"),
    ("grass", "green"),
    ("a frog", "green"),
    ("an emerald", "green"),
    ("spinach", "green"),
    ("a cucumber", "green"),
    ("a carrot", "orange"),
    ("a pumpkin", "orange"),
    ("a tangerine", "orange"),
    ("an apricot", "orange"),
    ("a flamingo", "pink"),
    ("a piglet", "pink"),
    ("bubble gum", "pink"),
    ("an eggplant", "purple"),
    ("lavender", "purple"),
    ("an amethyst", "purple"),
    ("a strawberry", "red"),
    ("blood", "red"),
    ("a fire truck", "red"),
    ("a ruby", "red"),
    ("a tomato", "red"),
    ("snow", "white"),
    ("milk", "white"),
    ("a swan", "white"),
    ("cotton", "white"),
    ("salt", "white"),
    ("a lemon", "yellow"),
    ("corn", "yellow"),
    ("a banana", "yellow"),
    ("a sunflower", "yellow"),
    ("a canary", "yellow"),
)


# What options belong to, and words that do, none in two lists.
MEMBERS_OF_CATEGORIES: tuple[tuple[str, tuple[str, ...]], ...] = tuple(
    (category, tuple(members.split()))
    for category, members in (
        ("an animal", "cat dog cow horse pig sheep wolf tiger"),
        ("a fruit", "apple banana lemon pear grape melon mango cherry"),
        ("a colour", "red blue green yellow purple brown pink white"),
        ("a metal", "iron steel tin zinc lead nickel platinum titanium"),
        ("a tool", "hammer saw drill axe chisel wrench shovel rake"),
        ("a vehicle", "car bus truck train boat bicycle van tram"),
        ("a body part", "arm leg nose ear knee neck foot hand"),
        ("furniture", "table chair bed desk sofa shelf bench stool"),
        ("clothing", "shirt coat hat shoe sock dress glove scarf"),
        ("a building", "house church school hotel castle barn tower palace"),
        ("weather", "rain snow wind fog storm hail thunder frost"),
    )
)


def word_copy(
    count: int, seed: int = 0, choices: int = 4
) -> tuple[questions.Question, ...]:
    """Returns questions such as 'Which option is the word "apple"?'."""
    _check(count, choices, available=len(WORDS), what="words")

    def one(
        index: int, order: np.ndarray, random: np.random.Generator
    ) -> questions.Question:
        word = WORDS[order[index % len(WORDS)]]
        return _ask(f'Which option is the word "{word}"?', word, WORDS, choices, random)

    return _distinct(one, count, seed, items=len(WORDS))


def copy_colour(
    count: int, seed: int = 0, choices: int = 4
) -> tuple[questions.Question, ...]:
    """Returns questions such as 'Corn is yellow. What color is corn?'."""
    colours = tuple(sorted({colour for _, colour in COLOURS_OF_ITEMS}))
    _check(count, choices, available=len(colours), what="colours")

    def one(
        index: int, order: np.ndarray, random: np.random.Generator
    ) -> questions.Question:
        item, colour = COLOURS_OF_ITEMS[order[index % len(order)]]
        text = f"{item[0].upper()}{item[1:]} is {colour}. What color is {item}?"
        return _ask(text, colour, colours, choices, random)

    return _distinct(one, count, seed, items=len(COLOURS_OF_ITEMS))


def category_member(
    count: int, seed: int = 0, choices: int = 4
) -> tuple[questions.Question, ...]:
    """Returns questions such as 'Which of these is a fruit?', each option of its own.

    No word of the right option stands in the question. Other right texts are spare.
    """
    categories = len(MEMBERS_OF_CATEGORIES)
    _check(count, choices, available=categories, what="categories")

    def one(
        index: int, order: np.ndarray, random: np.random.Generator
    ) -> questions.Question:
        kinds = order[(index + np.arange(categories)) % categories]
        drawn = [
            [members[i] for i in random.permutation(len(members))]
            for members in (MEMBERS_OF_CATEGORIES[kind][1] for kind in kinds)
        ]
        others = 1 + random.permutation(categories - 1)[: choices - 1]
        options = [drawn[other][0] for other in others]
        gold = int(random.integers(choices))
        options.insert(gold, drawn[0][0])
        return questions.Question(
            text=f"Which of these is {MEMBERS_OF_CATEGORIES[kinds[0]][0]}?",
            options=tuple(options),
            gold=gold,
            spare_right=tuple(drawn[0][1:3]),
        )

    return _distinct(one, count, seed, items=categories)


# An attempt's number, an order of the items and a generator, to a question.
_Maker = Callable[[int, np.ndarray, np.random.Generator], questions.Question]


def _distinct(
    one: _Maker, count: int, seed: int, *, items: int
) -> tuple[questions.Question, ...]:
    """Returns `count` different questions; each item comes up before any comes again.

    The first questions of a longer list are the shorter list.
    """
    random = np.random.default_rng(seed)
    order = random.permutation(items)
    found: dict[str, questions.Question] = {}
    # With all options shown, an item has only one question: order makes no other.
    for attempt in range(20 * count + 100):
        question = one(attempt, order, random)
        found.setdefault(question.content_id, question)
        if len(found) == count:
            return tuple(found.values())
    raise ValueError(
        f"{count} questions were asked for, but only {len(found)} different ones were "
        "found; ask for fewer, or for another number of options."
    )


def _ask(
    text: str,
    right: str,
    pool: Sequence[str],
    choices: int,
    random: np.random.Generator,
) -> questions.Question:
    others = [option for option in pool if option != right]
    wrong = random.choice(len(others), size=choices - 1, replace=False)
    options = [others[index] for index in wrong]
    gold = int(random.integers(choices))
    options.insert(gold, right)
    return questions.Question(text=text, options=tuple(options), gold=gold)


def _check(count: int, choices: int, *, available: int, what: str) -> None:
    if count < 1:
        raise ValueError(f"{count} questions were asked for; ask for at least one.")
    if not 2 <= choices <= available:
        raise ValueError(
            f"{choices} options a question, out of {available} {what}; ask for 2 to "
            f"{available}."
        )
