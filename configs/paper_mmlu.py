"""The paper's second half on MMLU: what its heads represent where knowledge is needed.

The paper's template; heads are named and dimensions fitted on studied questions, the
rest is read on others. Headline numbers once more: the same command with --seed 1
--out ANOTHER, whose folder PaperClaims(fresh=…) then names.
Sample sizes: 24 studied questions gave intervals of ±0.04 for recovery. 26 others pass
the filter: follow-D of these came out within ±0.2, which leaves the place undecided.
Command: mcq-jax run configs/paper_mmlu.py --questions PATH/mmlu
         --model PATH/qwen2.5-coder-1.5b-instruct-q4_k_m.gguf
Time: 2 hours on 2 cores, half an hour of it the grid; resumable.
Expect: 13 nodes restore 0.84 on held-out questions, random ones 0.03, the same 13 on a
fresh seed (0.82); 7 claims are supported and 2 contradicted, as on word copy; 4 are
undecided, among them the N-th item (0.31, fresh 0.46). Figures are of the order before
questions were asked in turns of their subjects. See docs/findings.md.
"""

from mcq_jax.experiments import (
    USUAL,
    Cloze,
    Contrast,
    HeadKinds,
    Ladder,
    Mutated,
    MutationGrid,
    PaperClaims,
    QuerySwaps,
    Routes,
    RunConfig,
    SelfRepair,
)

# Declared before anything was run; what else the grid shows describes.
CONTRASTS = (
    Contrast(name="Random letters", prompts=("random", "other random")),
    Contrast(name="Numbers", prompts=("numbers",), of="carried"),
    Contrast(name="Separators", prompts=("dots", "brackets"), expects="lasts"),
)
MUTATIONS = {
    "random": "random_letters + permuted",
    "other random": "other_random_letters + permuted",
    "numbers": "numbers",
    "permuted": "permuted",
    "dots": "dot_behind",
    "brackets": "square_brackets",
}


def config() -> RunConfig:
    return RunConfig(
        title="The paper's second half on MMLU",
        name="MMLU",
        model="models/qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
        questions="data/mmlu",
        question_count=260,
        longest_prompt=144,
        template="paper",
        effect_questions=24,
        experiments=(
            *USUAL,
            Cloze(),
            HeadKinds(),
            Routes(),
            QuerySwaps(forms=("random_letters", "permuted", "shuffled"), layer_step=4),
            SelfRepair(),
            Ladder(sets=("permuted",), questions=20),
            MutationGrid(contrasts=CONTRASTS, fitting_questions=24, questions=20),
            PaperClaims(),
        ),
        other_prompts=tuple(
            Mutated(name=name, mutation=mutation)
            for name, mutation in MUTATIONS.items()
        ),
        out="runs/paper-mmlu",
    )
