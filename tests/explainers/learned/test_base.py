"""What all learned explainers keep to: files, resuming, seeds, content, every kind of agent."""

import dataclasses
import json
import re

import numpy as np
import pytest
import safetensors.torch
import torch

from sb3_explain.agents.agent import Agent
from sb3_explain.common.errors import ExplainError
from sb3_explain.explainers import EXPLAINERS
from sb3_explain.explainers.learned.base import MaskExplainer
from sb3_explain.explainers.learned.networks import NETWORKS
from sb3_explain.states.batch import StateBatch
from tests.explainers.kinds import agent_of, states_of
from tests.explainers.known import (
    PICTURE,
    READ,
    CornerNet,
    corner_agent,
    corner_states,
    known_agent,
    known_states,
)

LEARNED = {name: one for name, one in EXPLAINERS.items() if issubclass(one, MaskExplainer)}
#: settings and options with which a method finds what a small agent looks at, within seconds
KNOWN = {
    "visionmask": ({"max_area": 81 / 1152, "per_frame": True}, {"epochs": 3}),
    "stalder": ({}, {"epochs": 3}),
    "ssinet": ({}, {"learning_rate": 1e-2}),
}
QUIET = {"precision": "no", "progress": False}
ONCE = {**QUIET, "epochs": 1}
#: mask networks that learn fast, and masks that are made fast, where it does not matter how well
NARROW = {
    "visionmask": {"network_options": {"width": 8}, "refine_steps": 1},
    "stalder": {"network_options": {"width": 8}},
    "ssinet": {},
}
#: rows and columns by which a method blurs what it learns: its masks come from quarter resolution
FOOTPRINT = 4

per_method = pytest.mark.parametrize("name", LEARNED)


def parts(agent, n=100):
    return corner_states(agent, n).split((0.6, 0.2, 0.2))


@pytest.fixture(scope="module", params=LEARNED)
def learned(request):
    """A method that has learned, and states that it has not seen."""
    agent = corner_agent()
    settings, options = KNOWN[request.param]
    explainer = LEARNED[request.param](agent, **settings)
    train, validation, test = corner_states(agent, 700).split((0.7, 0.15, 0.15))
    explainer.fit(train, validation, **QUIET, **options)
    return explainer, test


def test_the_mass_is_on_the_pixels_that_the_agent_reads(learned):
    explainer, test = learned
    observations = test.observations(np.arange(len(test)))
    attributions = explainer.attribute(observations)
    batch = StateBatch(explainer.agent, observations)
    shown = explainer.masking.blend({"": attributions[:, None]}, batch.by_key, explainer.baselines)[
        0
    ]
    assert batch.keeps(shown[""][:, 0]).float().mean() >= 0.95
    widened = attributions[..., 1, : 9 + FOOTPRINT, : 9 + FOOTPRINT]
    assert widened.sum() >= 0.9 * attributions.sum()
    assert attributions[READ].sum() >= 0.6 * attributions.sum()  # 7 % of the cells
    assert attributions.mean() < 0.1


def test_save_and_load_give_the_same_maps(learned, tmp_path):
    explainer, test = learned
    explainer.save(tmp_path)
    loaded = type(explainer).load(tmp_path, explainer.agent)
    observations = test.observations(np.arange(8))
    assert torch.equal(loaded.attribute_all(observations), explainer.attribute_all(observations))
    assert torch.equal(loaded.baseline(observations), explainer.baseline(observations))
    assert loaded.settings == explainer.settings and loaded.training == explainer.training
    assert loaded.learned_from == explainer.learned_from and loaded.fit_seconds > 0


