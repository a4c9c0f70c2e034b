"""What texts with enumerations are made of: topics, and ways to write a list."""

# A topic, and things that belong to it.
TOPICS: dict[str, tuple[str, ...]] = {
    "packing for a long walk": (
        "a dry pair of socks", "enough water", "a map of the hills", "a warm hat",
        "something to eat", "a small torch",
    ),
    "baking bread at home": (
        "weigh the flour", "warm the milk", "let the dough rest", "heat the oven",
        "dust the table", "cover the bowl",
    ),
    "repairing a bicycle": (
        "take off the wheel", "find the hole", "clean the chain", "check the brakes",
        "oil the gears", "pump up the tyre",
    ),
    "planting a garden": (
        "turn the soil", "water the seeds", "cut the hedge", "pull out the weeds",
        "build a fence", "wait for the rain",
    ),
    "moving to another town": (
        "rent a van", "pack the books", "write to the bank", "find a school",
        "sell the piano", "say goodbye to friends",
    ),
    "writing a report": (
        "collect the figures", "draw a plan", "ask a colleague", "check the spelling",
        "shorten the summary", "send it on time",
    ),
    "looking after a cat": (
        "fill the bowl", "brush the fur", "clean the box", "buy a toy",
        "visit the vet", "open the window",
    ),
    "a day by the sea": (
        "swim before lunch", "look for shells", "buy an ice cream", "fly a kite",
        "watch the boats", "read in the shade",
    ),
    "learning the violin": (
        "tune the strings", "practise slowly", "hold the bow loosely",
        "listen to a teacher", "play with others", "rest the arm",
    ),
    "running a small shop": (
        "order new goods", "count the money", "sweep the floor", "greet the customers",
        "pay the taxes", "change the sign",
    ),
    "preparing for an exam": (
        "read the notes", "solve old problems", "sleep well", "make a timetable",
        "meet a study group", "eat a good breakfast",
    ),
    "painting a room": (
        "move the chairs", "cover the carpet", "mix the colours", "sand the door",
        "wash the brushes", "open the curtains",
    ),
}  # fmt: skip

ENDINGS = (
    "Most people forget one of these, and are sorry later.",
    "None of this takes long, but all of it should be done.",
    "The order matters less than doing it at all.",
    "After that there is time for a cup of tea.",
)
# What stands in front of each item of a list; {letter}, {number}.
LINES = {
    "letters": ("{upper}. ", "{upper}) ", "({lower}) ", "{lower}) "),
    "numbers": ("{number}. ", "{number}) ", "({number}) "),
    "steps": ("Step {number}: ", "Part {number}. "),
    "bullets": ("- ", "* ", "• "),
}
INTRODUCTIONS = (
    "Some thoughts on {topic}:",
    "What to remember about {topic}:",
    "Notes on {topic}, from last year:",
)
# Sentences that count without a list; each {} is an item.
PROSE = (
    "There are three things to know about {topic}: first, {}; second, {}; third, {}.",
    "When it comes to {topic}, (a) {}, (b) {}, and (c) {}.",
    "About {topic} my aunt always said two things: (1) {}, and (2) {}. I would add (3) "
    "{}.",
)
CODE = (
    'def step(state):\n    match state:\n        case 1: return "{}"\n'
    '        case 2: return "{}"\n        case 3: return "{}"\n',
    'steps = {{\n    1: "{}",\n    2: "{}",\n    3: "{}",\n}}\n',
    'switch (key) {{\n    case A: say("{}"); break;\n    case B: say("{}"); break;\n'
    '    case C: say("{}"); break;\n}}\n',
    "def prepare():\n    # 1. {}\n    start()\n    # 2. {}\n    go_on()\n    # 3. {}\n"
    "    stop()\n",
)
