// What the colors of a map stand for.

/** What is drawn where a map is low and where it is high, by how it is drawn. */
const ENDS = {
  heat: (low) => [low, "1"],
  contour: () => ["lines at 0.25", "0.75"],
  spotlight: () => ["dark: 0", "lit: 1"],
};

/** Fill a legend: a bar of colors with its range, and what the scale of a map is. */
export function drawLegend(element, { signed, common }, { style, own }) {
  const [low, high, bar, note] = ["low", "high", "key", "scale"].map((name) => element.querySelector(`.${name}`));
  element.hidden = style === "none";
  if (element.hidden) return;
  [low.textContent, high.textContent] = ENDS[style](signed ? "\u22121 (against)" : "0");
  bar.classList.toggle("signed", signed && style !== "spotlight");
  bar.classList.toggle("light", style === "spotlight");
  note.textContent = common
    ? "The scale is the same in every step."
    : `Each ${own ? "map" : "step"} has its own scale: 1 is its largest value${own ? "" : " over all targets shown"}.`;
}
