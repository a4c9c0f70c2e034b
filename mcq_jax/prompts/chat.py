"""A checkpoint's chat template: the text around the user's message.

Templates are Jinja programs that come with a checkpoint, so they run in Jinja's
sandbox, set up as `transformers` does it.
"""

import dataclasses
import datetime
import functools
import json
from collections.abc import Mapping

from mcq_jax.prompts import tokenizer as tokenizers

# Stands for the user's message while the template runs: private-use characters, which
# no question holds.
_PLACEHOLDER = "\ue000message\ue001"


@dataclasses.dataclass(frozen=True, kw_only=True)
class ChatTemplate:
    """A Jinja chat template with the special tokens that it names."""

    # Jinja source.
    source: str
    # bos_token, eos_token, ... to their text.
    special_tokens: Mapping[str, str] = dataclasses.field(default_factory=dict)
    # A system message, or None for the template's own default.
    system: str | None = None
    # What templates that write the date take for now; None: the moment of writing, so
    # that tomorrow's prompts are others.
    moment: datetime.datetime | None = None

    def around(self, message: str) -> tuple[str, str]:
        """Returns the chat's text before and after a user's message.

        What stands after it ends where the assistant's reply starts.
        """
        before, found, after = self._render(_PLACEHOLDER).partition(_PLACEHOLDER)
        if not found or before + message + after != self._render(message):
            raise ValueError(
                "The chat template does not show the user's message once and unchanged "
                f"({message[:60]!r}); remove white space at the ends of the question "
                "and its options, or ask without the chat template."
            )
        return before, after

    def _render(self, message: str) -> str:
        messages = [{"role": "user", "content": message}]
        if self.system is not None:
            messages.insert(0, {"role": "system", "content": self.system})
        template = _compile(self.source)
        try:
            return template.render(
                messages=messages,
                tools=None,
                documents=None,
                add_generation_prompt=True,
                strftime_now=self._strftime_now,
                **self.special_tokens,
            )
        except Exception as error:  # a template is a program, and may fail in any way
            raise ValueError(
                f"The chat template fails ({type(error).__name__}: {error}); ask "
                "without the chat template."
            ) from error

    def _strftime_now(self, pattern: str) -> str:
        return (self.moment or datetime.datetime.now()).strftime(pattern)


def chat_of(
    tokenizer: tokenizers.Tokenizer,
    *,
    system: str | None = None,
    moment: datetime.datetime | None = None,
) -> ChatTemplate:
    """Returns the chat template that came with a tokenizer; see `ChatTemplate`."""
    if tokenizer.chat_template is None:
        raise ValueError(
            "Prompts were asked for inside the chat template, but this checkpoint has "
            "none; turn the chat template off or take an instruction-tuned checkpoint."
        )
    return ChatTemplate(
        source=tokenizer.chat_template,
        special_tokens=tokenizer.special_tokens,
        system=system,
        moment=moment,
    )


@functools.lru_cache(maxsize=8)
def _compile(source: str):
    import jinja2
    import jinja2.ext
    import jinja2.nodes
    import jinja2.sandbox

    def raise_exception(message: str):
        raise ValueError(f"it refused the conversation: {message}")

    def tojson(value: object, **options) -> str:
        return json.dumps(value, **{"ensure_ascii": False, **options})

    class Generation(jinja2.ext.Extension):
        """`{% generation %}` marks what the assistant says, for training; it stays."""

        tags = {"generation"}

        def parse(self, parser):
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            block = jinja2.nodes.CallBlock(self.call_method("_said"), [], [], body)
            return block.set_lineno(line)

        def _said(self, caller):
            return caller()

    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=[jinja2.ext.loopcontrols, Generation],
    )
    environment.filters["tojson"] = tojson
    environment.globals["raise_exception"] = raise_exception
    try:
        return environment.from_string(source)
    except (RecursionError, UnicodeError) as error:
        raise ValueError(
            f"The chat template cannot be read ({type(error).__name__}: {error}); ask "
            "without the chat template."
        ) from error
    except jinja2.TemplateSyntaxError as error:
        raise ValueError(
            f"The chat template cannot be read, line {error.lineno}: {error.message}; "
            "ask without the chat template."
        ) from error
