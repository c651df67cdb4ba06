"""Where the storage of a subject stands, for policies on residency. Nobody's word is taken but the storage's own."""

from __future__ import annotations

from interlock.evidence.remote import remote_errors, remote_filesystem
from interlock.evidence.sources import local_path
from interlock.gate.errors import InterlockError

_S3_DEFAULT = "us-east-1"


def region_of(uri: str, *, here: str) -> str:
    """The region of the storage behind `uri`, or nothing when it cannot be told.

    Args:
        uri: Path or URL of a subject that was just opened.
        here: Where this machine's own disks stand, as the deployment's settings say.
    """
    if local_path(uri) is not None:
        return here
    scheme, _, rest = uri.partition("://")
    bucket = rest.partition("/")[0]
    try:
        with remote_errors(uri):
            if scheme == "s3":
                answer = remote_filesystem(uri).call_s3("get_bucket_location", Bucket=bucket)
                # AWS S3 API, GetBucketLocation: buckets in us-east-1 have a null constraint.
                return str(answer["LocationConstraint"] or _S3_DEFAULT)
            if scheme == "gs":
                answer = remote_filesystem(uri).call("GET", "b/{}", bucket, json_out=True)
                return str(answer["location"]).lower()
    except InterlockError:
        return ""  # unknown is a value of its own: a policy that asks for a region denies it
    return ""
