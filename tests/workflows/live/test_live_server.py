"""The server of `view`: what it answers, to how many, and to whom not."""

import base64
import io
import json
import shutil
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from PIL import Image

from sb3_explain import EXPLAINERS, ExplainError, StateDataset
from sb3_explain.common.attributions import normalize
from sb3_explain.workflows.live.guard import Guard
from sb3_explain.workflows.live.view import open_live
from sb3_explain.workflows.step_columns import compute_columns


@pytest.fixture
def dot_server(dots, serve):
    return serve(*dots)


def test_the_page_and_its_policy(dot_server, ask):
    page = ask(dot_server, "/")
    assert page.status == 200 and b'id="whole-viewer"' in page.content
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "connect-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy and "http" not in policy
    for name, value in {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}.items():
        assert page.headers[name] == value
    assert "Access-Control-Allow-Origin" not in page.headers


def test_episodes_are_listed_a_few_at_a_time(dots, dot_server, ask):
    states = StateDataset.open(dots[1] / "states")
    listed = ask(dot_server, "/episodes?start=3&n=2").plain
    assert listed["count"] == 6
    assert [one["number"] for one in listed["episodes"]] == [3, 4]
    rewards = states.column("rewards")
    totals = [rewards[states.episode == number].sum() for number in (3, 4)]
    assert [one["return"] for one in listed["episodes"]] == pytest.approx(totals)
    last = ask(dot_server, "/episodes?start=5&n=1000").plain["episodes"]
    assert [(one["length"], one["over"], one["ended"]) for one in last] == [
        (20, False, "unfinished")
    ]
    assert ask(dot_server, "/episodes?start=999999999").plain["episodes"] == []


def test_a_part_is_described_as_on_a_page_with_its_blobs(dots, dot_server, ask):
    states = StateDataset.open(dots[1] / "states")
    described = ask(dot_server, "/chunks/2/0").plain
    assert described["n"] == 40
    assert described["episodes"][0] | {"return": 0, "over": 1} == {
        "number": 2, "start": 0, "stop": 40, "return": 0, "length": 40, "first": 0,
        "ended": "time limit", "over": 1, "losses": [],
    }  # fmt: skip
    blob = ask(dot_server, f"/chunks/{described['columns']['reward']['blob']}")
    rewards = np.frombuffer(blob.content, np.float32)
    assert (rewards == states.column("rewards")[80:120]).all()
    sheet = ask(dot_server, f"/chunks/{described['rendered']['blobs'][0]}").content
    picture = np.asarray(Image.open(io.BytesIO(sheet)).convert("RGB"))
    assert (picture[:48, :48] == states.rendered([80])[0]).all()


def test_a_later_part_has_the_return_to_come_of_the_whole_episode(poles, ask, serve, monkeypatch):
    monkeypatch.setattr("sb3_explain.workflows.live.chunks.PART_STEPS", 8)
    monkeypatch.setattr("sb3_explain.workflows.live.chunks.BLOCK", 4)
    server = serve(*poles)
    states = StateDataset.open(poles[1] / "episodes")
    assert (states.episode == 0).sum() > 8
    described = ask(server, "/chunks/0/8").plain
    assert described["episodes"][0]["first"] == 8
    blob = ask(server, f"/chunks/{described['columns']['return_to_come']['blob']}").content
    come = compute_columns(poles[0], states)["return_to_come"][8 : min(16, described["n"] + 8)]
    assert np.frombuffer(blob, np.float32) == pytest.approx(come, rel=1e-6)
    assert ask(server, "/chunks/0/9").status == 404  # where no part begins


def read_table(described, blobs, kind):
    content = base64.b64decode(blobs[described["blob"]])
    return np.frombuffer(content, kind).reshape(described["shape"])


def find_answer(asked):
    assert asked.status == 200, asked.content
    assert asked.headers["Content-Type"] == "text/event-stream"
    assert asked.events[-1][0] == "answer", asked.events[-1]
    return asked.events[-1][1]


