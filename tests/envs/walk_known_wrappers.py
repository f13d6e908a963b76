"""Run by itself: import and make each known wrapper, and print each file opened to be written."""

import contextlib
import copy
import importlib
import importlib.util
import os
import sys

import gymnasium as gym
import matplotlib as mpl
import numpy as np
from gymnasium import spaces

EVENTS = {
    "os.exec", "os.fork", "os.forkpty", "os.mkdir", "os.posix_spawn", "os.remove", "os.rename",
    "os.rmdir", "os.spawn", "os.system", "os.symlink", "os.link", "os.truncate", "pty.spawn",
    "shutil.copyfile", "shutil.rmtree", "socket.connect", "subprocess.Popen", "webbrowser.open",
}  # fmt: skip
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
happened = []


def watch(event, arguments):
    if event in EVENTS:
        happened.append(f"{event} {arguments!r:.100}")
    elif event == "open":
        path, mode, flags = arguments
        writes = set("wax+") & set(mode) if isinstance(mode, str) else flags & WRITING
        if writes and path != os.devnull:
            happened.append(f"open {path!r} {mode!r}")


class Plays(gym.Env):
    """Pictures, a Dict of a picture, or numbers; with masks, continuous actions or a frame."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 1}  # noqa: RUF012
    render_mode = "rgb_array"

    def __init__(self, observation_space, action_space):
        self.observation_space, self.action_space = observation_space, action_space
        # some wrappers change the space of the environment itself
        self.observed = copy.deepcopy(observation_space)
        self.spec = gym.envs.registration.EnvSpec("Pendulum-v1", max_episode_steps=9)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.observed.sample(), {}

    def step(self, action):
        return self.observed.sample(), 0.0, False, False, {}

    def render(self):
        return np.zeros((8, 8, 3), np.uint8)

    def action_masks(self):
        return np.ones(2, bool)

    action_mask = get_action_mask = mask_fn = valid_action_mask = action_masks


def make_bases():
    """Environments, of which each wrapper is put around the first that it can wrap."""
    picture = spaces.Box(0, 255, (32, 32, 3), np.uint8)
    numbers, ant = spaces.Box(-1, 1, (3,)), spaces.Box(-np.inf, np.inf, (111,), np.float64)
    discrete, continuous = spaces.Discrete(2), spaces.Box(-1, 1, (1,))
    goals = {key: numbers for key in ("observation", "achieved_goal", "desired_goal")}
    for observed in (picture, spaces.Dict(screen=picture), numbers, spaces.Dict(goals), ant):
        for acted in (discrete, continuous):
            yield lambda observed=observed, acted=acted: Plays(observed, acted)
    if importlib.util.find_spec("ale_py"):
        import ale_py
        from stable_baselines3.common.atari_wrappers import AtariWrapper

        gym.register_envs(ale_py)
        for mode in (None, "rgb_array"):
            yield lambda mode=mode: gym.make("PongNoFrameskip-v4", render_mode=mode)
            yield lambda mode=mode: AtariWrapper(gym.make("PongNoFrameskip-v4", render_mode=mode))
    if importlib.util.find_spec("minigrid"):
        import minigrid

        gym.register_envs(minigrid)
        yield lambda: gym.make("MiniGrid-Empty-5x5-v0")


def list_values(kind):
    """The smallest and the largest value that is allowed, or all if there are few."""
    match kind:
        case known_wrappers.Whole(low=low, high=high):
            return [low, high]
        case known_wrappers.Number():
            return [0.5, 1, -999_999_999.5]
        case known_wrappers.Flag():
            return [False, True]
        case known_wrappers.OneOf(texts=texts):
            return list(texts)
        case known_wrappers.Key(several=True):
            return [["observation"], ["screen"], ["/etc/passwd"]]
        case known_wrappers.Key():
            return ["screen", "../../evil.csv", "os.system"]
        case known_wrappers.Sides(high=high):
            return [1, high, [7, 9]]
    raise AssertionError(f"no values of {kind}")


#: arguments without which a wrapper cannot be made
NEEDED = {
    "StickyActionEnv": {"action_repeat_probability": 0.5},
    "ActionMasker": {"action_mask_fn": "action_masks"},
    "TimeLimit": {"max_episode_steps": 5},
    "RepeatAction": {"num_repeats": 2},
    "StickyAction": {"repeat_action_probability": 0.5},
    "DelayObservation": {"delay": 1},
    "FrameStackObservation": {"stack_size": 2},
    "DiscretizeAction": {"bins": 3},
    "RescaleAction": {"min_action": -1, "max_action": 1},
    "DtypeObservation": {"dtype": "float32"},
    "FilterObservation": {"filter_keys": ["observation"]},
    "RescaleObservation": {"min_obs": -1, "max_obs": 1},
    "ResizeObservation": {"shape": (8, 8)},
    "YAMLCompatResizeObservation": {"shape": [8, 8]},
    "ClipReward": {"min_reward": -1, "max_reward": 1},
    "PooledScreen": {"factor": 2},
}


def can_play(wrapper, kwargs, make_base):
    """Whether an environment can be wrapped and then played."""
    try:
        env = wrapper(make_base(), **kwargs)
        env.reset(seed=0)
        env.step(env.action_space.sample())
        env.close()
    except Exception:  # this environment is none of those that the wrapper is for
        return False
    return True


def walk():
    """Import and make each known wrapper, first with few arguments, then with each it takes."""
    for name, kinds in known_wrappers.KNOWN_WRAPPERS.items():
        if name.startswith("minigrid.") and not importlib.util.find_spec("minigrid"):
            print(f"{name} was not made: there is no minigrid")
            continue
        wrapper = import_wrapper(name)
        needed = NEEDED.get(name.rpartition(".")[2], {})
        base = next((base for base in make_bases() if can_play(wrapper, needed, base)), None)
        if base is None:
            print(f"{name} wraps none of the environments")
            continue
        for key, kind in kinds.items():
            for value in list_values(kind):
                assert kind.accepts(value), (name, key, value)
                with contextlib.suppress(Exception):  # a key that is not there, a frame of 1 x 1
                    wrapper(base(), **{**needed, key: value}).close()
        for line in happened:
            print(f"{name}: {line}")
        happened.clear()


def walk_modules():
    """Import each module that may be imported because a file says so."""
    for name in sorted(registered.MODULES):
        if importlib.util.find_spec(name.partition(".")[0]):
            importlib.import_module(name)
        for line in happened:
            print(f"{name}: {line}")
        happened.clear()


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    mpl.get_cachedir()  # once for all that draw
    sys.addaudithook(watch)
    from sb3_explain.envs import known_wrappers, registered
    from sb3_explain.envs.recipe import import_wrapper

    walk_modules()
    walk()
    # the watch itself bites
    with open("canary", "w"):  # noqa: PTH123
        os.system("true")
    print(f"at the end: {happened}")
