"""Explainers and generators pushed to a Hub on this machine, and pulled again."""

import argparse
import json
import pickle
import re
import shutil
import sys
from urllib.parse import unquote

import imageio.v3 as iio
import numpy as np
import pytest
import torch
import yaml
from stable_baselines3 import PPO

from sb3_explain import StateGenerator, VisionMask, cli, collect, evaluate, load_agent
from sb3_explain.agents.demo import demo_agent
from sb3_explain.cli.hub import write_loading_code
from sb3_explain.common.errors import ExplainError
from sb3_explain.common.files import write_json
from sb3_explain.report import write_report
from sb3_explain.workflows.hub import from_hub, push_to_hub
from sb3_explain.workflows.hub_space import copy_pages, push_space
from tests.toys import dot_agent, dot_states
from tests.workflows.hub_server import HubServer

constants = pytest.importorskip("huggingface_hub.constants")
REPOSITORY = "somebody/visionmask-dots"
PNG = b"\x89PNG\r\n\x1a\n picture"


@pytest.fixture
def server(tmp_path, monkeypatch):
    server = HubServer()
    monkeypatch.setattr(constants, "ENDPOINT", server.url)
    monkeypatch.setattr(
        constants,
        "HUGGINGFACE_CO_URL_TEMPLATE",
        f"{server.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}",
    )
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # between attempts
    monkeypatch.setenv("HF_TOKEN", "hf_good")
    yield server
    server.stop()


@pytest.fixture(scope="module")
def learned():
    """An agent with states, a VisionMask and a generator of it."""
    agent = dot_agent()
    train, validation, test = dot_states(agent).split(seed=0)
    short = {"epochs": 1, "batch_size": 16, "progress": False}
    mask = VisionMask(agent, seed=0)
    mask.fit(train, validation, **short)
    generator = StateGenerator(agent, seed=0, latent=4)
    generator.fit(train, validation, **short)
    return agent, test, mask, generator


def test_maps_are_equal_to_the_bit_after_the_round_trip(server, learned):
    agent, test, mask, _ = learned
    address = push_to_hub(mask, REPOSITORY)
    (_, (oid, files)) = server.repositories[REPOSITORY]
    assert address == f"{server.url}/{REPOSITORY}/commit/{oid}"
    assert set(files) == {
        ".gitattributes", "README.md", "sb3_explain.json", "visionmask.json",
        "visionmask.safetensors",
    }  # fmt: skip
    assert len(server.objects) == 1  # the weights came by Git LFS
    loaded = from_hub(REPOSITORY, agent)
    observations = agent.tensor(test.observations(np.arange(8)))
    assert torch.equal(loaded.attribute_all(observations), mask.attribute_all(observations))
    assert loaded.fit_seconds == mask.fit_seconds


def test_a_generator_draws_the_same_after_the_round_trip(server, learned):
    agent, _, _, generator = learned
    push_to_hub(generator, "somebody/generator-dots", private=True)
    loaded = from_hub("somebody/generator-dots", agent)
    assert torch.equal(loaded.sample(4, seed=1), generator.sample(4, seed=1))


def test_a_commit_can_be_pinned(server, learned):
    agent, test, mask, _ = learned
    push_to_hub(mask, REPOSITORY)
    first = server.repositories[REPOSITORY][-1][0]
    server.commit(REPOSITORY, {"visionmask.safetensors": b"something else"})
    observations = agent.tensor(test.observations(np.arange(2)))
    with pytest.raises(ExplainError, match=r"visionmask\.safetensors is damaged"):
        from_hub(REPOSITORY, agent)
    pinned = from_hub(REPOSITORY, agent, revision=first)
    assert torch.equal(pinned.attribute(observations), mask.attribute(observations))


def test_without_a_network_the_cache_is_used(server, learned):
    agent, _, mask, _ = learned
    push_to_hub(mask, REPOSITORY)
    from_hub(REPOSITORY, agent)
    server.stop()
    assert from_hub(REPOSITORY, agent).fitted


