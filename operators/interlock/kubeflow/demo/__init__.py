"""The demo: three runs of the example pipeline under `kfp.local`, and a check that each ended as it should."""

from interlock.kubeflow.demo.drive import run_demo

__all__ = ["run_demo"]
