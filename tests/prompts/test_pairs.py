import json

import numpy as np
import pytest

from mcq_jax import prompts
from tests.prompts import tokenizers_for_tests as small

RECORD = {
    "clean": "Mary and John went. John gave to",
    "source": "Anna Mary and Tom went. Mary gave to",
    "answers": [" Mary", " John"],
    "gold": 0,
    "source_gold": 1,
    "spans": {"subject": [[20, 24], [24, 28]], "names": [[0, 13], [0, 17]]},
}
WORDS = prompts.WordTokenizer("<s> Mary John Anna Tom and went . gave to".split())


def spelled(ids):
    return WORDS.decode(ids.tolist())


def write(tmp_path, *records):
    path = tmp_path / "pairs.jsonl"
    path.write_text("\n".join(json.dumps(record) for record in records) + "\n")
    return path


def test_a_pair_gives_two_prompts_with_the_same_span_names(tmp_path):
    (pair,) = prompts.read_pairs(write(tmp_path, RECORD))
    both = prompts.tokenise_pair(pair, WORDS)
    assert spelled(both.clean.ids) == "Mary and John went . John gave to"
    assert len(both.source.ids) == len(both.clean.ids) + 1
    assert [s.kind for s in both.clean.spans] == ["subject", "names"]
    for prompt, subject in ((both.clean, "John"), (both.source, "Mary")):
        span = prompt.spans[0]
        assert spelled(prompt.ids[span.start : span.end]) == subject
        assert spelled(prompt.answer_ids) == "Mary John"
    assert (both.clean.gold, both.source.gold) == (0, 1)


def test_aligned_spans_are_those_of_each_pair_filled_up(tmp_path):
    short = {**RECORD, "spans": {"names": [[0, 4], [0, 4]]}, "id": "short"}
    pairs = prompts.read_pairs(write(tmp_path, RECORD, short))
    pairs = [prompts.tokenise_pair(pair, WORDS) for pair in pairs]
    found = prompts.aligned_spans(pairs, "names")
    # Mary and John, Mary; and Mary and Tom, where they stand in the source; Anna.
    assert found.tolist() == [[0, 1, 2], [0, 0, 0], [1, 2, 3], [0, 0, 0]]


def test_spans_of_different_length_correspond_from_their_ends(tmp_path):
    (pair,) = prompts.read_pairs(write(tmp_path, RECORD))
    both = prompts.tokenise_pair(pair, WORDS)
    clean, source = prompts.aligned_positions(both, "names")
    assert spelled(both.clean.ids[clean]) == "Mary and John"
    assert spelled(both.source.ids[source]) == "Mary and Tom"
    swapped = prompts.TokenisedPair(clean=both.source, source=both.clean)
    again = prompts.aligned_positions(swapped, "names")
    assert np.array_equal(again, (source, clean))
    with pytest.raises(ValueError, match=r"No span 'verb' .*\['names', 'subject'\]"):
        prompts.aligned_positions(both, "verb")


def test_pair_prompts_can_be_batched_and_have_no_labels(tmp_path):
    (pair,) = prompts.read_pairs(write(tmp_path, RECORD))
    both = prompts.tokenise_pair(pair, WORDS)
    (batch,) = prompts.batches([both.clean, both.source], size=2)
    assert np.all(batch.label_positions == -1)
    assert np.all(batch.label_ids == -1)
    assert np.all(batch.key_class[:, 1:] == prompts.KeyClass.OTHER)
    assert np.all(batch.key_option == -1)


def test_pairs_with_one_clean_prompt_are_one_question(tmp_path):
    again = {**RECORD, "source": "Tom and Anna went. Anna gave to", "spans": {}}
    other = {**RECORD, "gold": 1}
    pairs = prompts.read_pairs(write(tmp_path, RECORD, again, other))
    clean = [prompts.tokenise_pair(pair, WORDS).clean for pair in pairs]
    names = prompts.question_names(clean)
    assert names.tolist() == [pairs[0].id, pairs[0].id, pairs[2].id]
    assert clean[0].place.tolist() == clean[0].letter.tolist() == [-1, -1]


def test_a_repeated_pair_is_asked_once_and_fewer_than_asked_for_are_all(tmp_path):
    other = {**RECORD, "source": "Tom and Anna went. Anna gave to", "spans": {}}
    path = write(tmp_path, RECORD, other, {**RECORD, "id": "again"}, other)
    assert len(prompts.read_pairs(path)) == 4
    loaded = prompts.load_pair_set(path, count=3)
    assert [pair.source for pair in loaded.pairs] == [RECORD["source"], other["source"]]
    assert [note.split(f" {path}")[0] for note in loaded.notes] == [
        "2 of 4 pairs of",
        "3 pairs were asked for, but",
    ]
    assert len(prompts.load_pair_set(path, count=1).pairs) == 1