def test_the_card_says_what_it_is(server, learned):
    agent, test, mask, _ = learned
    evaluation = evaluate(agent, test, [mask], ["accuracy", "insertion"], n_evaluated=40)
    push_to_hub(mask, REPOSITORY, evaluation=evaluation, pictures={"state_3": PNG})
    files = server.repositories[REPOSITORY][-1][1]
    card = files["README.md"].decode()
    _, header, body = card.split("---\n", 2)
    data = yaml.safe_load(header)
    assert data["library_name"] == "stable-baselines3"
    assert {"sb3_explain", "Dot-v0", "visionmask"} <= set(data["tags"])
    (index,) = data["model-index"]
    values = {m["type"]: m["value"] for result in index["results"] for m in result["metrics"]}
    row = evaluation.rows["visionmask"].intervals
    assert values == {name: round(row[name].mean, 4) for name in ("accuracy", "insertion")}
    assert agent.fingerprint() in body
    assert f"{row['insertion'].mean:.3f} ({row['insertion'].low:.3f} to" in body
    assert "VisionMask, template, VisionMask, swapped, Empty mask, Constant mask" in body
    assert "and Plain gradient are controls, for comparison." in body
    assert "![state_3](state_3.png)" in body
    assert files["state_3.png"] == PNG
    assert json.loads(files["metrics.json"])["explainers"].keys() == evaluation.rows.keys()
    assert f'from_hub("{REPOSITORY}", agent)' in body


def test_from_the_command_line(server, tmp_path, saved_ppo, capsys):
    folder, agent, mask = saved_ppo
    which = ["--algo", "ppo", "--env", "CartPole-v1", "-f", str(folder)]
    out = tmp_path / "out"
    mask.save(out / "visionmask")
    (out / "attributions").mkdir()
    (out / "attributions" / "importance.png").write_bytes(PNG)
    assert cli.main(["hub", "push", REPOSITORY, *which, "-o", str(out)]) == 0
    said = capsys.readouterr()
    assert f"{server.url}/{REPOSITORY}/commit/" in said.out
    none = f"no replay.mp4: {out} holds no states yet: run `sb3-explain explain` first"
    assert said.err.splitlines()[0] == none
    files = server.repositories[REPOSITORY][-1][1]
    assert files["importance.png"] == PNG
    assert 'load_agent("ppo", "CartPole-v1", folder="logs")' in files["README.md"].decode()
    assert cli.main(["hub", "pull", REPOSITORY, *which, "-o", str(tmp_path / "pulled")]) == 0
    pulled = VisionMask.load(tmp_path / "pulled" / "visionmask", agent)
    observation = torch.zeros(1, 4)
    assert torch.equal(pulled.attribute(observation), mask.attribute(observation))
    assert cli.main(["hub", "push", REPOSITORY, *which, "-o", str(tmp_path)]) == 2
    assert "holds none (of " in capsys.readouterr().err


def test_the_agent_at_play_goes_with_it(server, tmp_path, saved_ppo, capsys):
    """As a video that the Hub plays; without frames, a line says that there is none."""
    pytest.importorskip("pygame")
    folder, agent, mask = saved_ppo
    out = tmp_path / "out"
    mask.save(out / "visionmask")
    push = ["hub", "push", REPOSITORY, "--algo", "ppo", "--env", "CartPole-v1", "-f", str(folder)]
    for render in (False, True):
        states = collect(
            agent, n_states=60, folder=out / "episodes", render=render, max_per_episode=0,
            progress=False,
        )  # fmt: skip
        assert cli.main([*push, "-o", str(out)]) == 0
        assert ("no replay.mp4: " in capsys.readouterr().err) is not render
        files = server.repositories[REPOSITORY][-1][1]
        assert ("replay.mp4" in files) is render
        assert ("(replay.mp4)" in files["README.md"].decode()) is render
        shutil.rmtree(out / "episodes")
    (tmp_path / "replay.mp4").write_bytes(files["replay.mp4"])
    lengths = np.bincount(states.episode)  # which are CartPole's returns; the last one is cut
    best = lengths[:-1].max() if len(lengths) > 1 else lengths[0]
    assert len(iio.imread(tmp_path / "replay.mp4")) == best


