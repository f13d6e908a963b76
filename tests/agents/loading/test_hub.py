"""Agents of the Hub, from a server on this machine that speaks what huggingface_hub needs."""

import hashlib
import http.server
import sys
import threading

import pytest

from sb3_explain.agents.loading import hub, load_agent
from sb3_explain.common.errors import ExplainError

constants = pytest.importorskip("huggingface_hub.constants")

COMMIT = "0123456789abcdef0123456789abcdef01234567"
REPOSITORY = "sb3/ppo-CartPole-v1"


class Handler(http.server.BaseHTTPRequestHandler):
    """Files of one repository at one commit, its branch ``main`` and its tag ``v1``."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def answer(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        path = self.path.partition("?")[0].strip("/")
        self.server.asked.append(path)
        if path.startswith(f"api/models/{REPOSITORY}"):
            names = ", ".join(
                f'{{"type": "file", "path": "{n}", "size": 1, "oid": "0"}}'
                for n in self.server.files
            )
            return self.answer(200, f"[{names}]".encode(), Content_Type="application/json")
        if not path.startswith(f"{REPOSITORY}/resolve/"):
            return self.answer(404, X_Error_Code="RepoNotFound")
        revision, _, name = path.removeprefix(f"{REPOSITORY}/resolve/").partition("/")
        if revision not in ("main", "v1", COMMIT):
            return self.answer(404, X_Error_Code="RevisionNotFound")
        if name not in self.server.files:
            return self.answer(404, X_Error_Code="EntryNotFound", X_Repo_Commit=COMMIT)
        body = self.server.files[name]
        etag = f'"{hashlib.sha1(body).hexdigest()}"'
        return self.answer(200, body, ETag=etag, X_Repo_Commit=COMMIT)


@pytest.fixture
def server(saved, tmp_path, monkeypatch):
    run = saved / "ppo" / "CartPole-v1_1"
    stored = run / "CartPole-v1"
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.asked = []
    server.files = {
        "README.md": b"a card",
        "ppo-CartPole-v1.zip": (run / "CartPole-v1.zip").read_bytes(),
        "config.yml": (stored / "config.yml").read_bytes(),
        "env_kwargs.yml": b"{}\n",
        "vec_normalize.pkl": (stored / "vecnormalize.pkl").read_bytes(),
    }
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setattr(
        constants,
        "HUGGINGFACE_CO_URL_TEMPLATE",
        f"{constants.ENDPOINT}/{{repo_id}}/resolve/{{revision}}/{{filename}}",
    )
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    yield server
    server.shutdown()
    server.server_close()


def test_an_agent_is_downloaded_with_its_statistics(server):
    agent = load_agent("ppo", "CartPole-v1", organization="sb3")
    assert agent.provenance["repository"] == f"{REPOSITORY}@{COMMIT}"
    assert agent.recipe.normalizers[""].mean.shape == (4,)
    assert agent.n_scores == 2


def test_all_files_are_of_the_commit_of_the_first(server):
    load_agent("ppo", "CartPole-v1", repo_id=REPOSITORY, revision="v1")
    resolved = [path for path in server.asked if "/resolve/" in path]
    assert f"{REPOSITORY}/resolve/v1/ppo-CartPole-v1.zip" in resolved
    assert f"{REPOSITORY}/resolve/{COMMIT}/config.yml" in resolved
    assert not [path for path in resolved if "/main/" in path]


def test_without_a_network_the_cache_is_used(server):
    first = load_agent("ppo", "CartPole-v1", organization="sb3")
    server.shutdown()
    server.server_close()
    again = load_agent("ppo", "CartPole-v1", organization="sb3")
    assert again.fingerprint() == first.fingerprint()


def refused(says, algo="ppo", env="CartPole-v1", **arguments):
    with pytest.raises(ExplainError, match=says) as error:
        load_agent(algo, env, **arguments)
    assert "\n" not in str(error.value)


def test_what_is_not_there_is_said(server):
    refused("no repository 'sb3/ppo-Nothing-v0'", env="Nothing-v0", organization="sb3")
    refused("no revision 'v9'", organization="sb3", revision="v9")
    refused("no a2c-CartPole-v1.zip .*it has: README.md", algo="a2c", repo_id=REPOSITORY)
    refused("no name of a repository", repo_id="a/b/c d")
    refused("leave out exp_id", organization="sb3", load_best=True)
    refused("revision is of a repository", revision="v1")


def test_no_network_and_no_cache(server, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # between huggingface_hub's attempts
    server.shutdown()
    server.server_close()
    refused("is there a network", organization="sb3")


def test_without_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ExplainError, match=r"pip install 'sb3-explain\[hub\]'"):
        hub.download("ppo", "CartPole-v1", organization="sb3")
