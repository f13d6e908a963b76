"""SGQN's update against the plain one, against what it cannot avoid, and against SB3's SAC; memory.

Batch 128, 9x84x84, six actions, networks of full size, two threads. What is compared runs in turns,
and the least disturbed run of each counts.
"""

import gc
import time
from collections.abc import Callable
from contextlib import nullcontext

import gymnasium as gym
import numpy as np
import psutil
import torch
from gymnasium import spaces
from stable_baselines3 import SAC
from stable_baselines3.common.logger import configure
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.published_sgqn import PublishedSGQN
from sb3_explain.sgqn import SGQN, PixelSAC
from sb3_explain.sgqn.networks import PixelCNN, PixelEncoder
from sb3_explain.sgqn.pixel_sac import Batch
from sb3_explain.sgqn.replay_buffer import FrameStackReplayBuffer

BATCH, SIDE, N_ACTIONS, REPEATS = 128, 84, 6, 5
IMAGES = spaces.Box(0, 255, (9, SIDE, SIDE), np.uint8)
ACTIONS = spaces.Box(-1, 1, (N_ACTIONS,))
#: rows of the buffer whose memory is measured, and to which it is extrapolated
FILLED, WHOLE = 50_000, 500_000


def run(record) -> None:
    torch.set_num_threads(2)
    speed(record)
    against_sb3(record)
    memory(record)


# --- speed ---------------------------------------------------------------------------------


def speed(record) -> None:
    """Seconds of an update, mean over both parities."""
    seconds = {}
    for precision in ("float32", "bfloat16"):
        mixed = precision == "bfloat16"
        jobs = {**read_published(mixed), **ours(mixed), **unavoidable(mixed)}
        floor = in_turns(jobs)
        for name, value in floor.items():
            record(f"sgqn.{precision}.{name}", value, "s")
        for who in ("published", "ours"):
            odd, even = (floor[f"{who}.{parity}"] for parity in ("odd", "even"))
            seconds[who, precision] = (odd + even) / 2
            record(f"sgqn.{precision}.{who}", seconds[who, precision], "s")
        floor = sum(share * floor[name] for name, share in SHARES.items())
        record(f"sgqn.{precision}.floor", floor, "s")
        ratio = seconds["ours", precision] / floor
        record(f"sgqn.{precision}.of_floor", ratio, "times", "<= 1.25")
        ratio = seconds["ours", precision] / seconds["published", precision]
        record(f"sgqn.{precision}.of_published", ratio, "times", "<= 0.65")
    ratio = seconds["ours", "bfloat16"] / seconds["published", "float32"]
    record("sgqn.bfloat16.of_published_float32", ratio, "times", "<= 0.45")


def in_turns(jobs: dict[str, Callable[[], object]], repeats: int = REPEATS) -> dict[str, float]:
    """Least seconds of each job."""
    for job in jobs.values():
        job()
    floor = dict.fromkeys(jobs, float("inf"))
    for _ in range(repeats):
        for name, job in jobs.items():
            begin = time.perf_counter()
            job()
            floor[name] = min(floor[name], time.perf_counter() - begin)
    return floor


def transitions() -> tuple[Tensor, ...]:
    """States in 0..255, actions, rewards, next states, ends."""
    generator = torch.Generator().manual_seed(0)
    states, following = (
        255 * torch.rand(BATCH, 9, SIDE, SIDE, generator=generator) for _ in range(2)
    )
    actions = 2 * torch.rand(BATCH, N_ACTIONS, generator=generator) - 1
    rewards = torch.rand(BATCH, 1, generator=generator)
    return states, actions, rewards, following, torch.zeros(BATCH, 1)


def pictures() -> Tensor:
    return torch.randint(0, 256, (256, 3, SIDE, SIDE)).to(torch.uint8)


def read_published(mixed: bool) -> dict[str, Callable[[], object]]:
    plain = PublishedSGQN(mixed_precision=mixed)
    batch, overlays = transitions(), pictures()

    def update(parity: int) -> None:
        plain.steps = parity
        plain.update(*batch, overlays)

    return {"published.odd": lambda: update(1), "published.even": lambda: update(0)}


class Still(gym.Env):
    """Never plays: the models need its spaces."""

    observation_space, action_space = IMAGES, ACTIONS

    def reset(self, *, seed=None, options=None):
        return np.zeros(IMAGES.shape, np.uint8), {}


def quiet(model):
    model.set_logger(configure(None, []))
    model.policy.set_training_mode(True)
    return model


