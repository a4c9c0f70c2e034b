"""Reading text files so that every complaint names the file and the line."""

import csv
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
            record = json.loads(line)
        except ValueError as error:
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
    path = pathlib.Path(path)
    _require_file(path)
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, strict=True)
        start = 1
        try:
            for cells in reader:
                if cells:
                    yield f"{path}, line {start}", cells
                start = reader.line_num + 1
        except (csv.Error, UnicodeDecodeError) as error:
            raise ValueError(
                f"{path}, line {start} is no readable CSV: {error}; repair it or fetch "
                "the file again."
            ) from error


def _read_text(path: pathlib.Path) -> str:
    _require_file(path)
    try:
        # newline="": a "\r" inside a string is content, at a line's end white space.
        with path.open(encoding="utf-8-sig", newline="") as file:
            return file.read()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text: {error}.") from error


def _require_file(path: pathlib.Path) -> None:
    if not path.is_file():
        raise FileNotFoundError(f"No file at {path}; give the path of one.")
