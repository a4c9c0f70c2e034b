"""Models by name, from a cache folder made here; the network is never asked."""

import pathlib
import sys

import numpy as np
import pytest

from mcq_jax import checkpoints
from tests.checkpoints import files

huggingface_hub = pytest.importorskip("huggingface_hub")
constants = pytest.importorskip("huggingface_hub.constants")

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def cache(tmp_path, monkeypatch) -> pathlib.Path:
    """An empty cache, and no network."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "hub"


def put(cache: pathlib.Path, name: str, weights: dict, *, without: str = "") -> None:
    """Lays a model out as the hub's client does: blobs, and links to them."""
    home = cache / f"models--{name.replace('/', '--')}"
    snapshot = home / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text(COMMIT)
    (home / "blobs").mkdir()
    whole = files.write_folder(home / "whole", weights, files.config("llama"))
    for index, file in enumerate(sorted(whole.iterdir())):
        if file.name != without:
            blob = file.rename(home / "blobs" / str(index))
            (snapshot / file.name).symlink_to(f"../../blobs/{blob.name}")


@pytest.mark.parametrize("name", ["org/tiny-model", f"org/tiny-model@{COMMIT}"])
def test_a_cached_model_is_loaded_by_its_name(cache, name):
    weights = files.random_weights("llama")
    put(cache, "org/tiny-model", weights)
    loaded = checkpoints.load(name)
    assert loaded.name == "tiny-model"
    np.testing.assert_array_equal(
        loaded.parameters.unembed["~"]["table"], weights["lm_head.weight"]
    )


def test_a_model_that_is_not_there_is_named(cache):
    with pytest.raises(FileNotFoundError, match="No model org/none.*HF_HUB_OFFLINE"):
        checkpoints.load("org/none")


def test_a_local_folder_comes_before_the_hub(cache, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "org").mkdir()
    weights = files.random_weights("llama")
    files.write_folder(tmp_path / "org" / "local", weights, files.config("llama"))
    assert checkpoints.load("org/local").name == "local"


def test_what_is_missing_in_the_cache_is_downloaded(cache, monkeypatch):
    weights = files.random_weights("llama")
    put(cache, "org/part", weights, without="model.safetensors")
    asked = []

    def download(name, **options):
        asked.append(options)
        (home,) = cache.iterdir()
        snapshot = home / "snapshots" / COMMIT
        if not options["local_files_only"]:
            (home / "whole" / "model.safetensors").rename(
                snapshot / "model.safetensors"
            )
        return str(snapshot)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    checkpoints.load("org/part")
    assert [options["local_files_only"] for options in asked] == [True, False]
    assert "*.safetensors" in asked[1]["allow_patterns"]
    assert "*.bin" not in asked[1]["allow_patterns"]


def test_a_missing_hub_package_is_named(cache, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ImportError, match=r"mcq-jax\[hub\]"):
        checkpoints.load("org/name")


def test_a_link_out_of_a_cached_model_is_not_followed(cache, tmp_path):
    put(cache, "org/linked", files.random_weights("llama"))
    (home,) = cache.iterdir()
    link = home / "snapshots" / COMMIT / "config.json"
    outside = link.resolve().rename(tmp_path / "config.json")
    link.unlink()
    link.symlink_to(outside)
    with pytest.raises(checkpoints.CheckpointError, match="link out of its folder"):
        checkpoints.load("org/linked")
