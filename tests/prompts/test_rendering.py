import dataclasses
import datetime
import itertools

import pytest

from mcq_jax import prompts
from tests.prompts import tokenizers_for_tests as small

QUESTION = prompts.Question(
    text=" What is left of it?\n",
    # Hostile on purpose: repeats, labels and line breaks inside options.
    options=("A", "A) B", "B\nA) A\nAnswer: (", "A) B) C"),
    gold=2,
    subject="abstract_algebra",
)
SHOTS = (
    prompts.Question(text="One?", options=("w", "x", "y", "z"), gold=0),
    prompts.Question(text="Two?", options=("A", "B", "C", "D"), gold=3),
)
LABELS = (None, "WXYZ", ("1", "2", "3", "4"), ("aa", "bb", "cc", "dd"))
CHAT = prompts.ChatTemplate(source=small.CHATML)
TEMPLATES = tuple(prompts.TEMPLATES.values())


def piece(rendered, kind, option=-1):
    found = [s for s in rendered.spans if (s.kind, s.option) == (kind, option)]
    assert len(found) == 1
    return rendered.text[found[0].start : found[0].end]


@pytest.mark.parametrize("chat", [None, CHAT], ids=["plain", "chat"])
@pytest.mark.parametrize("shots", [0, 1, 2])
@pytest.mark.parametrize("template", TEMPLATES, ids=lambda t: t.name)
@pytest.mark.parametrize("labels", LABELS)
def test_spans_slice_back_to_exactly_the_rendered_piece(template, labels, shots, chat):
    rendered = prompts.render(
        QUESTION, template, labels=labels, shots=SHOTS[:shots], chat=chat
    )
    for index, option in enumerate(QUESTION.options):
        assert piece(rendered, "option", index) == option
        assert piece(rendered, "label", index) == (labels or "ABCD")[index]
    for index in range(3):
        assert piece(rendered, "line_end", index) == "\n"
    assert piece(rendered, "line_end", 3) == ("\n" if chat is None else "<")
    # A chat's message is trimmed, and the question may be its beginning.
    assert piece(rendered, "question").strip() == QUESTION.text.strip()
    assert piece(rendered, "cue") == template.cue
    assert rendered.text.endswith(template.cue)
    kinds = {span.kind for span in rendered.spans}
    assert ("shots" in kinds) == (shots > 0)
    assert ("prefix" in kinds) == bool(template.prefix)


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda t: t.name)
def test_spans_follow_each_other_without_overlap(template):
    spans = prompts.render(QUESTION, template, shots=SHOTS).spans
    for left, right in itertools.pairwise(spans):
        assert left.end <= right.start


def test_the_paper_template_reads_as_in_the_paper():
    question = prompts.Question(
        text="Which?", options=("a", "b"), gold=0, subject="college_biology"
    )
    assert prompts.render(question, prompts.PAPER).text == (
        "A highly knowledgeable and intelligent AI answers multiple-choice questions "
        "about college biology.\n\nWhich?\n(A) a\n(B) b\nAnswer: ("
    )


def test_the_default_template_has_bare_labels_and_an_open_bracket():
    question = prompts.Question(text="Which?", options=("a", "b"), gold=1)
    shot = prompts.Question(text="What?", options=("c", "d"), gold=1)
    rendered = prompts.render(question, shots=[shot])
    assert rendered.text == (
        "What?\nA) c\nB) d\nAnswer: (B)\n\nWhich?\nA) a\nB) b\nAnswer: ("
    )
    assert rendered.answers == ("A", "B")


def test_the_harness_template_is_what_the_evaluation_harness_writes():
    # Literal of its `mmlu` task, one worked example: description, `doc_to_text`,
    # target after a space, blank line.
    question = prompts.Question(
        text=" Statement 1 | a\nTrue? \n",
        options=("True, True", " False ", "None", "x\n"),
        gold=2,
        subject="high_school_european_history",
    )
    shot = dataclasses.replace(
        question, text="Find c.", options=("0", "1", "2", "3"), gold=1, id=""
    )
    rendered = prompts.render(question, prompts.HARNESS, shots=[shot])
    assert rendered.text == (
        "The following are multiple choice questions (with answers) about high school "
        "european history.\n\n"
        "Find c.\nA. 0\nB. 1\nC. 2\nD. 3\nAnswer: B\n\n"
        "Statement 1 | a\nTrue?\nA. True, True\nB.  False \nC. None\nD. x\n\nAnswer:"
    )
    assert rendered.answers == (" A", " B", " C", " D")


def test_a_question_without_subject_gets_a_prefix_without_one():
    question = prompts.Question(text="Which?", options=("a", "b"), gold=0)
    for template in (prompts.PAPER, prompts.HARNESS):
        text = prompts.render(question, template).text
        assert text.startswith(template.prefix_without_subject + "Which?")
        assert "{" not in text


