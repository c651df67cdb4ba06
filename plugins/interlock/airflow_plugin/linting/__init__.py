"""The lint worker for Airflow's DAG files: run as ``python -m interlock.airflow_plugin.linting``.

It loads a file as the DAG processor does, with all of the organisation's cluster policies, and again as a worker would
for a protected task, and judges both what the file's objects say and what Airflow would write to its database.
"""
