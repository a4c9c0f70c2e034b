import runpy
from pathlib import Path

EXAMPLE = Path(__file__).parents[2] / "examples" / "hook_a_foreign_model.py"


def test_the_example_runs_and_shows_what_it_promises(capsys):
    runpy.run_path(str(EXAMPLE), run_name="__main__")
    printed = capsys.readouterr().out
    assert "update  float32[5, 8]  4       scan > remat" in printed
    assert "Captured resid: (2, 1, 8)" in printed
    assert "mlp/~/linear_1:output" in printed
