// How the agent plays: its episodes, how often it does what, and its value against the return.

import { make } from "./elements.js";
import { percent } from "./removing.js";
import { format } from "./strip.js";

/** Number of losses that are named one by one. */
const MOST_LOSSES = 3;

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
    const { first, losses } = episode;
    if (losses.length > 0) head.append(make("small", describeLosses(losses), "faint"));
    if (n < episode.length) head.append(make("small", n > 0 ? `steps ${first} to ${first + n - 1} shown` : "not on this page", "faint"));
    row.append(head, make("td", format(episode.return) + (episode.over ? "" : " so far")), make("td", String(episode.length)), make("td", episode.ended));
    row.cells[0].dataset.sort = String(episode.number);
    row.dataset.start = String(episode.start);
    body.append(row);
  }
}

/** Say when an episode loses something: at which steps, or how often. */
function describeLosses(losses) {
  if (losses.length <= MOST_LOSSES) return `loses at step ${losses.join(", ")}`;
  return `loses ${losses.length} times, first at step ${losses[0]}, last at ${losses.at(-1)}`;
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
