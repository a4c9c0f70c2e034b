"""Reading text files so that every complaint names the file and the line."""

import collections
import csv
import io
import json
import pathlib
from collections.abc import Iterator


def read_records(path: str | pathlib.Path) -> Iterator[tuple[str, dict]]:
    """Yields ("file, line n", object) for each line of a JSONL file but blank ones."""
    text = _read_text(pathlib.Path(path))
    # Not `splitlines`: JSON strings may hold other line separators than "\n".
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        place = f"{path}, line {number}"
        try:
            record = json.loads(line, object_pairs_hook=_object)
        except (ValueError, RecursionError) as error:
            raise ValueError(
                f"{place} is not JSON: {error}; give one object a line."
            ) from error
        if not isinstance(record, dict):
            raise ValueError(
                f"{place} holds a {type(record).__name__}; give one object a line."
            )
        yield place, record


def read_rows(path: str | pathlib.Path) -> Iterator[tuple[str, list[str]]]:
    """Yields ("file, line n", cells) for each row of a CSV file.

    The line is where the row starts: quoted cells may hold line breaks.
    """
    text = _read_text(pathlib.Path(path))
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    start = 1
    try:
        for cells in reader:
            if cells:
                yield f"{path}, line {start}", cells
            start = reader.line_num + 1
    except csv.Error as error:
        raise ValueError(
            f"{path}, line {start} is no readable CSV: {error}; repair it or fetch the "
            "file again."
        ) from error


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Refuses a name that stands twice: JSON readers take the last without a word."""
    found = dict(pairs)
    if len(found) < len(pairs):
        counts = collections.Counter(name for name, _ in pairs)
        twice = [name for name, count in counts.items() if count > 1]
        raise ValueError(f"{twice} stand in one object more than once")
    return found


def _read_text(path: pathlib.Path) -> str:
    _require_file(path)
    # Bytes, as line ends are content: a "\r" in a string, at a line's end white space.
    data = path.read_bytes()
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ValueError(
            f"{path}, line {line} is not UTF-8 text: {error.reason} (byte "
            f"{error.object[error.start]:#04x}); save the file as UTF-8."
        ) from error


def _require_file(path: pathlib.Path) -> None:
    if not path.is_file():
        raise FileNotFoundError(f"No file at {path}; give the path of one.")
