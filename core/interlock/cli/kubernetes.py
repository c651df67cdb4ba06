"""`interlock kubernetes ...`: what enforces the gates in a cluster: the admission webhook, and what is installed.

What it does lies beside the Kubeflow plugin, which is imported when a command runs.
"""

from __future__ import annotations

import signal
import threading
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from interlock.cli import show
from interlock.gate import Settings
from interlock.gate.errors import EXIT_ALLOW

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group()
def kubernetes() -> None:
    """Enforcement in a cluster, in front of everything that wants a GPU or serves a model."""


@kubernetes.command()
@click.option("--cert", required=True, type=_FILE, metavar="PEM", help="Certificate with its chain; renewed in place.")
@click.option("--key", required=True, type=_FILE, metavar="PEM")
@click.option("--client-ca", type=_FILE, metavar="PEM", help="Who signed the API server's client certificate.")
@click.option("--host", default="0.0.0.0", show_default=True)  # noqa: S104 (a pod's own address)
@click.option("--port", default=8443, show_default=True, type=click.IntRange(0, 65535))
def webhook(*, cert: Path, key: Path, client_ca: Path | None, host: str, port: int) -> int:
    """Answer the API server's AdmissionReviews at /admit, over TLS, until it is ended.

    The receipts that an object names are looked up in the ledger and verified; policy decides by them. It signs nothing
    and writes nothing. What cannot be decided is refused.
    """
    server = _plugin("server")
    judge = _plugin("judge").open_judge(Settings.load())
    options = server.WebhookOptions(certificate=cert, key=key, client_ca=client_ca, host=host, port=port)
    with server.Webhook(judge.answer, options) as listening:

        def end(*_: object) -> None:
            threading.Thread(target=listening.shutdown).start()  # it waits for the loop that was interrupted here

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, end)
        show.progress(f"answers AdmissionReviews at https://{host}:{listening.port}{server.PATH}")
        listening.serve_forever()
    return EXIT_ALLOW


@kubernetes.command()
@click.option(
    "--image", required=True, metavar="NAME@sha256:...", help="Image with Interlock in it; with --opa, OPA's."
)
@click.option("--opa", is_flag=True, help="A stock OPA with the bundle, which looks no receipts up.")
@click.option("--namespace", default="interlock-system", show_default=True, help="Where the server runs.")
@click.option(
    "--everywhere", is_flag=True, help="All namespaces, not only those with interlock.dev/admission: enforce."
)
@click.option("--ca", type=_FILE, metavar="PEM", help="Who signed its certificate; cert-manager says when not given.")
@click.option("--out", required=True, type=click.Path(file_okay=False, path_type=Path), metavar="DIR")
def manifests(*, image: str, opa: bool, namespace: str, everywhere: bool, ca: Path | None, out: Path) -> int:
    """Write what is installed: the server, the webhook configuration, and the ValidatingAdmissionPolicies.

    All of it is made from the policy of the settings; after a change of the policy, write and apply it again.
    """
    from interlock.cli.deploy import yaml_of
    from interlock.policy import load_policy
    from interlock.reporting import write_whole

    rendering = _plugin("manifests")
    installation = rendering.Installation(
        image=image,
        opa=opa,
        namespace=namespace,
        everywhere=everywhere,
        ca=ca.read_bytes() if ca is not None else None,
    )
    bundle = load_policy(Settings.load())
    files = {
        "server.yaml": rendering.server_documents(installation, bundle),
        "webhook.yaml": [rendering.webhook_document(installation)],
        "policies.yaml": rendering.policy_documents_of(installation, bundle),
    }
    out.mkdir(parents=True, exist_ok=True)
    for name, documents in files.items():
        write_whole(out / name, yaml_of(documents))
        show.progress(f"{out / name}: {len(documents)} objects")
    return EXIT_ALLOW


def _plugin(name: str) -> Any:
    return import_module(f"interlock.kubeflow_plugin.admission.{name}")
