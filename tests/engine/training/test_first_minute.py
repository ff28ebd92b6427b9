"""Claims about the first minute with the shipped weights: where the shipped scenes lead."""

import torch

from engine.measures.pictures import sharpness
from engine.nets.camera import Camera
from engine.rollout.memory_condition import Walk
from engine.training.files import MODEL, WEIGHTS, read_model
from engine.training.poses import pose_of
from engine.training.scenes import VIEWPOINTS, at_viewpoints
from engine.world import load_world

SECONDS = 12
BARE = 15.0
"""Sharpness, grey levels a pixel; pictures before a wall of two colours have 4 to 7."""


def test_twelve_seconds_of_w_from_every_scene_never_show_a_bare_wall():
    model = read_model(MODEL)
    networks = load_world(model, WEIGHTS, device="cpu", dtype=torch.float32).networks
    camera = Camera(model.camera, model.width, model.height)
    pose = pose_of(at_viewpoints(camera, folk=False))
    walk = Walk(networks, torch.zeros(len(pose.x), 3, model.height, model.width), pose)
    ahead, still = torch.tensor([1.0, 0.0, 0.0, 0.0]).expand(len(pose.x), 4), torch.zeros(len(pose.x), 2)
    begun = walk.pose
    for second in range(1, SECONDS + 1):
        for _ in range(round(model.fps)):
            walk._move(ahead, still)
        if second % 3 == 0:
            seen = networks.spatial_memory.look(walk.pose, walk.camera).frames
            for name, level in zip(VIEWPOINTS, sharpness(seen).tolist(), strict=True):
                assert level > BARE, f"{name} after {second} s"
    far = torch.hypot(walk.pose.x - begun.x, walk.pose.y - begun.y)
    assert (far > 3.0).all(), "somewhere to go"
