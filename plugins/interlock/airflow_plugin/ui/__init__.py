"""The tab "Security gates" in Airflow: why a task waits, what to do, and what the ledger says of a run."""
