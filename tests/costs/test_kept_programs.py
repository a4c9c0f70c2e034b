"""Programs that were compiled once are read from disk."""

import jax
import jax.numpy as jnp
import pytest
from jax.experimental.compilation_cache import compilation_cache

from mcq_jax import keep_compiled_programs


@pytest.fixture
def settings():
    names = (
        "jax_compilation_cache_dir",
        "jax_persistent_cache_min_compile_time_secs",
        "jax_persistent_cache_min_entry_size_bytes",
    )
    before = {name: getattr(jax.config, name) for name in names}
    yield
    for name, value in before.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()


def _double(x) -> None:
    """Compiles anew in every call."""
    jax.jit(lambda x: x * 7 + 2).lower(x).compile()


def test_a_quick_program_is_kept_also_after_others_were_compiled(tmp_path, settings):
    jax.jit(lambda x: x * 5 + 1)(jnp.ones(3)).block_until_ready()
    assert keep_compiled_programs(tmp_path / "programs") == tmp_path / "programs"
    found: list[str] = []
    jax.monitoring.register_event_listener(lambda event, **_: found.append(event))
    _double(jnp.ones(3))
    assert any((tmp_path / "programs").iterdir())
    assert "/jax/compilation_cache/cache_hits" not in found
    _double(jnp.ones(3))
    assert "/jax/compilation_cache/cache_hits" in found


def test_the_folder_that_jax_was_told_stays(tmp_path, settings):
    jax.config.update("jax_compilation_cache_dir", str(tmp_path))
    assert keep_compiled_programs() == tmp_path