def test_damaged_files_and_another_agent_are_refused(learned, tmp_path):
    explainer, _ = learned
    method, agent = type(explainer), explainer.agent
    with pytest.raises(ExplainError, match=f"holds no {explainer.name}: fit one first"):
        method.load(tmp_path, agent)
    explainer.save(tmp_path)
    net = CornerNet()
    torch.nn.init.constant_(net.gain, 2.0)
    other = Agent.from_module(net, PICTURE, agent.action_space, n_stack=2)
    with pytest.raises(ExplainError, match="trained for another agent"):
        method.load(tmp_path, other)
    described = tmp_path / f"{explainer.name}.json"
    said = json.loads(described.read_text())
    for lacking in ("settings", "training", "agent"):
        described.write_text(json.dumps({key: said[key] for key in said if key != lacking}))
        with pytest.raises(ExplainError, match="fit it again"):
            method.load(tmp_path, agent)
    for part, wrong in (  # whoever wrote the file
        ("settings", {"agent": 1}), ("settings", {"seed": "x"}), ("settings", {"content": 3}),
        ("settings", {"temperature": "warm"}), ("settings", {"baseline": {"a": 1}}),
        ("training", {"seconds": "x"}), ("training", {"history": 3}),
    ):  # fmt: skip
        described.write_text(json.dumps({**said, part: {**said[part], **wrong}}))
        with pytest.raises(ExplainError):
            method.load(tmp_path, agent)
    described.write_text(json.dumps(said))
    weights = tmp_path / f"{explainer.name}.safetensors"
    whole = weights.read_bytes()
    for damaged in (whole[:100], whole[: len(whole) // 2], b""):
        weights.write_bytes(damaged)
        with pytest.raises(ExplainError, match="fit it again"):
            method.load(tmp_path, agent)
    weights.unlink()
    with pytest.raises(ExplainError, match="fit it again"):
        method.load(tmp_path, agent)


def test_weights_to_begin_with_are_not_downloaded_again(tmp_path, monkeypatch):
    asked = []

    class Pretrained(NETWORKS["compact"]):
        def __init__(self, *arguments, weights=None, **others):
            asked.append(weights)
            super().__init__(*arguments, **others)

    monkeypatch.setitem(NETWORKS._by_name, "pretrained", Pretrained)
    agent = corner_agent()
    options = {"weights": "IMAGENET1K_V2", "width": 8}
    settings = {"network": "pretrained", "network_options": options}
    explainer = EXPLAINERS["visionmask"](agent, **settings)
    train, validation, _ = parts(agent)
    explainer.fit(train, validation, **ONCE)
    explainer.save(tmp_path)
    loaded = EXPLAINERS["visionmask"].load(tmp_path, agent)
    assert asked == ["IMAGENET1K_V2", None] and loaded.settings == explainer.settings


def test_only_the_seed_of_the_cpu_is_set(monkeypatch):
    """torch.manual_seed would also seed all GPUs, whose state nobody puts back."""
    monkeypatch.setattr("torch.manual_seed", None)
    for name in LEARNED:
        EXPLAINERS[name](corner_agent(), seed=3)


class Killed(BaseException):
    pass


@per_method
def test_a_killed_fit_goes_on_to_the_same_bits(name, tmp_path, monkeypatch):
    """Killed at three moments, on the way from one checkpoint to the next and while validating."""
    agent = corner_agent()
    train, validation, _ = parts(agent, 200)
    options = {**QUIET, "epochs": 2, "batch_size": 16, "checkpoint_every": 3}

    def fit(folder):
        explainer = LEARNED[name](agent, seed=3, **NARROW[name])
        explainer.fit(train, validation, folder=folder / "training", **options)
        explainer.save(folder)

    fit(tmp_path / "unbroken")
    losses = LEARNED[name].losses
    for calls in (5, 8, 9):
        left = [None] * calls

        def dying(self, *arguments, left=left):
            if not left:
                raise Killed
            left.pop()
            return losses(self, *arguments)

        with monkeypatch.context() as patch:
            patch.setattr(LEARNED[name], "losses", dying)
            with pytest.raises(Killed):
                fit(tmp_path / "killed")
    fit(tmp_path / "killed")
    for file in (f"{name}.safetensors", "training/best.safetensors"):
        theirs = (tmp_path / "unbroken" / file).read_bytes()
        assert (tmp_path / "killed" / file).read_bytes() == theirs


@per_method
def test_a_folder_of_another_fit_is_refused(name, tmp_path):
    agent = corner_agent()
    train, validation, _ = parts(agent)
    narrow = NARROW[name]
    LEARNED[name](agent, **narrow).fit(train, validation, folder=tmp_path, **ONCE)
    for settings, options, which in (
        ({"temperature": 0.5}, {}, "temperature"),
        ({}, {"learning_rate": 1e-4}, "learning_rate"),
    ):
        with pytest.raises(ExplainError, match=rf"other settings \({which}\)"):
            LEARNED[name](agent, **narrow, **settings).fit(
                train, validation, folder=tmp_path, **ONCE, **options
            )


@per_method
def test_the_same_seed_gives_the_same_bits_and_chance_is_left_alone(name):
    agent = corner_agent()
    train, validation, test = parts(agent)
    observations = test.observations(np.arange(4))
    before, chance = agent.fingerprint(), torch.get_rng_state()
    attributions = []
    for seed in (0, 0, 1):
        explainer = LEARNED[name](agent, seed=seed, **NARROW[name])
        explainer.fit(train, validation, **ONCE, seed=seed)
        attributions.append(explainer.attribute_all(observations))
    assert torch.equal(attributions[0], attributions[1]) and not torch.equal(
        attributions[0], attributions[2]
    )
    assert torch.equal(torch.get_rng_state(), chance) and agent.fingerprint() == before
    assert not any(p.requires_grad for p in agent.view.policy.parameters())
    assert not any(module._forward_hooks for module in agent.view.policy.modules())


@per_method
def test_outside_the_content_nothing_is_masked(name):
    agent = corner_agent()
    train, validation, test = parts(agent)
    explainer = LEARNED[name](agent, content=(4, 6, 10, 12), **NARROW[name])
    explainer.fit(train, validation, **ONCE)
    observations = test.observations(np.arange(3))
    attributions = explainer.attribute(observations)
    inside = torch.zeros_like(attributions)
    inside[:, :, 4:14, 6:18] = 1
    assert (attributions[inside == 1] > 0).all() and not attributions[inside == 0].any()
    shown = explainer.to_masks(attributions)
    assert (
        torch.equal(shown[inside == 1], attributions[inside == 1])
        and (shown[inside == 0] == 1).all()
    )
    batch = explainer.batch(test, np.arange(3))
    for blend in explainer.blend(explainer.masks(explainer.network, batch), batch):
        seen, state = torch.broadcast_tensors(blend[""], observations.float()[:, None])
        outside = inside[:, None].expand_as(seen) == 0
        assert torch.equal(seen[outside], state[outside])


@per_method
def test_one_mask_for_all_frames(name):
    agent = corner_agent()
    train, validation, test = parts(agent)
    explainer = LEARNED[name](agent, per_frame=False, **NARROW[name])
    explainer.fit(train, validation, **ONCE)
    masks = explainer.attribute(test.observations(np.arange(3)))
    assert masks.shape == (3, 2, 24, 24) and torch.equal(masks[:, 0], masks[:, 1])


@per_method
def test_mistakes_are_one_line(name):
    agent, method = corner_agent(), LEARNED[name]
    for settings, message in (
        ({"baseline": "blakc"}, "did you mean 'black'"),
        ({"per_frmae": True}, "did you mean 'per_frame'"),
        ({"temperature": 0.0}, "must be above 0"),
        ({"content": (0, 0, 30, 5)}, "does not lie inside an observation of 24 x 24"),
    ):
        with pytest.raises(ExplainError, match=message):
            method(agent, **settings)
    train, validation, test = parts(agent)
    with pytest.raises(ExplainError, match="has not been fitted"):
        method(agent).attribute(test.observations([0]))
    with pytest.raises(ExplainError, match="did you mean 'epochs'"):
        method(agent).fit(train, validation, epoch=3)
    with pytest.raises(ExplainError, match="too few for batches"):
        method(agent).fit(train.subset(range(3)), validation, **ONCE)


@pytest.mark.parametrize(
    "kind", ["image and vector", "recurrent", "action masks", "sac-cnn-shared"]
)
@per_method
def test_half_precision(name, kind):
    """bfloat16 in the loss alone: what has been learned is in full precision."""
    agent, states = agent_of(kind), states_of(kind)
    if LEARNED[name].unsupported(agent):
        pytest.skip(LEARNED[name].unsupported(agent))
    explainer = LEARNED[name](agent)
    history = explainer.fit(
        states.subset(range(16)), states.subset(range(16, 24)),
        epochs=1, batch_size=8, precision="bf16", progress=False,
    ).history  # fmt: skip
    assert all(np.isfinite(list(epoch.values())).all() for epoch in history)
    assert all(tensor.dtype != torch.bfloat16 for tensor in explainer.network.state_dict().values())
    with torch.no_grad():
        every = np.arange(len(states))
        full = explainer.losses(explainer.network, states, every)["loss"]
        with torch.autocast("cpu", torch.bfloat16):
            half = explainer.losses(explainer.network, states, every)["loss"]
    # the logarithm of what little an untrained mask hides is steep, and bfloat16 orders nearly
    # equal features otherwise, which matters in a few states
    assert float(half) == pytest.approx(float(full), rel=0.1)


@per_method
def test_keys_may_have_any_name(name, tmp_path):
    agent = known_agent("dict")
    states = known_states(agent, 60)
    explainer = LEARNED[name](agent, **NARROW[name])
    explainer.fit(states.subset(range(40)), states.subset(range(40, 60)), **ONCE)
    explainer.save(tmp_path)
    loaded = LEARNED[name].load(tmp_path, agent)
    observations = states.observations(range(4))
    ours, theirs = explainer.attribute_all(observations), loaded.attribute_all(observations)
    assert set(ours) == {"the image", "a.b/vector"}
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)
    for key, baseline in explainer.baselines.items():
        restored = loaded.baselines[key](observations[key])
        assert torch.equal(restored, baseline(observations[key]))


@per_method
def test_settings_are_plain_data(name):
    settings = LEARNED[name](corner_agent()).plain_settings()
    assert json.loads(json.dumps(settings)) == settings
    fields = {field.name for field in dataclasses.fields(LEARNED[name].Settings)}
    assert set(settings) == fields - {"target"}  # which only masks of a value have


def test_what_version_0_1_saved_is_read(tmp_path):
    agent, states = corner_agent(), corner_states(corner_agent(), 60)
    explainer = LEARNED["visionmask"](agent, baseline="mean")
    explainer.fit(states.subset(range(40)), states.subset(range(40, 60)), **ONCE)
    explainer.save(tmp_path)
    described = json.loads((tmp_path / "visionmask.json").read_text())
    described["settings"]["reference"] = described["settings"].pop("baseline")
    (tmp_path / "visionmask.json").write_text(json.dumps(described))
    tensors = safetensors.torch.load_file(tmp_path / "visionmask.safetensors")
    assert any(name.startswith("baseline.") for name in tensors)
    old = {re.sub("^baseline", "reference", name): tensor for name, tensor in tensors.items()}
    safetensors.torch.save_file(old, tmp_path / "visionmask.safetensors")
    loaded = type(explainer).load(tmp_path, agent)
    seen = states.observations([3, 4])
    assert torch.equal(loaded.attribute(seen), explainer.attribute(seen))
    assert torch.equal(loaded.baseline(seen), explainer.baseline(seen))
