"""What each parameter of a model is: the one table that all who place or read it share.

Names are those that the parts of the model ask Haiku for; a new part adds its lines.
"""

import dataclasses
import enum


class Kind(enum.Enum):
    """What a parameter does, from which follow how files store it and its dtype."""

    TABLE = "a vector of the residual stream for every token or position"
    READING = "a matrix whose rows read the residual stream"
    WRITING = "a matrix whose rows are written to the residual stream"
    GAIN = "what a norm multiplies by; in float32 always"
    BIAS = "what is added"


@dataclasses.dataclass(frozen=True)
class Parameter:
    """What one parameter is."""

    kind: Kind
    # In the words of `axes`, without a segment's layer axis, which comes before them.
    # A matrix's last axis is the residual stream's.
    axes: tuple[str, ...]

    @property
    def is_matrix(self) -> bool:
        """Whether it is a matrix of a layer: those may be int8, and fully sharded."""
        return self.kind in (Kind.READING, Kind.WRITING)


def parameter(name: str) -> Parameter:
    """Returns what the parameter of this name is."""
    if name not in PARAMETERS:
        raise ValueError(
            f"nothing says what parameter {name!r} is; add it to PARAMETERS in "
            "mcq_jax/parameter_table.py."
        )
    return PARAMETERS[name]


_QUERY = ("kv_head", "group", "head_width")
_KEY = ("kv_head", "head_width")

PARAMETERS = {
    "table": Parameter(Kind.TABLE, ("vocabulary", "width")),
    "position_table": Parameter(Kind.TABLE, ("context", "width")),
    "norm_gain": Parameter(Kind.GAIN, ("width",)),
    "norm_bias": Parameter(Kind.BIAS, ("width",)),
    "post_norm_gain": Parameter(Kind.GAIN, ("width",)),
    # Of one head or of all, and so without axes of their own.
    "query_norm_gain": Parameter(Kind.GAIN, ()),
    "key_norm_gain": Parameter(Kind.GAIN, ()),
    "query": Parameter(Kind.READING, (*_QUERY, "width")),
    "query_bias": Parameter(Kind.BIAS, _QUERY),
    "key": Parameter(Kind.READING, (*_KEY, "width")),
    "key_bias": Parameter(Kind.BIAS, _KEY),
    "value": Parameter(Kind.READING, (*_KEY, "width")),
    "value_bias": Parameter(Kind.BIAS, _KEY),
    "relative": Parameter(Kind.READING, (*_QUERY, "width")),
    "content_bias": Parameter(Kind.BIAS, _QUERY),
    "position_bias": Parameter(Kind.BIAS, _QUERY),
    "output": Parameter(Kind.WRITING, (*_QUERY, "width")),
    "output_bias": Parameter(Kind.BIAS, ("width",)),
    "gate": Parameter(Kind.READING, ("neuron", "width")),
    "gate_bias": Parameter(Kind.BIAS, ("neuron",)),
    "up": Parameter(Kind.READING, ("neuron", "width")),
    "up_bias": Parameter(Kind.BIAS, ("neuron",)),
    "down": Parameter(Kind.WRITING, ("neuron", "width")),
    "down_bias": Parameter(Kind.BIAS, ("width",)),
}
