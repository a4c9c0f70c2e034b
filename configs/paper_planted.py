"""The paper's second half on a planted model: head kinds, routes, a place or a letter.

Command: mcq-jax run configs/paper_planted.py
Time: 5 CPU minutes; 3.2 GB.
Expect: what makes the difference stands at the options' ends (share 1.00), not at
labels (0.00); the correct-letter heads' queries carry it from there, and follow the
place (follow-D 1.00), not the letter.
"""

from mcq_jax.experiments import (
    USUAL,
    ContentRoute,
    Contrast,
    DecideThenBind,
    DrawnCircuit,
    EarlierPositions,
    Elsewhere,
    FeedForward,
    HeadKinds,
    Ladder,
    LearnedSubspaces,
    Mutated,
    MutationGrid,
    PaperClaims,
    QuerySwaps,
    Routes,
    RunConfig,
    ScoreParts,
    SelfRepair,
    Transfer,
)

# Those of random letters and of numbers, with the letters that planted models have.
FORMS = ("other_letters", "ordered_letters", "permuted", "shuffled", "four_lines")


def config() -> RunConfig:
    return RunConfig(
        title="The paper's second half, planted",
        model="planted",
        questions="planted",
        question_count=48,
        effect_questions=24,
        experiments=(
            *USUAL,
            EarlierPositions(),
            HeadKinds(),
            Routes(windows=7, sets=("ordered_letters",)),
            FeedForward(),
            QuerySwaps(forms=FORMS),
            ScoreParts(schemes=("permuted", "ordered_letters + permuted")),
            DecideThenBind(place_form="other_letters", layer_step=1),
            LearnedSubspaces(layers=(4, 5), rank=3, steps=40, learn_on=("permuted",)),
            ContentRoute(prompts_per_question=1),
            DrawnCircuit(most_nodes=24, ranking_prompts=4, prompts_per_question=1),
            SelfRepair(),
            Elsewhere(texts="planted"),
            Transfer(tasks=("permuted",)),
            Ladder(sets=("main", "permuted", "three"), questions=12),
            MutationGrid(
                contrasts=(
                    Contrast(
                        name="Other letters",
                        prompts=("ordered_letters",),
                        expects="lasts",
                    ),
                    Contrast(
                        name="No question", prompts=("question_removed",), of="carried"
                    ),
                ),
            ),
            # Of 49 nodes five are more than the share that is few of 5,000.
            PaperClaims(few_nodes=(None, 0.1)),
        ),
        other_prompts=(
            Mutated(mutation="permuted"),
            Mutated(mutation="ordered_letters"),
            Mutated(mutation="question_removed"),
            Mutated(name="three", mutation="3_options + permuted"),
        ),
        out="runs/paper-planted",
    )
