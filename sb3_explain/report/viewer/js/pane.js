// One agent at one step, explained by one explainer: pictures or features, shares, and trust.

import { Pictures } from "./pictures.js";
import { Strip, format } from "./strip.js";

const percent = (share) => `${Math.round(100 * share)} %`;

/** Make an element with a text. */
function make(kind, text, name = "") {
  const element = document.createElement(kind);
  element.textContent = text;
  if (name) element.className = name;
  return element;
}

export class Pane {
  /**
   * @param root where the pane is added
   * @param template the pane's elements
   * @param playback what is shown
   * @param options `{palette, words, go, hover}`
   */
  constructor(root, template, playback, { palette, words, go, hover }) {
    this.element = template.content.firstElementChild.cloneNode(true);
    root.append(this.element);
    this.playback = playback;
    this.words = words;
    this.explainer = playback.explainers.length ? 0 : null;
    const find = (name) => this.element.querySelector(`.${name}`);
    Object.assign(this, {
      title: find("pane-title"), bars: find("shares"), trust: find("trust"),
      removal: find("removal"), remark: find("remark"),
    });
    this.pictures = new Pictures(playback, { game: find("game"), seen: find("seen") });
    this.pictures.watch(hover);
    const features = find("features");
    features.hidden = !playback.features;
    if (playback.features) {
      this.strip = new Strip(playback, { list: find("feature-list"), canvas: find("strip"), legend: find("strip-legend") }, palette);
      this.strip.watch(hover, go);
    }
    this.rows = playback.targets.map((target) => {
      const row = document.createElement("li");
      const meter = document.createElement("meter");
      Object.assign(meter, { min: 0, max: 1 });
      meter.setAttribute("aria-label", target.name);
      const share = make("span", "");
      row.append(make("b", target.name), meter, share);
      this.bars.append(row);
      return { row, meter, share };
    });
  }

  async draw(position, state) {
    this.title.textContent = this.describe();
    this.drawShares(position, state);
    this.drawTrust(position, state);
    if (this.strip) this.strip.draw(position, { ...state, explainer: this.explainer });
    return this.pictures.draw(position, { ...state, explainer: this.explainer });
  }

  describe() {
    const explainer = this.explainer === null ? "" : this.playback.explainers[this.explainer].label;
    return [this.playback.name, explainer].filter(Boolean).join(" \u00b7 ");
  }

  drawShares(position, { target, region }) {
    const { playback } = this;
    const tried = region === null ? null : playback.triedAt(position);
    const shares = playback.shares.row(tried ? tried.position : position);
    const without = tried ? tried.without(region) : null;
    const taken = playback.taken.at(position);
    const forbidden = playback.forbidden && playback.forbidden.row(position);
    const explained = playback.asked ? null : playback.targetAt(position, target);
    this.rows.forEach(({ row, meter, share }, i) => {
      meter.value = without ? without[i] : shares[i];
      share.textContent = without ? `${percent(shares[i])} \u2192 ${percent(without[i])}` : percent(shares[i]);
      if (forbidden && forbidden[i]) share.textContent = "forbidden";
      row.classList.toggle("forbidden", Boolean(forbidden && forbidden[i]));
      row.classList.toggle("taken", i === taken);
      row.classList.toggle("explained", i === explained);
    });
  }

  /** Say what becomes of a target without a region, at a step where that was tried. */
  sayWithout(tried, region, what, target) {
    const { playback } = this;
    const shares = playback.shares.row(tried.position);
    const without = tried.without(region);
    const shown = playback.targetAt(tried.position, target);
    return `${what}: ${playback.targets[shown].name} ${percent(shares[shown])} \u2192 `
      + `${percent(without[shown])}${this.nameChange(shares, without)}.`;
  }

  drawTrust(position, { target, region }) {
    const { playback, words } = this;
    const name = playback.asked || playback.targets[playback.targetAt(position, target)].name;
    const nameRegion = (at, other) => (playback.features ? playback.features.names[at] : other);
    const hovered = region === null ? null : playback.triedAt(position);
    this.removal.textContent = hovered
      ? this.sayWithout(hovered, region, `Without ${nameRegion(region, words.region)}`, target)
      : "";
    const remarks = [];
    if (hovered) remarks.push(sayBefore("Tried", position - hovered.position));
    if (this.explainer === null) return;
    const explainer = playback.explainers[this.explainer];
    const found = playback.findMap(this.explainer, position, target);
    if (!found) remarks.push(`${explainer.label} was not asked about ${name} here.`);
    else {
      remarks.push(sayBefore("The map is that", position - found.position));
      const own = playback.targetAt(found.position, target);
      if (!playback.asked && explainer.untrained.includes(own)) {
        remarks.push(`${explainer.label} met ${name} in no state that it learned from: its map is hardly trained.`);
      }
    }
    this.remark.textContent = remarks.filter(Boolean).join(" ");
    if (found && region === null) this.checkBrightest(found, position, target, nameRegion);
    if (this.measured !== this.explainer) {
      this.measured = this.explainer;
      this.trust.replaceChildren(...explainer.metrics.map((metric) => {
        const item = document.createElement("div");
        item.append(make("dt", metric.label), make("dd", metric.value));
        item.append(make("dd", metric.controls, "faint"));
        return item;
      }));
    }
  }

  /** Say what the agent does without the region in which a map is brightest, in that very state. */
  checkBrightest({ map, index, position }, shown, target, nameRegion) {
    const tried = this.playback.triedAt(position);
    if (!tried || tried.position !== position || !map.brightest) return;
    const brightest = map.brightest.at(index);
    this.removal.textContent = brightest < 0
      ? "The map is empty here."
      : this.sayWithout(tried, brightest,
        `Removal check${sayThen(shown - position)}: without the ${nameRegion(brightest, "brightest region")}`, target);
  }

  /** What it would do instead, if anything else. */
  nameChange(shares, without) {
    if (this.words.continuous) return "";
    const best = (all) => all.indexOf(Math.max(...all));
    const [before, after] = [best(shares), best(without)];
    return before === after ? "" : `; it would rather do ${this.playback.targets[after].name}`;
  }
}

/** How many steps before something was; nothing if it is of this step. */
const sayThen = (steps) => (steps > 0 ? `, ${steps} ${steps === 1 ? "step" : "steps"} before` : "");

/** Say that something is of some steps before; nothing if it is of this step. */
function sayBefore(what, steps) {
  return steps > 0 ? `${what} of ${steps} ${steps === 1 ? "step" : "steps"} before.` : "";
}

export { format, make, percent };