def test_a_video_that_is_not_there(server, learned, tmp_path):
    _, _, mask, _ = learned
    refused("does not exist", mask, REPOSITORY, call=push_to_hub, replay=tmp_path / "none.mp4")
    assert REPOSITORY not in server.repositories


def test_the_links_of_a_space_lead_somewhere(tmp_path):
    (tmp_path / "a" / "why").mkdir(parents=True)
    (tmp_path / "b").mkdir()
    page = tmp_path / "a" / "report.html"
    for name in ("probes.html", "highlights.mp4", "why/state 3.png", "states.json"):
        (page.parent / name).write_text('<a href="report.html">Report</a>')
    write_report(page, metrics={})
    (page.parent / "highlights.png").touch()  # after the page, which has no link to it
    copy_pages(page, tmp_path / "b")
    for name in ("index.html", "probes.html"):
        links = re.findall(r'<a href="([^"]+)">', (tmp_path / "b" / name).read_text())
        assert links
        for address in links:
            assert (tmp_path / "b" / unquote(address)).is_file()
    assert {path.name for path in (tmp_path / "b").iterdir()} == {
        "index.html", "probes.html", "highlights.mp4", "why",
    }  # fmt: skip


def test_a_page_is_a_static_space(server, tmp_path, capsys):
    page = f"<!doctype html><title>{'x' * 100}</title>"
    (tmp_path / "report.html").write_text(page)
    evil = "---\nsdk: docker\n<script>"
    agent = {"algo": "ppo", "environment": {"env_id": evil}}
    write_json(tmp_path / "metrics.json", {"agent": agent, "explainers": {}})
    space = "somebody/pong"
    assert cli.main(["hub", "push", "--space", space, "-o", str(tmp_path), "--private"]) == 0
    assert capsys.readouterr().out.strip() == f"{server.url}/spaces/{space}"
    made = server.made[space]
    assert (made["type"], made["sdk"]) == ("space", "static")
    assert True in (made.get("private"), made.get("visibility") == "private"), made
    files = server.repositories[space][-1][1]
    assert set(files) == {".gitattributes", "README.md", "index.html"}
    assert files["index.html"].decode() == page
    _, header, _ = files["README.md"].decode().split("---\n", 2)
    said = yaml.safe_load(header)
    assert said["sdk"] == "static" and said["title"] == f"PPO on {' '.join(evil.split())}"
    assert push_space(tmp_path, space) == f"{server.url}/spaces/{space}"  # once more
    assert len(server.repositories[space]) == 3


def test_a_space_that_cannot_be_made_is_a_one_line_error(server, tmp_path, monkeypatch, capsys):
    refused("holds no report.html yet", tmp_path, "somebody/pong", call=push_space)
    (tmp_path / "report.html").write_text("<!doctype html>")
    refused("no name of a repository", tmp_path, "a b", call=push_space)
    refused("does not let you write to", tmp_path, "a/b", call=push_space, token="hf_wrong")
    for arguments, says in [
        (["push"], "name the repository, organization/name, or a Space by --space"),
        (["pull", "--space", "a/b"], "--space uploads a page: leave it out, or push"),
    ]:
        assert cli.main(["hub", *arguments, "-o", str(tmp_path)]) == 2
        assert says in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    refused(r"pip install 'sb3-explain\[hub\]'", tmp_path, "a/b", call=push_space)


@pytest.fixture
def saved_ppo(tmp_path):
    """A zip of a small agent, and a VisionMask of it."""
    model = PPO("MlpPolicy", "CartPole-v1", n_steps=8, batch_size=8, seed=0)
    model.save(tmp_path / "ppo.zip")
    agent = load_agent("ppo", "CartPole-v1", folder=tmp_path / "ppo.zip")
    states = collect(agent, n_states=300, folder=tmp_path / "states", render=False, progress=False,
                     max_per_episode=20)  # fmt: skip
    mask = VisionMask(agent)
    train, validation, _ = states.split()
    mask.fit(train, validation, epochs=1, batch_size=16, progress=False)
    return tmp_path / "ppo.zip", agent, mask


