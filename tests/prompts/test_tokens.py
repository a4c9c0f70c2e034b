import dataclasses

import numpy as np
import pytest

from mcq_jax import prompts
from mcq_jax.prompts import KeyClass
from tests.prompts import tokenizers_for_tests as small

BPE = prompts.TokenizerFile(small.byte_level(bos=True), chat_template=small.CHATML)
QUESTION = prompts.Question(
    text='Which option is the word "apple"?',
    options=("A) river.", "apple", "\nB) apple", "corn"),
    gold=1,
    subject="maths",
)
SHOTS = (prompts.Question(text="Which?", options=("river", "sky"), gold=1),)
TEMPLATES = tuple(prompts.TEMPLATES.values())


def texts_of(prompt, rendered, span):
    offsets = BPE.encode(rendered.text, special=rendered.adds_special).offsets
    return rendered.text[offsets[span.start][0] : offsets[span.end - 1][1]]


@pytest.mark.parametrize("chat", [False, True], ids=["plain", "chat"])
@pytest.mark.parametrize("shots", [0, 1])
@pytest.mark.parametrize("template", TEMPLATES, ids=lambda t: t.name)
def test_token_spans_hold_the_characters_of_their_spans(template, shots, chat):
    rendered = prompts.render(
        QUESTION,
        template,
        shots=SHOTS[:shots],
        chat=prompts.chat_of(BPE) if chat else None,
    )
    prompt = prompts.tokenise(rendered, BPE)
    assert len(prompt.spans) == len(rendered.spans)
    for characters, span in zip(rendered.spans, prompt.spans, strict=True):
        assert (span.kind, span.option) == (characters.kind, characters.option)
        exact = rendered.text[characters.start : characters.end]
        assert exact in texts_of(prompt, rendered, span)


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda t: t.name)
def test_labels_stand_where_their_tokens_say(template):
    for rendered in prompts.render_rotations(QUESTION, template):
        prompt = prompts.tokenise(rendered, BPE)
        assert np.array_equal(prompt.ids[prompt.label_positions], prompt.label_ids)
        for label, index in zip(rendered.labels, prompt.label_ids, strict=True):
            assert label in BPE.decode([int(index)])
        assert np.all(np.diff(prompt.label_positions) > 0)


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda t: t.name)
def test_prompt_and_answer_id_spell_prompt_and_answer(template):
    rendered = prompts.render(QUESTION, template)
    prompt = prompts.tokenise(rendered, BPE)
    for answer, index in zip(rendered.answers, prompt.answer_ids, strict=True):
        spelled = BPE.decode([*prompt.ids.tolist(), int(index)])
        assert spelled == small.BOS + rendered.text + answer


def test_place_and_letter_are_the_index_where_labels_stand_in_their_order():
    for prompt in map(
        lambda r: prompts.tokenise(r, BPE), prompts.render_rotations(QUESTION)
    ):
        assert prompt.place.tolist() == prompt.letter.tolist() == [0, 1, 2, 3]
        assert prompt.gold_place == prompt.gold_letter == prompt.gold
        assert prompt.right.tolist() == [i == prompt.gold for i in range(4)]
        assert prompt.content_id == QUESTION.content_id


def test_shuffled_labels_tell_the_gold_letter_from_its_place():
    rendered = prompts.render(QUESTION, labels="CADB", alphabet="ABCD")
    assert "\nA) apple\n" in rendered.text
    prompt = prompts.tokenise(rendered, BPE)
    assert prompt.letter.tolist() == [2, 0, 3, 1]
    assert (prompt.gold, prompt.gold_place, prompt.gold_letter) == (1, 1, 0)
    in_order = prompts.tokenise(prompts.render(QUESTION), BPE)
    alike = np.argsort(prompt.letter)
    assert np.array_equal(prompt.answer_ids[alike], in_order.answer_ids)


def test_default_template_has_the_same_label_and_answer_tokens_harness_has_not():
    plain = prompts.tokenise(prompts.render(QUESTION), BPE)
    assert np.array_equal(plain.label_ids, plain.answer_ids)
    harness = prompts.tokenise(prompts.render(QUESTION, prompts.HARNESS), BPE)
    assert not set(harness.label_ids.tolist()) & set(harness.answer_ids.tolist())


