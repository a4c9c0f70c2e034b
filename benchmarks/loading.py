"""How long does loading take beside a plain read, and how much memory beyond the model?

    python -m benchmarks.loading [--megabytes 800] [--devices 1] [--dtype bfloat16 …]

A Llama-shaped folder of random bfloat16 weights is written to a temporary place, read
plainly once (so that it lies in the page cache, where both contenders find it), then
loaded. Anonymous memory (RssAnon; mapped pages of the file are not in it) is sampled
all the while: the ratio is its highest growth over the bytes of the arrays. With
several devices, pretended on CPU, every matrix is split over all of them.

Typical output: see benchmarks/README.md.
"""

import argparse
import json
import multiprocessing
import os
import pathlib
import sys
import tempfile
import threading
import time

WIDTH, NEURONS, HEADS, HEAD_WIDTH, VOCABULARY = 1024, 2816, 16, 64, 16_384


def main() -> None:
    """Prints one row per element type."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=800)
    parser.add_argument("--devices", type=int, default=1)
    parser.add_argument("--dtype", nargs="+", default=["bfloat16", "float32"])
    asked = parser.parse_args()
    if asked.devices > 1:
        count = f"--xla_force_host_platform_device_count={asked.devices}"
        os.environ["XLA_FLAGS"] = count
        os.environ["JAX_PLATFORMS"] = "cpu"
    print(
        "dtype     devices  file MB  arrays MB  read s  load s  x read  peak / arrays"
    )
    sys.stdout.flush()
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder)
        write_model(path, asked.megabytes)
        for dtype in asked.dtype:
            # A fresh process each, so that none reuses memory that another gave back.
            fresh = multiprocessing.get_context("spawn").Process
            process = fresh(target=measure, args=(path, dtype, asked.devices))
            process.start()
            process.join()


def measure(path: pathlib.Path, dtype: str, devices: int) -> None:
    """Loads the model once and prints its row."""
    import jax

    from mcq_jax import load

    file = path / "model.safetensors"
    read_plainly(file)
    plain = read_plainly(file)
    jax.block_until_ready(jax.numpy.zeros(1))  # the backend's own memory
    begun = time.perf_counter()
    with AnonymousMemory() as memory:
        loaded = load(path, dtype=dtype, shardings=split if devices > 1 else None)
        jax.block_until_ready(loaded.parameters)
    seconds = time.perf_counter() - begun
    arrays = jax.tree.leaves(loaded.parameters)
    size = sum(part.data.nbytes for a in arrays for part in a.addressable_shards)
    print(
        f"{dtype:9s} {devices:7d} {file.stat().st_size / 1e6:8.0f} {size / 1e6:10.0f} "
        f"{plain:7.2f} {seconds:7.2f} {seconds / plain:7.2f} "
        f"{memory.growth / size:14.3f}"
    )


def split(shapes):
    """Splits every array along its largest axis that the devices divide."""
    import jax

    devices = jax.device_count()
    mesh = jax.make_mesh((devices,), ("model",))

    def one(leaf):
        axes = [None] * len(leaf.shape)
        fitting = [i for i, size in enumerate(leaf.shape) if size % devices == 0]
        if fitting:
            axes[max(fitting, key=lambda i: leaf.shape[i])] = "model"
        return jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(*axes))

    return jax.tree.map(one, shapes)


class AnonymousMemory:
    """The highest growth of this process's anonymous memory inside a `with` block."""

    def __enter__(self):
        self._before = self._highest = resident()
        self._is_over = threading.Event()
        self._sampler = threading.Thread(target=self._sample)
        self._sampler.start()
        return self

    def __exit__(self, *_):
        self._is_over.set()
        self._sampler.join()
        self.growth = self._highest - self._before

    def _sample(self):
        while not self._is_over.wait(0.002):
            self._highest = max(self._highest, resident())


def resident() -> int:
    """Anonymous resident bytes of this process (Linux)."""
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise OSError("/proc/self/status has no RssAnon; this benchmark needs Linux.")


def read_plainly(file: pathlib.Path) -> float:
    """Reads the file through one small buffer; returns the seconds."""
    buffer = bytearray(1 << 20)
    begun = time.perf_counter()
    with file.open("rb", buffering=0) as stream:
        while stream.readinto(buffer):
            pass
    return time.perf_counter() - begun


def write_model(folder: pathlib.Path, megabytes: int) -> None:
    """Writes random weights of about that size, tensor by tensor."""
    import ml_dtypes
    import numpy as np

    layer = {
        "input_layernorm": (WIDTH,),
        "self_attn.q_proj": (HEADS * HEAD_WIDTH, WIDTH),
        "self_attn.k_proj": (HEADS * HEAD_WIDTH, WIDTH),
        "self_attn.v_proj": (HEADS * HEAD_WIDTH, WIDTH),
        "self_attn.o_proj": (WIDTH, HEADS * HEAD_WIDTH),
        "post_attention_layernorm": (WIDTH,),
        "mlp.gate_proj": (NEURONS, WIDTH),
        "mlp.up_proj": (NEURONS, WIDTH),
        "mlp.down_proj": (WIDTH, NEURONS),
    }
    numbers = sum(int(np.prod(shape)) for shape in layer.values())
    layers = max(1, round((megabytes * 1e6 / 2 - VOCABULARY * WIDTH) / numbers))
    shapes = {
        "model.embed_tokens.weight": (VOCABULARY, WIDTH),
        "model.norm.weight": (WIDTH,),
    } | {
        f"model.layers.{index}.{name}.weight": shape
        for index in range(layers)
        for name, shape in layer.items()
    }
    header, end = {}, 0
    for name, shape in shapes.items():
        stop = end + 2 * int(np.prod(shape))
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [end, stop]}
        end = stop
    text = json.dumps(header).encode()
    generator = np.random.default_rng(0)
    with (folder / "model.safetensors").open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for shape in shapes.values():
            values = generator.standard_normal(shape, np.float32) * np.float32(0.02)
            file.write(values.astype(ml_dtypes.bfloat16).tobytes())
    (folder / "config.json").write_text(json.dumps(config(layers)))
    write_tokenizer(folder / "tokenizer.json")


def config(layers: int) -> dict:
    """Returns the `config.json` of a tied Llama."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "hidden_act": "silu",
        "hidden_size": WIDTH,
        "intermediate_size": NEURONS,
        "max_position_embeddings": 2048,
        "model_type": "llama",
        "num_attention_heads": HEADS,
        "num_hidden_layers": layers,
        "num_key_value_heads": HEADS,
        "rms_norm_eps": 1e-5,
        "tie_word_embeddings": True,
        "vocab_size": VOCABULARY,
    }


def write_tokenizer(path: pathlib.Path) -> None:
    """Writes a tokenizer of a few words."""
    import tokenizers

    vocabulary = {"[UNK]": 0, "a": 1}
    model = tokenizers.models.WordLevel(vocabulary, unk_token="[UNK]")
    tokenizers.Tokenizer(model).save(str(path))


if __name__ == "__main__":
    main()
