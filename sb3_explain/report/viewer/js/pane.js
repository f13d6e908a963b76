// One agent at one step, explained by one explainer: pictures or features, shares, and trust.

import { Bars } from "./bars.js";
import { countSteps, make } from "./elements.js";
import { drawLegend } from "./legend.js";
import { Pictures } from "./pictures.js";
import { listChecks, sayChecks, sayRemoval } from "./removing.js";
import { Strip } from "./strip.js";

/** A map whose largest magnitude is below this is weak: it has no line of a contour. */
const WEAK = 0.25;

/** Say that there is little or nothing to see on a map; nothing of others, or without one. */
function sayStrength(peak) {
  if (peak === null || peak >= WEAK) return "";
  return peak > 0 ? `weak map: at most ${peak.toFixed(2)} of the scale` : "empty map: nothing matters to it here";
}

/** In how many metrics an explainer is clearly better than its best control. */
function sayTrust(metrics) {
  const compared = metrics.filter((one) => one.better !== null);
  const better = compared.filter((one) => one.better).map((one) => one.label);
  if (!compared.length) return metrics.map((one) => `${one.label} ${one.value}`).join(", ");
  return `Metrics: clearly better than the best control in ${better.length} of ${compared.length}`
    + `${better.length ? ` (${better.join(", ")})` : ""}`;
}

export class Pane {
  /**
   * @param root where the pane is added
   * @param template the pane's elements
   * @param playback what is shown
   * @param options `{palette, words, go, jump, regions}`: where a click in the strip goes to, as a
   *   share of the episode; where a step goes to; and which region is looked at
   */
  constructor(root, template, playback, { palette, words, go, jump, regions }) {
    this.element = template.content.firstElementChild.cloneNode(true);
    root.append(this.element);
    Object.assign(this, { playback, words, jump, checked: {} });
    this.explainer = playback.explainers.length ? 0 : null;
    const find = (name) => this.element.querySelector(`.${name}`);
    Object.assign(this, {
      title: find("pane-title"), trust: find("trust"), fold: find("trust-fold"), line: find("trust-line"), removal: find("removal"), remark: find("remark"),
      age: find("age"), legend: find("legend"), checks: find("checks"), filled: find("filled"),
      earlier: find("earlier-map"), later: find("later-map"), ofMap: find("of-map"),
    });
    this.noun = playback.features ? "feature" : "region";
    find("hint").hidden = !playback.removal;
    find("hint").textContent = `Point at, or tap, a ${this.noun}: what does the agent do without it?`;
    this.bars = new Bars({ list: find("shares"), line: find("drawn") }, playback, words);
    this.pictures = new Pictures(playback, { game: find("game"), seen: find("seen") });
    this.pictures.watch(regions);
    const features = find("features");
    features.hidden = !playback.features;
    if (playback.features) {
      this.strip = new Strip(playback, { list: find("feature-list"), canvas: find("strip"), legend: find("strip-legend") }, palette);
      this.strip.watch(regions, go);
    }
    // of the page, where there is one
    find("to-table").hidden = !this.element.getRootNode().querySelector("#metrics");
    this.earlier.addEventListener("click", () => this.goToMap(-1));
    this.later.addEventListener("click", () => this.goToMap(1));
  }

  async draw(position, state) {
    const { playback, explainer } = this;
    Object.assign(this, { position, target: state.target });
    const found = explainer === null ? null : playback.findMap(explainer, position, state.target);
    const brightest = this.findBrightest(found);
    const given = { ...state, explainer, found, brightest };
    this.title.textContent = this.describe();
    this.drawShares(position, state);
    this.sayWhatGoes(position, state, found, brightest);
    if (explainer !== null) this.drawTrust(position, state, found);
    if (this.strip) this.strip.draw(position, given);
    const { drawn, peak } = await this.pictures.draw(position, given);
    if (drawn && explainer !== null) this.sayAge(position, state.target, found, peak);
    return drawn;
  }

  describe() {
    const explainer = this.explainer === null ? "" : this.playback.explainers[this.explainer].label;
    return [this.playback.name, explainer].filter(Boolean).join(" \u00b7 ");
  }

  /** The region in which a map is brightest; null without a map, -1 for an empty one. */
  findBrightest(found) {
    return found && found.map.brightest ? found.map.brightest.at(found.index) : null;
  }

  drawShares(position, { target, region }) {
    const { playback } = this;
    const tried = region === null ? null : playback.triedAt(position);
    const shares = playback.shares.row(tried ? tried.position : position);
    const explained = playback.asked ? null : playback.targetAt(position, target);
    this.bars.draw(position, shares, tried ? tried.without(region) : null, explained);
  }