@pytest.mark.parametrize("place", [0, -1])
def test_a_map_that_is_asked_for_is_what_the_explainer_says(dots, dot_server, ask, place):
    agent, folder = dots
    number = dot_server.mapper.names.index("occlusion")
    states = StateDataset.open(folder / "states")
    target = int(np.unique(states.greedy[states.episode == 1])[place])
    position = int(np.flatnonzero((states.greedy == target) & (states.episode == 1))[-1])
    asked = f"/maps/1/{states.steps[position]}?explainer={number}&target={target}"
    answer = find_answer(ask(dot_server, asked))
    explained = answer["playback"]["explainers"][0]
    maps = {one["target"]: one["sheets"] for one in explained["attributions"]}
    sheet = base64.b64decode(answer["blobs"][maps[target]["blobs"][0]])
    shown = np.asarray(Image.open(io.BytesIO(sheet)))[..., 0].astype(float)
    shown = (shown - 127) / 127 if explained["signed"] else shown / 254
    explainer = EXPLAINERS["occlusion"](agent, states=dot_server.mapper.sample)
    observed = states.observations([position])
    every = torch.stack([explainer.attribute(observed, k)[:, -1] for k in range(3)], 1)
    expected = normalize(every)[0] if len(maps) > 1 else normalize(every[:, target])
    expected = expected[target if len(maps) > 1 else 0].numpy()
    assert expected.max() == pytest.approx(1) or len(maps) > 1
    height, width = expected.shape
    frames = explained["stack"]
    newest = shown[:, (frames - 1) * width : frames * width][:height]
    assert newest == pytest.approx(expected, abs=1 / 127)
    # what it does without each region comes with it
    removal = answer["playback"]["removal"]
    assert removal["shares"]["shape"] == [1, 49, 3]


def test_maps_of_features_and_of_several_steps(poles, serve, ask):
    agent, folder = poles
    server = serve(agent, folder)
    number = server.mapper.names.index("feature_ablation")
    asked = ask(server, f"/maps/0/2?stop=6&explainer={number}")
    answer = find_answer(asked)
    explained = answer["playback"]["explainers"][0]
    states = StateDataset.open(folder / "episodes")
    explainer = EXPLAINERS["feature_ablation"](agent, states=server.mapper.sample)
    both = explainer.attribute_all(states.observations(np.arange(2, 6)))
    expected = normalize(both)
    for one in explained["attributions"]:
        values = (read_table(one["values"], answer["blobs"], np.uint8).astype(float) - 127) / 127
        assert values == pytest.approx(expected[:, one["target"]].numpy(), abs=1 / 127)
    names, states_of = zip(*asked.events[:-1], strict=True)
    assert set(names) == {"progress"}
    assert all(one["forwards"] <= one["total"] or not one["total"] for one in states_of)
    # asked again, it is kept
    assert find_answer(ask(server, f"/maps/0/2?stop=6&explainer={number}")) == answer


def test_a_quantity_that_is_asked_for_is_what_all_maps_are_of(poles, serve, ask):
    agent, folder = poles
    server = serve(agent, folder, target="value")
    assert ask(server, "/chunks/0/0").plain["asked"] == "value"
    number = server.mapper.names.index("feature_ablation")
    answer = find_answer(ask(server, f"/maps/0/2?explainer={number}"))
    (one,) = answer["playback"]["explainers"][0]["attributions"]
    values = (read_table(one["values"], answer["blobs"], np.uint8).astype(float) - 127) / 127
    states = StateDataset.open(folder / "episodes")
    explainer = EXPLAINERS["feature_ablation"](agent, states=server.mapper.sample)
    expected = normalize(explainer.attribute(states.observations([2]), "value"))
    assert values == pytest.approx(expected.numpy(), abs=1 / 127)


def test_a_hundred_readers_at_once(dot_server, ask):
    start = threading.Barrier(100)

    def read(number):
        start.wait()
        episode = number % 6
        described = ask(dot_server, f"/chunks/{episode}/0").plain
        asked = [
            ask(dot_server, "/"),
            ask(dot_server, f"/episodes?start={episode}"),
            ask(dot_server, f"/chunks/{described['taken']['blob']}"),
            ask(dot_server, f"/chunks/{described['rendered']['blobs'][0]}"),
        ]
        return {one.status for one in asked}, described["episodes"][0]["number"] == episode

    with ThreadPoolExecutor(100) as readers:
        outcomes = list(readers.map(read, range(100)))
    assert outcomes == [({200}, True)] * 100


