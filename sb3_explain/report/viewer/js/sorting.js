// The script of a page without a player: its tables sort.

import { makeSortable } from "./tables.js";

makeSortable(document);
