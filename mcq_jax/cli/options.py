"""Options as they stand on a command line, before anything reads them."""


def refuse_repeated(arguments: list[str]) -> None:
    """Raises ValueError where an option is given twice: the last would count alone."""
    named = [_option(one) for one in arguments if one.startswith("--")]
    for name in named:
        if named.count(name) > 1:
            raise ValueError(
                f"{name} is given {named.count(name)} times, and only the last would "
                f"count; give it once, several values together: {name} a b."
            )


def _option(argument: str) -> str:
    """The name of an option, however it is written: --a_b=1 and --no-a-b are --a-b."""
    name = argument.partition("=")[0].replace("_", "-")
    return name.replace("--no-", "--", 1)


def without(names: tuple[str, ...], arguments: list[str]) -> list[str]:
    """Arguments but some options and their values."""
    kept, is_kept = [], True
    for argument in arguments:
        if argument.startswith("--"):
            is_kept = _option(argument) not in names
        if is_kept:
            kept.append(argument)
    return kept