def test_braces_in_a_question_are_only_text():
    question = prompts.Question(
        text="Is {subject} in {0}?", options=("{a}", "%s"), gold=0, subject="sets"
    )
    assert "\nIs {subject} in {0}?\nA) {a}\nB) %s\n" in (
        "\n" + prompts.render(question).text
    )


def test_rotated_prompts_keep_labels_in_place_and_move_options():
    rendered = prompts.render_rotations(QUESTION)
    assert [r.rotation for r in rendered] == [0, 1, 2, 3]
    assert [r.gold for r in rendered] == [2, 3, 0, 1]
    for prompt in rendered:
        assert prompt.labels == ("A", "B", "C", "D")
        assert piece(prompt, "option", prompt.gold) == QUESTION.options[2]


def test_ten_options_get_ten_labels():
    options = tuple(f"o{i}" for i in range(10))
    question = prompts.Question(text="Which?", options=options, gold=9)
    assert prompts.render(question).labels == tuple("ABCDEFGHIJ")


def test_chat_puts_the_cue_first_in_the_reply():
    question = prompts.Question(text=" Which?", options=("a", "b "), gold=0)
    chat = prompts.ChatTemplate(source=small.CHATML, system="Be brief.")
    rendered = prompts.render(question, chat=chat)
    assert rendered.text == (
        "<|im_start|>system\nBe brief.<|im_end|>\n"
        "<|im_start|>user\nWhich?\nA) a\nB) b<|im_end|>\n"
        "<|im_start|>assistant\nAnswer: ("
    )
    assert not rendered.adds_special


def test_chat_templates_run_with_what_transformers_gives_them():
    source = (
        "{{ bos_token }}{% for m in messages %}\n"
        "    {% if loop.index > 5 %}{% break %}{% endif %}\n"
        "{{ m.content }}{{ {'ä<': 1} | tojson }}{{ strftime_now('%%') }}{% endfor %}"
    )
    chat = prompts.ChatTemplate(source=source, special_tokens={"bos_token": "<s>"})
    assert chat.around("hello") == ("<s>", '{"ä<": 1}%')


def test_marks_for_training_leave_no_trace_in_a_chat_template():
    # As SmolLM3's and Phi-4's have them. What is set inside is not known behind.
    source = (
        "{{ messages[0].content }}{%- set x = 1 %}{% generation %}{% set x = 2 %}"
        "{{ '|' if tools is none and documents is none }}{% endgeneration %}{{ x }}"
    )
    assert prompts.ChatTemplate(source=source).around("hello") == ("", "|1")


def test_a_chat_template_writes_the_date_that_is_given():
    source = "{{ strftime_now('%d %b %Y') }}{{ messages[0].content }}"
    moment = datetime.datetime(2024, 7, 26)
    chat = prompts.ChatTemplate(source=source, moment=moment)
    assert chat.around("hello") == ("26 Jul 2024", "")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{{ raise_exception('no system') }}", "refused the conversation: no system"),
        ("{% for %}", "cannot be read, line 1"),
        ("{{ messages[0].content | upper }}", "once and unchanged"),
        ("constant", "once and unchanged"),
        ("{{ messages[0].content * 2 }}", "once and unchanged"),
    ],
)
def test_chat_templates_that_cannot_be_used_are_refused(source, message):
    with pytest.raises(ValueError, match=message):
        prompts.ChatTemplate(source=source).around("hello")


def test_a_chat_template_cannot_reach_out_of_its_sandbox():
    source = "{{ ''.__class__.__mro__[1].__subclasses__() }}{{ messages[0].content }}"
    with pytest.raises(Exception, match="unsafe"):
        prompts.ChatTemplate(source=source).around("hello")


def test_a_checkpoint_without_chat_template_is_refused():
    with pytest.raises(ValueError, match="none; turn the chat template off"):
        prompts.chat_of(small.words())


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ("ABC", "3 answer labels for 4 options in question .* one label per option"),
        ("ABCDE", "5 answer labels for 4 options"),
        ("ABCA", "all different"),
        (("A", "B", "C", " "), "not empty"),
    ],
)
def test_labels_that_do_not_fit_are_refused(labels, message):
    with pytest.raises(ValueError, match=message):
        prompts.render(QUESTION, labels=labels)


def test_a_worked_example_with_more_options_than_labels_is_refused():
    question = prompts.Question(text="Which?", options=("a", "b"), gold=0)
    with pytest.raises(ValueError, match="2 answer labels for 4 options in worked"):
        prompts.render(question, shots=SHOTS)


@pytest.mark.parametrize("alphabet", ["ABC", "AABCD", "WXYZ"])
def test_an_alphabet_without_the_labels_is_refused(alphabet):
    with pytest.raises(ValueError, match="The alphabet .* give each label once"):
        prompts.render(QUESTION, labels="DCBA", alphabet=alphabet)


def test_a_worked_example_that_is_the_question_itself_is_refused():
    turned = dataclasses.replace(prompts.rotations(QUESTION)[1], id="x", subject="y")
    with pytest.raises(ValueError, match="example 'x' is question .* itself"):
        prompts.render(QUESTION, shots=[*SHOTS, turned])
