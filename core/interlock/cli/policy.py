"""`interlock policy ...`: ask the policy by hand, and install the engine that answers."""

from __future__ import annotations

import click

from interlock.cli import policy_author, policy_bundle, policy_eval, policy_replay, policy_show, show
from interlock.gate import Settings


@click.group()
def policy() -> None:
    """Evaluate policy; install the embedded engine."""


policy.add_command(policy_author.test)
policy.add_command(policy_author.coverage)
policy.add_command(policy_author.check)
policy.add_command(policy_eval.evaluate)
policy.add_command(policy_show.new)
policy.add_command(policy_show.schema)
policy.add_command(policy_show.controls)
policy.add_command(policy_bundle.bundle)
policy.add_command(policy_bundle.fetch)
policy.add_command(policy_replay.diff)


@policy.command("install-engine")
def install_engine() -> int:
    """Fetch the OPA library with its pinned hash; keep it in this virtual environment, or under the home folder."""
    from interlock.policy.engines.install import install_engine as install
    from interlock.policy.engines.install import place_for

    show.progress(f"the policy engine is {install(place_for(Settings.load()))}")
    return 0