class Hostile:
    def __reduce__(self):
        return (print, ("this ran",))


def test_the_demo_agent_is_loaded_by_a_call_of_its_own():
    pytest.importorskip("ale_py")
    scope = {}
    exec(write_loading_code(argparse.Namespace(demo=True)), scope)
    assert scope["agent"].fingerprint() == demo_agent().fingerprint()


def test_a_repository_with_a_pickle_inside_is_refused(server, learned, capsys):
    agent, _, mask, _ = learned
    pickled = pickle.dumps(Hostile())
    server.commit("evil/pickle", {"visionmask.pkl": pickled, "policy.pth": pickled})
    refused("pickles are never read", "evil/pickle", agent)
    push_to_hub(mask, "evil/disguised")
    server.commit("evil/disguised", {"visionmask.safetensors": pickled})
    refused("visionmask.safetensors is damaged", "evil/disguised", agent)
    server.commit("evil/json", {"sb3_explain.json": pickled})
    refused("is damaged .*: push it again", "evil/json", agent)
    server.commit("evil/kind", {"sb3_explain.json": b'{"kind": "../../etc"}'})
    refused("holds a '../../etc'", "evil/kind", agent)
    for content, says in [
        (b"[]", "not a dict"), (b'{"kind": ["visionmask"]}', "holds a "),
        (b'{"kind": "visionmask", "format": 99}', "of format 99.*update sb3_explain"),
    ]:  # fmt: skip
        server.commit("evil/odd", {"sb3_explain.json": content})
        refused(says, "evil/odd", agent)
    assert "this ran" not in capsys.readouterr().out


def refused(says, *arguments, call=from_hub, **options):
    with pytest.raises(ExplainError, match=says) as error:
        call(*arguments, **options)
    assert "\n" not in str(error.value)


def test_pictures_keep_their_names(server, learned):
    _, _, mask, _ = learned
    push_to_hub(mask, REPOSITORY, pictures={"v1.0": PNG, "v1.1.png": PNG, "a/x": PNG})
    assert {"v1.0.png", "v1.1.png", "a_x.png"} <= set(server.repositories[REPOSITORY][-1][1])
    refused("two pictures", mask, REPOSITORY, call=push_to_hub, pictures={"x": PNG, "x.png": PNG})


def test_what_cannot_be_done_is_a_one_line_error(server, learned, monkeypatch):
    agent, _, mask, _ = learned
    push_to_hub(mask, REPOSITORY)
    other = dot_agent()
    with torch.no_grad():
        other.view.policy.gain += 1
    refused("trained for another agent", REPOSITORY, other)
    refused("no repository 'nobody/nothing'", "nobody/nothing", agent)
    refused("no revision 'v9'", REPOSITORY, agent, revision="v9")
    refused("no name of a repository", "a b", agent)
    refused("has not been fitted", VisionMask(agent), REPOSITORY, call=push_to_hub)
    refused("does not let you write to", mask, REPOSITORY, call=push_to_hub, token="hf_wrong")
    server.closed.add("somebody/closed")
    refused("does not let you read 'somebody/closed'", "somebody/closed", agent)
    monkeypatch.delenv("HF_TOKEN")
    refused("log in by `hf auth login`", mask, REPOSITORY, call=push_to_hub)
    server.stop()
    refused("is there a network", mask, REPOSITORY, call=push_to_hub, token="hf_good")


def test_without_the_extra(learned, monkeypatch):
    agent, _, mask, _ = learned
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    refused(r"pip install 'sb3-explain\[hub\]'", mask, REPOSITORY, call=push_to_hub)
    refused(r"pip install 'sb3-explain\[hub\]'", REPOSITORY, agent)
