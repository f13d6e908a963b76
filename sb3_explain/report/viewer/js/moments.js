// Steps that are worth a look first.

import { make } from "./elements.js";

/** List the bookmarks with their steps; a click leads there. */
export function listMoments(list, playback, go) {
  const several = playback.episodes.filter((one) => one.stop > one.start).length > 1;
  list.append(...playback.bookmarks.map(({ position, label }) => {
    const { number } = playback.episodes[playback.episodeAt(position)];
    const step = `${several ? `episode ${number}, ` : ""}step ${playback.stepAt(position)}`;
    const button = make("button", `${label} \u00b7 ${step}`);
    button.type = "button";
    button.dataset.position = String(position);
    button.addEventListener("click", () => go(position));
    const item = document.createElement("li");
    item.append(button);
    return item;
  }));
}
