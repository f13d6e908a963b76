// The script of a page that carries its own data.

import { readPage } from "./payload.js";
import { openViewer } from "./viewer.js";

openViewer(document.getElementById("viewer"), readPage(document));
