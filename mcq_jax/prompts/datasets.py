"""Where questions come from: MMLU's CSV files, JSONL files, or the built-in generators.

Readers refuse what they do not understand, by file and line. What is loaded to be asked
holds each question once (`Question.content_id`), and says what it left out.
"""

import dataclasses
import logging
import pathlib
import string
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from mcq_jax.prompts import identity, lines, questions, synthetic

_log = logging.getLogger(__name__)

# Sets that need no file.
GENERATORS: Mapping[str, Callable[[int, int, int], tuple[questions.Question, ...]]] = {
    "word_copy": synthetic.word_copy,
    "copy_colour": synthetic.copy_colour,
    "category_member": synthetic.category_member,
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class QuestionSet:
    """Questions to ask, and what a reader of the answers must know about them."""

    questions: tuple[questions.Question, ...]
    # Sentences on what was left out or is missing, such as repeated questions.
    notes: tuple[str, ...] = ()


def load_question_set(
    source: str | pathlib.Path,
    *,
    count: int | None = None,
    seed: int = 0,
    choices: int = 4,
    subjects: Sequence[str] = (),
) -> QuestionSet:
    """Returns the questions of a generator, a JSONL file, or MMLU's CSV file or folder.

    Each question once: of those with the same content, the first in the file.

    Args:
      source: a name out of `GENERATORS`, or a path.
      count: how many; all of a file's (100 of a generator's) where left out. A smaller
        number is drawn evenly over subjects; where there are fewer, all are taken and a
        note says so.
      seed: for generating or drawing.
      choices: options per generated question.
      subjects: only these, as files name them; all where left out.
    """
    if str(source) in GENERATORS:
        made = GENERATORS[str(source)](100 if count is None else count, seed, choices)
        return QuestionSet(questions=made)
    found, rows_left_out = _read(pathlib.Path(source), split="test")
    found = _of_subjects(found, subjects, source)
    notes = [note for topic, note in rows_left_out if topic in (subjects or (topic,))]
    distinct = len({question.content_id for question in found})
    if distinct < len(found):
        notes.append(
            f"{len(found) - distinct} of {len(found)} questions of {source} repeat "
            "another one and were left out: each question is asked once."
        )
    if count is not None and count > distinct:
        notes.append(
            f"{count} questions were asked for, but {source} has {distinct}: all of "
            "them are asked."
        )
    count = distinct if count is None else min(count, distinct)
    return QuestionSet(questions=sample(found, count, seed=seed), notes=tuple(notes))


def load_questions(
    source: str | pathlib.Path, **options: Any
) -> tuple[questions.Question, ...]:
    """Returns the questions of `load_question_set`; its notes are logged as warnings.

    Args:
      options: as there.
    """
    found = load_question_set(source, **options)
    for note in found.notes:
        _log.warning("%s", note)
    return found.questions


def load_shots(
    source: str | pathlib.Path, *, count: int, seed: int = 1, choices: int = 4
) -> dict[str, tuple[questions.Question, ...]]:
    """Returns worked examples of each subject: `count`, and where there is one a spare.

    The spare stands in for an example that is the question itself (`shots_for`).

    Args:
      source: a name out of `GENERATORS`, a folder with MMLU's `dev` files, or one file.
      seed: for generating; another one than for the questions themselves.
    """
    if str(source) in GENERATORS:
        return {"": GENERATORS[str(source)](count + 1, seed, choices)}
    by_subject: dict[str, list[questions.Question]] = {}
    for question in _read(pathlib.Path(source), split="dev")[0]:
        by_subject.setdefault(question.subject, []).append(question)
    for subject, found in by_subject.items():
        if len(found) < count:
            raise ValueError(
                f"{count} worked examples were asked for, but {source} has "
                f"{len(found)} on {subject!r}; ask for fewer."
            )
    return {subject: tuple(found[: count + 1]) for subject, found in by_subject.items()}


def shots_for(
    question: questions.Question,
    shots: Mapping[str, Sequence[questions.Question]],
    *,
    count: int | None = None,
) -> tuple[questions.Question, ...]:
    """Returns worked examples on a question's subject, never the question itself.

    The same question is known by its content, whatever its id and option order.

    Args:
      count: how many at most; all where left out. Without a spare, a question that is
        an example itself gets one less.
    """
    if question.subject not in shots:
        raise ValueError(
            f"No worked examples on {question.subject!r} for question "
            f"{question.id!r}, only on {sorted(shots)[:5]}...; add some, or use none."
        )
    others = tuple(
        shot
        for shot in shots[question.subject]
        if shot.content_id != question.content_id
    )
    return others[:count]


def read_mmlu(
    path: str | pathlib.Path, *, split: str = "test"
) -> tuple[questions.Question, ...]:
    """Reads MMLU's own layout: a CSV file, or a folder of `<subject>_<split>.csv`.

    The files lie in the folder itself or in its subfolder named like the split. A row
    is question, four options, right letter; there is no header. A row that shows the
    right option twice (the published test files have one such) has two right answers:
    it is left out, with a logged warning. Repeated questions are all there.
    """
    found, rows_left_out = _mmlu(pathlib.Path(path), split)
    for _, note in rows_left_out:
        _log.warning("%s", note)
    return tuple(found)


def read_jsonl(path: str | pathlib.Path) -> tuple[questions.Question, ...]:
    """Reads one question a line: `question`, `options` (or `choices`) and `answer`.

    The answer is an option's index, letter or text; `id` and `subject` are optional and
    other fields are ignored. Repeated questions are all there; one id for two different
    questions is refused.
    """
    found, by_id = [], {}
    for place, record in lines.read_records(path):
        try:
            question = _question(record)
        except ValueError as error:
            raise ValueError(f"{place}: {error}") from error
        first = by_id.setdefault(question.id, question)
        if first.content_id != question.content_id:
            raise ValueError(
                f"{place}: the id {question.id!r} is that of another question before; "
                "give each question an id of its own, or none."
            )
        found.append(question)
    if not found:
        raise ValueError(f"No questions in {path}; give one JSON object a line.")
    return tuple(found)


def sample(
    asked: Sequence[questions.Question], count: int, *, seed: int
) -> tuple[questions.Question, ...]:
    """Returns `count` questions, as evenly over subjects as can be, in their order.

    A question that repeats an earlier one is never drawn.
    """
    order = _turns(asked, seed)
    if not 1 <= count <= len(order):
        raise ValueError(
            f"{count} questions were asked for out of {len(order)}; ask for 1 to "
            f"{len(order)}."
        )
    return tuple(asked[index] for index in sorted(order[:count]))


def in_turns(
    asked: Sequence[questions.Question], *, seed: int
) -> tuple[questions.Question, ...]:
    """Returns every subject's first question, then every subject's second, and so on.

    Which is first is drawn, as is the order of subjects: the first so many of what is
    returned are as even over subjects as can be. A question that repeats an earlier one
    is left out.
    """
    return tuple(asked[index] for index in _turns(asked, seed))


def _turns(asked: Sequence[questions.Question], seed: int) -> list[int]:
    contents = [question.content_id for question in asked]
    # Repeats are skipped in the order of all questions, so that without any it is the
    # same draw, and with some nearly so.
    first = {content: i for i, content in reversed(list(enumerate(contents)))}
    drawn = np.random.default_rng(seed).permutation(len(asked)).tolist()
    order = [index for index in drawn if first[contents[index]] == index]
    seen: dict[str, int] = {}
    turns = []
    for index in order:
        subject = asked[index].subject
        turns.append(seen.get(subject, 0))
        seen[subject] = seen.get(subject, 0) + 1
    return [order[i] for i in np.argsort(turns, kind="stable")]


# Questions, and of each row that was left out its subject and a sentence.
_Read = tuple[list[questions.Question], list[tuple[str, str]]]


def _read(path: pathlib.Path, *, split: str) -> _Read:
    if not path.exists():
        raise FileNotFoundError(
            f"No questions at {path}; give a CSV or JSONL file, MMLU's folder, or one "
            f"of {sorted(GENERATORS)}."
        )
    if path.suffix in (".jsonl", ".ndjson"):
        return list(read_jsonl(path)), []
    if path.is_dir() or path.suffix == ".csv":
        return _mmlu(path, split)
    raise ValueError(
        f"{path} is neither a folder nor a .csv or .jsonl file; convert it to one of "
        "these."
    )


def _of_subjects(
    asked: list[questions.Question],
    subjects: Iterable[str],
    source: str | pathlib.Path,
) -> list[questions.Question]:
    wanted = set(subjects)
    known = {question.subject for question in asked}
    if wanted - known:
        raise ValueError(
            f"Subjects {sorted(wanted - known)} were asked for, but {source} has "
            f"{sorted(known)}; name some of those."
        )
    return [q for q in asked if not wanted or q.subject in wanted]


def _mmlu(path: pathlib.Path, split: str) -> _Read:
    found, notes = [], []
    for file in _mmlu_files(path, split):
        rows, left_out = _mmlu_rows(file, file.stem.removesuffix(f"_{split}"))
        if not rows:
            raise ValueError(f"No questions in {file}; fetch the file again.")
        found += rows
        notes += left_out
    return found, notes


def _mmlu_files(path: pathlib.Path, split: str) -> list[pathlib.Path]:
    if path.is_file():
        return [path]
    if not path.exists():
        raise FileNotFoundError(f"No file or folder at {path}; give MMLU's.")
    folder = path / split if (path / split).is_dir() else path
    files = sorted(folder.glob(f"*_{split}.csv"))
    if not files:
        raise FileNotFoundError(
            f"No files <subject>_{split}.csv in {folder}; give MMLU's folder, with "
            f"the files in it or in {split}/."
        )
    return files


def _mmlu_rows(file: pathlib.Path, subject: str) -> _Read:
    found, notes = [], []
    for place, cells in lines.read_rows(file):
        if len(cells) != 6 or cells[5].strip() not in set("ABCD"):
            raise ValueError(
                f"{place}: {len(cells)} cells ending in {cells[-1][:40]!r}; give "
                "question, four options and the right letter, without a header."
            )
        text, *options, letter = cells
        gold = "ABCD".index(letter.strip())
        shown = list(map(identity.normalised, options))
        if shown.count(shown[gold]) > 1:
            note = f"{place} left out: right option twice in {options}."
            notes.append((subject, note))
            continue
        try:
            question = questions.Question(
                text=text, options=tuple(options), gold=gold, subject=subject
            )
        except ValueError as error:
            raise ValueError(f"{place}: {error}") from error
        found.append(question)
    return found, notes


def _question(record: Mapping) -> questions.Question:
    if ("options" in record) == ("choices" in record):
        raise ValueError("Give either 'options' or 'choices', a list of texts.")
    options = record.get("options", record.get("choices"))
    if not isinstance(options, list) or not all(isinstance(o, str) for o in options):
        raise ValueError(f"Options are {options!r}; give a list of texts.")
    named = {name: record.get(name, "") for name in ("question", "id", "subject")}
    for name, value in named.items():
        if not isinstance(value, str):
            raise ValueError(f"{name!r} is {value!r}; give a text.")
    return questions.Question(
        text=named["question"],
        options=tuple(options),
        gold=_gold(record.get("answer"), options),
        id=named["id"],
        subject=named["subject"],
    )


def _gold(answer: object, options: Sequence[str]) -> int:
    """Returns the index that an answer means; refuses what could mean two options."""
    if isinstance(answer, int) and not isinstance(answer, bool):
        return answer
    readings = set()
    if isinstance(answer, str):
        letters = string.ascii_uppercase[: len(options)]
        said = identity.normalised(answer)
        readings |= {
            index for index, o in enumerate(options) if identity.normalised(o) == said
        }
        readings |= (
            {letters.index(answer)} if len(answer) == 1 and answer in letters else set()
        )
    if len(readings) != 1:
        raise ValueError(
            f"'answer' is {answer!r}, which means {len(readings)} of the options "
            f"{list(options)}; give the right one's index, from 0."
        )
    return readings.pop()
