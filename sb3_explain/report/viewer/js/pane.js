// One agent at one step, explained by one explainer: pictures or features, shares, and trust.

import { Bars } from "./bars.js";
import { countSteps, make, write } from "./elements.js";
import { drawLegend } from "./legend.js";
import { Pictures } from "./pictures.js";
import { listChecks, sayChecks, sayRemoval } from "./removing.js";
import { Strip } from "./strip.js";

/** A map whose largest magnitude is below this is weak: it has no line of a contour. */
const WEAK = 0.25;

/** The largest magnitude of a map that may be shown up to it, as it is said. */
const FULL = 0.995;

/**
 * Say how strong a map is that is drawn up to its own largest value; of another that there is little
 * to see on it; nothing without a map.
 */
function sayStrength(peak, own) {
  if (peak === null || peak >= (own ? FULL : WEAK)) return "";
  if (peak === 0) return "empty map: nothing matters to it here";
  return own
    ? `at most ${peak.toFixed(2)} of the largest over all targets`
    : `weak map: at most ${peak.toFixed(2)} of the scale`;
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
      title: find("pane-title"), trust: find("trust"), fold: find("trust-fold"), line: find("trust-line"), removal: find("removal"), lookedAt: find("looked-at"), release: find("release"), remark: find("remark"),
      age: find("age"), legend: find("legend"), checks: find("checks"), filled: find("filled"),
      earlier: find("earlier-map"), later: find("later-map"), older: find("of-older"),
    });
    this.noun = playback.features ? "feature" : "region";
    find("chosen-region").hidden = !playback.removal;
    this.release.addEventListener("click", () => regions.release());
    find("removed-said").textContent = `the ${this.noun} that the removal check removes`;
    find("marks-legend").hidden = !playback.removal;
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
    write(this.title, this.describe());
    this.drawShares(position, state);
    this.sayCheck(position, found, brightest, state.target);
    this.sayRegion(position, state);
    if (explainer !== null) this.drawTrust(position, state, found);
    if (this.strip) this.strip.draw(position, given);
    const { drawn, peak } = await this.pictures.draw(position, given);
    if (drawn && explainer !== null) this.sayAge(position, state, found, peak);
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

  /** Name a step that something was tried in, and how long ago that is. */
  nameStep(tried, position) {
    const older = position - tried.position;
    return `${this.playback.stepAt(tried.position)}${older ? `, ${countSteps(older)} before` : ""}`;
  }

  nameRegion(region, other) {
    return this.playback.features ? this.playback.features.names[region] : other;
  }

  /** Say what the agent does without the region in which the map is brightest. */
  sayCheck(position, found, brightest, target) {
    const { playback } = this;
    const tried = found && playback.triedAt(found.position);
    let said = "";
    if (tried && (brightest === null || tried.position !== found.position)) {
      said = "The removal check was not made in the step of this map.";
    } else if (tried) {
      const what = `Removal check of step ${this.nameStep(tried, position)}`;
      said = brightest < 0
        ? `${what}: the map is empty, nothing is removed.`
        : this.sayWithout(tried, brightest, `${what}, without ${this.nameRegion(brightest, "the brightest region")}`, target);
    }
    write(this.removal, said);
    const { removal } = playback;
    write(this.filled, removal && removal.filled ? `What is removed is replaced by: ${removal.filled}.` : "");
  }

  /** Say what the agent does without the region that is looked at, and that it is pinned. */
  sayRegion(position, { target, region, pinned }) {
    const { playback, noun } = this;
    const tried = region === null ? null : playback.triedAt(position);
    this.release.hidden = !pinned;
    const columns = playback.removal && playback.removal.columns;
    const place = columns ? ` in row ${Math.floor(region / columns) + 1}, column ${(region % columns) + 1}` : "";
    const name = pinned ? `the pinned ${noun}${place}` : this.words.region;
    write(this.lookedAt, tried
      ? this.sayWithout(tried, region, `Step ${this.nameStep(tried, position)}, without ${this.nameRegion(region, name)}`, target)
      : `Point at, or tap, a ${noun}: what does the agent do without it?`);
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
  sayAge(position, { target, look }, found, peak) {
    const { playback, explainer } = this;
    const own = look.own && !playback.explainers[explainer].common;
    const older = found ? position - found.position : 0;
    const name = playback.asked || playback.targets[playback.targetAt(position, target)].name;
    const said = !found
      ? `${playback.explainers[explainer].label} was not asked about ${name} here.`
      : `map of step ${playback.stepAt(found.position)}${older ? `, ${countSteps(older)} before` : ""}`;
    const strength = found && found.map.values ? playback.findPeak(explainer, found) : peak;
    write(this.age, [said, sayStrength(strength, own)].filter(Boolean).join(" \u00b7 "));
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
    if (own === null) return;
    this.position = own; // a second press within the same frame goes on from there
    this.jump(own);
  }

  /** Show what is known of the explainer, of this target, and of its scale. */
  drawTrust(position, { target, look }, found) {
    const { playback, words } = this;
    const explainer = playback.explainers[this.explainer];
    const own = found && !playback.asked ? playback.targetAt(found.position, target) : null;
    write(this.remark, own !== null && explainer.untrained.includes(own)
      ? `${explainer.label} met ${playback.targets[own].name} in no state that it learned from: its map is hardly trained.`
      : "");
    this.legend.hidden = Boolean(playback.features);
    if (!playback.features) drawLegend(this.legend, explainer, look);
    this.older.hidden = Boolean(playback.features) || playback.isWhole(this.explainer);
    write(this.checks, sayChecks(this.findChecks(target), { words, noun: this.noun }));
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
