// How the agent plays: its episodes, how often it does what, and its value against the return.

import { make, percent } from "./pane.js";
import { format } from "./strip.js";

/** Fill the table of episodes; a click on a row goes to its first step. */
export function listEpisodes(table, playback, go) {
  const body = table.tBodies[0];
  for (const episode of playback.episodes) {
    const row = document.createElement("tr");
    const head = make("th", "");
    head.scope = "row";
    const name = `episode ${episode.number}`;
    const n = episode.stop - episode.start;
    if (n > 0) {
      const button = make("button", name, "link");
      button.type = "button";
      button.addEventListener("click", () => go(episode.start));
      head.append(button);
    } else head.append(name);
    if (n < episode.length) head.append(make("small", n > 0 ? `last ${n} steps shown` : "not on this page", "faint"));
    row.append(head, make("td", format(episode.return) + (episode.over ? "" : " so far")), make("td", String(episode.length)), make("td", episode.ended));
    row.cells[0].dataset.sort = String(episode.number);
    row.dataset.start = String(episode.start);
    body.append(row);
  }
}

/** Mark the row of the episode that is shown. */
export function markEpisode(table, playback, position) {
  const { start } = playback.episodes[playback.episodeAt(position)];
  for (const row of table.tBodies[0].rows) {
    row.toggleAttribute("aria-current", row.dataset.start === String(start));
  }
}

/** Fill the list of how often each target is taken. */
export function listFrequencies(list, playback) {
  for (const target of playback.targets) {
    const row = document.createElement("li");
    const meter = document.createElement("meter");
    Object.assign(meter, { min: 0, max: 1, value: target.chosen });
    meter.setAttribute("aria-label", `${target.name} is taken`);
    row.append(make("b", target.name), meter, make("span", percent(target.chosen)));
    list.append(row);
  }
}

/** Draw each step's value against the return that came; a click goes to the nearest step. */
export function plotValues(canvas, playback, go, signal) {
  const { value, return_to_come: come } = playback.columns;
  canvas.closest("figure").hidden = !(value && come);
  if (!value || !come) return;
  const steps = Array.from({ length: playback.n }, (_, i) => i).filter((i) => Number.isFinite(come.at(i)));
  if (!steps.length) {
    canvas.closest("figure").hidden = true;
    return;
  }
  const both = steps.flatMap((i) => [value.at(i), come.at(i)]);
  const [low, high] = [Math.min(...both), Math.max(...both)];
  const [side, margin] = [320, 30];
  const ratio = Math.max(1, devicePixelRatio);
  canvas.width = side * ratio;
  canvas.height = side * ratio;
  const scale = (one) => margin + ((one - low) / (high - low || 1)) * (side - 2 * margin);
  const draw = () => {
    const style = getComputedStyle(canvas);
    const context = canvas.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, side, side);
    context.strokeStyle = style.getPropertyValue("--faint");
    context.beginPath();
    context.moveTo(margin, side - margin);
    context.lineTo(side - margin, margin);
    context.stroke();
    context.fillStyle = "rgba(217, 114, 11, .45)";
    for (const i of steps) context.fillRect(scale(come.at(i)) - 1.5, side - scale(value.at(i)) - 1.5, 3, 3);
    context.fillStyle = style.getPropertyValue("--ink");
    context.font = "12px system-ui, sans-serif";
    context.fillText(`${format(low)}`, margin - 8, side - 10);
    context.textAlign = "right";
    context.fillText(`${format(high)} return to come`, side - 4, side - 10);
    context.save();
    context.translate(14, margin);
    context.rotate(-Math.PI / 2);
    context.fillText("value", 0, 0);
    context.restore();
    context.textAlign = "left";
  };
  draw();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw, { signal });
  canvas.addEventListener("click", (event) => {
    const box = canvas.getBoundingClientRect();
    const [x, y] = [((event.clientX - box.left) / box.width) * side, side - ((event.clientY - box.top) / box.height) * side];
    const distance = (i) => (scale(come.at(i)) - x) ** 2 + (scale(value.at(i)) - y) ** 2;
    go(steps.reduce((nearest, i) => (distance(i) < distance(nearest) ? i : nearest)));
  });
}
