"""The process: the rules once, then one request after the other. It needs neither Airflow nor kfp."""

from __future__ import annotations

import sys

from interlock.kubeflow_plugin.linting.parser import KubeflowParser
from interlock.lint.serving import serve

if __name__ == "__main__":
    serve(KubeflowParser.ready, int(sys.argv[1]))
