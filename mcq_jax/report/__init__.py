"""From findings to figures and a page; reads results, never runs anything."""

from mcq_jax.report.page import write_report

__all__ = ["write_report"]
