"""Reports for people and machines: JSON, SARIF, HTML with pictures."""
