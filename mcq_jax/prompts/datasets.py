"""Where questions come from: MMLU's CSV files, JSONL files, or the built-in generators.

Readers refuse what they do not understand, by file and line.
"""

import logging
import pathlib
import string
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from mcq_jax.prompts import lines, questions, synthetic

_log = logging.getLogger(__name__)

# Sets that need no file.
GENERATORS: Mapping[str, Callable[[int, int, int], tuple[questions.Question, ...]]] = {
    "word_copy": synthetic.word_copy,
    "copy_colour": synthetic.copy_colour,
}


def load_questions(
    source: str | pathlib.Path,
    *,
    count: int | None = None,
    seed: int = 0,
    choices: int = 4,
    subjects: Sequence[str] = (),
) -> tuple[questions.Question, ...]:
    """Returns the questions of a generator, a JSONL file, or MMLU's CSV file or folder.

    Args:
      source: a name out of `GENERATORS`, or a path.
      count: how many; all of a file's (100 of a generator's) where left out, or where
        it has fewer. A smaller number is drawn evenly over subjects.
      seed: for generating or drawing.
      choices: options per generated question.
      subjects: only these, as files name them; all where left out.
    """
    if str(source) in GENERATORS:
        return GENERATORS[str(source)](100 if count is None else count, seed, choices)
    found = _read(pathlib.Path(source), split="test")
    found = distinct(_of_subjects(found, subjects, source))
    if count is not None and count > len(found):
        _log.warning(
            "%d questions were asked for, and %s has %d: all are taken.",
            count, source, len(found),
        )  # fmt: skip
        return found
    return found if count is None else sample(found, count, seed=seed)


def distinct(
    asked: Sequence[questions.Question],
) -> tuple[questions.Question, ...]:
    """Returns each question once, the first where it stands several times.

    Published files repeat some, under other ids and subjects too. What is the same
    question says its content (`Question.content_id`); asked twice it would count twice,
    and could choose nodes in one half and test them in the other.
    """
    by_content: dict[str, questions.Question] = {}
    for question in asked:
        by_content.setdefault(question.content_id, question)
    repeated = len(asked) - len(by_content)
    if repeated:
        _log.warning(
            "%d of %d questions repeat another one, and are left out.",
            repeated, len(asked),
        )  # fmt: skip
    return tuple(by_content.values())


def load_shots(
    source: str | pathlib.Path, *, count: int, seed: int = 1, choices: int = 4
) -> dict[str, tuple[questions.Question, ...]]:
    """Returns the first `count` worked examples of each subject.

    Args:
      source: a name out of `GENERATORS`, a folder with MMLU's `dev` files, or one file.
      seed: for generating; another one than for the questions themselves.
    """
    if str(source) in GENERATORS:
        return {"": GENERATORS[str(source)](count, seed, choices)}
    by_subject: dict[str, list[questions.Question]] = {}
    for question in _read(pathlib.Path(source), split="dev"):
        by_subject.setdefault(question.subject, []).append(question)
    for subject, found in by_subject.items():
        if len(found) < count:
            raise ValueError(
                f"{count} worked examples were asked for, but {source} has "
                f"{len(found)} on {subject!r}; ask for fewer."
            )
    return {subject: tuple(found[:count]) for subject, found in by_subject.items()}


def shots_for(
    question: questions.Question,
    shots: Mapping[str, Sequence[questions.Question]],
) -> tuple[questions.Question, ...]:
    """Returns the worked examples on a question's subject, the question left out."""
    if question.subject not in shots:
        raise ValueError(
            f"No worked examples on {question.subject!r} for question "
            f"{question.id!r}, only on {sorted(shots)[:5]}...; add some, or use none."
        )
    return tuple(
        shot
        for shot in shots[question.subject]
        if shot.content_id != question.content_id
    )


def read_mmlu(
    path: str | pathlib.Path, *, split: str = "test"
) -> tuple[questions.Question, ...]:
    """Reads MMLU's own layout: a CSV file, or a folder of `<subject>_<split>.csv`.

    The files lie in the folder itself or in its subfolder named like the split. A row
    is question, four options, right letter; there is no header. A row that shows the
    right option twice (the published test files have one such) has two right answers:
    it is left out, with a logged warning.
    """
    found = []
    for file in _mmlu_files(pathlib.Path(path), split):
        subject = file.stem.removesuffix(f"_{split}")
        rows = _mmlu_rows(file, subject)
        if not rows:
            raise ValueError(f"No questions in {file}; fetch the file again.")
        found += rows
    return tuple(found)


