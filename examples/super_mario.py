"""Explain an agent with a network of its own: an expert of a world of Super Mario Bros.

    python examples/super_mario.py --data super_mario_1_1 -o mario-output
    python examples/super_mario.py --data FOLDER --world 4-1 -o mario-output

The folder holds ``policy.safetensors`` (four 3x3 convolutions of stride 2, then 512 units, then 7
logits and a value; trained by github.com/vietnh1009/Super-mario-bros-PPO-pytorch) and
``states.npz`` (``gray`` (N, 84, 84) newest frames, ``rgb`` (N, 240, 256, 3), ``episode``). The
agent is one of the experts that the VisionMask paper explains, so the paper's figures of Super
Mario are printed beside ours. The world is that in the folder's name, unless ``--world`` says it.
"""

import argparse
import re
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from gymnasium import spaces
from paper import MEASURED, describe_parts, print_beside
from torch import Tensor, nn

from sb3_explain import Agent, EnvRecipe, ExplainError, StateDataset, split_states
from sb3_explain.workflows.pipeline import evaluate_to, fit_visionmask, write_all

#: a world and its level in the name of a folder, such as super_mario_4_1
WORLD = re.compile(r"(?<!\d)([1-8])[-_]([1-4])(?!\d)")
#: what the agent plays if nothing says which world
UNKNOWN = "SuperMarioBros (unknown world)"
ACTIONS = ["NOOP", "right", "right + A", "right + B", "right + A + B", "A", "left"]


class MarioNet(nn.Module):
    """The expert's network, under the names that its weights have."""

    def __init__(self) -> None:
        super().__init__()
        for i, n_in in enumerate((4, 32, 32, 32), start=1):
            setattr(self, f"conv{i}", nn.Conv2d(n_in, 32, 3, stride=2, padding=1))
        self.linear = nn.Linear(32 * 6 * 6, 512)
        self.actor_linear = nn.Linear(512, len(ACTIONS))
        self.critic_linear = nn.Linear(512, 1)

    def forward(self, observations: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 4, 84, 84) grey values 0..255 -> logits (B, 7) and values (B,)."""
        features = observations.float() / 255
        for convolution in (self.conv1, self.conv2, self.conv3, self.conv4):
            features = torch.relu(convolution(features))
        hidden = self.linear(features.flatten(1))
        return self.actor_linear(hidden), self.critic_linear(hidden).squeeze(1)


def read_world(text: str) -> str:
    """The world that ``--world`` names, such as 1-1."""
    match = WORLD.fullmatch(text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no world: give one such as 1-1 or 4-2")
    return f"{match[1]}-{match[2]}"


def find_world(data: Path) -> str | None:
    """The world in the name of a folder, if there is one."""
    match = WORLD.search(data.resolve().name)
    return f"{match[1]}-{match[2]}" if match else None


def make_title(world: str | None) -> str:
    """What is explained, for people."""
    return f"Super Mario Bros {world}" if world else "Super Mario Bros, unknown world"


def load(data: Path, world: str | None = None) -> tuple[Agent, StateDataset]:
    """The expert and its states.

    :param data: folder of both
    :param world: that the expert plays; the one in the folder's name when not given
    """
    world = world or find_world(data)
    try:
        weights = safetensors.torch.load_file(data / "policy.safetensors")
        arrays = np.load(data / "states.npz", allow_pickle=False)
    except FileNotFoundError as error:
        raise ExplainError(f"{data} holds no policy.safetensors and states.npz") from error
    net = MarioNet()
    net.load_state_dict(weights)
    agent = Agent.from_module(
        net,
        spaces.Box(0, 255, (4, 84, 84), np.uint8),
        spaces.Discrete(len(ACTIONS)),
        action_names=ACTIONS,
        recipe=EnvRecipe(f"SuperMarioBros-{world}" if world else UNKNOWN, frame_stack=4),
    )
    frames, episode = arrays["gray"][:, None], arrays["episode"]
    blank = StateDataset.from_arrays(
        frames, episode, np.zeros(len(frames), int), n_stack=4, pad="repeat"
    )
    scores, values = [], []
    with torch.no_grad():
        for batch in np.array_split(np.arange(len(frames)), 30):
            batch_scores, batch_values = agent.scores_and_values(blank.observations(batch))
            scores.append(batch_scores.numpy())
            values.append(batch_values.numpy())
    all_scores = np.concatenate(scores)
    greedy = all_scores.argmax(axis=1)
    states = StateDataset.from_arrays(
        frames, episode, greedy, n_stack=4, pad="repeat", rendered=arrays["rgb"],
        actions=greedy, scores=all_scores, values=np.concatenate(values),
    )  # fmt: skip
    return agent, states


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument(
        "--world", type=read_world, metavar="WORLD-LEVEL",
        help="that the expert plays, such as 4-1; the one in the folder's name when not given",
    )  # fmt: skip
    parser.add_argument("-o", "--output", type=Path, default=Path("mario-output"))
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--max-area", type=float, default=0.1)
    parser.add_argument("--refine-steps", type=int, default=20)
    parser.add_argument("--n-evaluated", type=int, default=300)
    parser.add_argument("--n-states", type=int, help="use the first so many states only")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    world = options.world or find_world(options.data)
    agent, states = load(options.data, world)
    if options.n_states:
        states = states.subset(np.arange(min(options.n_states, len(states))))
    print(f"{make_title(world)}: {len(states)} states of {len(np.unique(states.episode))} episodes")
    train, _, test = parts = split_states(states, options.seed)
    print(describe_parts(parts), flush=True)
    explainer = fit_visionmask(
        agent, states, options.output / "visionmask",
        explainer_kwargs={
            "baseline": "most_frequent",
            "max_area": options.max_area,
            "refine_steps": options.refine_steps,
        },
        fit_kwargs={"epochs": options.epochs}, seed=options.seed,
    )  # fmt: skip
    evaluation = evaluate_to(
        options.output, train, test, {explainer.name: explainer}, MEASURED,
        n_evaluated=options.n_evaluated, seed=options.seed,
    )  # fmt: skip
    write_all(options.output, test, {explainer.name: explainer})

    print_beside("SuperMarioBros", evaluation, make_title(world))
    print(f"open {options.output / 'report.html'}")


if __name__ == "__main__":
    main()
