"""A thousand strings on which tokenizers tend to differ."""

import random

_WORDS = """the Which option is word apple Answer I'm we'll THEY'VE don't naïve façade
Ångström Straße ﬁnance Москва δέλτα 東京 日本語 汉字 한국어 العربية עברית हिन्दी ไทย
def return class self None == != -> :: ++ // /* */ <div> </div> {} [] () x_1 snake_case
camelCase HTTPServer 3.14159 1,000,000 0xFF 1e-5 2024-01-31 ½ ² Ⅷ ٣ 四 e\u0301 n\u0303
\u1100\u1161 \u00a0 \u200b \u2028 \ufeff 😀 👩‍👩‍👧 🇩🇪 👍🏽 ❤️ ♥ … — “quote” «x» ¿
¡ €5 £ ™ ﷺ 𝔘𝔫𝔦 \x00 \x1b \x7f
SELECT * FROM t; #include <stdio.h> \\frac{a}{b} $x^2$ http://a.b/c?d=e&f=%20
a@b.org""".split()
_WORDS += ["\u00a0", "\u2003", "\ufeff", "\u200d", "\U0010ffff", "\u0378"]
_SPACES = [
    " ",
    " ",
    " ",
    "",
    "  ",
    "    ",
    "\n",
    "\n\n",
    "\r\n",
    "\t",
    " \n ",
    "\u3000",
]
_FIXED = ["", " ", "\n", "   leading", "trailing   ", "a" * 300, " " * 70, "\n" * 20]


def varied(special: list[str], *, count: int = 1000, seed: int = 0) -> list[str]:
    """Returns code, numbers, scripts, emoji, white space and the special tokens given,
    put together at random."""
    generator = random.Random(seed)
    texts = list(_FIXED) + [f"A{token} b{token}{token}\n" for token in special]
    while len(texts) < count:
        kind = generator.random()
        parts = []
        for _ in range(generator.randint(1, 25)):
            if kind < 0.15:  # any code points at all, but no surrogates
                part = chr(
                    generator.choice(
                        [
                            generator.randrange(0xD800),
                            generator.randrange(0xE000, 0x110000),
                        ]
                    )
                )
            elif kind < 0.25:
                part = str(generator.randrange(10 ** generator.randint(1, 12)))
            elif special and generator.random() < 0.08:
                part = generator.choice(special)
            else:
                part = generator.choice(_WORDS)
            parts += [part, generator.choice(_SPACES)]
        texts.append("".join(parts))
    return texts[:count]
