"""The corpus's words: a tokenizer of one token per word, and its prompts' template.

A word is a token wherever it stands; spaces only separate. So a label and the answer
that names it are the same token.
"""

import string

import tokenizers
from tokenizers import Regex, models, pre_tokenizers, processors

from mcq_jax.prompts import TokenizerFile
from mcq_jax.prompts.rendering import Template

PAD, BOS, END = "<pad>", "<bos>", "<end>"
LETTERS = tuple(string.ascii_uppercase)
# What is counted, and how numbered lists are numbered.
NUMBERS = tuple(str(number) for number in range(1, 21))
FILLERS = ("well", "now", "so", "then", "look", "listen", "say", "next")
# What facts are about, and what is copied and listed. Neighbours are siblings: the
# first and the second, the third and the fourth, … (see `world`).
THINGS = tuple(
    """
    apple bell bird boat book bridge cake chair clock cloud coat crown door dress drum
    engine flag flower fox garden glove hat horse island kettle kite ladder lamp lion
    mirror piano river rope ship spoon statue tower train violin wheel
    """.split()
)
# What is known of every thing, and the values that it may have: one or two words, none
# of them in two values, so that each word alone says which value it belongs to.
VALUES = {
    "colour": (
        "red", "blue", "green", "white", "black", "yellow", "purple", "grey",
        "pale rose", "burnt amber", "deep indigo", "bright silver",
    ),
    "home": (
        "harbour", "market", "castle", "forest", "desert", "valley", "cellar", "attic",
        "old mill", "salt lake", "north gate", "stone barn",
    ),
    "maker": (
        "anna", "boris", "clara", "david", "emma", "felix", "greta", "hugo",
        "king oscar", "queen ruth", "uncle tom", "aunt vera",
    ),
}  # fmt: skip
# The relation that needs no knowledge: a thing's name is its word.
NAME = "name"

_WORDS = (
    PAD, BOS, END, "\n", "?", ":", "the", "of", "is", "answer", "list", "what",
    "where", "copy", "back",
    "count", NAME, *VALUES,
)  # fmt: skip
VOCABULARY = (
    *_WORDS,
    *LETTERS,
    *NUMBERS,
    *FILLERS,
    *THINGS,
    *(word for values in VALUES.values() for value in values for word in value.split()),
)
IDS = {word: index for index, word in enumerate(VOCABULARY)}
assert len(IDS) == len(VOCABULARY) <= 256

# <bos> so the colour of the fox is ? \n A red \n … answer
TEMPLATE = Template(
    name="corpus",
    prefix="",
    prefix_without_subject="",
    before_label="",
    after_label=" ",
    cue="answer",
    content_cue="answer",
    before_answer=" ",
)


def tokenizer() -> TokenizerFile:
    """Returns the corpus's tokenizer; a word that it does not know is an error."""
    made = tokenizers.Tokenizer(models.WordLevel(vocab=dict(IDS)))
    word = Regex(r"<\w+>|\w+|\n|[^\w\s]")
    made.pre_tokenizer = pre_tokenizers.Split(word, behavior="removed", invert=True)
    made.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", special_tokens=[(BOS, IDS[BOS])]
    )
    return TokenizerFile(made, special_tokens={"bos_token": BOS, "pad_token": PAD})
