"""The demo: three runs of the example DAG on a real Airflow."""
