// How likely each action is at a step, or where each dimension stands, and which one is taken.

import { make, write } from "./elements.js";
import { findBest, percent } from "./removing.js";

export class Bars {
  /** @param list where the bars are added; `line` says how the action follows from them */
  constructor({ list, line }, playback, words) {
    Object.assign(this, { playback, words });
    this.rows = playback.targets.map((target) => {
      const row = document.createElement("li");
      const meter = document.createElement("meter");
      Object.assign(meter, { min: 0, max: 1 });
      meter.setAttribute("aria-label", target.name);
      const [share, marks] = [make("span", ""), make("i", "", "marks")];
      row.append(marks, make("b", target.name), meter, share);
      list.append(row);
      return { row, meter, share, marks };
    });
    const key = words.continuous ? `\u25cf ${words.taken}` : `\u25cf taken \u00b7 \u25b2 ${words.best}`;
    line.textContent = [key, playback.drawn].filter(Boolean).join(" \u00b7 ");
  }

  /**
   * Draw the shares of a step.
   *
   * @param without shares without a region that is looked at, or null
   * @param explained number of the target that the map is of, or null
   */
  draw(position, shares, without, explained) {
    const { playback, words } = this;
    const taken = playback.taken.at(position);
    const forbidden = playback.forbidden && playback.forbidden.row(position);
    this.rows.forEach(({ row, meter, share, marks }, i) => {
      const best = !words.continuous && findBest(shares, playback.groupOf(i), taken) === i;
      meter.value = (without ?? shares)[i] || 0; // of NaN a meter draws nothing, and fails
      const moved = without ? `${percent(shares[i])} \u2192 ${percent(without[i])}` : percent(shares[i]);
      write(share, forbidden && forbidden[i] ? "forbidden" : moved);
      row.classList.toggle("forbidden", Boolean(forbidden && forbidden[i]));
      row.classList.toggle("taken", i === taken);
      row.classList.toggle("explained", i === explained);
      const [mark, said] = [[i === taken ? "\u25cf" : "", best ? "\u25b2" : ""],
        [i === taken ? "taken" : "", best ? words.best : ""]].map((all) => all.filter(Boolean));
      write(marks, mark.join(""));
      marks.title = said.join(", ");
    });
  }
}
