// The script of a page that a local server fills: one part of one episode is shown at a time.

import { Asking } from "./asking.js";
import { fetchJson, readFrom } from "./fetching.js";
import { StoreList } from "./store_list.js";
import { openViewer } from "./viewer.js";

const CHOICES = ["explainer", "target", "style", "scale", "opacity", "back", "compare", "speed"];

class Live {
  constructor(document, description) {
    this.description = description;
    const find = (name) => document.querySelector(name);
    Object.assign(this, {
      place: find("#place"), viewerTemplate: find("#whole-viewer"), askingTemplate: find("#asking"),
      failure: find(".failure"),
    });
    this.list = new StoreList(find(".store"), (episode, step) => this.go(episode, step), (error) => this.fail(error));
    Object.assign(this, { closing: null, viewer: null, shown: "", asked: 0 });
    window.addEventListener("hashchange", () => this.follow());
  }

  /** Show the step that the address names; the first one where it names none. */
  follow(running = false) {
    const found = /^#(\d+)-(\d+)$/.exec(location.hash);
    const [episode, step] = found ? [Number(found[1]), Number(found[2])] : [0, 0];
    return this.show(episode, step, running);
  }

  go(episode, step) {
    const hash = `#${episode}-${step}`;
    if (location.hash === hash) this.follow();
    else location.hash = hash;
  }

  fail(error) {
    this.failure.hidden = false;
    this.failure.textContent = error.message;
  }

  async show(episode, step, running = false) {
    const asked = ++this.asked;
    this.place.setAttribute("aria-busy", "true");
    this.failure.hidden = true;
    const first = step - (step % this.description.n_steps);
    const key = `${episode}/${first}`;
    try {
      if (key === this.shown) {
        await this.viewer.player.go(step - first);
        return;
      }
      const chunk = await fetchJson(`chunks/${episode}/${first}`);
      if (asked !== this.asked) return;
      await this.open(chunk, Math.min(step - first, chunk.n - 1), running);
      if (asked !== this.asked) return; // another part was asked for while this one was read
      this.shown = key;
      this.list.mark(episode);
    } catch (error) {
      if (asked === this.asked) this.fail(error);
    } finally {
      if (asked === this.asked) this.place.removeAttribute("aria-busy");
    }
  }

  async open(chunk, start, running) {
    const chosen = this.readChoices();
    if (this.closing) this.closing.abort();
    this.closing = new AbortController();
    const { signal } = this.closing;
    this.place.replaceChildren(this.viewerTemplate.content.cloneNode(true));
    const root = this.place.querySelector(".viewer");
    const { palette, words, fps } = this.description;
    this.shown = "";
    const viewer = await openViewer(root, {
      description: { fps, start, palette, words, playbacks: [chunk] }, read: readFrom("chunks"), signal,
    });
    signal.addEventListener("abort", () => { viewer.player.running = false; });
    if (signal.aborted) return;
    this.viewer = viewer;
    const asking = this.askingTemplate.content.cloneNode(true).firstElementChild;
    root.querySelector(".player .choices").after(asking);
    new Asking(asking, viewer, signal);
    this.addParts(asking, chunk.episodes[0], viewer.player);
    this.nameSteps(chunk.episodes[0], viewer.player);
    this.restoreChoices(root, chosen);
    if (running) viewer.player.toggle(true);
  }

  /** Let the steps before and after the part be shown, the latter too when it has been played. */
  addParts(asking, { number, first, start, stop, length }, player) {
    const last = first + stop - start;
    const [before, after] = [asking.querySelector(".previous-part"), asking.querySelector(".next-part")];
    before.disabled = first === 0;
    after.disabled = last >= length;
    asking.querySelector(".part").textContent = `steps ${first} to ${last - 1} of ${length}`;
    before.addEventListener("click", () => this.go(number, first - 1));
    after.addEventListener("click", () => this.go(number, last));
    if (last >= length) return;
    const { toggle } = player;
    player.toggle = (...given) => {
      toggle.apply(player, given);
      // the server has it ready when this part has been played
      if (player.running) fetchJson(`chunks/${number}/${last}`).catch(() => {});
    };
    player.ended = () => {
      history.replaceState(null, "", `#${number}-${last}`);
      this.follow(true);
    };
  }

  /** Keep the step that is shown in the address, unless it plays. */
  nameSteps({ number, first }, player) {
    const { show } = player;
    player.show = async (position) => {
      await show(position);
      if (!player.running) history.replaceState(null, "", `#${number}-${first + position}`);
    };
  }

  readChoices() {
    const find = (name) => this.place.querySelector(`.choices .${name}, .transport .${name}`);
    return CHOICES.map((name) => [name, find(name) && find(name).value]);
  }

  /** Choose again in another part what was chosen in the last. */
  restoreChoices(root, chosen) {
    for (const [name, value] of chosen) {
      const control = root.querySelector(`.choices .${name}, .transport .${name}`);
      if (value === null || value === control.value) continue;
      const before = control.value;
      control.value = value;
      if (control.value !== value) control.value = before; // there is no such choice here
      else for (const kind of ["input", "change"]) control.dispatchEvent(new Event(kind));
    }
  }
}

const live = new Live(document, JSON.parse(document.getElementById("live").textContent));
live.list.load(0);
live.follow();
