"""The paper's second half on word copy: head kinds, routes, a place or a letter.

Forms of the query swap: random letters from other random letters (the headline: no
letter in common, no order of the alphabet), across ordered sets (the plain labels from
numbers), shuffled labels (place, letter and the base's own answer on three lines), and
the same options asked for another (the content on a fourth). Read on questions by which
no node was chosen.
Command: mcq-jax run configs/paper_word_copy.py
         --model PATH/qwen2.5-coder-1.5b-instruct-q4_k_m.gguf
Time: 44 minutes on 2 quiet cores, of which nodes 13, routes 6, swaps 6, the grid 5 and
the ladder 4; 12 GB; resumable. Again on fresh questions: the same command with
--seed 1 --only paper_claims --out ANOTHER; then once more with --paper-claims.fresh
ANOTHER, which puts its numbers beside the first run's.
The content's route, the drawn circuit and learned subspaces have a card of their own,
paper_word_copy_route.py.
Sizes, stated beforehand: half widths of 95 % intervals are to be at most 0.05 for
shares of a net logit (12 held-out questions: 0.01 to 0.05 where questions differ by
0.02 to 0.08), 0.02 for routes (24), 0.07 for the ladder and the grid (20), and 0.15 for
shares of choices, which are coin flips (36 questions on each side: 0.16 at one half).
Expect: options' ends carry 0.74 of the effect, labels 0.09; with random letters queries
follow the place (0.70) and their heads carry 0.66 of the net logit, with ABCD 0.21; of
13 claims 8 supported, 4 contradicted, 1 undecided; see docs/findings.md.
"""

from mcq_jax.experiments import (
    USUAL,
    Cloze,
    Contrast,
    Elsewhere,
    FeedForward,
    HeadKinds,
    Ladder,
    Mutated,
    MutationGrid,
    PaperClaims,
    QuerySwaps,
    Routes,
    RunConfig,
    ScoreParts,
    SelfRepair,
)

# Declared before anything was run; what else the grid shows describes.
CONTRASTS = (
    Contrast(name="Random letters", prompts=("random", "other random")),
    Contrast(name="Numbers", prompts=("numbers",), of="carried"),
    Contrast(name="Separators", prompts=("dots", "brackets"), expects="lasts"),
)
FORMS = ("random_letters", "ordered_sets", "permuted", "shuffled", "four_lines")


def config() -> RunConfig:
    return RunConfig(
        title="The paper's second half on word copy",
        model="models/qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
        questions="word_copy",
        question_count=60,
        effect_questions=24,
        experiments=(
            *USUAL,
            Cloze(),
            HeadKinds(),
            Routes(sets=("numbers",)),
            QuerySwaps(forms=FORMS, layer_step=2),
            FeedForward(),
            ScoreParts(),
            SelfRepair(),
            Elsewhere(),
            Ladder(sets=("permuted",), questions=20),
            MutationGrid(contrasts=CONTRASTS, questions=20),
            PaperClaims(),
        ),
        other_prompts=(
            Mutated(name="random", mutation="random_letters + permuted"),
            Mutated(name="other random", mutation="other_random_letters + permuted"),
            Mutated(name="numbers", mutation="numbers"),
            Mutated(name="permuted", mutation="permuted"),
            Mutated(name="dots", mutation="dot_behind"),
            Mutated(name="brackets", mutation="square_brackets"),
        ),
        out="runs/paper-word-copy",
    )
