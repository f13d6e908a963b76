"""The page of a study in Chromium: consent, questions, the file of answers, and its analysis."""

import dataclasses
import http.server
import json
import threading

import pytest

from sb3_explain import ExplainError, analyze_study
from sb3_explain.workflows.study.export import write_study
from tests.browser import browser  # noqa: F401


@pytest.fixture
def look(browser):  # noqa: F811
    """Open a study; the test fails at a console message, or a request that is not allowed."""
    said, pages, allowed = [], [], ["file:", "data:", "blob:"]

    def open_study(path, query="", *, width=1280, dark=False, allow=""):
        if allow:
            allowed.append(allow)
        page = browser.new_page(
            viewport={"width": width, "height": 900}, color_scheme="dark" if dark else "light"
        )
        page.set_default_timeout(30_000)
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on(
            "request",
            lambda request: request.url.startswith(tuple(allowed)) or said.append(request.url),
        )
        pages.append(page)
        page.goto(path.resolve().as_uri() + query)
        page.wait_for_selector("#study h2, #study .failure")
        return page

    yield open_study
    for page in pages:
        page.close()
    assert not said


def begin(page):
    page.get_by_role("button", name="I agree and take part").click()
    page.get_by_role("button", name="Begin").click()


def walk(page, answer):
    """Answer all questions; ``answer`` has the words of a question and its buttons, and clicks."""
    n = 0
    while not page.locator(".save").count():
        heading = page.locator("#study h2").inner_text()
        answer(heading, page.locator("#study button"))
        n += 1
        page.wait_for_function(
            "said => document.querySelector('#study .save') || "
            "document.querySelector('#study progress')?.value !== said",
            arg=n - 1,
        )
    return n


def save(page, path):
    with page.expect_download() as waiting:
        page.locator(".save").click()
    waiting.value.save_as(path)
    return json.loads(path.read_text())


def test_a_participant_answers_all_questions_and_is_analyzed(exported, look, tmp_path):
    page = look(exported.study.page, "?group=2&participant=p-1")
    begin(page)

    def answer(heading, buttons):
        pressed = {"press the button “river”": 1, "largest number": 2}
        number = next((n for words, n in pressed.items() if words in heading), 0)
        if heading == "How sure are you?":
            number = 3
        buttons.nth(number).click()

    n = walk(page, answer)
    data = save(page, tmp_path / "answers.json")
    plan = exported.plan
    asked = [one for one in plan.questions if one.arms[2] is not None or one.task == "check"]
    assert sorted(data["order"]) == sorted(one.name for one in asked)
    assert n == sum(4 if one.task == "predict" else 1 for one in asked)
    assert (data["participant"], data["group"], data["study"]) == ("p-1", 2, plan.study)
    # a state's questions follow one another, objective tasks come before opinions
    order = [name for name in data["order"] if not name.startswith("check")]
    for name in (name for name in order if name.startswith("region")):
        assert order[order.index(name) - 1] == name.replace("region", "predict")
    first = next(i for i, name in enumerate(order) if name.startswith("opinion"))
    assert all(name.startswith("opinion") for name in order[first:])
    for one in data["answers"]:
        predicted = one["question"].startswith("predict")
        assert one["confidence"] == (4 if predicted else None)
        assert one["ms"] >= 0
    results = analyze_study(exported.folder, tmp_path / "answers.json", simulate=False)
    assert results.n_participants == 1 and results.n_excluded == 0
    means = {(row["outcome"], row["arm"]): row["mean"] for row in results.means}
    for arm in results.arms:  # the first action was always pressed
        shown = [one.name for one in plan.of_task("predict")
                 if exported.key.arms[one.arms[2]] == arm]  # fmt: skip
        right = [exported.key.truths[name] == 0 for name in shown]
        assert means["before", arm] == means["after", arm] == pytest.approx(sum(right) / len(right))
    assert all(row["share"] == 1 for row in results.opinions)


def test_it_works_by_the_keyboard_on_a_phone(exported, look):
    page = look(exported.study.page, "?group=0", width=390, dark=True)
    assert page.evaluate("document.activeElement.tagName") == "H2"
    for _ in range(2):
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
    page.wait_for_selector("text=Question 1 of")
    for number in range(2, 7):
        page.keyboard.press("Tab")
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        page.wait_for_selector(f"text=Question {number} of")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_whoever_does_not_take_part_is_not_recorded_and_wrong_addresses_are_refused(exported, look):
    page = look(exported.study.page)
    page.get_by_role("button", name="I do not take part").click()
    page.wait_for_selector("text=Nothing was recorded")
    assert not page.locator(".save").count()
    for query, said in (("?group=4", "from 0 to 3"), ("?group=", "from 0 to 3"),
                        ("?participant=a%20b", "64 letters")):  # fmt: skip
        page = look(exported.study.page, query)
        assert said in page.locator(".failure").inner_text()