def ours(mixed: bool) -> dict[str, Callable[[], object]]:
    """Whole updates of both parities, and their phases."""
    settings = {"buffer_size": 10, "warmup_updates": 0, "mixed_precision": mixed}
    model = quiet(SGQN("SGQNPolicy", Still(), **settings))
    model._pictures = pictures()
    states, actions, rewards, following, ends = transitions()
    batch = Batch(model._scale(states), actions, model._scale(following), rewards, ends)
    mask = torch.rand(batch.images.shape).contiguous(memory_format=torch.channels_last) < 0.05

    def update(parity: int) -> None:
        model._n_updates = parity
        model._update(batch)

    def actor() -> None:
        with torch.no_grad(), model._precision():
            features = model.critic.features_extractor.cnn(batch.images)
        model._update_actor(features)

    return {
        "ours.odd": lambda: update(1),
        "ours.even": lambda: update(0),
        "ours.critic": lambda: model._update_critic(batch),
        "ours.actor": actor,
        "ours.targets": model._update_targets,
        "ours.saliency": lambda: model._update_saliency(batch, mask),
    }


#: how often each pass below is made in an update, on average over both parities
SHARES = {
    "pass.forward": 2.0,  # of next states, by the online and the target networks
    "pass.forward_kept": 3.0,  # s, s masked; on even steps s again and s overlaid
    "pass.to_pixels": 1.5,
    "pass.to_weights": 2.5,
    "pass.heads": 1.0,
    "pass.act": 0.5,
    "pass.decoder": 0.5,
    "pass.mask": 1.5,
    "pass.critic_optimiser": 1.0,
    "pass.other_optimisers": 0.5,
}


def unavoidable(mixed: bool) -> dict[str, Callable[[], object]]:
    """The passes that any such update makes, of plain modules in the faster memory layout."""
    layers: list[nn.Module] = [nn.Conv2d(9, 32, 3, stride=2)]
    for _ in range(10):
        layers += [nn.ReLU(inplace=True), nn.Conv2d(32, 32, 3)]
    cnn = nn.Sequential(*layers).to(memory_format=torch.channels_last)
    projection = nn.Sequential(
        nn.Flatten(), nn.Linear(14112, 100), nn.LayerNorm(100), nn.Tanh()
    )  # fmt: skip

    def perceptron(n_inputs: int, n_outputs: int) -> nn.Sequential:
        return nn.Sequential(
            nn.Linear(n_inputs, 1024), nn.ReLU(inplace=True),
            nn.Linear(1024, 1024), nn.ReLU(inplace=True), nn.Linear(1024, n_outputs),
        )  # fmt: skip

    q1, q2 = (perceptron(100 + N_ACTIONS, 1) for _ in range(2))
    actor = perceptron(100, 2 * N_ACTIONS)
    first = nn.Linear(100 + N_ACTIONS, 14112)
    decoder = nn.Sequential(
        nn.Conv2d(32, 128, 3, padding=1), nn.ReLU(inplace=True),
        nn.ConvTranspose2d(128, 64, 4, stride=2, padding=1), nn.ReLU(inplace=True),
        nn.ConvTranspose2d(64, 9, 4, stride=2, padding=1),
    ).to(memory_format=torch.channels_last)  # fmt: skip
    states, actions, *_ = transitions()
    images = (states / 255).contiguous(memory_format=torch.channels_last).requires_grad_()
    needed = torch.zeros(images.shape).contiguous(memory_format=torch.channels_last)
    importance = torch.rand(BATCH, 3, SIDE * SIDE)
    trained = [*cnn.parameters(), *projection.parameters(), *q1.parameters(), *q2.parameters()]
    decoding = [*cnn.parameters(), *projection.parameters(), *first.parameters()]
    decoding += decoder.parameters()

    def precision():
        return torch.autocast("cpu", torch.bfloat16) if mixed else nullcontext()

    def forward() -> None:
        with torch.no_grad(), precision():
            projection(cnn(images))

    def stored() -> Tensor:
        with precision():
            return projection(cnn(images))

    embedding = stored().float()
    features = torch.rand(BATCH, 14112)
    gradient = torch.randn_like(embedding)

    inputs = torch.rand(BATCH, 100 + N_ACTIONS)

    def heads() -> None:
        """Those of s and of s masked with gradients, those of next states without."""
        with precision():
            with torch.no_grad():
                actor(inputs[:, :100])
                q1(inputs), q2(inputs)
            total = (q1(inputs) + q2(inputs) + q1(inputs) + q2(inputs)).sum()
        torch.autograd.grad(total, [*q1.parameters(), *q2.parameters()])

    def act() -> None:
        """The actor's loss, the CNN's features being there."""
        with precision():
            acted = actor(projection(features))
            value = q1(torch.cat([inputs[:, :100], acted[:, :N_ACTIONS]], 1))
            value = (value + q2(torch.cat([inputs[:, :100], acted[:, :N_ACTIONS]], 1))).sum()
        torch.autograd.grad(value, [*actor.parameters(), *projection.parameters()])

    def decode() -> None:
        with precision():
            pixels = first(torch.cat([embedding.detach(), actions], 1)).view(-1, 32, 21, 21)
            logits = decoder(pixels.contiguous(memory_format=torch.channels_last))
        loss = functional.binary_cross_entropy_with_logits(logits.float(), needed)
        torch.autograd.grad(loss, [*first.parameters(), *decoder.parameters()])

    def mask() -> Tensor:
        threshold = importance.topk(354, -1).values[..., -2:]
        return importance >= torch.lerp(threshold[..., 1:], threshold[..., :1], 0.25)

    acting = [*actor.parameters(), *projection.parameters()]
    optimizers = {
        name: torch.optim.Adam([p.detach().clone() for p in parameters], lr=1e-9)
        for name, parameters in (("critic", trained), ("actor", acting), ("saliency", decoding))
    }
    for optimizer in optimizers.values():
        for parameter in optimizer.param_groups[0]["params"]:
            parameter.grad = torch.zeros_like(parameter)

    fast = [p.detach() for p in trained]
    slow = [p.clone() for p in fast]

    def every_second() -> None:
        """The actor's and the decoder's optimisers, and the targets."""
        optimizers["actor"].step()
        optimizers["saliency"].step()
        torch._foreach_lerp_(slow, fast, 0.01)

    graph = stored()
    to = {"retain_graph": True}
    return {
        "pass.forward": forward,
        "pass.forward_kept": stored,
        "pass.to_pixels": lambda: torch.autograd.grad(graph, images, gradient.to(graph), **to),
        "pass.to_weights": lambda: torch.autograd.grad(
            graph, [*cnn.parameters(), *projection.parameters()], gradient.to(graph), **to
        ),
        "pass.heads": heads,
        "pass.act": act,
        "pass.decoder": decode,
        "pass.mask": mask,
        "pass.critic_optimiser": optimizers["critic"].step,
        "pass.other_optimisers": every_second,
    }


