"""What plugs into Kubeflow Pipelines and enforces: compiled pipelines read as the neutral graph, and judged."""
