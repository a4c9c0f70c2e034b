"""Mutations: what each makes of one question, and what all of them keep."""

import dataclasses
import itertools
import math
import re

import numpy as np
import pytest

from mcq_jax import prompts
from mcq_jax.prompts import synthetic
from tests.prompts import tokenizers_for_tests as small

BPE = prompts.TokenizerFile(small.byte_level(bos=True))
QUESTION = prompts.Question(
    text="Which grows?",
    options=("stone", "river", "corn", "sky"),
    gold=2,
    id="growing",
    spare_right=("grass", "moss"),
)
LINES = "A) stone\nB) river\nC) corn\nD) sky\n"

# What mutations that draw nothing and give one prompt make of it.
TEXTS = {
    "none": f"Which grows?\n{LINES}Answer: (",
    "ordered_letters": "Which grows?\nE) stone\nF) river\nG) corn\nH) sky\nAnswer: (",
    "numbers": "Which grows?\n1) stone\n2) river\n3) corn\n4) sky\nAnswer: (",
    "lower_case": "Which grows?\na) stone\nb) river\nc) corn\nd) sky\nAnswer: (",
    "reversed": "Which grows?\nD) stone\nC) river\nB) corn\nA) sky\nAnswer: (",
    "repeated_labels": "Which grows?\nA) stone\nA) river\nB) corn\nB) sky\nAnswer: (",
    "dot_behind": "Which grows?\nA. stone\nB. river\nC. corn\nD. sky\nAnswer: (",
    "colon_behind": "Which grows?\nA: stone\nB: river\nC: corn\nD: sky\nAnswer: (",
    "round_brackets": (
        "Which grows?\n(A) stone\n(B) river\n(C) corn\n(D) sky\nAnswer: ("
    ),
    "square_brackets": (
        "Which grows?\n[A] stone\n[B] river\n[C] corn\n[D] sky\nAnswer: ("
    ),
    "full_stops": "Which grows?\nA) stone. B) river. C) corn. D) sky. Answer: (",
    "one_line": "Which grows?\nA) stone B) river C) corn D) sky Answer: (",
    "prelude": (
        "A highly knowledgeable and intelligent AI answers multiple-choice questions."
        f"\n\nWhich grows?\n{LINES}Answer: ("
    ),
    "cue_solution": f"Which grows?\n{LINES}Solution: (",
    "cue_correct_option": f"Which grows?\n{LINES}The correct option is (",
    "options_first": f"{LINES}Which grows?\nAnswer: (",
    "question_removed": f"{LINES}Answer: (",
    "none_of_the_above": f"Which grows?\n{LINES}E) None of the above\nAnswer: (",
    "none_is_right": (
        "Which grows?\nA) stone\nB) river\nC) sky\nD) None of the above\nAnswer: ("
    ),
    "round_brackets + bracket_behind": f"Which grows?\n{LINES}Answer: (",
    "prelude + no_prelude": f"Which grows?\n{LINES}Answer: (",
    "numbers + reversed": (
        "Which grows?\n4) stone\n3) river\n2) corn\n1) sky\nAnswer: ("
    ),
}
# Of a question with ten options, what leaves the default wording's options alone.
TEN = dataclasses.replace(
    QUESTION, options=tuple(f"w{i}" for i in range(10)), gold=6, spare_right=("moss",)
)


def asked(names, question=QUESTION, **options):
    return prompts.mutate(question, names, **options)


def rendered(names, question=QUESTION, **options):
    return [prompts.render_wording(w) for w in asked(names, question, **options)]


@pytest.mark.parametrize("names", TEXTS)
def test_a_mutation_reads_as_written_out_here(names):
    (prompt,) = rendered(names)
    assert prompt.text == TEXTS[names]


def start_of(name: str) -> list[str]:
    """What must come before a mutation so that it changes anything."""
    before = {"no_prelude": ["prelude"], "bracket_behind": ["round_brackets"]}
    return [*before.get(name, []), name]


@pytest.mark.parametrize("name", prompts.MUTATIONS)
def test_gold_place_and_gold_letter_are_read_off_the_text(name):
    question = TEN if name.endswith("_options") and name[0].isdigit() else QUESTION
    if name == "10_options":
        question = dataclasses.replace(TEN, options=(*TEN.options, "w10"))
    made = rendered(start_of(name), question)
    assert {p.content_id for p in made} == {question.content_id}
    assert {p.question for p in made} == {"growing"}
    for prompt in made:
        spans = {(s.kind, s.option): prompt.text[s.start : s.end] for s in prompt.spans}
        golds = (question.options[question.gold], "None of the above")
        assert spans["option", prompt.gold] == golds[name == "none_is_right"]
        # The gold's line, as a reader counts lines and reads the label in front.
        lines = [s for s in prompt.spans if s.kind in ("label", "neutral")]
        place = prompt.places[prompt.gold]
        assert lines[place].option == prompt.gold
        label = spans["label", prompt.gold]
        behind = prompt.text[lines[place].end :]
        assert behind.lstrip(")].: ").startswith(spans["option", prompt.gold])
        tokens = tokens_of(prompt)
        assert tokens.gold_place == place
        assert prompt.alphabet[tokens.gold_letter] == label
        assert tokens.right[prompt.gold] and not tokens.right.all()


