// Maps that are computed when they are asked for, with progress.

import { toBytes } from "./payload.js";
import { Playback } from "./playback.js";

/** Open the answer of the server: a playback of the steps that were explained. */
export function readAnswer({ playback, blobs }) {
  return Playback.open(playback, async (id) => toBytes(blobs[id]));
}

/** Let a playback find what was computed later: `add(explainer, from, answered)`. */
export function makeGrowing(playback) {
  const parts = [];
  const holds = (part, position) => part.from <= position && position < part.from + part.answered.n;
  const { findMap, triedAt } = playback;
  playback.findMap = (explainer, position, target) => {
    for (const part of parts) {
      if (part.explainer !== explainer || !holds(part, position)) continue;
      const found = part.answered.findMap(0, position - part.from, target);
      if (!found) continue;
      const { stack, signed, untrained, common } = part.answered.explainers[0];
      Object.assign(playback.explainers[explainer], { stack, signed, untrained, common });
      return { ...found, position: found.position + part.from };
    }
    return findMap.call(playback, explainer, position, target);
  };
  playback.triedAt = (position) => {
    const part = parts.find((one) => holds(one, position));
    if (!part) return playback.removal.shares.shape[0] ? triedAt.call(playback, position) : null;
    const tried = part.answered.triedAt(position - part.from);
    return { ...tried, position: tried.position + part.from };
  };
  return (explainer, from, answered) => {
    parts.unshift({ explainer, from, answered });
    playback.removal.filled = answered.removal.filled;
    playback.version += 1;
  };
}

export class Asking {
  constructor(root, viewer, signal) {
    const find = (name) => root.querySelector(`.${name}`);
    Object.assign(this, { viewer, signal, source: null });
    Object.assign(this, { one: find("ask-one"), all: find("ask-all"), bar: root.querySelector("progress"), said: find("asked") });
    this.add = makeGrowing(viewer.playbacks[0]);
    this.one.addEventListener("click", () => this.toggle(false));
    this.all.addEventListener("click", () => this.toggle(true));
    signal.addEventListener("abort", () => this.stop());
    const none = !viewer.playbacks[0].explainers.length;
    this.one.disabled = none;
    this.all.disabled = none;
  }

  /** Ask for what the panes lack, of this step or of all; a second time it stops. */
  async toggle(all) {
    if (this.source) {
      this.stop();
      return;
    }
    const [playback] = this.viewer.playbacks;
    const { state, player, panes } = this.viewer;
    const [from, to] = all ? [0, playback.n] : [player.position, player.position + 1];
    const explainers = [...new Set(panes.map((pane) => pane.explainer))];
    for (const explainer of explainers) {
      if (!all && playback.findMap(explainer, from, state.target)) continue;
      if (!(await this.ask(explainer, from, to, state.target))) return;
    }
  }

  /** Ask one explainer; the promise says whether it has answered. */
  ask(explainer, from, to, target) {
    const [playback] = this.viewer.playbacks;
    const { number, first } = playback.episodes[0];
    const { label } = playback.explainers[explainer];
    const goal = target === null ? "" : `&target=${target}`;
    const path = `maps/${number}/${first + from}?stop=${first + to}&explainer=${explainer}${goal}`;
    return new Promise((resolve) => {
      const source = new EventSource(path);
      this.begin(source, label, resolve);
      source.addEventListener("progress", (event) => this.tell(label, JSON.parse(event.data)));
      source.addEventListener("answer", async (event) => {
        source.close();
        const answer = JSON.parse(event.data);
        this.add(explainer, from, await readAnswer(answer));
        this.end(`${label}: explained in ${Number(answer.seconds.toPrecision(2))} s`, true);
        for (const pane of this.viewer.panes) if (pane.strip) pane.strip.key = null;
        if (!this.signal.aborted) this.viewer.redraw();
      });
      source.addEventListener("failure", (event) => this.end(`${label}: ${JSON.parse(event.data)}`, false));
      source.addEventListener("error", () => this.end(`${label}: the server has refused, or does not answer`, false));
    });
  }

  begin(source, label, resolve) {
    Object.assign(this, { source, resolve });
    this.bar.hidden = false;
    this.bar.removeAttribute("value");
    this.said.textContent = label;
    this.one.textContent = "Stop";
    this.all.hidden = true;
  }

  tell(label, { before, forwards, total }) {
    if (before > 0) this.said.textContent = `${label}: ${before} asked for before`;
    else if (total > 0) {
      this.bar.value = Math.min(1, forwards / total);
      this.said.textContent = `${label}: ${forwards.toLocaleString("en")} of about ${total.toLocaleString("en")} forward passes`;
    }
  }

  end(line, answered) {
    if (!this.source) return;
    this.source.close();
    this.source = null;
    this.bar.hidden = true;
    this.said.textContent = line;
    this.one.textContent = "Explain this step";
    this.all.hidden = false;
    this.resolve(answered);
  }

  stop() {
    this.end("stopped", false);
  }
}
