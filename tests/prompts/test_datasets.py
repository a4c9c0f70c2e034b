import collections
import dataclasses
import json
import logging
import re

import pytest

from mcq_jax import prompts
from mcq_jax.prompts import synthetic

ROW = 'What, is it?,"1, 2","a\nb",None,Na,C\n'
OTHER = ROW.replace("What", "Who")


def mmlu(tmp_path, split="test", *, text=ROW, name="anatomy", loose=False):
    folder = tmp_path if loose else tmp_path / split
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}_{split}.csv"
    path.write_text('"' + text.replace(',"1', '","1', 1), newline="")
    return path


def test_mmlu_cells_are_text_even_where_they_say_none(tmp_path):
    (question,) = prompts.read_mmlu(mmlu(tmp_path))
    assert question.text == "What, is it?"
    assert question.options == ("1, 2", "a\nb", "None", "Na")
    assert (question.gold, question.subject) == (2, "anatomy")


@pytest.mark.parametrize("loose", [False, True])
def test_mmlu_folders_are_read_with_or_without_subfolders(tmp_path, loose):
    mmlu(tmp_path, loose=loose)
    mmlu(tmp_path, loose=loose, name="virology", text=OTHER)
    mmlu(tmp_path, "dev", loose=loose)
    found = prompts.load_questions(tmp_path)
    assert [q.subject for q in found] == ["anatomy", "virology"]
    assert list(prompts.load_shots(tmp_path, count=1)) == ["anatomy"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (ROW + "too,few,cells\n", r"anatomy_test.csv, line 3: 3 cells .* 'cells'"),
        (ROW + ROW.replace("C\n", "E\n"), "line 3: .* ending in 'E'"),
        (ROW + 'q,"", b,c,d,B\n', "line 3: Option 0 .* is empty"),
        (ROW + '"q,a,b,c,d,B\n', "line 3 is no readable CSV"),
        ("", "No questions in .*anatomy_test.csv"),
    ],
)
def test_malformed_rows_are_refused_with_file_and_line(tmp_path, text, message):
    path = mmlu(tmp_path)
    lead = ROW.replace("What, is it?", '"What, is it?"')
    path.write_text(text.replace(ROW, lead), newline="")
    with pytest.raises(ValueError, match=message):
        prompts.read_mmlu(path)


def test_a_row_with_two_right_answers_is_left_out_with_a_warning(tmp_path, caplog):
    path = mmlu(tmp_path)
    with path.open("a") as file:
        file.write("q,x,x,y,z,B\nq,x,x,y,z,C\nq,x ,x,y,z,B\n")
    with caplog.at_level(logging.WARNING):
        found = prompts.read_mmlu(path)
    assert [q.options for q in found[1:]] == [("x", "x", "y", "z")]
    # Line 5 shows it twice to a reader, though not to a program.
    for line in (3, 5):
        assert f"anatomy_test.csv, line {line} left out" in caplog.text


def test_real_mmlu_files_are_read_whole(shared_folder, caplog):
    folder = shared_folder / "data" / "mmlu"
    test, dev = prompts.read_mmlu(folder), prompts.read_mmlu(folder, split="dev")
    # One published test row, "687" twice, has two right answers.
    assert len(test) + len(caplog.records) == 10_345
    assert len(caplog.records) == 1 and "['687', '687'," in caplog.text
    assert len(dev) == 285
    assert len({q.subject for q in dev}) == 57
    assert len({q.subject for q in test}) == 37
    words = [o for q in (*test, *dev) for o in (q.text, *q.options)]
    assert sum(word.lower() in ("none", "na") for word in words) == 12
    assert {len(shots) for shots in prompts.load_shots(folder, count=5).values()} == {5}
    assert {len(shots) for shots in prompts.load_shots(folder, count=3).values()} == {4}


def jsonl(tmp_path, *records):
    path = tmp_path / "questions.jsonl"
    path.write_text("".join(json.dumps(r) + "\n" for r in records), encoding="utf-8")
    return path


