"""`read_parts`: the files of a published tokenizer, as `transformers` 5 reads them.

`tokenizer.json` is the tokenizer; what lies beside it may know further tokens, names of
special tokens, and the chat template. `add_bos_token` and `add_eos_token` count for
nothing beside a tokenizer.json, which says itself what comes first.
"""

import dataclasses
import json
import pathlib
from collections.abc import Iterator, Mapping

import tokenizers
from tokenizers import AddedToken


@dataclasses.dataclass(frozen=True, kw_only=True)
class Parts:
    """What the files of a tokenizer say together."""

    tokenizer: tokenizers.Tokenizer
    # Jinja source.
    chat_template: str | None
    # bos_token, eos_token, … to their text.
    special_tokens: dict[str, str]
    # A token that comes first though tokenizer.json does not put it; only folders that
    # mcq_jax saved have one.
    prepend: str | None


# What `TokenizerFile.save` calls it, or null: a mark that nobody else leaves.
PREPENDED = "mcq_jax_puts_first"


def read_parts(path: pathlib.Path) -> Parts:
    """Reads a tokenizer.json and what lies beside it.

    Raises:
        ValueError: for a file that is damaged, or that contradicts another.
    """
    tokenizer = _read_tokenizer(path)
    config = _read_object(path.with_name(_CONFIG))
    if config.get("split_special_tokens"):
        raise ValueError(
            f"split_special_tokens is set in {path.with_name(_CONFIG)}, which is not "
            "supported: special tokens are one token each; remove it."
        )
    # Folders saved before `PREPENDED` was there are known by the model's description.
    is_old = path.with_name("mcq_jax.json").is_file() and PREPENDED not in config
    if is_old or PREPENDED in config:  # its tokenizer.json has every token
        special = _special_tokens(config, path)
        first = config.get(PREPENDED)
        if is_old and config.get("add_bos_token") is True:
            first = special.get("bos_token")
    else:
        named = config | _old_names(config, path.parent)
        special, first = _special_tokens(named, path), None
        _add_tokens(tokenizer, config, named, path)
    return Parts(
        tokenizer=tokenizer,
        chat_template=_chat_template(path.parent, config),
        special_tokens=special,
        prepend=first if isinstance(first, str) else None,
    )


def files_beside(folder: pathlib.Path) -> list[pathlib.Path]:
    """Returns the files that `read_parts` reads of a folder with a tokenizer.json."""
    names = ["tokenizer.json", _CONFIG, "chat_template.jinja"]
    if _read_object(folder / _CONFIG).get("added_tokens_decoder") is None:
        names += [_OLD_NAMES, _OLD_TOKENS]
    return [folder / name for name in names if (folder / name).is_file()]


def _old_names(config: Mapping, folder: pathlib.Path) -> dict:
    """What the older file says of names; further tokens only where config has none."""
    if config.get("added_tokens_decoder") is not None:
        return {}
    names = _read_object(folder / _OLD_NAMES)
    if config.get("additional_special_tokens"):
        names.pop("additional_special_tokens", None)
    return names


_CONFIG = "tokenizer_config.json"
# Older folders have these in place of added_tokens_decoder.
_OLD_NAMES = "special_tokens_map.json"
_OLD_TOKENS = "added_tokens.json"


def _read_tokenizer(path: pathlib.Path) -> tokenizers.Tokenizer:
    """Reads a description that nobody vouches for."""
    try:
        tokenizer = tokenizers.Tokenizer.from_str(path.read_text(encoding="utf-8"))
    except Exception as error:  # the library raises bare `Exception`
        raise ValueError(
            f"{path} is no readable tokenizer: {error}; fetch the file again."
        ) from error
    # Before anything is encoded: it may ask to pad to any length.
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _read_object(path: pathlib.Path) -> dict:
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not valid JSON: {error}.") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds no JSON object; fetch the file again.")
    return content


def _special_tokens(named: Mapping, path: pathlib.Path) -> dict[str, str]:
    found = {}
    for name, value in named.items():
        text = value.get("content") if isinstance(value, Mapping) else value
        if name.endswith("_token") and isinstance(text, str):
            _check_whole(text, path)
            found[name] = text
    return found