def test_fewer_pairs_of_a_file_are_drawn_not_its_first(tmp_path):
    records = [{**RECORD, "id": str(n), "gold": n % 2} for n in range(2)]
    path = write(tmp_path, *records)
    drawn = {prompts.load_pair_set(path, count=1, seed=s).pairs[0].id for s in range(9)}
    assert drawn == {"0", "1"}
    again = [prompts.load_pair_set(path, seed=3).pairs for _ in range(2)]
    assert again[0] == again[1] and {pair.id for pair in again[0]} == drawn


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gold": 2}, "gold is 2 .* from 0 to 1"),
        ({"gold": None}, "'gold' is None; give an answer"),
        ({"source_gold": -1}, "source_gold is -1"),
        ({"answers": [" Mary"]}, "at least two"),
        ({"answers": [" Mary", " Mary"]}, "different ones"),
        ({"answers": "Mary"}, "list of texts"),
        ({"clean": ""}, "empty prompt"),
        ({"clean": 3}, "'clean' is 3; give a text"),
        ({"foo": 1}, r"unknown \['foo'\]"),
        ({"spans": {"x": [[0, 4]]}}, "Span 'x' is"),
        ({"spans": {"x": [[0, 99], [0, 4]]}}, r"Span 'x' \[0, 99\) .* 32 characters"),
        ({"spans": {"x": [[4, 4], [0, 4]]}}, r"Span 'x' \[4, 4\)"),
        ({"spans": {"x": [["0", 4], [0, 4]]}}, "Span 'x' is"),
        ({"clean": "Mary gave", "spans": {}}, "the id 'a' is that of another pair"),
        ({"source": "a\udc00"}, "Character 1 of the source prompt is half a char"),
    ],
)
def test_malformed_pairs_are_refused_with_their_line(tmp_path, change, message):
    path = write(tmp_path, {**RECORD, "id": "a"}, {**RECORD, "id": "a", **change})
    with pytest.raises(ValueError, match=f"line 2: .*{message}"):
        prompts.read_pairs(path)


def test_a_pair_without_its_source_is_refused(tmp_path):
    record = {name: RECORD[name] for name in ("clean", "answers", "gold")}
    with pytest.raises(ValueError, match=r"without \['source'\]"):
        prompts.read_pairs(write(tmp_path, record))


def test_a_span_of_white_space_alone_is_refused(tmp_path):
    record = {**RECORD, "spans": {"gap": [[4, 5], [4, 5]]}}
    (pair,) = prompts.read_pairs(write(tmp_path, record))
    with pytest.raises(ValueError, match="No token covers span 'gap'"):
        prompts.tokenise_pair(pair, WORDS)


def test_a_pair_longer_than_the_context_is_refused(tmp_path):
    (pair,) = prompts.read_pairs(write(tmp_path, RECORD))
    with pytest.raises(ValueError, match="9 tokens in the source prompt of pair"):
        prompts.tokenise_pair(pair, WORDS, context=8)


def test_an_answer_of_two_tokens_is_refused(tmp_path):
    record = {**RECORD, "answers": [" Mary John", " John"]}
    (pair,) = prompts.read_pairs(write(tmp_path, record))
    with pytest.raises(
        ValueError, match="' Mary John' is not one token after the clean"
    ):
        prompts.tokenise_pair(pair, WORDS)


def test_an_answer_that_changes_the_prompts_tokens_is_refused():
    # " A" is one token, so "Answer: " loses its last token to the answer.
    tokenizer = prompts.TokenizerFile(small.byte_level())
    pair = prompts.Pair(
        clean="Answer: ", source="Answer: ", answers=("A%", "B%"), gold=0
    )
    before, after = (tokenizer.encode(t).ids for t in ("Answer: ", "Answer: A%"))
    assert len(after) == len(before) + 1
    with pytest.raises(ValueError, match="'A%' is not one token after the clean"):
        prompts.tokenise_pair(pair, tokenizer)


def test_answers_that_the_tokenizer_does_not_tell_apart_are_refused():
    tokenizer = small.with_unknown_words("Mary", "gave", "to")
    pair = prompts.Pair(
        clean="Mary gave to", source="to", answers=(" Tom", " Ann"), gold=0
    )
    with pytest.raises(ValueError, match=r"Answers .* are tokens \[0, 0\]"):
        prompts.tokenise_pair(pair, tokenizer)
