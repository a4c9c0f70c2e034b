"""The words for axes, used in every array annotation of the project.

    row         one sequence of a batch (a prompt, or a prompt under one edit)
    prompt      one prompt of a table of results
    position    a token's place in the sequence; "query" and "key" where attention
                needs two of them, "selected" for a chosen few
    width       the residual stream
    kv_head     a key/value head; "group" counts the query heads that read it, so
                query head h is (kv_head, group) with h = kv_head * groups + group
    head_width  the width of one head's query, key or value
    neuron      a hidden unit of a feed-forward block
    layer       a layer; "slot" where only some layers are present
    node        a head or a feed-forward block of one layer (heads first, then MLP)
    choice      an answer option
    vocabulary  a token of the vocabulary

Inside the model's layer there is no row axis: a layer is written for one sequence
and vmapped at the edge.
"""

import numpy as np
from jaxtyping import Array, Float, Int

# Arrays on the device or, from prompts and tables, on the host.
AnyArray = Array | np.ndarray

Tokens = Int[AnyArray, "row position"]
Residual = Float[Array, "position width"]
Neurons = Float[Array, "position neuron"]
Queries = Float[Array, "position kv_head group head_width"]
Keys = Float[Array, "position kv_head head_width"]
Pattern = Float[Array, "kv_head group query key"]
