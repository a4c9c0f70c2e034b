"""One set of weights in both libraries: ours and a `transformers` model, in float32."""

import dataclasses
import pathlib
import tempfile

import torch
import transformers
from tokenizers import Tokenizer as WordLevelTokenizer
from tokenizers import models

import mcq_jax
from mcq_jax.model import ModelConfig, Parameters
from mcq_jax.prompts import Tokenizer


@dataclasses.dataclass(frozen=True)
class Twins:
    """The same model twice."""

    name: str
    parameters: Parameters
    config: ModelConfig
    tokenizer: Tokenizer
    # LlamaForCausalLM or Qwen2ForCausalLM, in evaluation mode.
    torch_model: transformers.PreTrainedModel

    def first_layers(self, count: int) -> "Twins":
        """The same without the later layers, where memory or time is short."""
        self.torch_model.model.layers = self.torch_model.model.layers[:count]
        self.torch_model.config.num_hidden_layers = count
        return dataclasses.replace(
            self,
            parameters=self.parameters._replace(layers=self.parameters.layers[:count]),
            config=dataclasses.replace(self.config, layers=count),
        )


def smollm2_shape() -> Twins:
    """SmolLM2-135M's shape with random weights, written and read as a folder."""
    config = transformers.LlamaConfig(
        num_hidden_layers=30,
        hidden_size=576,
        num_attention_heads=9,
        num_key_value_heads=3,
        intermediate_size=1536,
        vocab_size=49_152,
        max_position_embeddings=8192,
        rms_norm_eps=1e-5,
        tie_word_embeddings=True,
    )
    torch.manual_seed(0)
    transformers.utils.logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as folder:
        transformers.LlamaForCausalLM(config).save_pretrained(folder)
        some_tokenizer().save_pretrained(folder)
        model = transformers.LlamaForCausalLM.from_pretrained(folder, dtype="float32")
        ours = mcq_jax.load(folder)
    return _twins("135M", ours, model)


def from_gguf(path: pathlib.Path) -> Twins:
    """A published checkpoint, which both libraries read from the same file."""
    model = transformers.AutoModelForCausalLM.from_pretrained(
        path.parent, gguf_file=path.name, dtype="float32"
    )
    ours = mcq_jax.load(path)
    return _twins(ours.name, ours, model)


def _twins(name: str, ours: mcq_jax.Checkpoint, model) -> Twins:
    return Twins(name, ours.parameters, ours.config, ours.tokenizer, model.eval())


def some_tokenizer() -> transformers.PreTrainedTokenizerFast:
    """Libraries want one; the benchmark gives them token ids, all of one length."""
    words = WordLevelTokenizer(
        models.WordLevel({"a": 0, "[UNK]": 1}, unk_token="[UNK]")
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="a", eos_token="a"
    )