@pytest.mark.parametrize("answer", [1, "B", "corn"])
@pytest.mark.parametrize("options", ["options", "choices"])
def test_an_answer_may_be_index_letter_or_text(tmp_path, answer, options):
    record = {"question": "Which?", options: ["sky", "corn"], "answer": answer}
    (question,) = prompts.read_jsonl(jsonl(tmp_path, {**record, "source": "web"}))
    assert question == prompts.Question(text="Which?", options=("sky", "corn"), gold=1)


def test_id_and_subject_are_kept_and_blank_lines_skipped(tmp_path):
    record = {"question": "Which?", "options": ["a", "b"], "answer": 0}
    path = jsonl(tmp_path, {**record, "id": "q1", "subject": "maths"})
    path.write_text("\ufeff\n" + path.read_text() + "\r\n\n", encoding="utf-8")
    (question,) = prompts.load_questions(path)
    assert (question.id, question.subject) == ("q1", "maths")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"answer": "C"}, "'answer' is 'C', which means 0"),
        ({"options": ["B", "A"], "answer": "A"}, "means 2 of the options"),
        ({"answer": True}, "'answer' is True"),
        ({"answer": 2}, "Right option 2"),
        ({"answer": None}, "'answer' is None"),
        ({"choices": ["a", "b"]}, "either 'options' or 'choices'"),
        ({"options": "ab"}, "Options are 'ab'; give a list"),
        ({"options": ["a", 2]}, "give a list of texts"),
        ({"question": ""}, "text of question .* is empty"),
        ({"question": 3}, "'question' is 3; give a text"),
        ({"id": "a"}, "the id 'a' is that of another question before"),
        ({"question": "\ud800"}, "Character 0 of the question is half a character"),
    ],
)
def test_malformed_records_are_refused_with_their_line(tmp_path, change, message):
    record = {"question": "Which?", "options": ["a", "b"], "answer": 0}
    path = jsonl(tmp_path, {**record, "question": "Who?", "id": "a"}, record | change)
    with pytest.raises(ValueError, match=f"questions.jsonl, line 2: .*{message}"):
        prompts.read_jsonl(path)


@pytest.mark.parametrize(
    "line", ["{", "[1]", "3", "[" * 100_000, '{"id": "", "id": 1}']
)
def test_lines_that_are_no_json_objects_are_refused(tmp_path, line):
    path = tmp_path / "questions.jsonl"
    path.write_text("\n" + line)
    with pytest.raises(ValueError, match="line 2 .*one object a line"):
        prompts.read_jsonl(path)


def test_missing_empty_and_unknown_sources_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"'copy_colour', 'word_copy'\]"):
        prompts.load_questions(tmp_path / "absent.csv")
    with pytest.raises(FileNotFoundError, match="No files <subject>_test.csv"):
        prompts.load_questions(tmp_path)
    (tmp_path / "empty.jsonl").write_text("\n")
    with pytest.raises(ValueError, match="No questions in"):
        prompts.load_questions(tmp_path / "empty.jsonl")
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(ValueError, match="neither a folder nor"):
        prompts.load_questions(tmp_path / "notes.txt")
    for name in ("latin.jsonl", "latin.csv"):
        (tmp_path / name).write_bytes(b"\xef\xbb\xbf\n\n\xe9\n")
        with pytest.raises(ValueError, match=f"{name}, line 3 is not UTF-8 .* 0xe9"):
            prompts.load_questions(tmp_path / name)


def questions_on(**counts):
    return [
        prompts.Question(text=f"{s} {i}?", options=("a", "b"), gold=0, subject=s)
        for s, count in counts.items()
        for i in range(count)
    ]


