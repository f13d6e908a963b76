// The script of a page that carries its own data.

import { readPage } from "./payload.js";
import { makeSortable } from "./tables.js";
import { openViewer } from "./viewer.js";

makeSortable(document);
openViewer(document.getElementById("viewer"), readPage(document)).then(({ open }) => {
  for (const link of document.querySelectorAll("a[data-position]")) {
    link.addEventListener("click", (event) => {
      event.preventDefault();
      open(link.dataset);
    });
  }
});