def read_jsonl(path: str | pathlib.Path) -> tuple[questions.Question, ...]:
    """Reads one question a line: `question`, `options` (or `choices`) and `answer`.

    The answer is an option's index, letter or text; `id` and `subject` are optional and
    other fields are ignored.
    """
    found: dict[str, questions.Question] = {}
    for place, record in lines.read_records(path):
        try:
            question = _question(record)
        except ValueError as error:
            raise ValueError(f"{place}: {error}") from error
        if question.id in found:
            raise ValueError(
                f"{place}: question {question.id!r} stands there a second time; give "
                "each question once, with an id of its own."
            )
        found[question.id] = question
    if not found:
        raise ValueError(f"No questions in {path}; give one JSON object a line.")
    return tuple(found.values())


def sample(
    asked: Sequence[questions.Question], count: int, *, seed: int
) -> tuple[questions.Question, ...]:
    """Returns `count` questions, as evenly over subjects as can be, in their order."""
    if not 1 <= count <= len(asked):
        raise ValueError(
            f"{count} questions were asked for out of {len(asked)}; ask for 1 to "
            f"{len(asked)}."
        )
    random = np.random.default_rng(seed)
    order = random.permutation(len(asked))
    seen: dict[str, int] = {}
    turns = np.zeros(len(asked), np.int64)
    for index in order:
        subject = asked[index].subject
        turns[index] = seen.get(subject, 0)
        seen[subject] = seen.get(subject, 0) + 1
    # Every subject's first question, then every subject's second, and so on.
    chosen = order[np.argsort(turns[order], kind="stable")][:count]
    return tuple(asked[index] for index in sorted(chosen.tolist()))


def _read(path: pathlib.Path, *, split: str) -> tuple[questions.Question, ...]:
    if not path.exists():
        raise FileNotFoundError(
            f"No questions at {path}; give a CSV or JSONL file, MMLU's folder, or one "
            f"of {sorted(GENERATORS)}."
        )
    if path.suffix in (".jsonl", ".ndjson"):
        return read_jsonl(path)
    if path.is_dir() or path.suffix == ".csv":
        return read_mmlu(path, split=split)
    raise ValueError(
        f"{path} is neither a folder nor a .csv or .jsonl file; convert it to one of "
        "these."
    )


def _of_subjects(
    asked: tuple[questions.Question, ...],
    subjects: Iterable[str],
    source: str | pathlib.Path,
) -> tuple[questions.Question, ...]:
    wanted = set(subjects)
    known = {question.subject for question in asked}
    if wanted - known:
        raise ValueError(
            f"Subjects {sorted(wanted - known)} were asked for, but {source} has "
            f"{sorted(known)}; name some of those."
        )
    return tuple(q for q in asked if not wanted or q.subject in wanted)


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


def _mmlu_rows(file: pathlib.Path, subject: str) -> list[questions.Question]:
    found = []
    for place, cells in lines.read_rows(file):
        if len(cells) != 6 or cells[5].strip() not in set("ABCD"):
            raise ValueError(
                f"{place}: {len(cells)} cells ending in {cells[-1][:40]!r}; give "
                "question, four options and the right letter, without a header."
            )
        text, *options, letter = cells
        gold = "ABCD".index(letter.strip())
        if options.count(options[gold]) > 1:
            _log.warning("%s left out: right option twice in %s", place, options)
            continue
        try:
            question = questions.Question(
                text=text, options=tuple(options), gold=gold, subject=subject
            )
        except ValueError as error:
            raise ValueError(f"{place}: {error}") from error
        found.append(question)
    return found


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
        readings |= {index for index, o in enumerate(options) if o == answer}
        readings |= (
            {letters.index(answer)} if len(answer) == 1 and answer in letters else set()
        )
    if len(readings) != 1:
        raise ValueError(
            f"'answer' is {answer!r}, which means {len(readings)} of the options "
            f"{list(options)}; give the right one's index, from 0."
        )
    return readings.pop()