def test_a_hundred_who_ask_the_same_are_answered_by_one_computation(dot_server, ask):
    agent = dot_server.mapper.agent
    number = dot_server.mapper.names.index("occlusion")
    find_answer(ask(dot_server, f"/maps/0/19?explainer={number}"))  # whose cost is counted first
    before = agent.forwards
    find_answer(ask(dot_server, f"/maps/0/20?explainer={number}"))
    of_one = agent.forwards - before
    with ThreadPoolExecutor(100) as readers:
        paths = [f"/maps/0/21?explainer={number}"] * 100
        answers = list(readers.map(lambda path: ask(dot_server, path), paths))
    assert len({json.dumps(find_answer(one)) for one in answers}) == 1
    assert agent.forwards - before == 2 * of_one


@pytest.mark.parametrize(
    "path",
    [
        "/../../../etc/passwd", "/..%2f..%2fetc/passwd", "/chunks/../../states.json",
        "/chunks/0/..%2f..%2fzarr.json", "/chunks/0/0/../../0", "/static//etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd", "//etc/passwd", "/states/states.json", "/chunks/0/0/0/0",
        "/chunks/%D9%A1/0", "/chunks/0000000000/0", "/maps/0/-1",
        "/chunks/999999999/0", "/chunks/0/64", "/chunks/0/0/999", "/maps/0/40", "/maps/99/0",
        "/maps/0/0?explainer=999", "/maps/0/0?target=3", "/maps/0/5?stop=5", "/maps/0/5?stop=99",
        "/favicon.ico",
    ],
)  # fmt: skip
def test_what_is_no_part_of_the_page_is_not_there(dot_server, ask, path):
    asked = ask(dot_server, path)
    assert asked.status == 404
    assert asked.content.count(b"\n") == 1 and b"root:" not in asked.content


HOSTS = [
    {"Host": "evil.example"}, {"Host": "evil.example:{port}"}, {"Host": "127.0.0.1"},
    {"Host": "127.0.0.1:1"}, {"Host": None}, {"Host": "127.0.0.1:{port}.evil.example"},
    {"Host": "evil@127.0.0.1:{port}"}, {"Host": ""}, {"Host": "10.0.0.1:{port}"},
]  # fmt: skip
ORIGINS = [
    {"Origin": "http://evil.example"}, {"Origin": "null"}, {"Origin": "https://127.0.0.1:{port}"},
    {"Origin": "http://127.0.0.1:1"}, {"Origin": "http://localhost:{port}"},
    {"Sec_Fetch_Site": "cross-site"}, {"Sec_Fetch_Site": "same-site"},
]  # fmt: skip


@pytest.mark.parametrize("headers", HOSTS + ORIGINS)
def test_foreign_names_and_pages_are_refused(dot_server, ask, headers):
    port = dot_server.server_address[1]
    given = {name: value and value.format(port=port) for name, value in headers.items()}
    asked = ask(dot_server, "/episodes", **given)
    assert asked.status == 403
    assert b"episodes" not in asked.content


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "localhost:{port}"},
        {"Origin": "http://127.0.0.1:{port}", "Sec_Fetch_Site": "same-origin"},
        {"Sec_Fetch_Site": "none"},
    ],
)
def test_the_page_itself_may_ask(dot_server, ask, headers):
    port = dot_server.server_address[1]
    given = {name: value.format(port=port) for name, value in headers.items()}
    assert ask(dot_server, "/episodes", **given).status == 200


def test_a_link_on_another_page_may_open_the_page_but_ask_nothing(dot_server, ask):
    assert ask(dot_server, "/", Sec_Fetch_Site="cross-site").status == 200
    assert ask(dot_server, "/episodes", Sec_Fetch_Site="cross-site").status == 403


def test_a_server_that_others_reach_wants_its_token(dots, serve, ask):
    server = serve(*dots, host="0.0.0.0")
    token = server.guard.token
    assert len(token) >= 32 and server.address.endswith(f"?token={token}")
    for path in (
        "/",
        "/episodes",
        "/?token=",
        f"/?token={token[:-1]}",
        "/?token=%ff",
        "/chunks/0/0",
    ):
        assert ask(server, path).status == 403, path
    wrong = f"{server.guard.cookie}={token[:-1]}"
    assert ask(server, "/episodes", Cookie=wrong).status == 403
    assert ask(server, "/episodes", Cookie='\x01=;;=="').status == 403
    opened = ask(server, f"/?token={token}")
    assert (opened.status, opened.headers["Location"]) == (303, "/")
    cookie = opened.headers["Set-Cookie"]
    assert "HttpOnly" in cookie and "SameSite=Lax" in cookie
    held = cookie.partition(";")[0]
    assert ask(server, "/", Cookie=held).status == 200
    assert ask(server, "/episodes", Cookie=f"other=1; {held}").status == 200
    assert ask(server, f"/episodes?token={token}").status == 200
    # the token is no pass for a foreign name
    assert ask(server, "/episodes", Cookie=held, Host="evil.example").status == 403
    assert ask(server, "/episodes", Cookie=held, Origin="http://evil.example").status == 403


