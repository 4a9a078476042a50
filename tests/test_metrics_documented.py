"""The documentation of the metrics, the dashboard and the alerts, held against what is told."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from prometheus_client.core import Metric
from twisted.internet.task import Clock

from orchestra.counters import Histogram
from orchestra.hub import Hub
from orchestra.metrics import MetricsService
from orchestra.observe.activity import ConnectionKind
from orchestra.observe.collector import OrchestraCollector
from orchestra.refusal import KINDS
from orchestra.websocket.factory import OrchestraFactory

DOCS = Path(__file__).parent.parent / "docs"
GUIDE = (DOCS / "how-to" / "metrics.rst").read_text()
ALERTS = DOCS / "alerts.yml"
DASHBOARD = json.loads((DOCS / "grafana.json").read_text())

ROW = re.compile(r"\* - ``(\w+)``\n +- (\w+)\n +- ?(.*)\n")
NAME = re.compile(r"\b(?:orchestra|process|python)_\w+")


class Documented(NamedTuple):
    """What is said of a metric beside its meaning."""

    type: str
    labels: frozenset[str]


@pytest.fixture
def families(clock: Clock) -> list[Metric]:
    """All that a server tells, with a sample of each label that there is."""
    factory = OrchestraFactory(Hub(counted_apart=["*"]), reactor=clock)
    factory.activity.joined("a peer", "main", 1, ConnectionKind.RAW)
    factory.activity.left("a peer", "main", 0, 1000, "", ConnectionKind.RAW)
    factory.activity.refused("a peer", 400, "no")
    service = MetricsService(factory, "0", reactor=clock)
    collector = OrchestraCollector(factory, Histogram())
    return [*collector.collect(), *service.registry.collect()]


@pytest.fixture
def samples(families: list[Metric]) -> set[str]:
    """The names of all samples."""
    return {sample.name for family in families for sample in family.samples}


@pytest.fixture(scope="module")
def promtool() -> str:
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("promtool is not installed")
    return found


def check_rules(promtool: str, path: Path) -> None:
    ran = subprocess.run(
        [promtool, "check", "rules", str(path)], capture_output=True, text=True, timeout=30
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_the_table_has_all_metrics_and_no_others(families: list[Metric]) -> None:
    """With their names as they are told, their types, and their labels."""
    told = {}
    for family in families:
        if family.name.startswith("orchestra_"):
            name = f"{family.name}_total" if family.type == "counter" else family.name
            labels = {label for sample in family.samples for label in sample.labels} - {"le"}
            told[name] = Documented(family.type, frozenset(labels))
    documented = {
        name: Documented(kind, frozenset(re.findall(r"``(\w+)``", labels)))
        for name, kind, labels in ROW.findall(GUIDE)
    }
    assert documented == told


def test_the_guide_names_nothing_that_is_not_there(
    families: list[Metric], samples: set[str]
) -> None:
    """Whatever it says of metrics, they are told, and it has a word for each refusal."""
    assert set(NAME.findall(GUIDE)) <= samples | {family.name for family in families}
    for kind in KINDS:
        assert f"``{kind}``" in GUIDE


def panels() -> Iterator[dict[str, Any]]:
    """The panels of the dashboard, without the titles between them."""
    return (panel for panel in DASHBOARD["panels"] if panel["type"] != "row")


def expressions() -> list[str]:
    return [target["expr"] for panel in panels() for target in panel["targets"]]


def test_the_dashboard_shows_what_there_is(samples: set[str]) -> None:
    """It asks for nothing that is not told, and leaves out nothing that is our own."""
    queries = [variable["query"] for variable in DASHBOARD["templating"]["list"]]
    asked = set(NAME.findall(json.dumps([expressions(), queries])))
    assert asked <= samples
    shown = {re.sub("_(bucket|sum|count)$", "", name) for name in asked}
    ours = {re.sub("_(bucket|sum|count)$", "", name) for name in samples}
    assert {name for name in ours if name.startswith("orchestra_")} <= shown


def test_the_dashboard_can_be_used_with_any_data_source() -> None:
    """All of it asks the one that is chosen, each panel has a place of its own, and a name."""
    first, *others = DASHBOARD["templating"]["list"]
    assert (first["type"], first["query"]) == ("datasource", "prometheus")
    chosen = {"type": "prometheus", "uid": f"${{{first['name']}}}"}
    assert all(variable["datasource"] == chosen for variable in others)
    taken: set[tuple[int, int]] = set()
    for panel in panels():
        assert panel["title"]
        assert panel["datasource"] == chosen
        assert all(target["datasource"] == chosen for target in panel["targets"])
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not cells & taken
        assert all(x < 24 for x, _ in cells)
        taken |= cells
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)


def test_the_expressions_of_the_dashboard_are_correct(promtool: str, tmp_path: Path) -> None:
    """Prometheus understands each of them, with Grafana's variables filled in."""
    rules = [
        {"record": f"panel:{number}", "expr": expression.replace("$__rate_interval", "1m")}
        for number, expression in enumerate(expressions())
    ]
    written = tmp_path / "rules.yml"  # JSON is YAML as well
    written.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    check_rules(promtool, written)


def test_the_alerts_are_correct(promtool: str, samples: set[str]) -> None:
    """Prometheus takes the file, and what it looks at is told."""
    check_rules(promtool, ALERTS)
    assert set(NAME.findall(ALERTS.read_text())) <= samples
