import type { Trigger } from "../api/types";
import { type AnyState, GLYPHS, type Tone, TRIGGER_GLYPHS, TRIGGER_WORDS } from "../lib/states";
import { cx } from "../ui/cx";

export const TONE_TEXT: Record<Tone, string> = {
  ok: "text-ok",
  bad: "text-bad",
  run: "text-run",
  warn: "text-warn",
  wait: "text-wait",
  defer: "text-defer",
  mute: "text-mute",
};

interface Props {
  state: AnyState;
  className?: string;
  /** A word beside it says the state already. */
  silent?: boolean;
  /** A run that succeeded and hides a failure: a red notch. */
  masked?: boolean;
}

/** A state as glyph, shape and colour. */
export function StateGlyph({ state, className, silent, masked }: Props) {
  const glyph = GLYPHS[state];
  const word = masked ? `${glyph.word}, hides a failure` : glyph.word;
  return (
    // biome-ignore lint/a11y/noSvgWithoutTitle: it has a title, or a word beside it
    <svg
      viewBox="0 0 16 16"
      className={cx("size-4 shrink-0", TONE_TEXT[glyph.tone], className)}
      {...(silent ? { "aria-hidden": true } : { role: "img", "aria-label": word })}
    >
      {!silent && <title>{word}</title>}
      {glyph.body && <path d={glyph.body} fill="currentColor" />}
      {glyph.line && (
        <path
          d={glyph.line}
          fill="none"
          stroke="currentColor"
          strokeWidth={1.6}
          strokeLinecap="round"
          strokeLinejoin="round"
          {...(glyph.dash ? { strokeDasharray: glyph.dash.join(" ") } : {})}
        />
      )}
      {glyph.cut && (
        <path
          d={glyph.cut}
          fill="none"
          className="stroke-surface"
          strokeWidth={1.7}
          strokeLinecap="round"
          strokeLinejoin="round"
        />
      )}
      {masked && (
        <path d="M9 9h7v7h-7z" className="fill-bad stroke-surface" strokeWidth={1} aria-hidden />
      )}
    </svg>
  );
}

/** The state with its word. */
export function StateBadge({ state, masked, className }: Omit<Props, "silent">) {
  return (
    <span
      className={cx("inline-flex items-center gap-1.5 whitespace-nowrap font-medium", className)}
    >
      <StateGlyph state={state} silent masked={masked ?? false} />
      {GLYPHS[state].word}
      {masked && <span className="text-bad">, hides a failure</span>}
    </span>
  );
}

export function TriggerGlyph({ trigger, className }: { trigger: Trigger; className?: string }) {
  return (
    <svg
      viewBox="0 0 16 16"
      className={cx("size-3.5 shrink-0 text-ink-3", className)}
      role="img"
      aria-label={TRIGGER_WORDS[trigger]}
      fill="none"
      stroke="currentColor"
      strokeWidth={1.4}
      strokeLinecap="round"
      strokeLinejoin="round"
    >
      <title>{TRIGGER_WORDS[trigger]}</title>
      <path d={TRIGGER_GLYPHS[trigger]} />
    </svg>
  );
}
