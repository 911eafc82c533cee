/** What the palette finds, and in which order. Pure. */

import type { AnyState } from "../../lib/states";
import type { IconName } from "../../ui/Icon";

export interface Command {
  readonly id: string;
  readonly group: string;
  readonly text: string;
  readonly icon: IconName;
  readonly hint?: string;
  readonly keys?: readonly string[];
  readonly state?: AnyState;
  readonly run: () => void;
}

/** Higher is better; 0 is no match. All words must occur; a word at the start of the text counts most. */
export function score(text: string, words: readonly string[]): number {
  const low = text.toLowerCase();
  let total = 1;
  for (const word of words) {
    const at = low.indexOf(word);
    if (at < 0) return 0;
    const before = low[at - 1];
    total += at === 0 ? 8 : before === undefined || /[\s_.\-/:]/.test(before) ? 5 : 2;
  }
  return total - low.length / 200;
}

export function rank(commands: readonly Command[], text: string): Command[] {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length === 0) return [...commands];
  return commands
    .map((command, index) => {
      const own = score(command.text, words);
      const any = own || score(`${command.text} ${command.hint ?? ""} ${command.group}`, words) / 2;
      return { command, index, points: any };
    })
    .filter((each) => each.points > 0)
    .sort((a, b) => b.points - a.points || a.index - b.index)
    .map((each) => each.command);
}
