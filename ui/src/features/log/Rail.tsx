import { type KeyboardEvent, type PointerEvent, useRef } from "react";
import { bytes as inBytes } from "../../lib/duration";
import { share } from "./window";

interface Props {
  bytes: number;
  from: number;
  until: number;
  marks: { offset: number; tone: "bad" | "warn" }[];
  onSeek: (offset: number) => void;
}

/** The scroll bar of a log that is too big to have one: its height is the whole log, in bytes. */
export function Rail({ bytes, from, until, marks, onSeek }: Props) {
  const track = useRef<HTMLDivElement>(null);
  const dragging = useRef(0);
  const seek = (event: PointerEvent) => {
    const box = track.current?.getBoundingClientRect();
    if (!box || box.height === 0) return;
    const place = Math.min(1, Math.max(0, (event.clientY - box.top) / box.height));
    onSeek(Math.floor(place * bytes));
  };
  const onKey = (event: KeyboardEvent) => {
    const page = Math.max(until - from, 4_096);
    const target = {
      ArrowDown: until,
      ArrowUp: from - page,
      PageDown: until + bytes / 20,
      PageUp: from - bytes / 20,
      Home: 0,
      End: bytes - 1,
    }[event.key];
    if (target === undefined) return;
    event.preventDefault();
    onSeek(Math.floor(Math.min(Math.max(0, target), Math.max(0, bytes - 1))));
  };
  const top = share(from, bytes) * 100;
  const size = Math.max(2.5, (share(until, bytes) - share(from, bytes)) * 100);
  return (
    <div
      ref={track}
      role="slider"
      tabIndex={0}
      aria-label="Place in the log"
      aria-orientation="vertical"
      aria-valuemin={0}
      aria-valuemax={bytes}
      aria-valuenow={Math.min(from, bytes)}
      aria-valuetext={`${inBytes(from)} of ${inBytes(bytes)}`}
      onKeyDown={onKey}
      onPointerDown={(event) => {
        event.currentTarget.setPointerCapture(event.pointerId);
        dragging.current = event.pointerId;
        seek(event);
      }}
      onPointerMove={(event) => {
        if (dragging.current === event.pointerId && event.buttons) seek(event);
      }}
      onPointerUp={() => {
        dragging.current = 0;
      }}
      className="relative w-4 shrink-0 cursor-pointer touch-none border-line border-l bg-sunken max-md:w-6"
    >
      {marks.map((mark) => (
        <span
          key={`${mark.tone}${mark.offset}`}
          style={{ top: `${share(mark.offset, bytes) * 100}%` }}
          className={
            mark.tone === "bad"
              ? "absolute inset-x-0 h-0.5 bg-bad"
              : "absolute inset-x-0 h-0.5 bg-warn"
          }
        />
      ))}
      <span
        style={{
          top: `${Math.min(top, 97.5)}%`,
          height: `${Math.min(size, 100 - Math.min(top, 97.5))}%`,
        }}
        className="absolute inset-x-1 rounded-full bg-control"
      />
    </div>
  );
}
