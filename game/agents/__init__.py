"""Worlds for programs: a small API, Gymnasium's environments, and recordings as training data.

from game.agents import load

world = load("tiny")                                  # or load("universal", "weights=DIR", "quality=fast")
play = world.start("hall", seed=0)                    # a scene, a picture's path, or an (h, w, 3) uint8 array
frames = play.step(keys=["W"], mouse=(0.0, 0.1))      # the next block: (F, H, W, 3) uint8 RGB
moment = play.snapshot()
for _ in range(20):
    frames = play.step(keys=["W", "D"])
play.restore(moment)                                  # the same keys would give the same frames, bit for bit

import gymnasium                                      # pip install 'neural-world[gym]'
env = gymnasium.make("NeuralWorld-v0", model="tiny", render_mode="rgb_array")
envs = gymnasium.make_vec("NeuralWorld-v0", num_envs=4, model="tiny")
"""

import importlib.util

from game.agents.api import Play, World, load

__all__ = ["ID", "Play", "World", "export", "load", "register_environments"]

ID = "NeuralWorld-v0"


def register_environments() -> None:
    """Makes `gymnasium.make("NeuralWorld-v0")` known. Gymnasium calls this by itself where both are installed."""
    if importlib.util.find_spec("gymnasium") is None:
        return
    import gymnasium

    if ID not in gymnasium.registry:
        home = "game.agents.environment"
        gymnasium.register(ID, f"{home}:NeuralWorldEnv", vector_entry_point=f"{home}:NeuralWorldVectorEnv")


register_environments()
