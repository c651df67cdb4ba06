"""A gated pipeline whose every step is a hardened container, for a process of its own: kfp.local keeps global state.

    python -m tests.kubeflow.contained IMAGE ROOT ROWS

kfp reads annotations when it runs, so there is no ``from __future__ import annotations`` here.
"""

import os
import sys
from pathlib import Path
from typing import Any

from kfp import dsl, local
from kfp.dsl import Dataset, Input, Model, Output

from interlock.kubeflow import gated, pipeline, scan_model, validate_data

NOT_NULL = {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "label"}}
SUITE = {"name": "train", "expectations": [NOT_NULL]}
HARDENED: dict[str, Any] = {
    "read_only": True,
    "tmpfs": {"/tmp": "rw,mode=1777,nosuid,nodev"},
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges"],
    "network_mode": "none",
}
# kfp.local lets a container be removed as it ends and asks for its status afterwards: it then takes the answer "no such
# container" for success, and fails where a log is asked for too late. A line at the start and a second at the end give
# it the time to look.
LINGER = ["sh", "-c", 'echo started; "$@"; status=$?; sleep 1; exit $status', "sh"]


def retrain(image: str) -> Any:
    """The pipeline, with every step in this image."""
    component = dsl.component(base_image=image, install_kfp_package=False, packages_to_install=[])

    @component
    def collect(rows: str, data: Output[Dataset]) -> None:
        from pathlib import Path

        Path(data.path).mkdir()
        (Path(data.path) / "train.csv").write_text(rows)

    @component
    def train(data: Input[Dataset], model: Output[Model]) -> None:
        import json
        import os
        from pathlib import Path

        rows = (Path(data.path) / "train.csv").read_text().splitlines()
        header = json.dumps({"w": {"dtype": "U8", "shape": [len(rows)], "data_offsets": [0, len(rows)]}}).encode()
        header += b" " * (-len(header) % 8)
        Path(model.path).write_bytes(len(header).to_bytes(8, "little") + header + bytes(len(rows)))
        print(f"trained as {os.getuid()} on {data.path}")

    @pipeline(name="retrain")
    def steps(rows: str) -> None:
        data = collect(rows=rows).outputs["data"]
        checks = [validate_data(subject=data, suite=SUITE, image=image)]
        trained = gated(train(data=data), checks)
        scan_model(subject=trained.outputs["model"], image=image)

    return steps


def main(image: str, root: str, rows: str) -> None:
    """Run it; what the steps need of the deployment lies below the root, which kfp mounts into each."""
    settings = {name: value for name, value in os.environ.items() if name.startswith("INTERLOCK_")}
    runner = local.DockerRunner(**HARDENED, entrypoint=LINGER, environment=settings)
    local.init(runner=runner, pipeline_root=str(Path(root) / "artifacts"), raise_on_error=True)
    retrain(image)(rows=rows)


if __name__ == "__main__":
    main(*sys.argv[1:])
