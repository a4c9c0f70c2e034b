"""Swap pairs: lines read off the prompts, apart as their form says."""

import collections
import dataclasses

import pytest

from mcq_jax import prompts

QUESTIONS = prompts.word_copy(12, seed=4)
WIDE = prompts.word_copy(6, seed=4, choices=7)


def asked_by(name: str):
    return WIDE if name in ("across_counts", "unlabelled_line") else QUESTIONS


def pairs_of(name: str, **options):
    return prompts.swap_pairs(asked_by(name), prompts.SWAP_FORMS[name], **options)


@pytest.mark.parametrize("name", prompts.SWAP_FORMS)
def test_lines_are_where_a_reader_finds_what_the_source_points_to(name):
    form, pairs = prompts.SWAP_FORMS[name], pairs_of(name)
    for pair in pairs:
        base, source = map(prompts.render_wording, (pair.base, pair.source))
        options = pair.base.question.options
        right = pair.source.question.options[source.gold]
        assert pair.lines["own"] == base.gold
        assert pair.lines["place"] == source.gold
        letter, content = pair.lines["letter"], pair.lines["content"]
        label = source.labels[source.gold]
        assert (letter is None) == (label not in base.labels)
        assert letter is None or base.labels[letter] == label
        assert content is None or options[content] == right
        assert (base.content_id == source.content_id) == form.same_question
        rank = [base.alphabet.index(label) for label in base.labels]
        own_rank = source.alphabet.index(label)
        assert pair.lines["rank"] == rank.index(own_rank)
        assert pair.lines["from_end"] == source.gold + len(options) - len(source.labels)
        assert len({pair.lines[what] for what in form.together}) <= 1
        apart = [pair.lines[what] for what in form.apart]
        assert None not in apart and len(set(apart)) == len(apart)


@pytest.mark.parametrize("name", ["random_letters", "ordered_sets", "across_counts"])
def test_every_base_has_a_source_for_every_place(name):
    pairs = pairs_of(name)
    places = collections.defaultdict(list)
    for pair in pairs:
        places[pair.base.question.content_id].append(pair.lines["place"])
    assert len(places) == len(asked_by(name))
    assert all(found == [0, 1, 2, 3] for found in places.values())


def test_random_letters_share_none_and_are_permuted():
    pairs = pairs_of("random_letters")
    sets = [
        {w.labels for w in side}
        for side in zip(*[(p.base, p.source) for p in pairs], strict=True)
    ]
    assert all(pair.lines["letter"] is None for pair in pairs)
    assert all(len(orders) > 3 for orders in sets)
    assert len({frozenset(labels) for labels in sets[0]}) == 1


def test_four_lines_have_the_content_among_the_base_options():
    pairs = pairs_of("four_lines")
    assert len(pairs) > 12
    for pair in pairs:
        four = ("own", "place", "letter", "content")
        assert {pair.lines[what] for what in four} == {0, 1, 2, 3}
        source = pair.source.question
        assert sorted(source.options) == sorted(pair.base.question.options)
        assert f'"{source.options[source.gold]}"' in source.text


def test_within_one_place_every_other_letter_has_a_source():
    pairs = pairs_of("same_place")
    letters = collections.defaultdict(set)
    for pair in pairs:
        assert pair.lines["place"] == pair.lines["own"]
        letters[pair.base.question.content_id].add(pair.lines["letter"])
        assert pair.source.question.content_id != pair.base.question.content_id
    assert len(letters) == len(QUESTIONS)
    assert sum(map(len, letters.values())) > 2.5 * len(QUESTIONS)


def test_the_sets_of_mib_move_the_place_the_letters_or_both():
    for name, moved, kept in (
        ("answerPosition", True, True),
        ("randomLetter", False, False),
        ("answerPosition_randomLetter", True, False),
    ):
        for pair in pairs_of(name):
            assert (pair.lines["place"] != pair.lines["own"]) == moved
            assert (pair.lines["letter"] is not None) == kept
            texts = {w.question.text for w in (pair.base, pair.source)}
            assert len(texts) == 1


def test_pairs_keep_the_template_and_labels_that_were_asked():
    asked = [
        prompts.Wording(question=q, template=prompts.HARNESS, labels=tuple("EFGH"))
        for q in QUESTIONS
    ]
    for pair in prompts.swap_pairs(asked, prompts.SWAP_FORMS["four_lines"]):
        for side in (pair.base, pair.source):
            assert side.template is prompts.HARNESS
            assert sorted(side.labels) == list("EFGH")


def test_pairs_are_drawn_by_seed():
    assert pairs_of("shuffled") == pairs_of("shuffled")
    assert pairs_of("shuffled") != pairs_of("shuffled", seed=1)


def test_a_question_asks_for_another_of_its_options():
    question = prompts.Question(
        text='Which option is the word "key"?', options=("sky", "key"), gold=1
    )
    other = prompts.ask_for(question, 0)
    assert (other.text, other.gold) == ('Which option is the word "sky"?', 0)
    assert other.content_id != question.content_id
    twice = dataclasses.replace(question, text="key or key?")
    with pytest.raises(ValueError, match="right text 'key' 2 times"):
        prompts.ask_for(twice, 0)


def test_what_gives_no_pairs_is_refused():
    with pytest.raises(ValueError, match="1 questions for swaps"):
        prompts.swap_pairs(QUESTIONS[:1], prompts.SWAP_FORMS["shuffled"])
    two = prompts.word_copy(4, seed=0, choices=2)
    with pytest.raises(ValueError, match="No pair of 4 questions has"):
        prompts.swap_pairs(two, prompts.SWAP_FORMS["shuffled"])
