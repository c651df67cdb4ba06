"""A DAG as it should be, whose training runs in the sandbox."""

from pathlib import Path

from tests.bypass.attack import FIELD, Attack

from interlock.airflow import SecureTrainOperator

WRITE = "import pathlib, sys; pathlib.Path(sys.argv[1], 'model.json').write_text('{}')"
attack = Attack(__file__, data="good.json" if Path(__file__).stem == "control_secure" else "bad.pkl")
with attack.dag():
    attack.gate() >> SecureTrainOperator(
        task_id="train",
        data=attack.data,
        out=str(FIELD / "marks" / attack.dag_id),
        command=[
            "python",
            "-c",
            "import pathlib, sys; pathlib.Path(sys.argv[1], 'model.json').write_text('{}')",
            "{out}",
        ],
    )