def test_key_classes_of_a_small_prompt_are_those_read_off_by_hand():
    tokenizer = small.words()
    question = prompts.Question(text="Which is corn?", options=("sky", "corn"), gold=1)
    prompt = prompts.tokenise(prompts.render(question), tokenizer)
    kinds, options = prompts.key_classes(prompt)
    # <s> Which is corn ? \n A ) sky \n B ) corn \n Answer : (
    names = [KeyClass(kind).name for kind in kinds.tolist()]
    assert names == (
        ["FIRST"] + ["QUESTION"] * 4 + ["OTHER"]
        + ["LABEL", "OTHER", "OPTION", "LINE_END"] * 2 + ["CUE"] * 3
    )  # fmt: skip
    assert options.tolist() == [-1] * 6 + [0, -1, 0, 0, 1, -1, 1, 1] + [-1] * 3
    assert prompt.label_positions.tolist() == [6, 10]


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda t: t.name)
def test_every_token_is_of_one_kind_and_every_kind_occurs(template):
    rendered = prompts.render(QUESTION, template, shots=SHOTS)
    prompt = prompts.tokenise(rendered, BPE)
    kinds, options = prompts.key_classes(prompt)
    assert kinds.shape == options.shape == prompt.ids.shape
    expected = set(KeyClass) - (set() if template.prefix else {KeyClass.PREFIX})
    assert set(kinds.tolist()) == expected
    assert (kinds == KeyClass.LABEL).sum() == 4
    assert np.array_equal(
        np.flatnonzero(kinds == KeyClass.LABEL), prompt.label_positions
    )
    owned = (KeyClass.LABEL, KeyClass.OPTION, KeyClass.LINE_END)
    assert np.array_equal(options >= 0, np.isin(kinds, owned))


def test_a_full_stop_glued_to_the_line_break_ends_the_line():
    tokenizer = BPE
    rendered = prompts.render(QUESTION)
    prompt = prompts.tokenise(rendered, tokenizer)
    kinds, _ = prompts.key_classes(prompt)
    ends = [s for s in prompt.spans if s.kind == "line_end"]
    assert len(ends) == 4
    for span in ends:
        assert span.end - span.start == 1
        assert kinds[span.start] == KeyClass.LINE_END


def test_chat_prompts_get_no_second_bos():
    rendered = prompts.render(QUESTION, chat=prompts.chat_of(BPE))
    prompt = prompts.tokenise(rendered, BPE)
    assert BPE.decode(prompt.ids.tolist()) == rendered.text
    assert BPE.decode(prompt.ids[:1].tolist()) == "<|im_start|>"


def test_a_label_of_two_tokens_is_refused_by_name():
    rendered = prompts.render(QUESTION, labels=("A", "B", "QZ", "D"))
    with pytest.raises(ValueError, match=r"Label 'QZ' is 2 tokens \['Q', 'Z'\]"):
        prompts.tokenise(rendered, BPE)


def test_an_answer_of_two_tokens_is_refused_by_name():
    # " Q" is no token of this tokenizer.
    rendered = prompts.render(QUESTION, prompts.HARNESS, labels="ABQD")
    with pytest.raises(ValueError, match=r"Answer ' Q' is not one token .*' ', 'Q'"):
        prompts.tokenise(rendered, BPE)


def test_an_answer_that_changes_the_prompts_tokens_is_refused():
    # The cue ends in a space, which joins the answer.
    glued = dataclasses.replace(prompts.PLAIN_PAREN, cue="Answer: ")
    with pytest.raises(ValueError, match="Answer 'A' is not one token after question"):
        prompts.tokenise(prompts.render(QUESTION, glued), BPE)


@pytest.mark.parametrize(
    ("words", "after_label"),
    [(["AskyBcorn"], ""), (["Asky", "Bcorn"], ""), (["A", ".", "skyB", "corn"], ".")],
)
def test_labels_that_share_a_token_are_refused(words, after_label):
    tokenizer = prompts.WordTokenizer([*words, "Which", ":", "\n"])
    template = dataclasses.replace(
        prompts.PLAIN_PAREN,
        after_label=after_label,
        line_end=" " if len(words) == 2 else "",
        cue=":",
    )
    question = prompts.Question(text="Which", options=("sky", "corn"), gold=0)
    with pytest.raises(ValueError, match=r"share a token with each other or"):
        prompts.tokenise(prompts.render(question, template), tokenizer)


def test_labels_that_the_tokenizer_does_not_tell_apart_are_refused():
    tokenizer = small.with_unknown_words("Which", "A", "B", "sky")
    question = prompts.Question(text="Which", options=("sky", "corn"), gold=0)
    prompts.tokenise(prompts.render(question), tokenizer)
    with pytest.raises(ValueError, match=r"Labels \['X', 'Y'\] .* tokens \[0, 0\]"):
        prompts.tokenise(prompts.render(question, labels="XY"), tokenizer)


def test_a_wrong_option_with_the_right_ones_tokens_is_refused():
    tokenizer = small.with_unknown_words(
        *"A B C ) Which ? \n Answer : ( sky".split(" ")
    )
    question = prompts.Question(
        text="Which ?", options=("sky", "corn", "sea"), gold=2, id="q"
    )
    with pytest.raises(
        ValueError, match="Options 1 and 2 of question 'q' are the same"
    ):
        prompts.tokenise(prompts.render(question), tokenizer)
    # Two wrong ones may look the same.
    other = dataclasses.replace(question, gold=0)
    assert prompts.tokenise(prompts.render(other), tokenizer).gold == 0


