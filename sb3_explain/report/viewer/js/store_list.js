// The episodes of a store, some at a time.

import { fetchJson } from "./fetching.js";
import { make } from "./elements.js";
import { format } from "./strip.js";

const LISTED = 20;

export class StoreList {
  /** @param go called with an episode and a step; `fail` with an error */
  constructor(root, go, fail) {
    const find = (name) => root.querySelector(`.${name}`);
    Object.assign(this, { go, fail, start: 0, shown: null });
    Object.assign(this, {
      body: find("all-episodes").tBodies[0], count: find("count"), fewer: find("fewer"), more: find("more"),
    });
    this.fewer.addEventListener("click", () => this.load(Math.max(0, this.start - LISTED)));
    this.more.addEventListener("click", () => this.load(this.start + LISTED));
    find("jump").addEventListener("submit", (event) => {
      event.preventDefault();
      go(Number(find("number").value), Number(find("step").value));
    });
  }

  async load(start) {
    this.start = start;
    try {
      const { count, episodes } = await fetchJson(`episodes?start=${start}&n=${LISTED}`);
      if (start !== this.start) return;
      this.fill(count, episodes);
    } catch (error) {
      this.fail(error);
    }
  }

  fill(count, episodes) {
    const last = this.start + episodes.length;
    this.count.textContent = `Episodes ${this.start} to ${last - 1} of ${count.toLocaleString("en")}`;
    this.fewer.disabled = this.start === 0;
    this.more.disabled = last >= count;
    this.body.replaceChildren(...episodes.map((one) => {
      const row = document.createElement("tr");
      const head = make("th", "");
      head.scope = "row";
      const button = make("button", `episode ${one.number}`, "link");
      button.type = "button";
      button.addEventListener("click", () => this.go(one.number, 0));
      head.append(button);
      const total = format(one.return) + (one.over ? "" : " so far");
      row.append(head, make("td", total), make("td", String(one.length)), make("td", one.ended));
      row.dataset.number = String(one.number);
      return row;
    }));
    this.mark(this.shown);
  }

  /** Mark the episode that is shown. */
  mark(number) {
    this.shown = number;
    for (const row of this.body.rows) row.toggleAttribute("aria-current", row.dataset.number === String(number));
  }
}
