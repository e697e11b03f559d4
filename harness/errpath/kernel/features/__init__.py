"""What a kernel can do: a table of features, each probed, never deduced from a version."""

from errpath.kernel.features.finding import Finding, Presence
from errpath.kernel.features.table import TABLE, Feature, load_table

__all__ = ["TABLE", "Feature", "Finding", "Presence", "load_table"]
