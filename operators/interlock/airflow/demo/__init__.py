"""The demo: three runs of the example DAG on a real Airflow, and a check that each ended as it should."""

from interlock.airflow.demo.drive import run_demo
from interlock.airflow.demo.scenarios import SCENARIOS, DemoResult, Row, Scenario

__all__ = ["SCENARIOS", "DemoResult", "Row", "Scenario", "run_demo"]