def tokens_of(prompt) -> prompts.TokenisedPrompt:
    """The prompt's tokens to a tokenizer of its own words."""
    words = set(re.findall(r"\w+|\n|[^\w\s]", prompt.text))
    return prompts.tokenise(prompt, prompts.WordTokenizer(sorted(words)))


@pytest.mark.parametrize("name", prompts.MUTATIONS)
def test_a_mutation_says_in_a_sentence_each_what_it_changes_and_keeps(name):
    mutation = prompts.MUTATIONS[name]
    assert mutation.name == name
    for sentence in (mutation.changes, mutation.keeps):
        assert sentence[0].isupper() and sentence.endswith(".")


@pytest.mark.parametrize(("count", "expected"), [(2, 1), (3, 2), (4, 9), (5, 44)])
def test_derangements_are_all_orders_without_a_label_on_its_own_line(count, expected):
    question = dataclasses.replace(TEN, options=TEN.options[:count], gold=0)
    made = asked("derangements", question)
    orders = {wording.labels for wording in made}
    assert len(made) == len(orders) == expected
    assert all(a != b for o in orders for a, b in zip(o, "ABCDE", strict=False))
    everything = asked("permutations", question)
    assert len({wording.labels for wording in everything}) == math.factorial(count)
    assert orders <= {wording.labels for wording in everything}


@pytest.mark.parametrize(
    ("name", "expected"),
    [("permutations", 0), ("latin_square", 0), ("derangements", -1 / 3)],
)
def test_place_and_letter_are_independent_but_among_derangements(name, expected):
    made = [p for r in rendered(["rotations", name]) for p in [tokens_of(r)]]
    places = [prompt.gold_place == 0 for prompt in made]
    letters = [prompt.gold_letter == 0 for prompt in made]
    assert np.corrcoef(places, letters)[0, 1] == pytest.approx(expected, abs=1e-9)


def test_a_latin_square_has_each_letter_on_each_line_once():
    made = [wording.labels for wording in asked("numbers + latin_square")]
    for line in range(4):
        assert sorted(labels[line] for labels in made) == ["1", "2", "3", "4"]


def test_draws_depend_on_seed_question_and_rotation_and_on_nothing_else():
    (one,) = asked("shuffled")
    assert asked("shuffled") == (one,)
    seeds = {asked("shuffled", seed=seed)[0].labels for seed in range(40)}
    assert len(seeds) == 9  # all derangements of four labels
    turned = {w.labels for w in asked("rotations + shuffled", seed=3)}
    assert len(turned) > 1
    # The same question under another name is drawn for alike.
    renamed = dataclasses.replace(QUESTION, id="other")
    assert asked("shuffled", renamed)[0].labels == one.labels


def test_random_letters_are_one_draw_for_all_and_two_sets_share_none():
    other = dataclasses.replace(QUESTION, text="What grows?", id="")
    for seed in range(20):
        (first,) = asked("random_letters", seed=seed)
        assert asked("random_letters", other, seed=seed)[0].labels == first.labels
        (second,) = asked("other_random_letters", seed=seed)
        assert not set(first.labels) & {*second.labels, *"ABCD"}
        assert not set(second.labels) & set("ABCD")
        assert first.alphabet == tuple(sorted(first.labels)) != first.labels
        (permuted,) = asked("random_letters + permuted", seed=seed)
        assert permuted.alphabet == first.alphabet
    permuted = {asked("random_letters + permuted", q)[0].labels for q in word_questions}
    assert len(permuted) > 5


word_questions = prompts.word_copy(12, seed=2)


@pytest.mark.parametrize("count", range(2, 11))
def test_options_are_left_out_and_the_right_one_stays(count):
    question = dataclasses.replace(TEN, options=(*TEN.options, "w10"))
    (made,) = asked(f"{count}_options", question)
    left = made.question
    assert len(left.options) == len(made.labels) == count
    assert left.options[left.gold] == "w6"
    places = [question.options.index(option) for option in left.options]
    assert places == sorted(places)
    assert made.alphabet == made.labels == tuple("ABCDEFGHIJK"[:count])