def _add_tokens(
    tokenizer: tokenizers.Tokenizer, config: Mapping, named: Mapping, path: pathlib.Path
) -> None:
    """Adds what the other files know, in the reference's order: listed, then named."""
    listed = dict(_listed(config, named, path))
    known = tokenizer.get_added_tokens_decoder()
    texts = {token.content for token in [*known.values(), *listed.values()]}
    # The others' ids are the next free ones.
    further = [token for token in _named(named, path) if token.content not in texts]
    differing = [t for i, t in sorted(listed.items()) if repr(known.get(i)) != repr(t)]
    if (
        differing or further
    ):  # else a large vocabulary would be gone through for nothing
        tokenizer.add_tokens([*differing, *further])
    for number, token in listed.items():
        found = tokenizer.token_to_id(token.content)
        if token.content and found != number:
            raise ValueError(
                f"token {token.content!r} has id {number} beside {path} and {found} in "
                "it; the files do not belong together, fetch both again."
            )


def _listed(
    config: Mapping, named: Mapping, path: pathlib.Path
) -> Iterator[tuple[int, AddedToken]]:
    """The tokens that come with their ids."""
    decoder = config.get("added_tokens_decoder")
    if decoder is not None:
        where = path.with_name(_CONFIG)
        if not isinstance(decoder, Mapping):
            raise ValueError(f"added_tokens_decoder in {where} is no JSON object.")
        for number, entry in decoder.items():
            yield _number(number, entry, where), _token(entry, where)
        return
    where = path.with_name(_OLD_TOKENS)
    special = {token.content for token in _named(named, path)}
    for text, number in _read_object(where).items():
        is_special = text in special
        token = AddedToken(text, special=is_special, normalized=not is_special)
        yield _number(number, text, where), token


def _named(named: Mapping, path: pathlib.Path) -> Iterator[AddedToken]:
    """Special tokens by name, and the further ones that some files list."""
    further = named.get("extra_special_tokens") or named.get(
        "additional_special_tokens", []
    )
    if isinstance(further, Mapping):
        further = list(further.values())
    if not isinstance(further, list | None):
        raise ValueError(f"additional_special_tokens beside {path} are no list.")
    other = [n for n in named if n.endswith("_token") and n not in _NAMES]
    by_name = [named.get(name) for name in (*_NAMES, *other)]
    for value in [*by_name, *(further or [])]:
        if isinstance(value, str | Mapping):
            yield _token(value, path, special=True)


_NAMES = tuple(f"{n}_token" for n in "bos eos unk sep pad cls mask".split())


def _token(
    entry: object, where: pathlib.Path, *, special: bool | None = None
) -> AddedToken:
    content = entry.get("content") if isinstance(entry, Mapping) else entry
    if not isinstance(content, str) or (special is None and entry is content):
        raise ValueError(f"{where} lists the token {entry!r}; give one with a content.")
    _check_whole(content, where)
    flags = {name: False for name in ("single_word", "lstrip", "rstrip", "special")}
    if isinstance(entry, Mapping):
        flags |= {n: v for n, v in entry.items() if n in flags or n == "normalized"}
    flags["special"] = flags["special"] if special is None else special
    flags.setdefault("normalized", not flags["special"])
    if not all(isinstance(flag, bool) for flag in flags.values()):
        raise ValueError(f"{where} lists {entry!r}; what is said of a token is a bool.")
    return AddedToken(content, **flags)


def _check_whole(text: str, where: pathlib.Path) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"{where} holds half a character in {text[:60]!r}.") from error


def _number(value: object, entry: object, where: pathlib.Path) -> int:
    """An id; JSON's names of ids are texts."""
    is_id = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    if is_id or (isinstance(value, str) and value.isascii() and value.isdigit()):
        return int(str(value)[:20])
    raise ValueError(f"{where} gives {entry!r} the id {value!r}; an id is 0 or more.")


def _chat_template(folder: pathlib.Path, config: Mapping) -> str | None:
    beside = folder / "chat_template.jinja"
    if beside.is_file():
        try:
            return beside.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise ValueError(f"{beside} is no UTF-8 text: {error}.") from error
    template = config.get("chat_template")
    if isinstance(template, list):  # several named ones; `default` is for plain chat
        named = [item for item in template if isinstance(item, Mapping)]
        fitting = [item for item in named if item.get("name") == "default"]
        template = fitting[-1].get("template") if fitting else None
    if not isinstance(template, str | None):
        raise ValueError(
            f"chat_template in {folder / _CONFIG} is no text; fetch the file again."
        )
    if template is not None:
        _check_whole(template, folder / _CONFIG)
    return template
