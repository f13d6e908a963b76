// The script of a page that carries its own data.

import { readPage } from "./payload.js";
import { makeSortable } from "./tables.js";
import { openViewer } from "./viewer.js";

makeSortable(document);
openViewer(document.getElementById("viewer"), readPage(document));
