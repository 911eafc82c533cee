/** The sentence of a reason with its holders as links. Pure. */

import type { Reason } from "../../api/types";
import { taskName } from "../../lib/states";

export interface ReasonPart {
  text: string;
  holder?: { run: string; task: string; mapIndex?: number };
}

/** Cuts the sentence at the names of those who hold what is waited for. */
export function reasonParts(reason: Reason): ReasonPart[] {
  let parts: ReasonPart[] = [{ text: reason.text }];
  const missing: ReasonPart[] = [];
  for (const holder of reason.holders) {
    if (!holder.run || !holder.task) continue;
    const name = taskName(holder.task, holder.map_index);
    const target = {
      run: holder.run,
      task: holder.task,
      ...(holder.map_index == null ? {} : { mapIndex: holder.map_index }),
    };
    let found = false;
    parts = parts.flatMap((part): ReasonPart[] => {
      if (found || part.holder) return [part];
      const begin = indexOfName(part.text, name);
      if (begin < 0) return [part];
      found = true;
      return [
        { text: part.text.slice(0, begin) },
        { text: name, holder: target },
        { text: part.text.slice(begin + name.length) },
      ].filter((each) => each.text !== "");
    });
    if (!found) missing.push({ text: name, holder: target });
  }
  if (missing.length === 0) return parts;
  return [
    ...parts,
    { text: "; held by " },
    ...missing.flatMap((part, i) => (i ? [{ text: ", " }, part] : [part])),
  ];
}

/** `load` is not found in `reload` nor in `load[3]`. */
function indexOfName(text: string, name: string): number {
  for (let from = 0; ; ) {
    const begin = text.indexOf(name, from);
    if (begin < 0) return -1;
    const before = text[begin - 1] ?? " ";
    const after = text[begin + name.length] ?? " ";
    if (!/[\w.-]/.test(before) && !/[\w[-]/.test(after)) return begin;
    from = begin + 1;
  }
}
