// Tables whose columns sort when their heads are clicked.

function read(row, column) {
  const cell = row.cells[column];
  return cell.dataset.sort ?? cell.textContent.trim();
}

function compare(first, second) {
  const [a, b] = [Number.parseFloat(first), Number.parseFloat(second)];
  if (Number.isNaN(a) && Number.isNaN(b)) return first.localeCompare(second);
  if (Number.isNaN(a)) return 1; // what is missing comes last, whichever way
  if (Number.isNaN(b)) return -1;
  return a - b;
}

/** Sort the rows of every body of a table by a column; a second time the other way. */
export function sortTable(table, column) {
  const head = table.tHead.rows[0].cells[column];
  const falls = head.getAttribute("aria-sort") !== "descending";
  for (const cell of table.tHead.rows[0].cells) cell.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", falls ? "descending" : "ascending");
  for (const body of table.tBodies) {
    const sortable = [...body.rows].filter((row) => !row.classList.contains("divider"));
    const missing = (row) => read(row, column) === "" || read(row, column) === "\u2013";
    sortable.sort((a, b) => {
      if (missing(a) || missing(b)) return missing(a) - missing(b);
      const order = compare(read(a, column), read(b, column));
      return falls ? -order : order;
    });
    body.append(...sortable);
  }
}

/** Give the heads of all tables of a class a button that sorts. */
export function makeSortable(root) {
  for (const table of root.querySelectorAll("table.sortable")) {
    [...table.tHead.rows[0].cells].forEach((cell, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "sort";
      button.append(...cell.childNodes);
      cell.append(button);
      button.addEventListener("click", () => sortTable(table, column));
    });
  }
}