def asks_before_closing(page):
    """Whether the page asks before its window is closed, as the browser would find out."""
    return page.evaluate(
        """() => {
          const closing = new Event("beforeunload", { cancelable: true });
          window.dispatchEvent(closing);
          return closing.defaultPrevented;
        }"""
    )


def test_closing_early_asks(exported, look, tmp_path):
    page = look(make_short(exported, tmp_path, "").page, "?group=1")
    assert not asks_before_closing(page)  # nothing is answered yet
    begin(page)
    assert asks_before_closing(page)
    walk(page, lambda heading, buttons: buttons.first.click())
    assert asks_before_closing(page)
    save(page, tmp_path / "answers.json")
    assert not asks_before_closing(page)


@pytest.fixture
def receiver():
    """A server that takes answers of any page, or refuses them."""
    received, status = [], [200]

    class Handler(http.server.BaseHTTPRequestHandler):
        def _reply(self, code):
            self.send_response(code)
            self.send_header("Access-Control-Allow-Origin", "*")
            self.send_header("Access-Control-Allow-Headers", "Content-Type")
            self.end_headers()

        def do_OPTIONS(self):
            self._reply(204)

        def do_POST(self):
            received.append(self.rfile.read(int(self.headers["Content-Length"])))
            self._reply(status[0])

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", received, status
    server.shutdown()
    thread.join()
    server.server_close()


def make_short(exported, folder, address):
    """The same study with one opinion and the checks, whose page may send answers."""
    plan, asked, letters = exported.args[1:]
    few = [one for one in asked if one.question.name in ("opinion-1", "check-1", "check-2")]
    options = {**exported.options, "post": address and f"{address}/answers"}
    return write_study(folder, plan, few, letters, **options)


def test_answers_are_sent_where_the_policy_lets_them(exported, look, tmp_path, receiver):
    address, received, _ = receiver
    study = make_short(exported, tmp_path, address)
    page = look(study.page, f"?group={find_group(study.plan)}", allow=address)
    assert "they are sent" in page.locator("#study").inner_text()
    begin(page)
    walk(page, lambda heading, buttons: buttons.first.click())
    page.wait_for_selector("text=Your answers were sent")
    data = json.loads(received[0])
    assert data["study"] == study.plan.study and len(data["answers"]) == 3
    with pytest.raises(ExplainError, match="failed an attention check"):
        (tmp_path / "sent.json").write_bytes(received[0])
        analyze_study(tmp_path, tmp_path / "sent.json")


def find_group(plan):
    """A group that is asked the opinion."""
    arms = plan.of_task("opinion")[0].arms
    return next(group for group, arm in enumerate(arms) if arm is not None)


@pytest.mark.parametrize("dark", [False, True])
def test_axe_finds_nothing(exported, look, dark):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    page = look(exported.study.page, "?group=0", dark=dark, width=390 if dark else 1280)
    kinds = {"Before", "What you", "What will", "How sure", "Here is", "Look once", "Without",
             "The agent", "To show", "Thank you"}  # fmt: skip
    while kinds:
        heading = page.locator("#study h2").inner_text()
        kind = next((one for one in kinds if heading.startswith(one)), None)
        if kind is not None:
            kinds.remove(kind)
            found = axe.Axe().run(page).response["violations"]
            assert not [(one["id"], one["nodes"][0]["html"][:200]) for one in found], heading
        if page.locator(".save").count():
            break
        page.locator("#study button").first.click()
        page.wait_for_timeout(20)
    assert not kinds


def test_words_that_are_none_are_text(exported, look, tmp_path):
    plan, asked, letters = exported.args[1:]
    evil = "</script><script>document.title='got in'</script><img src=x onerror=alert(1)>"
    turned = [
        dataclasses.replace(
            one, shown=dataclasses.replace(one.shown, text=evil, options=[evil, "b"])
        )
        for one in asked
        if one.question.name == "check-1"
    ]
    plan = dataclasses.replace(plan, title=evil)
    options = {**exported.options, "about": evil}
    study = write_study(tmp_path, plan, turned, letters, **options)
    page = look(study.page, "?group=0")
    page.get_by_role("button", name="I agree and take part").click()
    assert "<img src=x" in page.locator("#study").inner_text()
    page.get_by_role("button", name="Begin").click()
    assert page.locator("#study h2").inner_text().startswith("</script>")
    assert page.locator("#study button").first.inner_text().startswith("</script>")
    assert page.title() != "got in" and not page.locator("#study img").count()