def against_sb3(record) -> None:
    """A step of plain pixel SAC, ours and SB3's with one CNN of the same size for all."""

    class Encoder(PixelEncoder):
        def __init__(self, observation_space, features_dim=100):
            super().__init__(observation_space, PixelCNN(9), features_dim)

    settings = {"buffer_size": 300, "batch_size": BATCH, "learning_starts": 0}
    sb3 = SAC(
        "CnnPolicy", Still(), **settings,
        policy_kwargs={
            "net_arch": [1024, 1024], "features_extractor_class": Encoder,
            "share_features_extractor": True,
        },
    )  # fmt: skip
    own = PixelSAC("PixelPolicy", Still(), **settings, warmup_updates=0)
    rng = np.random.default_rng(0)
    for model in (sb3, own):
        quiet(model)
        frames = rng.integers(0, 256, (203, 3, SIDE, SIDE)).astype(np.uint8)
        for i in range(200):
            state, following = (frames[i + k : i + k + 3].reshape(1, 9, SIDE, SIDE) for k in (0, 1))
            model.replay_buffer.add(
                state, following, rng.uniform(-1, 1, (1, N_ACTIONS)), np.ones(1), np.zeros(1), [{}]
            )
    floor = in_turns({"sb3": lambda: sb3.train(2, BATCH), "ours": lambda: own.train(2, BATCH)})
    for name, value in floor.items():
        record(f"pixel_sac.{name}", value / 2, "s")
    record("pixel_sac.of_sb3", floor["ours"] / floor["sb3"], "times", "<= 1")


# --- memory --------------------------------------------------------------------------------


def memory(record) -> None:
    """What the replay buffer allocates, and how fast it is read."""
    gc.collect()
    before = psutil.Process().memory_info().rss
    buffer = FrameStackReplayBuffer(FILLED, IMAGES, ACTIONS, device="cpu", n_stack=3)
    rng = np.random.default_rng(0)
    stack = rng.integers(0, 256, (3, 3, SIDE, SIDE)).astype(np.uint8)
    for i in range(FILLED):
        following = np.roll(stack, -1, axis=0)
        following[-1] = i % 256
        done = i % 250 == 249
        buffer.add(
            stack.reshape(1, 9, SIDE, SIDE), following.reshape(1, 9, SIDE, SIDE),
            np.zeros((1, N_ACTIONS)), np.zeros(1), np.array([done]),
            [{"TimeLimit.truncated": done}],
        )  # fmt: skip
        stack = following
    taken = psutil.Process().memory_info().rss - before
    record("replay.gigabytes", taken / 1e9 * WHOLE / FILLED, "GB", "<= 11")
    floor = in_turns({"sample": lambda: [buffer.sample(BATCH) for _ in range(100)]})
    record("replay.batches", 100 / floor["sample"], "batches/s", ">= 300")