def test_a_sample_spreads_evenly_over_subjects_and_keeps_the_order():
    asked = questions_on(x=10, y=10, z=2)
    drawn = prompts.sample(asked, 11, seed=3)
    counts = collections.Counter(q.subject for q in drawn)
    assert counts["z"] == 2
    assert abs(counts["x"] - counts["y"]) == 1
    places = [asked.index(q) for q in drawn]
    assert places == sorted(set(places))
    assert drawn == prompts.sample(asked, 11, seed=3)
    assert drawn != prompts.sample(asked, 11, seed=4)
    with pytest.raises(ValueError, match="23 questions were asked for out of 22"):
        prompts.sample(asked, 23, seed=0)


def test_questions_in_turns_are_even_over_subjects_as_far_as_one_reads():
    there = {"x": 10, "y": 10, "z": 2}
    asked = [*questions_on(**there), *questions_on(x=1)]  # one is asked twice
    drawn = prompts.in_turns(asked, seed=3)
    assert len(drawn) == len(set(drawn)) == 22 and set(drawn) == set(asked)
    for most in range(1, 23):
        counts = collections.Counter(q.subject for q in drawn[:most])
        waiting = [counts[s] for s, all_of in there.items() if counts[s] < all_of]
        assert max(counts.values()) - min(waiting, default=10) <= 1
    firsts = {prompts.in_turns(asked, seed=seed)[0].subject for seed in range(20)}
    assert firsts == {"x", "y", "z"}  # no subject always comes first


REPEATED = {"question": "Which?", "options": ["sky", "corn", "sea"], "answer": 1}


@pytest.mark.parametrize(
    "again",
    [
        {"id": "one"},
        {"id": "two"},
        {"id": "one", "subject": "law"},
        {"id": "two", "options": ["corn", "sea", "sky"], "answer": "corn"},
        {"id": "two", "question": " Which?", "options": ["sky ", "corn", "sea"]},
    ],
    ids=["one id", "two ids", "two subjects", "two orders", "white space"],
)
def test_a_repeated_question_is_asked_once_and_a_note_says_so(tmp_path, again):
    first, other = {**REPEATED, "id": "one"}, {**REPEATED, "id": "x", "answer": 0}
    path = jsonl(tmp_path, first, other, {**REPEATED, **again})
    assert len(prompts.read_jsonl(path)) == 3  # reading tells what stands there
    loaded = prompts.load_question_set(path)
    assert [q.id for q in loaded.questions] == ["one", "x"]
    assert loaded.notes == (
        f"1 of 3 questions of {path} repeat another one and were left out: each "
        "question is asked once.",
    )


def test_a_sample_never_holds_a_repeat_and_is_else_the_same_draw():
    asked = questions_on(x=6, y=6)
    twin = dataclasses.replace(asked[0], id="twin", subject="y")
    with_repeats = [*asked[:-1], twin]
    for seed in range(20):
        drawn = prompts.sample(with_repeats, 11, seed=seed)
        assert [q.id for q in drawn] == [q.id for q in asked[:-1]]
        few = prompts.sample(with_repeats, 4, seed=seed)
        before = prompts.sample(asked, 4, seed=seed)
        assert set(before) - set(few) <= {asked[-1]}  # its place is another's now
    with pytest.raises(ValueError, match="12 questions were asked for out of 11"):
        prompts.sample(with_repeats, 12, seed=0)


def test_more_questions_than_there_are_take_all_with_a_warning(tmp_path, caplog):
    path = jsonl(tmp_path, REPEATED, {**REPEATED, "answer": 0})
    assert len(prompts.load_questions(path, count=100)) == 2
    assert "100 questions were asked for, but" in caplog.text
    assert "has 2: all of them are asked" in caplog.text


