"""Admission to a cluster: the receipts that an object names are looked up, and policy answers the API server.

`judge` answers one AdmissionReview, `server` is the webhook around it, `manifests` and `cel` render what is installed.
"""