def test_a_neutral_line_moves_the_options_behind_it_down():
    made = rendered("neutral_line_everywhere")
    assert [prompt.places for prompt in made] == [
        (1, 2, 3, 4),
        (0, 2, 3, 4),
        (0, 1, 3, 4),
        (0, 1, 2, 4),
    ]
    assert "\nB) river\nPlease read on.\nC) corn\n" in made[2].text
    assert tokens_of(made[2]).place.tolist() == [0, 1, 3, 4]
    (drawn,) = rendered("neutral_line + shuffled")
    assert drawn.text.count("Please read on.") == 1
    assert drawn.places[3] == 4 or drawn.places[0] == 1


def test_two_right_options_are_a_set_and_so_are_options_of_one_label():
    (two,) = rendered("two_right_options")
    right = {option for option, is_right in zip("0123", two.right, strict=True)
             if is_right}  # fmt: skip
    assert len(right) == 2 and "2" in right
    assert "grass" in two.text and "corn" in two.text
    (repeated,) = rendered("repeated_labels")
    assert repeated.right == (False, False, True, True)
    assert repeated.alphabet == ("A", "B")
    prompt = tokens_of(repeated)
    assert prompt.answer_ids[2] == prompt.answer_ids[3] != prompt.answer_ids[0]
    assert prompt.letter.tolist() == [0, 0, 1, 1]
    for many in (two, repeated):
        with pytest.raises(ValueError, match="prompt 1 .* one gold answer is needed"):
            ones = [tokens_of(rendered("none")[0]), tokens_of(many)]
            prompts.require_one_gold(ones)


def test_options_first_and_neutral_lines_stand_in_a_chat():
    chat = prompts.ChatTemplate(source=small.CHATML)
    (wording,) = asked("options_first")
    text = prompts.render_wording(wording, chat=chat).text
    assert text == (
        f"<|im_start|>user\n{LINES}Which grows?<|im_end|>\n"
        "<|im_start|>assistant\nAnswer: ("
    )
    assert BPE.decode(prompts.tokenise(rendered("options_first")[0], BPE).ids.tolist())


def test_a_worked_example_that_is_another_form_of_the_question_is_refused():
    (fewer,) = asked("3_options")
    with pytest.raises(ValueError, match="'growing' is question 'growing' itself"):
        prompts.render_wording(fewer, shots=[QUESTION])


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("upside_down", r"called \['upside_down'\]; there are none, ordered_letters"),
        ("no_prelude", "'plain_paren' .* already"),
        ("bracket_behind", "already; leave this mutation out"),
        ("lower_case + lower_case", "no capitals"),
        ("4_options", "4 options of the 4 .* ask for fewer than there are"),
        ("shuffled + 3_options", "change options first"),
        ("neutral_line + none_of_the_above", "change options first"),
        ("numbers + none_of_the_above", "change options first"),
        ("repeated_labels + reversed", "repeat labels last"),
        ("two_right_options + none_is_right", "2 right options"),
        ("two_right_options + two_right_options + two_right_options", "wrong options"),
    ],
)
def test_what_makes_no_sense_is_refused(names, message):
    with pytest.raises(ValueError, match=message):
        asked(names)


@pytest.mark.parametrize(
    ("names", "question", "message"),
    [
        ("permutations", TEN, "3628800 prompts a question"),
        ("other_random_letters", TEN, "Set 1 of 10 random letters out of 16"),
        ("two_right_options", word_questions[0], "0 spare right texts"),
    ],
)
def test_what_a_question_has_too_few_or_many_for_is_refused(names, question, message):
    with pytest.raises(ValueError, match=message):
        asked(names, question)


def test_a_set_of_right_labels_that_holds_all_is_refused():
    two = prompts.Question(text="Which?", options=("a", "b"), gold=0)
    (wording,) = asked("repeated_labels", two)
    with pytest.raises(ValueError, match="Every label of question .* is right"):
        prompts.render_wording(wording)


def test_a_mutation_of_ones_own_is_data_too():
    mine = prompts.Mutation(
        name="shouting",
        changes="The question ends in an exclamation mark.",
        keeps="All else.",
        change=lambda w: dataclasses.replace(
            w, question=dataclasses.replace(w.question, text=w.question.text + "!")
        ),
    )
    (wording,) = asked(["numbers", mine])
    assert prompts.render_wording(wording).text.startswith("Which grows?!\n1) stone")


def test_category_members_have_one_right_option_and_spare_ones():
    made = prompts.load_questions("category_member", count=40, seed=1)
    assert len({question.content_id for question in made}) == 40
    for question in made:
        (right,) = [m for c, m in CATEGORIES if question.text.endswith(f"is {c}?")]
        shown = [option in right for option in question.options]
        assert shown == [index == question.gold for index in range(4)]
        assert set(question.spare_right) < set(right)
        assert not any(option in question.text for option in question.options)
    words = list(itertools.chain.from_iterable(m for _, m in CATEGORIES))
    assert len(words) == len(set(words))


CATEGORIES = synthetic.MEMBERS_OF_CATEGORIES