  /** Say what the agent does without the region that is looked at, or that is brightest. */
  sayWhatGoes(position, { target, region }, found, brightest) {
    const { playback } = this;
    const nameRegion = (at, other) => (playback.features ? playback.features.names[at] : other);
    const tried = region === null ? found && playback.triedAt(found.position) : playback.triedAt(position);
    const [step, older] = tried ? [playback.stepAt(tried.position), position - tried.position] : [];
    const when = `${step}${older ? `, ${countSteps(older)} before` : ""}`;
    if (region !== null && tried) {
      this.removal.textContent = this.sayWithout(tried, region,
        `Step ${when}, without ${nameRegion(region, this.words.region)}`, target);
    } else if (tried && brightest !== null && tried.position === found.position) {
      this.removal.textContent = brightest < 0
        ? `Removal check of step ${when}: the map is empty, nothing is removed.`
        : this.sayWithout(tried, brightest,
          `Removal check of step ${when}, without ${nameRegion(brightest, "the brightest region")}`, target);
    } else this.removal.textContent = tried ? "The removal check was not made in the step of this map." : "";
    const { removal } = playback;
    this.filled.textContent = removal && removal.filled ? `What is removed is replaced by: ${removal.filled}.` : "";
  }

  /** Say what becomes of a target without a region, at a step where that was tried. */
  sayWithout(tried, region, what, target) {
    const { playback, words } = this;
    const shown = playback.targetAt(tried.position, target);
    return `${what}: ${sayRemoval({
      names: playback.targets.map((one) => one.name),
      shares: playback.shares.row(tried.position),
      without: tried.without(region),
      taken: playback.taken.at(tried.position),
      shown,
      group: playback.groupOf(shown),
      words,
    })}`;
  }

  /** Say of which step the map is, and whether there is anything to see on it. */
  sayAge(position, target, found, peak) {
    const { playback, explainer } = this;
    const older = found ? position - found.position : 0;
    const name = playback.asked || playback.targets[playback.targetAt(position, target)].name;
    const said = !found
      ? `${playback.explainers[explainer].label} was not asked about ${name} here.`
      : `map of step ${playback.stepAt(found.position)}${older ? `, ${countSteps(older)} before` : ""}`;
    const strength = found && found.map.values ? playback.findPeak(explainer, found) : peak;
    this.age.textContent = [said, sayStrength(strength)].filter(Boolean).join(" \u00b7 ");
    this.element.classList.toggle("older", older > 0);
    const whole = playback.isWhole(explainer);
    for (const [button, by] of [[this.earlier, -1], [this.later, 1]]) {
      button.hidden = whole;
      button.disabled = !whole && playback.findOwn(explainer, position, target, by) === null;
    }
  }

  /** Go to the next step with a map of its own, or to the one before. */
  goToMap(by) {
    if (this.explainer === null) return;
    const own = this.playback.findOwn(this.explainer, this.position, this.target, by);
    if (own !== null) this.jump(own);
  }

  /** Show what is known of the explainer, of this target, and of its scale. */
  drawTrust(position, { target, look }, found) {
    const { playback, words } = this;
    const explainer = playback.explainers[this.explainer];
    const own = found && !playback.asked ? playback.targetAt(found.position, target) : null;
    this.remark.textContent = own !== null && explainer.untrained.includes(own)
      ? `${explainer.label} met ${playback.targets[own].name} in no state that it learned from: its map is hardly trained.`
      : "";
    this.legend.hidden = Boolean(playback.features);
    if (!playback.features) drawLegend(this.legend, explainer, look.style);
    this.checks.textContent = sayChecks(this.findChecks(target), { words, noun: this.noun });
    if (this.measured === this.explainer) return;
    this.measured = this.explainer;
    this.fold.hidden = !explainer.metrics.length;
    this.line.textContent = sayTrust(explainer.metrics);
    this.trust.replaceChildren(...explainer.metrics.map((metric) => {
      const item = document.createElement("div");
      item.append(make("dt", metric.label), make("dd", metric.value));
      item.append(make("dd", metric.controls, "faint"));
      return item;
    }));
  }

  /** The removal checks of all maps of a target, counted once. */
  findChecks(target) {
    const { playback, explainer, words } = this;
    const key = [explainer, target, playback.version].join();
    if (this.checked.key !== key) {
      const none = explainer === null || !playback.removal;
      this.checked = { key, ...(none ? { checks: [], chance: 0 } : listChecks(playback, explainer, target, words)) };
    }
    return this.checked;
  }
}
