"""The gates as operators: validate data, scan it for poison, scan a model file, evaluate it, check the evidence so far.

Only *what* is checked can be a template. How strictly (suite, thresholds, profiles) is fixed in the DAG file or in
policy: templates can read run parameters, and whoever presses Trigger must not set the threshold.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from interlock.airflow.base import InterlockOperator, open_runner, pointer, run_identity

if TYPE_CHECKING:
    from airflow.sdk import Context

    from interlock.gate import Json


class GateOperator(InterlockOperator):
    """Runs one gate on one subject; succeeds only on ALLOW.

    Args:
        subject: Path or URL of what is checked (templated).
    """

    template_fields: Collection[str] = ("subject",)
    interlock_gate: ClassVar[str]

    def __init__(self, *, subject: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.subject = subject

    def gate_options(self) -> Mapping[str, Json]:
        """How the gate is set, as JSON; never from templates."""
        raise NotImplementedError

    def gate_outputs(self) -> Mapping[str, str]:
        """Where what the gate leaves behind beside its report goes."""
        return {}

    def execute(self, context: Context) -> dict[str, str]:
        """Open the subject, look, ask policy, write the receipt; then fail unless the decision is ALLOW."""
        from interlock.reporting import tell
        from interlock.runner import GateRequest

        request = GateRequest(
            kind=self.interlock_gate,
            subject=self.subject,
            options=self.gate_options(),
            outputs=self.gate_outputs(),
            run=run_identity(context),
        )
        with open_runner(self.interlock_conn_id) as runner:
            outcome = runner.run_gate(request)
            tell(self.log, outcome)
            outcome.raise_unless_allowed()
        return pointer(outcome.recorded)


class ValidateDataOperator(GateOperator):
    """Validates a dataset with a Great Expectations suite.

    Args:
        subject: Parquet, CSV, or a folder of either (templated).
        suite: Path of a GX suite file, or the suite itself as a mapping.
        min_rows: Fewer rows than this is a DENY.
        required: Expectations that the suite must contain, ``<type>`` or ``<type>:<column>``.
    """

    interlock_gate: ClassVar[str] = "data-validation"
    interlock_step: ClassVar[str] = "interlock.airflow.gates.ValidateDataOperator"

    def __init__(
        self,
        *,
        suite: str | Mapping[str, Json],
        min_rows: int = 1,
        required: Sequence[str] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.suite = suite
        self.min_rows = min_rows
        self.required = required

    def gate_options(self) -> Mapping[str, Json]:
        """Suite, row floor and required expectations."""
        return {"suite": self.suite, "min_rows": self.min_rows, "required": list(self.required)}


class ScanPoisoningOperator(GateOperator):
    """Scans a labelled dataset for poison: backdoor triggers and wrong labels.

    Args:
        subject: Parquet, Arrow, CSV, JSON Lines, npz, IDX, a saved Hugging Face dataset, class folders of images, or
            images with a manifest; a file or a folder (templated).
        label: The label column; class folders and IDX files need none.
        image: Column of images: paths in the dataset, or bytes.
        image_shape: Height and width (and channels) that images are drawn to; without `image`, of the one image that
            the feature columns, in order, are.
        text: Columns of running text.
        features: Feature columns; all numeric columns but the label when not given.
        embedding: Column of lists of numbers, in place of feature columns.
        source: Column that says who contributed a row.
        id: Column that names a row for people.
        seed: Seed of everything random in the scan.
        device: Where torch computes: ``cpu``, ``cuda``, ``cuda:1``.
        engine: Where rows are read: ``local`` is the task's own process, ``ray`` workers of a cluster.
        ray_address: ``host:port`` of the cluster's head, or ``auto``; a cluster of the task's own when not given.
        also: Other projects' detectors to look as well, for comparison only.
        flagged: Parquet file to write the flagged rows to, where nothing is yet (templated).
        clean_out: Folder to write the dataset without the flagged rows to, where nothing is yet (templated). It is
            allowed by nothing: scan it before anything uses it.
        accepted: Profile of the last accepted snapshot, to compare with (templated). It counts only when a receipt
            vouches for it, and it takes back nothing that is found without it.
        clean: Small clean set in the form of the dataset (templated); it takes back nothing either.
        with_training: Train a small network on the dataset too, and look at what it learned.
        losses: File that `interlock.poisoning.models.LossRecorder` wrote in another training (templated).
        profile_out: JSON file to write the profile of this snapshot to if it is allowed, where nothing is yet
            (templated).
    """

    template_fields: Collection[str] = ("subject", "flagged", "clean_out", "accepted", "clean", "losses", "profile_out")
    interlock_gate: ClassVar[str] = "data-poisoning"
    interlock_step: ClassVar[str] = "interlock.airflow.gates.ScanPoisoningOperator"

    def __init__(
        self,
        *,
        label: str | None = None,
        image: str | None = None,
        image_shape: Sequence[int] | None = None,
        text: Sequence[str] = (),
        features: Sequence[str] | None = None,
        embedding: str | None = None,
        source: str | None = None,
        id: str | None = None,  # noqa: A002 (the word that a user would look for)
        seed: int = 0,
        device: str = "cpu",
        engine: str = "local",
        ray_address: str | None = None,
        also: Sequence[str] = (),
        flagged: str | None = None,
        clean_out: str | None = None,
        accepted: str | None = None,
        clean: str | None = None,
        with_training: bool = False,
        losses: str | None = None,
        profile_out: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.label_column = label  # `label` is what Airflow calls the text on the task in its UI
        self.image = image
        self.image_shape = image_shape
        self.text = text
        self.features = features
        self.embedding = embedding
        self.source = source
        self.id_column = id
        self.seed = seed
        self.device = device
        self.engine = engine
        self.ray_address = ray_address
        self.also = also
        self.flagged = flagged
        self.clean_out = clean_out
        self.accepted = accepted
        self.clean = clean
        self.with_training = with_training
        self.losses = losses
        self.profile_out = profile_out

    def gate_outputs(self) -> Mapping[str, str]:
        """The places that were given."""
        places = {"flagged": self.flagged, "clean_out": self.clean_out, "profile_out": self.profile_out}
        return {name: place for name, place in places.items() if place}

    def gate_options(self) -> Mapping[str, Json]:
        """Columns, image shape, seed and device."""
        return {
            "label": self.label_column,
            "image": self.image,
            "image_shape": self.image_shape,
            "text": self.text,
            "features": self.features,
            "embedding": self.embedding,
            "source": self.source,
            "id": self.id_column,
            "seed": self.seed,
            "device": self.device,
            "engine": self.engine,
            "ray_address": self.ray_address,
            "accepted": self.accepted or None,
            "clean": self.clean or None,
            "with_training": self.with_training,
            "losses": self.losses or None,
            "also": self.also,
        }


class ScanModelOperator(GateOperator):
    """Scans a model file or folder for code that could run when it is loaded.

    Args:
        subject: The model (templated).
        scanner_profile: Named allow-list of what a pickle may refer to.
        also: Other scanners to ask as well (``picklescan``, ``modelaudit``); what they say is a warning.
        look_for: What texts must not hold: ``secrets``, ``personal-data``, both or neither.
        weights: Read the tensors, too; None for wherever numpy is installed.
        accepted: The last accepted version, whose tensors are compared with (templated). It counts only when a receipt
            of this gate allows its bytes. One that renders to nothing is an error.
    """

    template_fields: Collection[str] = ("subject", "accepted")
    interlock_gate: ClassVar[str] = "artifact-scan"
    interlock_step: ClassVar[str] = "interlock.airflow.gates.ScanModelOperator"

    def __init__(
        self,
        *,
        scanner_profile: str = "torch-state-dict",
        also: Sequence[str] = (),
        look_for: Sequence[str] = (),
        weights: bool | None = None,
        accepted: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.scanner_profile = scanner_profile
        self.also = list(also)
        self.look_for = list(look_for)
        self.weights = weights
        self.accepted = accepted

    def gate_options(self) -> Mapping[str, Json]:
        """The allow-list profile, who else is asked, what texts must not hold, and what weights are compared with."""
        return {
            "profile": self.scanner_profile,
            "also": self.also,
            "look_for": self.look_for,
            "weights": self.weights,
            "accepted": self.accepted,
        }


class EvaluateModelOperator(GateOperator):
    """Evaluates a model on a sealed set, beside the model that was accepted last on the same rows.

    Which set is the sealed one, and how much worse a model may be, stands in policy. Which model was accepted last
    stands in the ledger.

    Args:
        subject: The model (templated).
        evaluation: Path or URL of the evaluation set, Parquet or CSV (templated).
        label: Column of what is predicted; the code that predicts never sees it.
        predict: ``module:name`` of a function ``f(model: Path, rows: Path)``, or a command in which ``{model}``,
            ``{data}`` and ``{out}`` become paths inside the sandbox.
        code: Files and folders that the code that predicts may read besides Python itself.
        name: Of the evaluation in policy data; the set's own name when not given.
        slices: Columns whose values are judged apart.
        features: Columns that the code gets; all but the label and the slices when not given.
        task: ``classification`` or ``regression``.
        accepted: Where the model that was accepted last lies now, if no longer where its receipt says (templated).
            One that renders to nothing is an error.
        wall_clock: Seconds that predicting with one model may take.
    """

    template_fields: Collection[str] = ("subject", "evaluation", "accepted")
    interlock_gate: ClassVar[str] = "model-probe"
    interlock_step: ClassVar[str] = "interlock.airflow.gates.EvaluateModelOperator"

    def __init__(
        self,
        *,
        evaluation: str,
        label: str,
        predict: str | Sequence[str],
        code: Sequence[str] = (),
        name: str | None = None,
        slices: Sequence[str] = (),
        features: Sequence[str] | None = None,
        task: str = "classification",
        accepted: str | None = None,
        wall_clock: float = 600.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.evaluation = evaluation
        self.label_column = label  # `label` is what Airflow calls the text on the task in its UI
        self.predict = predict
        self.code = code
        self.evaluation_name = name
        self.slices = slices
        self.features = features
        self.task = task
        self.accepted = accepted
        self.wall_clock = wall_clock

    def gate_options(self) -> Mapping[str, Json]:
        """The set, its columns, and the code that predicts."""
        return {
            "evaluation": self.evaluation,
            "label": self.label_column,
            "predict": self.predict,
            "code": self.code,
            "name": self.evaluation_name,
            "slices": self.slices,
            "features": self.features,
            "task": self.task,
            "accepted": self.accepted,
            "wall_clock": self.wall_clock,
        }


class CheckPolicyOperator(InterlockOperator):
    """Asks policy whether the evidence so far would let a step start, before anything waits for a queue or a GPU.

    It opens the guard of that step on the subject and shuts it again. The step asks once more when it starts.

    Args:
        subject: What the step is going to use (templated).
        step: ``training`` or ``deployment``.
        requires: Gate kinds on top of those that policy requires.
    """

    template_fields: Collection[str] = ("subject",)

    def __init__(self, *, subject: str, step: str, requires: Sequence[str] = (), **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.subject = subject
        self.step = step
        self.requires = requires

    def execute(self, context: Context) -> dict[str, str]:
        """Open and shut the guard; fail unless policy allows."""
        from interlock.runner import GuardRequest

        request = GuardRequest(
            kind=self.step, subject=self.subject, requires=tuple(self.requires), run=run_identity(context)
        )
        with open_runner(self.interlock_conn_id) as runner, runner.open_guard(request) as opened:
            self.log.info("%s may start on sha256:%s", self.step, opened.subject.subject.digest)
            return pointer(opened.recorded)
