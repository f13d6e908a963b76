"""How often an agent does the same on its preprocessed rendered frames as on its observations."""

import os
import sys
import tempfile
from pathlib import Path
from unittest.mock import patch

from sb3_explain import collect
from sb3_explain.agents.demo import demo_agent
from sb3_explain.agents.native import AtariPreprocessing, MarioPreprocessing
from sb3_explain.states.labels import agreement

N_STATES = 2000
EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def run(record) -> None:
    agent = demo_agent()
    with tempfile.TemporaryDirectory() as folder:
        states = collect(agent, n_states=N_STATES, folder=Path(folder) / "stored", progress=False)
        same = agreement(agent, states, AtariPreprocessing())
        record("native_resolution.agreement.pong", same, "share", ">= 0.99")
        # what render() shows: the last of the two frames whose maximum the agent sees
        with patch("sb3_explain.states.collection.find_screen", lambda env: env.render):
            states = collect(agent, n_states=N_STATES, folder=Path(folder) / "last", progress=False)
        same = agreement(agent, states, AtariPreprocessing())
        record("native_resolution.agreement.pong_last_frame", same, "share")
    data = Path(os.environ.get("SB3_EXPLAIN_AGENTS", "")) / "super_mario_1_1"
    if not (data / "policy.safetensors").exists():
        print("super mario: not run (SB3_EXPLAIN_AGENTS names no folder with super_mario_1_1)")
        return
    sys.path.insert(0, str(EXAMPLES))
    from super_mario import load

    agent, states = load(data)
    same = agreement(agent, states, MarioPreprocessing())
    record("native_resolution.agreement.super_mario", same, "share")
