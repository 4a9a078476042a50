"""Metrics in Prometheus' text format, read by its own client library."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families


def read(text: str) -> dict[str, float]:
    """The samples, by their names with their labels as ``name{label="value",…}``, sorted."""
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(f'{name}="{value}"' for name, value in sorted(sample.labels.items()))
            name = f"{sample.name}{{{labels}}}" if labels else sample.name
            assert name not in found, "it is there twice"
            found[name] = sample.value
    return found