def test_prompts_longer_than_the_context_are_refused():
    rendered = prompts.render(dataclasses.replace(QUESTION, id="q17"))
    length = len(prompts.tokenise(rendered, BPE).ids)
    assert len(prompts.tokenise(rendered, BPE, context=length).ids) == length
    with pytest.raises(
        ValueError, match=f"{length} tokens in question 'q17', .* at most {length - 1}"
    ):
        prompts.tokenise(rendered, BPE, context=length - 1)


def some_prompts(count=11):
    questions = [
        prompts.Question(
            text="Which option is the word apple?" + " apple" * (3 * i % 7 * 5),
            options=("apple", "river", "sky", "corn"),
            gold=i % 4,
        )
        for i in range(count)
    ]
    tokenizer = small.words()
    return [prompts.tokenise(prompts.render(q), tokenizer) for q in questions]


@pytest.mark.parametrize("size", [1, 2, 3, 100])
@pytest.mark.parametrize("widths", [{"multiple": 8}, {"buckets": (80, 40, 30)}])
def test_batches_hold_every_prompt_once_padded_on_the_right(size, widths):
    asked = some_prompts()
    seen = []
    for batch in prompts.batches(asked, size=size, pad_id=7, **widths):
        seen += batch.index.tolist()
        width = batch.ids.shape[1]
        assert width % 8 == 0 if "multiple" in widths else width in widths["buckets"]
        for row, index in enumerate(batch.index):
            prompt, length = asked[index], batch.lengths[row]
            assert np.array_equal(batch.ids[row, :length], prompt.ids)
            assert np.all(batch.ids[row, length:] == 7)
            assert length == len(prompt.ids)
            assert np.array_equal(batch.label_positions[row], prompt.label_positions)
            assert np.array_equal(batch.answer_ids[row], prompt.answer_ids)
            assert np.array_equal(batch.label_ids[row], prompt.label_ids)
            assert batch.gold[row] == prompt.gold
            kinds, options = prompts.key_classes(prompt)
            assert np.array_equal(batch.key_class[row, :length], kinds)
            assert np.array_equal(batch.key_option[row, :length], options)
            assert np.all(batch.key_class[row, length:] == KeyClass.OTHER)
            assert np.all(batch.key_option[row, length:] == -1)
    assert sorted(seen) == list(range(len(asked)))


def test_batches_group_by_length_longest_first_and_come_out_alike_each_time():
    asked = some_prompts()
    first = list(prompts.batches(asked, size=3))
    again = list(prompts.batches(asked, size=3))
    assert all(
        np.array_equal(a.index, b.index) for a, b in zip(first, again, strict=True)
    )
    lengths = np.concatenate([batch.lengths for batch in first])
    assert np.all(np.diff(lengths) <= 0)
    assert [len(batch.index) for batch in first] == [3, 3, 3, 2]
    # No wider than the longest prompt asks for.
    assert all(b.ids.shape[1] - b.lengths.max() < 16 for b in first)


def test_all_arrays_of_a_batch_are_32_bit_integers():
    (batch,) = prompts.batches(some_prompts(3), size=3)
    for field in dataclasses.fields(batch):
        assert getattr(batch, field.name).dtype == np.int32, field.name


def test_prompts_with_different_numbers_of_options_are_not_batched_together():
    tokenizer = small.words()
    two = prompts.Question(text="Which?", options=("sky", "corn"), gold=1)
    asked = [*some_prompts(1), prompts.tokenise(prompts.render(two), tokenizer)]
    with pytest.raises(ValueError, match=r"Prompts with \[2, 4\] options"):
        next(prompts.batches(asked, size=2))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": 0}, "Batches of 0 prompts"),
        ({"size": 1, "multiple": 0}, "multiples of 0"),
        ({"size": 1, "buckets": (8,)}, r"tokens fits none of the widths \[8\]"),
    ],
)
def test_impossible_batches_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        next(prompts.batches(some_prompts(2), **arguments))


def test_no_prompts_are_refused():
    with pytest.raises(ValueError, match="No prompts"):
        next(prompts.batches([], size=1))


@pytest.mark.parametrize("kind", [np.int32, bool])
def test_left_padding_becomes_right_padding(kind):
    ids = np.array([[0, 0, 5, 6], [7, 8, 9, 0], [1, 2, 3, 4]])
    mask = np.array([[0, 0, 1, 1], [1, 1, 1, 0], [1, 1, 1, 1]], kind)
    moved, lengths = prompts.from_left_padded(ids, mask, pad_id=9)
    assert moved.tolist() == [[5, 6, 9, 9], [7, 8, 9, 9], [1, 2, 3, 4]]
    assert lengths.tolist() == [2, 3, 4]


@pytest.mark.parametrize("mask", [[[1, 0, 1]], [[0, 0, 0]]])
def test_masks_that_are_not_one_run_are_refused(mask):
    with pytest.raises(ValueError, match="attention mask"):
        prompts.from_left_padded(np.array([[1, 2, 3]]), np.array(mask))
