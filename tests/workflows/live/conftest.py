"""A folder of states, and a server of it."""

import http.client
import json
import threading

import pytest
from stable_baselines3 import PPO

from sb3_explain import Agent, EnvRecipe, collect
from sb3_explain.workflows.live.view import open_live
from tests.browser import browser  # noqa: F401
from tests.toys import dot_agent


class Asked:
    """What a server answers to a request."""

    def __init__(self, server, path, **headers):
        port = server.server_address[1]
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.putrequest("GET", path, skip_host=True)
        given = {"Host": f"127.0.0.1:{port}", **headers}
        for name, value in given.items():
            if value is not None:
                connection.putheader(name.replace("_", "-"), value)
        connection.endheaders()
        answer = connection.getresponse()
        self.status, self.headers, self.content = answer.status, answer.headers, answer.read()
        connection.close()

    @property
    def plain(self):
        return json.loads(self.content)

    @property
    def events(self):
        """Names and data of the events of a stream."""
        found = []
        for event in self.content.decode().strip().split("\n\n"):
            name, data = event.split("\n")
            found.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
        return found


@pytest.fixture
def ask():
    return Asked


@pytest.fixture
def serve():
    """Serve a folder until the test ends."""
    servers = []

    def begin(*given, **options):
        server = open_live(*given, **options)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        servers.append(server)
        return server

    yield begin
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="session")
def dots(tmp_path_factory):
    """An agent of pictures and its folder: 5 episodes of 40 steps, and one that is cut."""
    folder = tmp_path_factory.mktemp("dots")
    agent = dot_agent()
    collect(
        agent, n_states=220, folder=folder / "states", max_per_episode=0, n_envs=1, progress=False
    )
    return agent, folder


@pytest.fixture(scope="session")
def poles(tmp_path_factory):
    """An agent of features and its folder."""
    folder = tmp_path_factory.mktemp("poles")
    model = PPO("MlpPolicy", "CartPole-v1", n_steps=64, device="cpu", seed=0)
    agent = Agent.from_model(model, recipe=EnvRecipe("CartPole-v1"))
    collect(
        agent, n_states=200, folder=folder / "episodes", max_per_episode=0, render=False,
        n_envs=1, progress=False,
    )  # fmt: skip
    return agent, folder