def test_the_repeats_of_the_published_test_split_are_found(shared_folder):
    folder = shared_folder / "data" / "mmlu"

    def left_out(*subjects):
        found = prompts.load_question_set(folder, subjects=subjects)
        (note,) = found.notes
        return int(note.split(" of ")[0]), len(found.questions)

    assert left_out("college_physics") == (11, 91)
    assert left_out("high_school_psychology") == (11, 534)
    assert left_out("clinical_knowledge", "college_medicine") == (78, 360)
    everything = prompts.load_question_set(folder)
    assert len(everything.questions) == 10_344 - 27 - 78
    assert len({q.content_id for q in everything.questions}) == 10_239


def test_only_the_named_subjects_are_loaded(tmp_path):
    mmlu(tmp_path)
    mmlu(tmp_path, name="virology", text=OTHER)
    (question,) = prompts.load_questions(tmp_path, subjects=["virology"])
    assert question.subject == "virology"
    with pytest.raises(ValueError, match=r"Subjects \['magic'\] were asked for"):
        prompts.load_questions(tmp_path, subjects=["magic"])


def test_worked_examples_leave_out_the_question_itself():
    asked = questions_on(x=3)
    shots = {"x": tuple(asked)}
    assert prompts.shots_for(asked[1], shots) == (asked[0], asked[2])
    # Under another id, with its options in another order, it is still the same.
    turned = dataclasses.replace(asked[1], id="x", options=("b", "a"), gold=1)
    assert prompts.shots_for(turned, shots) == (asked[0], asked[2])
    assert prompts.shots_for(asked[0], shots, count=2) == (asked[1], asked[2])
    assert prompts.shots_for(asked[2], shots, count=2) == (asked[0], asked[1])
    with pytest.raises(ValueError, match="No worked examples on 'y'"):
        prompts.shots_for(questions_on(y=1)[0], shots)


def test_too_few_worked_examples_are_refused(tmp_path):
    mmlu(tmp_path, "dev")
    with pytest.raises(ValueError, match="5 worked examples .* has 1 on 'anatomy'"):
        prompts.load_shots(tmp_path, count=5)


@pytest.mark.parametrize("choices", [2, 4, 10])
def test_word_copy_asks_for_a_word_that_is_shown_once(choices):
    for question in prompts.word_copy(50, seed=1, choices=choices):
        word = re.fullmatch('Which option is the word "(.+)"\\?', question.text)
        assert word and word[1] == question.options[question.gold]
        assert len(set(question.options)) == choices


@pytest.mark.parametrize("choices", [2, 4, 10])
def test_copy_colour_tells_the_colour_that_it_asks_for(choices):
    for question in prompts.copy_colour(60, seed=1, choices=choices):
        found = re.fullmatch(r"(.+) is (\w+)\. What color is (.+)\?", question.text)
        assert found and found[1].lower() == found[3]
        assert found[2] == question.options[question.gold]
        assert len(set(question.options)) == choices


@pytest.mark.parametrize("make", prompts.GENERATORS.values())
def test_generated_questions_are_reproducible_distinct_and_prefix_stable(make):
    asked = make(120, 5, 4)
    assert asked == make(120, 5, 4)
    assert asked[:30] == make(30, 5, 4)
    assert asked != make(120, 6, 4)
    assert len({q.content_id for q in asked}) == 120
    golds = collections.Counter(q.gold for q in asked)
    assert min(golds.values()) > 15


def test_generators_use_every_item_before_any_again():
    assert len(synthetic.COLOURS_OF_ITEMS) >= 40
    count = len(synthetic.COLOURS_OF_ITEMS)
    assert len({q.text for q in prompts.copy_colour(count)}) == count
    assert len(set(synthetic.WORDS)) == len(synthetic.WORDS) > 100
    assert len(prompts.load_questions("word_copy")) == 100


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("word_copy", {"count": 0}, "0 questions"),
        ("word_copy", {"choices": 1}, "1 options a question"),
        ("copy_colour", {"choices": 12}, "out of 11 colours; ask for 2 to 11"),
    ],
)
def test_impossible_generated_sets_are_refused(name, arguments, message):
    with pytest.raises(ValueError, match=message):
        prompts.load_questions(name, **arguments)
