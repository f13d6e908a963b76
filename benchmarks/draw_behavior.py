"""Draw the behavior map of a published agent for the documentation.

Run it with the root of the repository as the working folder; the folder of agents stands in the
environment variable SB3_EXPLAIN_AGENTS::

    python -m benchmarks.draw_behavior [folder]

The page is written into the folder, if one is given.
"""

from __future__ import annotations

import io
import os
import sys

from PIL import Image

from benchmarks.draw_how_to import save_small
from sb3_explain import behavior_map, collect, load_agent
from tests.pages import ROOT

#: the agent, and the number of states that it plays
AGENT, N_STATES = ("ppo", "LunarLander-v2"), 6000


def main() -> None:
    """Play, draw the map, and store the picture."""
    agent = load_agent(*AGENT, folder=os.environ["SB3_EXPLAIN_AGENTS"] + "/zoo")
    states = collect(
        agent, n_states=N_STATES, max_per_episode=0, n_envs=8, render=False, progress=False
    )
    found = behavior_map(agent, states)
    print(found)
    path = ROOT / "docs" / "images" / "behavior.png"
    save_small(Image.open(io.BytesIO(found.plot())).convert("RGB"), path)
    print(path.relative_to(ROOT), path.stat().st_size)
    if sys.argv[1:]:
        print(found.save(sys.argv[1]))


if __name__ == "__main__":
    main()
