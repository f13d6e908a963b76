// What the agent expects and does over an episode: charts with one cursor, bookmarks, and checks.

import { CheckStrip } from "./check_strip.js";

/** At most this many targets have a line of their own. */
const LINES = 6;
/** Room at the left of a chart for its axis and at the right for the last bookmark, in pixels. */
const [AXIS, END] = [52, 12];
/** Milliseconds after which steps that follow each other are at rest. */
const REST = 150;
/** A line that is not looked at is as strong as this. */
const FADED_LINE = 0.3;
const COLORS = ["#d9720b", "#3a86d1", "#1f9d6c", "#c6569a", "#8f6fd6", "#1c98a8"];

/** Colors of a chart, which are those of the element that it lies in. */
const readTheme = (element) => {
  const style = getComputedStyle(element);
  return { ink: style.getPropertyValue("--ink").trim() || "#000", grid: style.getPropertyValue("--line").trim() || "#ddd" };
};

/** A number that a chart can draw; null for a gap. */
const finite = (number) => (Number.isFinite(number) ? number : null);

/** The charts that a playback has numbers for: `{title, series: [{label, read}]}`. */
function listCharts(playback, words) {
  const charts = [];
  const column = (name) => (position) => playback.columns[name].at(position);
  const has = (name) => playback.columns[name];
  if (has("value")) {
    const series = [{ label: "value", read: column("value") }];
    if (has("return_to_come")) series.push({ label: "future return, discounted", read: column("return_to_come") });
    charts.push({ title: words.value, series });
  }
  if (has("reward")) charts.push({ title: words.reward, series: [{ label: "reward", read: column("reward"), bars: true }] });
  if (has("advantage")) charts.push({ title: words.advantage, series: [{ label: "advantage", read: column("advantage") }] });
  if (has("entropy")) charts.push({ title: words.entropy, series: [{ label: "entropy", read: column("entropy") }] });
  const order = playback.targets.map((_, i) => i).sort((a, b) => playback.targets[b].chosen - playback.targets[a].chosen);
  charts.push({
    title: words.shares,
    range: [0, 1],
    order,
    series: order.slice(0, LINES).map((target) => ({
      label: playback.targets[target].name,
      read: (position) => playback.shares.at(position, target),
    })),
  });
  return charts;
}

export class Timeline {
  constructor(root, playback, words, go, signal) {
    Object.assign(this, { root, playback, go });
    this.charts = listCharts(playback, words);
    this.plots = [];
    this.key = Symbol("steps"); // cursors move together within one time line
    this.episode = -1;
    this.checks = new CheckStrip(words, go);
    new ResizeObserver(() => this.resize()).observe(root);
    matchMedia("screen and (prefers-color-scheme: dark)").addEventListener("change", () => {
      this.redraw();
      this.show(this.position, this.target);
    }, { signal });
    signal?.addEventListener("abort", () => this.close());
  }

  /** Let go of the charts, which the window would keep. */
  close() {
    clearTimeout(this.resting);
    for (const { plot } of this.plots) plot.destroy();
    this.plots = [];
  }

  /** Show the episode of a step, with the cursor at the step. */
  show(position, target) {
    Object.assign(this, { position, target });
    const episode = this.playback.episodeAt(position);
    if (episode !== this.episode) {
      this.episode = episode;
      this.redraw();
    }
    this.moveLines();
    this.tell();
    // which draws a chart anew: once the steps have come to rest
    clearTimeout(this.resting);
    this.resting = setTimeout(() => this.light(), REST);
  }

  /** Let the line of the target that is shown stand out among those of all. */
  light() {
    const target = this.playback.targetAt(this.position, this.target);
    if (target === this.lit) return;
    this.lit = target;
    this.charts.forEach(({ order }, number) => {
      const line = order ? order.slice(0, LINES).indexOf(target) : -1;
      if (order) this.plots[number]?.plot.setSeries(line < 0 ? null : line + 1, { focus: true });
    });
  }

  /** Show the removal checks of the maps that are looked at. */
  showChecks(checked) {
    if (this.checks.key === checked.key) return;
    this.checks.key = checked.key;
    this.checks.found = checked.checks;
    this.checks.draw(this.playback.episodes[this.episode]);
  }

