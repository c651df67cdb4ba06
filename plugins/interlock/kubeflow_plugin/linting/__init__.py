"""The lint worker for compiled Kubeflow pipelines: run as ``python -m interlock.kubeflow_plugin.linting``.

Nothing of an author runs: a compiled pipeline is data. It is read in a fork all the same, so that a file that takes too
long or too much costs itself only.
"""
