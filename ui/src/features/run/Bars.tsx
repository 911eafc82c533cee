import { cx } from "../../ui/cx";
import type { Piece } from "./pieces";
import type { Scale } from "./scale";

/** What a piece is, for hover. */
export type TitleOf = (piece: Piece) => string;

const pct = (share: number) => `${(share * 100).toFixed(3)}%`;

interface Props {
  pieces: readonly Piece[];
  scale: Scale;
  /** Of the whole chart, px. */
  width: number;
  titleOf: TitleOf;
  /** More than one attempt: they are numbered. */
  numbered: boolean;
  thin?: boolean;
}

const OUTCOME_FILL = {
  succeeded: "bg-ok",
  skipped: "bg-mute",
  deferred: "bg-defer",
  failed: "bg-bad",
  timed_out: "bg-bad",
  lost: "bg-bad",
  cancelled: "bg-mute",
} as const;

function fillOf(piece: Piece): string {
  return piece.outcome ? OUTCOME_FILL[piece.outcome] : "bg-run";
}

const BAD = new Set(["failed", "timed_out", "lost"]);

/** The pieces of one row. Shape says it without colour: hatched waits, dotted pauses, crossed failures. */
export function Bars({ pieces, scale, width, titleOf, numbered, thin }: Props) {
  return pieces.map((piece) => {
    const left = scale.x(piece.from);
    const share = Math.max(0, scale.x(piece.until) - left);
    const px = share * width;
    const style = { left: pct(left), width: `max(3px, ${pct(share)})` };
    const key = `${piece.kind}-${piece.attempt}-${piece.from}`;
    const common = cx("absolute", thin ? "top-2.5 h-1.5" : "top-1.5 h-4");
    if (piece.kind === "wait")
      return (
        <span
          key={key}
          title={titleOf(piece)}
          data-piece="wait"
          style={style}
          className={cx(common, "hatch rounded-l-sm border border-wait border-r-0 text-wait")}
        />
      );
    if (piece.kind === "retry" || piece.kind === "deferred")
      return (
        <span
          key={key}
          title={titleOf(piece)}
          data-piece={piece.kind}
          style={style}
          className={cx(
            "absolute h-0 border-t-2",
            thin ? "top-3" : "top-3.5",
            piece.kind === "retry" ? "border-warn border-dotted" : "border-defer border-dashed",
          )}
        />
      );
    if (piece.kind === "lost")
      return (
        <span
          key={key}
          title={titleOf(piece)}
          data-piece="lost"
          style={style}
          className={cx(common, "overflow-hidden rounded-sm border border-bad border-dashed")}
        >
          {px > 14 && !thin && <Cross className="text-bad" />}
        </span>
      );
    return (
      <span
        key={key}
        title={titleOf(piece)}
        data-piece="run"
        style={style}
        className={cx(
          common,
          "flex items-center justify-between overflow-hidden text-inverse",
          fillOf(piece),
          piece.live ? "rounded-l-sm" : "rounded-sm",
        )}
      >
        {!thin && numbered && px > 12 && (
          <span className="px-1 font-semibold text-2xs leading-4">{piece.attempt}</span>
        )}
        {!thin && piece.outcome && BAD.has(piece.outcome) && px > (numbered ? 28 : 14) && (
          <Cross className="ml-auto" />
        )}
      </span>
    );
  });
}

function Cross({ className }: { className?: string }) {
  return (
    <svg viewBox="0 0 16 16" className={cx("size-3.5 shrink-0", className)} aria-hidden="true">
      <path d="M4.5 4.5l7 7M11.5 4.5l-7 7" stroke="currentColor" strokeWidth={2} />
    </svg>
  );
}

/** Mapped instances, one thin line each; one path per look, so that 240 of them cost four elements. */
export function Stack({
  rows,
  scale,
  height,
}: {
  rows: readonly Piece[][];
  scale: Scale;
  height: number;
}) {
  const step = height / Math.max(rows.length, 1);
  const paths: Record<string, string> = {};
  rows.forEach((pieces, row) => {
    for (const piece of pieces) {
      const x = scale.x(piece.from) * 1000;
      const w = Math.max(1, (scale.x(piece.until) - scale.x(piece.from)) * 1000);
      const y = row * step;
      const look = lookOf(piece);
      const thickness = look === "wait" ? Math.max(0.5, step * 0.3) : Math.max(0.75, step * 0.78);
      const dy = look === "wait" ? step * 0.25 : 0;
      paths[look] =
        `${paths[look] ?? ""}M${x.toFixed(2)} ${(y + dy).toFixed(2)}h${w.toFixed(2)}v${thickness.toFixed(2)}h${(-w).toFixed(2)}z`;
    }
  });
  return (
    <svg
      viewBox={`0 0 1000 ${height}`}
      preserveAspectRatio="none"
      className="absolute inset-x-0 top-1 w-full"
      style={{ height }}
      aria-hidden="true"
    >
      {Object.entries(paths).map(([look, d]) => (
        <path key={look} d={d} className={LOOKS[look as Look]} />
      ))}
    </svg>
  );
}

const LOOKS = {
  wait: "fill-wait opacity-70",
  ok: "fill-ok",
  bad: "fill-bad",
  run: "fill-run",
  mute: "fill-mute",
} as const;
type Look = keyof typeof LOOKS;

function lookOf(piece: Piece): Look {
  if (piece.kind === "wait" || piece.kind === "retry" || piece.kind === "deferred") return "wait";
  if (piece.kind === "lost") return "bad";
  if (!piece.outcome) return "run";
  if (BAD.has(piece.outcome)) return "bad";
  return piece.outcome === "succeeded" ? "ok" : "mute";
}
