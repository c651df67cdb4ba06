"""Cluster policy for Airflow: what enforces the gates."""
