"""The demo: three runs of the example DAG on a real Airflow, and a check that each ended as it should."""

from interlock.airflow.demo.drive import run_demo

__all__ = ["run_demo"]
