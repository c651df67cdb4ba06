"""Airflow operators, hooks and decorators."""
