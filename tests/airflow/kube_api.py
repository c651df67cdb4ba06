"""An HTTP server that answers a Kubernetes client, over the objects of `tests.training.cluster.api`: no cluster.

It speaks the REST paths, the status codes and the bodies of the API; TrainJobs and runtimes are kept by `Cluster`, pods
are kept here, and a pod ends well at once, since nothing runs.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.training.cluster.api import Cluster, Held, RejectedError
from tests.training.cluster.objects import problems

from interlock.gate import UnavailableError
from interlock.training.cluster import StaleError, TakenError

KINDS = {"trainjobs": "TrainJob", "trainingruntimes": "TrainingRuntime"}


class Pods:
    """The pods of one namespace.

    Args:
        webhook: Changes a pod as a mutating webhook does, after it was sent and before it is held.
    """

    def __init__(self, webhook: Callable[[Held], None] | None = None) -> None:
        self.held: dict[str, Held] = {}
        self.created: list[Held] = []
        self.deleted: list[str] = []
        self._webhook = webhook

    def create(self, pod: Held) -> Held:
        self.created.append(json.loads(json.dumps(pod)))
        if found := problems(pod):
            raise RejectedError("; ".join(found))
        if self._webhook is not None:
            self._webhook(pod)
        pod["metadata"] |= {"uid": "1", "resourceVersion": "1", "creationTimestamp": "2026-11-27T12:00:00Z"}
        pod["spec"] |= {
            "dnsPolicy": "ClusterFirst",
            "schedulerName": "default-scheduler",
            "serviceAccountName": "default",
        }
        pod["status"] = {"phase": "Succeeded", "initContainerStatuses": [], "containerStatuses": []}
        for kind in ("initContainers", "containers"):
            for container in pod["spec"][kind]:
                container |= {"imagePullPolicy": "IfNotPresent", "terminationMessagePolicy": "File"}
                pod["status"][_statuses(kind)].append(_ended(container))
        self.held[pod["metadata"]["name"]] = pod
        return pod


def _statuses(kind: str) -> str:
    return "initContainerStatuses" if kind == "initContainers" else "containerStatuses"


def _ended(container: Held) -> Held:
    ended = {"exitCode": 0, "reason": "Completed", "finishedAt": "2026-11-27T12:01:00Z"}
    return {
        "name": container["name"],
        "image": container["image"],
        "imageID": container["image"],
        "ready": False,
        "restartCount": 0,
        "state": {"terminated": ended},
    }


@contextmanager
def served(cluster: Cluster, pods: Pods | None = None) -> Iterator[str]:  # noqa: C901 (one branch a verb and kind)
    """The URL of a server over `cluster` and `pods`."""
    kept = pods or Pods()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(self._got)

        def do_POST(self) -> None:
            document = self._body()
            self._answer(lambda parts: kept.create(document) if parts[-1] == "pods" else cluster.create(document))

        def do_PATCH(self) -> None:
            patch, kind = self._body(), self.headers["Content-Type"]

            def patched(parts: list[str]) -> Held:
                if parts[-2] == "pods":
                    return kept.held[parts[-1]]
                assert kind == "application/merge-patch+json"
                return cluster.patch(parts[-3], parts[-1], patch)

            self._answer(patched)

        def do_DELETE(self) -> None:
            self._body()

            def deleted(parts: list[str]) -> Held:
                if parts[-2] == "pods":
                    kept.deleted.append(parts[-1])
                    return kept.held.pop(parts[-1])
                if (KINDS[parts[-2]], parts[-3], parts[-1]) not in cluster.objects:
                    raise KeyError(parts[-1])
                cluster.delete(parts[-3], parts[-1])
                return {"kind": "Status", "apiVersion": "v1", "status": "Success"}

            self._answer(deleted)

        def _got(self, parts: list[str]) -> Held:
            if parts[-1] == "log":
                return {}
            if parts[-1] in {"pods", "events"}:
                items = list(kept.held.values()) if parts[-1] == "pods" else []
                return {"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": items}
            if parts[-2] == "pods":
                return kept.held[parts[-1]]
            if (KINDS[parts[-2]], parts[-3], parts[-1]) not in cluster.objects:
                raise KeyError(parts[-1])
            return cluster.read(KINDS[parts[-2]], parts[-3], parts[-1])

        def _body(self) -> Any:
            length = int(self.headers.get("Content-Length") or 0)
            return json.loads(self.rfile.read(length)) if length else None

        def _answer(self, act: Callable[[list[str]], Held]) -> None:
            try:
                status, document = 200, act(self.path.partition("?")[0].strip("/").split("/"))
            except KeyError as error:
                status, document = 404, _status(404, "NotFound", str(error))
            except (TakenError, StaleError) as error:
                status, document = 409, _status(409, "Conflict", str(error))
            except RejectedError as error:
                status, document = 422, _status(422, "Invalid", str(error))
            except UnavailableError as error:
                status, document = 503, _status(503, "ServiceUnavailable", str(error))
            body = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _status(code: int, reason: str, message: str) -> Held:
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "reason": reason,
        "code": code,
        "message": message,
    }
