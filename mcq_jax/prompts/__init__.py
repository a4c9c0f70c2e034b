"""What we ask: questions, their wording, and the tokens a model reads.

    questions ─► rendering (text + spans) ─► tokens (ids, positions, answers) ─► batches

`mutations` ask the same question in other ways, `datasets` and `synthetic` give
questions, `pairs` other tasks, `tokenizer` the tokens.
"""

from mcq_jax.checked_calls import check_calls
from mcq_jax.prompts.chat import ChatTemplate, chat_of
from mcq_jax.prompts.cloze import ClozePrompt, cloze, cloze_rows
from mcq_jax.prompts.datasets import (
    GENERATORS,
    QuestionSet,
    in_turns,
    load_question_set,
    load_questions,
    load_shots,
    read_jsonl,
    read_mmlu,
    sample,
    shots_for,
)
from mcq_jax.prompts.identity import question_names
from mcq_jax.prompts.listed_texts import (
    ListedText,
    TokenisedText,
    find_enumerators,
    own_texts,
    read_texts,
    tokenise_texts,
)
from mcq_jax.prompts.mutation_table import MUTATIONS, Draws, Mutation
from mcq_jax.prompts.mutations import mutate, mutations_of
from mcq_jax.prompts.pairs import (
    Pair,
    PairSet,
    TokenisedPair,
    aligned_positions,
    aligned_spans,
    load_pair_set,
    read_pairs,
    tokenise_pair,
)
from mcq_jax.prompts.questions import Question, rotations
from mcq_jax.prompts.relabelling import relabel
from mcq_jax.prompts.rendering import (
    HARNESS,
    PAPER,
    PLAIN_PAREN,
    TEMPLATES,
    RenderedPrompt,
    Span,
    Template,
    render,
    render_rotations,
)
from mcq_jax.prompts.repetition import word_repetition
from mcq_jax.prompts.rewording import with_template
from mcq_jax.prompts.span_positions import span_positions
from mcq_jax.prompts.swap_pairs import (
    SWAP_FORMS,
    SwapForm,
    SwapPair,
    ask_for,
    lines_of,
    swap_pairs,
)
from mcq_jax.prompts.synthetic import category_member, copy_colour, word_copy
from mcq_jax.prompts.tokenizer import Encoding, Tokenizer, TokenizerFile, WordTokenizer
from mcq_jax.prompts.tokens import (
    KeyClass,
    TokenBatch,
    TokenisedPrompt,
    batch_of,
    batches,
    from_left_padded,
    key_classes,
    require_one_gold,
    tokenise,
)
from mcq_jax.prompts.wording import Wording, render_wording

__all__ = [
    "ClozePrompt",
    "cloze",
    "cloze_rows",
    "GENERATORS",
    "HARNESS",
    "MUTATIONS",
    "PAPER",
    "PLAIN_PAREN",
    "SWAP_FORMS",
    "TEMPLATES",
    "ChatTemplate",
    "Draws",
    "Encoding",
    "KeyClass",
    "ListedText",
    "Mutation",
    "Pair",
    "PairSet",
    "Question",
    "QuestionSet",
    "RenderedPrompt",
    "Span",
    "SwapForm",
    "SwapPair",
    "Template",
    "TokenBatch",
    "TokenisedPair",
    "TokenisedPrompt",
    "TokenisedText",
    "Tokenizer",
    "TokenizerFile",
    "WordTokenizer",
    "Wording",
    "aligned_positions",
    "aligned_spans",
    "ask_for",
    "batch_of",
    "batches",
    "category_member",
    "chat_of",
    "copy_colour",
    "find_enumerators",
    "from_left_padded",
    "key_classes",
    "lines_of",
    "load_pair_set",
    "in_turns",
    "load_question_set",
    "load_questions",
    "load_shots",
    "mutate",
    "mutations_of",
    "own_texts",
    "question_names",
    "read_jsonl",
    "read_mmlu",
    "read_pairs",
    "read_texts",
    "relabel",
    "render",
    "render_rotations",
    "render_wording",
    "require_one_gold",
    "rotations",
    "sample",
    "shots_for",
    "span_positions",
    "swap_pairs",
    "tokenise",
    "tokenise_pair",
    "tokenise_texts",
    "with_template",
    "word_copy",
    "word_repetition",
]

check_calls(__name__)