  moveLines() {
    const episode = this.playback.episodes[this.episode];
    for (const { line, plot } of this.plots) this.moveLine(line, plot);
    this.checks.move((this.position - episode.start) / Math.max(1, episode.stop - 1 - episode.start));
  }

  /** Write the numbers of the step into the legends, unless a pointer reads others. */
  tell() {
    const idx = this.position - this.playback.episodes[this.episode].start;
    for (const { plot } of this.plots) {
      if (plot.cursor.left < 0 || plot.cursor.left == null) plot.setLegend({ idx });
    }
  }

  redraw() {
    this.close();
    this.root.replaceChildren();
    const { start, stop, first } = this.playback.episodes[this.episode];
    const steps = Array.from({ length: stop - start }, (_, i) => first + i);
    const { ink, grid } = readTheme(this.root);
    const marks = this.playback.bookmarks.filter((one) => one.position >= start && one.position < stop);
    this.lit = null;
    this.plots = this.charts.map((chart, number) => {
      const figure = document.createElement("figure");
      const title = document.createElement("figcaption");
      title.textContent = chart.title;
      figure.append(title);
      this.root.append(figure);
      const axis = { stroke: ink, grid: { stroke: grid, width: 1 }, ticks: { stroke: grid, width: 1 } };
      const last = number === this.charts.length - 1;
      const plot = new uPlot({
        width: Math.max(200, this.root.clientWidth),
        height: last ? 190 : 120,
        padding: [8, END, last ? 0 : 8, 0], // a tick at the border has room for its number
        focus: { alpha: FADED_LINE },
        cursor: { sync: { key: this.key }, drag: { x: false, y: false }, points: { size: 6 } },
        legend: { live: true },
        scales: { x: { time: false }, y: chart.range ? { range: chart.range } : {} },
        axes: [{ ...axis, show: last, size: 30 }, { ...axis, size: AXIS }],
        series: [
          { label: "step", value: (_, raw) => (raw == null ? "" : raw) },
          ...chart.series.map((one, i) => ({
            label: one.label,
            stroke: COLORS[i],
            width: 1.5,
            value: (_, raw) => (raw == null ? "" : Number(raw.toPrecision(3))),
            points: { show: false },
            ...(one.bars ? { paths: uPlot.paths.bars({ size: [1, 6] }), fill: COLORS[i] } : {}),
          })),
        ],
      }, [steps, ...chart.series.map((one) => steps.map((_, i) => finite(one.read(start + i))))], figure);
      plot.over.addEventListener("click", () => {
        if (plot.cursor.idx != null) this.go(start + plot.cursor.idx);
      });
      const line = document.createElement("div");
      line.className = "now";
      plot.over.append(line);
      plot.over.append(...marks.map((mark) => this.makeTick(mark, start, stop)));
      plot.over.addEventListener("mouseleave", () => this.tell());
      return { plot, line };
    });
    this.root.append(this.checks.element);
    this.checks.draw(this.playback.episodes[this.episode]);
    this.moveLines();
    requestAnimationFrame(() => this.tell()); // a new chart empties its legend once it is laid out
  }

  moveLine(line, plot) {
    const { start, first } = this.playback.episodes[this.episode];
    const x = plot.valToPos(this.position - start + first, "x");
    line.style.transform = `translateX(${x}px)`;
  }

  /** Make the tick of a bookmark among the steps of an episode; a click leads there. */
  makeTick({ position, label }, start, stop) {
    const tick = document.createElement("span");
    tick.className = "tick";
    tick.title = `${label} \u00b7 ${this.playback.stepAt(position)}`;
    tick.addEventListener("click", (event) => {
      event.stopPropagation();
      this.go(position);
    });
    tick.style.left = `${(100 * (position - start)) / Math.max(1, stop - 1 - start)}%`;
    return tick;
  }

  resize() {
    for (const { plot } of this.plots) {
      plot.setSize({ width: Math.max(200, this.root.clientWidth), height: plot.height });
    }
    this.moveLines();
  }
}
