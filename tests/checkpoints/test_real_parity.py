"""Published GGUF files: logits and tokens equal those of `transformers`.

One file per test run of the model: the reference is loaded, run in float32 and float64,
and dropped before ours is loaded, so that both never are in memory together.
"""

import gc
import os
import re
import unicodedata

import jax.numpy as jnp
import numpy as np
import pytest

from mcq_jax import checkpoints, model
from mcq_jax.checkpoints import conversion, gguf, gguf_file, gguf_tokenizer
from tests.checkpoints import texts

pytestmark = [
    pytest.mark.parity,
    pytest.mark.real,
    # The reference's own imports and readers warn.
    pytest.mark.filterwarnings("default"),
]

PROMPTS = (
    'Which option is the word "apple"?\nA. river\nB. apple\nC. stone\nD. lamp\nAnswer:',
    "def mean(values):\n    return sum(values) / len(values)\n\nprint(mean([1, 2, 3",
    "In 1905 a clerk in Bern wrote four papers; the third of them was about",
)
SMALL = ["smollm2-135m", "qwen2.5-coder-0.5b"]
# Takes 14 GB of memory and some minutes: only where asked for.
LARGE = ["qwen2.5-coder-1.5b"] if os.environ.get("MCQ_LARGE_PARITY") else []
TOLERANCE = 2e-3


def reference_logits(path, tokens: list[list[int]], *, with_double: bool):
    """Returns each sequence's logits in float32, and in float64 if asked for."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("accelerate", reason="transformers reads GGUF only with it")
    reference = transformers.AutoModelForCausalLM.from_pretrained(
        path.parent, gguf_file=path.name, dtype=torch.float32
    ).eval()
    assert {p.dtype for p in reference.parameters()} == {torch.float32}
    with torch.no_grad():

        def logits():
            return [reference(torch.tensor([ids])).logits[0].numpy() for ids in tokens]

        single = logits()
        if not with_double:
            return single, single
        # Module's own method: that of transformers refuses what came from GGUF.
        torch.nn.Module.double(reference)
        return single, logits()


@pytest.mark.parametrize("name", SMALL + LARGE)
def test_logits_equal_the_reference(model_file, name):
    path = model_file(name)
    metadata = gguf_file.read_gguf(path).metadata
    tokenizer = gguf_tokenizer.read_tokenizer(metadata)
    tokens = [tokenizer.encode(prompt).ids for prompt in PROMPTS]
    single, double = reference_logits(path, tokens, with_double=name in SMALL)
    gc.collect()

    loaded = checkpoints.load(path)
    ours = [logits_of(loaded, ids) for ids in tokens]
    error = largest_difference(ours, single)
    own_error = largest_difference(single, double)
    own = f"{own_error:.2e}" if name in SMALL else "not measured"
    print(f"\n{name}: error {error:.2e}, the reference's own {own}")
    tolerance = max(TOLERANCE, 3 * own_error)
    assert error <= tolerance
    for one, two in zip(ours, double, strict=True):
        ranked = np.sort(two, -1)
        is_clear = ranked[:, -1] - ranked[:, -2] > 2 * tolerance
        assert is_clear.any()
        np.testing.assert_array_equal(
            one.argmax(-1)[is_clear], two.argmax(-1)[is_clear]
        )


def test_gemmas_logits_equal_the_reference(model_file):
    """By token ids behind the first token that it requires, without a tokenizer."""
    path = model_file("gemma3-270m")
    drawn = np.random.default_rng(0).integers(100, 200_000, 39)
    tokens = [2, *map(int, drawn)]
    (expected,), _ = reference_logits(path, [tokens], with_double=False)
    gc.collect()
    file = gguf_file.read_gguf(path)
    description = gguf.describe(file)
    parameters = conversion.build_parameters(
        file.tensors,
        description,
        dtype=np.dtype(np.float32),
        sizes=(1,) * description.config.layers,
    )
    ids = jnp.asarray([tokens], jnp.int32)
    ours = model.forward(parameters, ids, config=description.config).logits[0]
    assert np.abs(ours - expected).max() <= TOLERANCE
    np.testing.assert_array_equal(ours.argmax(-1), expected.argmax(-1))


def logits_of(loaded: checkpoints.Checkpoint, ids: list[int]) -> np.ndarray:
    tokens = jnp.asarray([ids], jnp.int32)
    output = model.forward(loaded.parameters, tokens, config=loaded.config)
    return np.asarray(output.logits[0])


def largest_difference(some: list[np.ndarray], others: list[np.ndarray]) -> float:
    pairs = zip(some, others, strict=True)
    return max(float(np.abs(one - other).max()) for one, other in pairs)


def reference_tokenizer(path):
    transformers = pytest.importorskip("transformers")
    return transformers.AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)


@pytest.mark.parametrize("name", [*SMALL, "gemma3-270m"])
def test_tokens_equal_the_reference(model_file, name):
    path = model_file(name)
    metadata = gguf_file.read_gguf(path).metadata
    ours = gguf_tokenizer.read_tokenizer(metadata)
    theirs = reference_tokenizer(path)
    special = [
        token
        for token, kind in zip(
            metadata["tokenizer.ggml.tokens"],
            metadata["tokenizer.ggml.token_type"],
            strict=True,
        )
        if kind in (3, 4)
    ]
    assert ours.encode("apple").ids == theirs("apple")["input_ids"]  # BOS, or none
    for text in texts.varied(special[:: max(1, len(special) // 60)]):
        expected = []
        for piece in prepared(text, metadata["tokenizer.ggml.pre"]):
            expected += theirs(piece, add_special_tokens=False)["input_ids"]
        encoding = ours.encode(text, special=False)
        assert encoding.ids == expected, text
        assert ours.decode(encoding.ids) == theirs.decode(expected)
        assert all(0 <= a <= b <= len(text) for a, b in encoding.offsets)
        if unicodedata.is_normalized("NFC", text):  # else a combined mark has no token
            covered = {c for start, end in encoding.offsets for c in range(start, end)}
            assert covered == set(range(len(text))), text


def prepared(text: str, pre: str) -> list[str]:
    """What the GGUF reader of transformers leaves out of the published tokenizers.

    Qwen2's composes characters (NFC) first; SmolLM2's takes every digit for itself.
    """
    if pre == "qwen2":
        return [unicodedata.normalize("NFC", text)]
    if pre != "smollm":
        return [text]
    digits = "".join(
        {c for c in text if c.isnumeric() and unicodedata.category(c)[0] == "N"}
    )
    pieces = re.split(f"([{re.escape(digits)}])", text) if digits else [text]
    return [piece for piece in pieces if piece]
