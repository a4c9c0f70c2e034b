"""Names for the modules of a Haiku model, without a change to the model.

An interceptor names what each method returns and does nothing else; all the rest is
the one mechanism of this folder.
"""

from collections.abc import Callable
from typing import Any

import haiku as hk
import jax
from jax.ad_checkpoint import checkpoint_name


def tag_haiku(model: Any) -> Any:
    """Returns a Haiku model whose module outputs carry names.

    It takes what `hk.transform` and its relatives return, or an apply function, and
    gives the same back. The output of a module is called `path/to/module:output`, that
    of its other methods `path/to/module.method:output`; parts of an output that is not
    a single array follow as `:output.key`. A jitted apply function is taken out of its
    `jit`, whose memory of earlier traces knows no names; put `jit` around `run`.
    """
    if hasattr(model, "apply"):
        return model._replace(apply=jax.tree.map(_tagged, model.apply))
    return _tagged(model)


def _tagged(apply: Callable) -> Callable:
    if isinstance(apply, jax.stages.Wrapped):
        apply = apply.__wrapped__  # pyright: ignore[reportAttributeAccessIssue]

    def apply_with_names(*args, **kwargs):
        with hk.intercept_methods(_name_outputs):
            return apply(*args, **kwargs)

    return apply_with_names


def _name_outputs(
    next_function: Callable, args: tuple, kwargs: dict, context: hk.MethodContext
) -> Any:
    output = next_function(*args, **kwargs)
    module = getattr(context.module, "module_name", None)
    if module is None:  # a constructor that has not named its module yet
        return output
    method = context.method_name
    place = module if method == "__call__" else f"{module}.{method}"

    def named(path: tuple, leaf: Any) -> Any:
        if not isinstance(leaf, jax.Array):
            return leaf
        parts = [jax.tree_util.keystr((key,), simple=True) for key in path]
        return checkpoint_name(leaf, ".".join((f"{place}:output", *parts)))

    return jax.tree.map_with_path(named, output)
