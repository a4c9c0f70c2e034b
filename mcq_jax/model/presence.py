"""Which sites a model has: some exist only where their family's part does."""

from mcq_jax.interventions import Site
from mcq_jax.model.config import ModelConfig, QueryKeyNorm, check_config


def sites_of(config: ModelConfig) -> tuple[Site, ...]:
    """Returns the sites of a model, in forward order."""
    check_config(config)
    return tuple(site for site in Site if why_absent(site, config) is None)


def why_absent(site: Site, config: ModelConfig) -> str | None:
    """Returns what keeps a site out of a model, or None if the model has it."""
    if site is Site.MLP_GATE and not config.gated:
        return (
            "this model's feed-forward blocks have no gate; its neurons before the "
            f"non-linearity are {Site.MLP_PRE}"
        )
    if site is Site.POS_EMBED and not config.learned_positions:
        return "this model has no learned positions"
    has_no_norm = config.query_key_norm is QueryKeyNorm.NONE
    if site in (Site.Q_SCALE, Site.K_SCALE) and has_no_norm:
        return "this model does not norm its queries and keys"
    if site in (Site.ATTN_OUT_SCALE, Site.MLP_OUT_SCALE) and not config.post_norm:
        return "this model does not norm what its blocks write"
    return None
