"""`@pipeline`: `kfp.dsl.pipeline` that refuses a pipeline in which a protected step is not gated.

What is judged is what kfp compiles, by the same rules and in the same words as a DAG in Airflow. This runs in the
process of the pipeline's author, so it stops forgetting, not intent: `interlock lint` judges the compiled file where
the author has no say, and the guard in each protected step relies on neither.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from interlock.gate import DeniedError

if TYPE_CHECKING:
    from kfp.dsl.graph_component import GraphComponent

log = logging.getLogger("interlock.enforcement")


def pipeline(func: Callable[..., Any] | None = None, **kwargs: Any) -> Any:
    """`kfp.dsl.pipeline`, and a check of what it makes.

    The result is what `dsl.pipeline` gives: to compile, to run, or to use as a component in another pipeline. One that
    gets its receipts from outside cannot be judged by itself: use `dsl.pipeline` for it, and this for the pipeline
    around it, of which it is a part.

    Args:
        func: The pipeline function.
        **kwargs: As in `dsl.pipeline`: ``name``, ``description``, ``pipeline_root``, ``display_name``,
            ``pipeline_config``.

    Raises:
        DeniedError: A protected step is not gated, and policy's mode for this pipeline enforces; says all that is
            missing, with fixes.
        InterlockError: The settings or the policy cannot be read, without which nothing is let pass.
    """
    from kfp import dsl

    if func is None:
        return lambda function: pipeline(function, **kwargs)
    made: Any = dsl.pipeline(func, **kwargs)
    _check(made)
    return made


def _check(made: GraphComponent) -> None:
    from interlock.kubeflow_plugin.ir_check import check_ir

    found = check_ir(compiled(made))
    if found.refusal:
        raise DeniedError(found.refusal)
    if not found.is_gated:
        log.warning("mode %s lets an ungated pipeline pass. %s", found.mode.value, found.said)


def compiled(made: GraphComponent) -> str:
    """What kfp's compiler writes of a pipeline, the document of its platforms included."""
    from kfp.compiler import Compiler

    with TemporaryDirectory() as folder:
        file = Path(folder) / "pipeline.yaml"
        Compiler().compile(made, str(file))
        return file.read_text(encoding="utf-8")
