import collections
import json
import logging
import re

import pytest

from mcq_jax import prompts
from mcq_jax.prompts import synthetic

ROW = 'What, is it?,"1, 2","a\nb",None,Na,C\n'


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
    mmlu(tmp_path, loose=loose, name="virology")
    mmlu(tmp_path, "dev", loose=loose)
    found = prompts.read_mmlu(tmp_path)
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
        file.write("q,x,x,y,z,B\nq,x,x,y,z,C\n")
    with caplog.at_level(logging.WARNING):
        found = prompts.read_mmlu(path)
    assert [q.options for q in found[1:]] == [("x", "x", "y", "z")]
    assert re.search("anatomy_test.csv, line 3 left out", caplog.text)


def test_real_mmlu_files_are_read_whole(shared_folder, caplog):
    folder = shared_folder / "data" / "mmlu"
    test, dev = prompts.read_mmlu(folder), prompts.read_mmlu(folder, split="dev")
    # One published test row, "687" twice, has two right answers.
    assert len(test) + len(caplog.records) == 10_345
    assert [record.args for record in caplog.records if record.args][0][1][0] == "687"
    assert len(caplog.records) == 1
    assert len(dev) == 285
    assert len({q.subject for q in dev}) == 57
    assert len({q.subject for q in test}) == 37
    words = [o for q in (*test, *dev) for o in (q.text, *q.options)]
    assert sum(word.lower() in ("none", "na") for word in words) == 12
    assert {len(shots) for shots in prompts.load_shots(folder, count=5).values()} == {5}


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
        ({}, "stands there a second time"),
    ],
)
def test_malformed_records_are_refused_with_their_line(tmp_path, change, message):
    record = {"question": "Which?", "options": ["a", "b"], "answer": 0}
    path = jsonl(tmp_path, record, {**record, **change})
    with pytest.raises(ValueError, match=f"questions.jsonl, line 2: .*{message}"):
        prompts.read_jsonl(path)


@pytest.mark.parametrize("line", ["{", "[1]", "3"])
def test_lines_that_are_no_json_objects_are_refused(tmp_path, line):
    path = tmp_path / "questions.jsonl"
    path.write_text("\n" + line)
    with pytest.raises(ValueError, match="line 2 .*one object a line"):
        prompts.read_jsonl(path)


def test_missing_empty_and_unknown_sources_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"\['copy_colour', 'word_copy'\]"):
        prompts.load_questions(tmp_path / "absent.csv")
    with pytest.raises(FileNotFoundError, match="No files <subject>_test.csv"):
        prompts.load_questions(tmp_path)
    (tmp_path / "empty.jsonl").write_text("\n")
    with pytest.raises(ValueError, match="No questions in"):
        prompts.load_questions(tmp_path / "empty.jsonl")
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(ValueError, match="neither a folder nor"):
        prompts.load_questions(tmp_path / "notes.txt")
    (tmp_path / "latin.jsonl").write_bytes(b"\xe9\n")
    with pytest.raises(ValueError, match="is not UTF-8"):
        prompts.load_questions(tmp_path / "latin.jsonl")


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


def test_only_the_named_subjects_are_loaded(tmp_path):
    mmlu(tmp_path)
    mmlu(tmp_path, name="virology")
    (question,) = prompts.load_questions(tmp_path, subjects=["virology"])
    assert question.subject == "virology"
    with pytest.raises(ValueError, match=r"Subjects \['magic'\] were asked for"):
        prompts.load_questions(tmp_path, subjects=["magic"])


def test_worked_examples_leave_out_the_question_itself():
    asked = questions_on(x=3)
    shots = {"x": tuple(asked)}
    assert prompts.shots_for(asked[1], shots) == (asked[0], asked[2])
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
    assert len({q.id for q in asked}) == 120
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


def _mmlu_row(text: str, right: int = 0) -> str:
    options = [f"{text} {i}" for i in range(4)]
    return ",".join([text, *options, "ABCD"[right]])


def test_a_question_that_stands_twice_is_asked_once(tmp_path, caplog):
    rows = [_mmlu_row(f"q{i}", i % 4) for i in range(5)]
    again = "q0 ,  q0 3,q0 1,q0 2,q0 0,D"  # other order of options, other white space
    (tmp_path / "one_test.csv").write_text("\n".join([*rows, rows[1]]))
    (tmp_path / "two_test.csv").write_text("\n".join([again, _mmlu_row("q9")]))
    found = prompts.load_questions(tmp_path)
    assert [q.text for q in found] == ["q0", "q1", "q2", "q3", "q4", "q9"]
    assert "2 of 8 questions repeat another one" in caplog.text
    # The same options with another one right are another question.
    other = prompts.Question(text="q0", options=found[0].options, gold=1)
    assert len(prompts.distinct([*found, other])) == 7


def test_more_questions_than_there_are_are_all_with_a_warning(tmp_path, caplog):
    (tmp_path / "one_test.csv").write_text("\n".join(map(_mmlu_row, "abc")))
    assert len(prompts.load_questions(tmp_path, count=100)) == 3
    assert "100 questions were asked for" in caplog.text


def test_published_mmlu_repeats_what_it_was_seen_to_repeat(shared_folder):
    folder = shared_folder / "data" / "mmlu"
    rows = prompts.read_mmlu(folder)
    subjects = [q.subject for q in rows]
    by_subject = {
        subject: [q for q in rows if q.subject == subject] for subject in set(subjects)
    }
    within = sum(
        len(some) - len(prompts.distinct(some)) for some in by_subject.values()
    )
    assert within >= 22  # 11 each in college_physics and high_school_psychology
    medicine = [*by_subject["clinical_knowledge"], *by_subject["college_medicine"]]
    assert len(medicine) - len(prompts.distinct(medicine)) >= 70
