"""Explain an agent with a network of its own: Super Mario Bros, world 1-1.

    python examples/super_mario.py --data FOLDER -o mario-output

FOLDER holds ``policy.safetensors`` (four 3x3 convolutions of stride 2, then 512 units, then 7
logits and a value; trained by github.com/vietnh1009/Super-mario-bros-PPO-pytorch) and
``states.npz`` (``gray`` (N, 84, 84) newest frames, ``rgb`` (N, 240, 256, 3), ``episode``). The
agent is one of the experts of the VisionMask paper, so its row of figures is printed beside ours.
"""

import argparse
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from gymnasium import spaces
from paper import print_beside
from torch import Tensor, nn

from sb3_explain import Agent, EnvRecipe, ExplainError, StateDataset
from sb3_explain.workflows.pipeline import evaluate_to, fit_visionmask, write_all

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


def load(data: Path) -> tuple[Agent, StateDataset]:
    """The expert and its states."""
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
        recipe=EnvRecipe("SuperMarioBros-1-1", frame_stack=4),
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
    parser.add_argument("-o", "--output", type=Path, default=Path("mario-output"))
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--max-area", type=float, default=0.1)
    parser.add_argument("--n-evaluated", type=int, default=300)
    parser.add_argument("--n-states", type=int, help="use the first so many states only")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    agent, states = load(options.data)
    if options.n_states:
        states = states.subset(np.arange(options.n_states))
    explainer = fit_visionmask(
        agent,
        states,
        options.output / "visionmask",
        explainer_kwargs={"baseline": "most_frequent", "max_area": options.max_area},
        fit_kwargs={"epochs": options.epochs},
        seed=options.seed,
    )
    train, _, test = states.split(seed=options.seed)
    evaluation = evaluate_to(
        options.output, train, test, explainer, None,
        n_evaluated=options.n_evaluated, seed=options.seed,
    )  # fmt: skip
    write_all(options.output, test, explainer)

    print_beside("SuperMarioBros", evaluation, "Super Mario Bros 1-1")
    print(f"open {options.output / 'report.html'}")


if __name__ == "__main__":
    main()
