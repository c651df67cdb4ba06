"""Trick 13: an ordinary task on an ordinary queue, whose pod asks for a GPU and an image without Interlock."""

from tests.bypass.attack import Attack

CONTAINER = {
    "name": "base",
    "image": "registry.example/train:unguarded",
    "resources": {"limits": {"nvidia.com/gpu": "1"}},
}
attack = Attack(__file__)
with attack.dag():
    attack.train(queue="default", executor_config={"pod_override": {"spec": {"containers": [CONTAINER]}}})
