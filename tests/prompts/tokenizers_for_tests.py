"""Small tokenizers of the kinds that real checkpoints use, made on the spot."""

import tokenizers
from tokenizers import decoders, models, pre_tokenizers, processors, trainers

from mcq_jax import prompts

BOS = "<s>"
CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{{ message['content'] | trim }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_TEXT = [
    'Which option is the word "apple"?\n(A) apple\n(B) river.\n\nAnswer: (A)\n',
    "A) corn\nB) lemon.\nC) sky\nD) grass\nAnswer: A B C D E F G H I J",
]


def byte_level(*, bos: bool = False, trim_offsets: bool = True) -> tokenizers.Tokenizer:
    """Returns a byte-level BPE, as GPT-2, Llama 3 and Qwen have it."""
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # pyright: ignore[reportAttributeAccessIssue]
    tokenizer.decoder = decoders.ByteLevel()  # pyright: ignore[reportAttributeAccessIssue]
    tokenizer.train_from_iterator(
        _TEXT * 20,
        trainers.BpeTrainer(
            vocab_size=400,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            special_tokens=[BOS, "<|im_start|>", "<|im_end|>"],
            show_progress=False,
        ),
    )
    steps: list = [processors.ByteLevel(trim_offsets=trim_offsets)]
    if bos:
        steps.append(
            processors.TemplateProcessing(
                single=f"{BOS} $A", special_tokens=[(BOS, tokenizer.token_to_id(BOS))]
            )
        )
    tokenizer.post_processor = processors.Sequence(steps)  # pyright: ignore[reportAttributeAccessIssue]
    return tokenizer


def words(*, bos: bool = True) -> prompts.WordTokenizer:
    """Returns a word tokenizer that knows the default templates' words."""
    known = """Which option is the word apple river stone corn sky Answer A B C D E F G
    H I J W X Y Z 1 2 3 4 ? ( ) : . " a highly knowledgeable and intelligent AI answers
    multiple - choice questions about maths The following are with""".split()
    return prompts.WordTokenizer(
        [BOS, "\n", *dict.fromkeys(known)], bos=BOS if bos else None
    )


def with_unknown_words(*known: str) -> prompts.TokenizerFile:
    """Returns a word tokenizer with one token for all words that it does not know."""
    vocabulary = {word: index for index, word in enumerate(["[UNK]", *known])}
    tokenizer = tokenizers.Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()  # pyright: ignore[reportAttributeAccessIssue]
    return prompts.TokenizerFile(tokenizer)
