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
      this.strip = new Strip(playback, { list: find("feature-list"), canvas: find("strip") }, palette);
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
    const shares = this.playback.shares.row(position);
    const without = region === null ? null : this.playback.without(position, region);
    const taken = this.playback.taken.at(position);
    const explained = this.playback.targetAt(position, target);
    this.rows.forEach(({ row, meter, share }, i) => {
      meter.value = without ? without[i] : shares[i];
      share.textContent = without ? `${percent(shares[i])} \u2192 ${percent(without[i])}` : percent(shares[i]);
      row.classList.toggle("taken", i === taken);
      row.classList.toggle("explained", i === explained);
    });
  }

  drawTrust(position, { target, region }) {
    const { playback, words } = this;
    const explained = playback.targetAt(position, target);
    const name = playback.targets[explained].name;
    const shares = playback.shares.row(position);
    this.removal.textContent = "";
    if (region !== null && playback.removal) {
      const without = playback.without(position, region);
      const where = playback.features ? playback.features.names[region] : words.region;
      this.removal.textContent = `Without ${where}: ${name} ${percent(shares[explained])} \u2192 `
        + `${percent(without[explained])}${this.nameChange(shares, without)}.`;
    }
    if (this.explainer === null) return;
    const explainer = playback.explainers[this.explainer];
    const map = playback.findMap(this.explainer, position, target);
    const remarks = [];
    if (!map) remarks.push(`${explainer.label} was not asked about ${name} here.`);
    if (map && explainer.learned && playback.targets[explained].chosen === 0) {
      remarks.push(`${name} is never chosen in these steps: its map is hardly trained.`);
    }
    this.remark.textContent = remarks.join(" ");
    if (map && map.brightest && playback.removal && region === null) {
      const brightest = map.brightest.at(position);
      const where = playback.features ? playback.features.names[brightest] : "brightest region";
      if (brightest < 0) {
        this.removal.textContent = "The map is empty here.";
      } else {
        const without = playback.without(position, brightest);
        this.removal.textContent = `Removal check: without the ${where}, ${name} `
          + `${percent(shares[explained])} \u2192 ${percent(without[explained])}`
          + `${this.nameChange(shares, without)}.`;
      }
    }
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

  /** What it would do instead, if anything else. */
  nameChange(shares, without) {
    if (this.words.continuous) return "";
    const best = (all) => all.indexOf(Math.max(...all));
    const [before, after] = [best(shares), best(without)];
    return before === after ? "" : `; it would rather do ${this.playback.targets[after].name}`;
  }
}

export { format, make, percent };