def test_only_an_address_of_this_machine_alone_has_no_token():
    for host in ("127.0.0.1", "localhost", "::1", "127.0.0.2"):
        assert not Guard.make(host, 80).token
    for host in ("0.0.0.0", "::", "", "192.168.1.5", "example.org"):
        assert Guard.make(host, 80).token
    assert Guard.make("0.0.0.0", 80).token != Guard.make("0.0.0.0", 80).token


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "HEAD", "OPTIONS", "TRACE", "<b>"])
def test_other_methods_are_refused_and_not_repeated(dot_server, method):
    port = dot_server.server_address[1]
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(f"{method} / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
        answer = b"".join(iter(lambda: connection.recv(4096), b""))
    assert b" 501 " in answer.splitlines()[0] and b"<b>" not in answer


def test_a_reader_who_goes_ends_the_computation(dots, serve, ask, monkeypatch):
    agent, folder = dots
    server = serve(agent, folder)
    mapper, began, forwards = server.mapper, threading.Event(), []

    def endless(question):
        began.set()
        while True:
            agent.scores(torch.zeros(1, 2, 24, 24))
            forwards.append(1)
            time.sleep(0.01)

    monkeypatch.setattr(server.queue, "_answer", endless)
    port = server.server_address[1]
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(f"GET /maps/0/0 HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
        assert began.wait(10)
        assert b"text/event-stream" in connection.recv(4096)
    deadline = time.monotonic() + 10
    while server.queue._jobs and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not server.queue._jobs
    done = len(forwards)
    time.sleep(0.1)
    assert len(forwards) == done
    # and the next one is answered
    monkeypatch.setattr(server.queue, "_answer", mapper.answer)
    number = mapper.names.index("occlusion")
    find_answer(ask(server, f"/maps/0/0?explainer={number}"))


def test_an_explainer_that_fails_says_so_in_one_line(dot_server, ask, monkeypatch):
    def fail(question):
        raise ExplainError("it cannot")

    monkeypatch.setattr(dot_server.queue, "_answer", fail)
    assert ask(dot_server, "/maps/0/0").events[-1] == ("failure", "it cannot")

    def crash(question):
        raise RuntimeError("shapes\ndiffer")

    monkeypatch.setattr(dot_server.queue, "_answer", crash)
    assert ask(dot_server, "/maps/0/1").events[-1] == ("failure", "RuntimeError: shapes differ")


def test_a_port_that_is_taken_is_one_line(dots, dot_server):
    with pytest.raises(ExplainError, match="give another port= or host="):
        open_live(*dots, port=dot_server.server_address[1])
    with pytest.raises(ExplainError, match="give another port= or host="):
        open_live(*dots, host="no.such.name.invalid")
    with pytest.raises(ExplainError, match="give another port= or host="):
        open_live(*dots, port=70_000)


def test_states_of_another_agent_are_one_line(dots, poles):
    with pytest.raises(ExplainError, match="labelled by another agent"):
        open_live(dots[0], poles[1])


def test_damage_is_one_line_for_its_episode(dots, serve, ask, tmp_path):
    agent, folder = dots
    shutil.copytree(folder / "states", tmp_path / "states")
    frames = tmp_path / "states" / "episode_000001" / "frames"
    frames.joinpath("c", *"0000").write_bytes(b"nothing")
    (tmp_path / "states" / "episode_000003" / "columns" / "zarr.json").write_text("{")
    server = serve(agent, tmp_path)
    assert ask(server, "/chunks/0/0").status == 200
    for path in ("/chunks/1/0", "/chunks/3/0", "/episodes?start=3"):
        asked = ask(server, path)
        assert asked.status == 500 and asked.content.count(b"\n") == 1
        assert b"collect again" in asked.content or b"JSON" in asked.content
