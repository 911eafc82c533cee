import {
  type KeyboardEvent,
  type PointerEvent,
  useCallback,
  useEffect,
  useLayoutEffect,
  useMemo,
  useRef,
  useState,
} from "react";
import type { Grid } from "../../api/types";
import { useShownTheme, useZone } from "../../lib/prefs";
import { heads, hit, layOut, move, type Place, scaleOf, scrollTo, type View } from "./layout";
import { makeSprites, paint, readPalette } from "./paint";

interface Props {
  grid: Grid;
  pin: Place | undefined;
  hover: Place | undefined;
  onPin: (place: Place | undefined) => void;
  onHover: (place: Place | undefined) => void;
  onOpen: (place: Place) => void;
  onRetry: (place: Place) => void;
  /** What the pinned cell says, for ears. */
  spoken: string;
}

const EDGE = 2;

/**
 * Runs × tasks on one canvas: only what is in view is drawn, so a year of 200 tasks scrolls like a week.
 * The newest run stands at the right edge until somebody scrolls away.
 */
export function RunGrid({ grid, pin, hover, onPin, onHover, onOpen, onRetry, spoken }: Props) {
  const scroller = useRef<HTMLElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const pending = useRef(0);
  const atNewest = useRef(true);
  const theme = useShownTheme();
  const zone = useZone();
  const [size, setSize] = useState({ width: 0, height: 0 });
  const layout = useMemo(() => layOut(grid, size.width, size.height), [grid, size]);
  const marks = useMemo(
    () =>
      heads(
        grid.runs.map((run) => run.logical_date),
        zone,
      ),
    [grid.runs, zone],
  );
  const plannedHeads = useMemo(
    () =>
      heads([...grid.runs.slice(-1).map((run) => run.logical_date), ...grid.planned], zone)
        .slice(grid.runs.length > 0 ? 1 : 0)
        .map((head) => head.day),
    [grid.runs, grid.planned, zone],
  );
  const scale = useMemo(() => scaleOf(grid.runs), [grid.runs]);
  // biome-ignore lint/correctness/useExhaustiveDependencies: the colours change with the theme
  const look = useMemo(() => {
    const palette = readPalette();
    return { palette, sprites: makeSprites(palette, window.devicePixelRatio || 1) };
  }, [theme]);

  const viewOf = useCallback((): View => {
    const box = scroller.current;
    return {
      left: box?.scrollLeft ?? 0,
      top: box?.scrollTop ?? 0,
      width: size.width,
      height: size.height,
    };
  }, [size]);

  const draw = useCallback(() => {
    pending.current = 0;
    const target = canvas.current;
    const to = target?.getContext("2d");
    if (!target || !to || size.width === 0) return;
    const ratio = window.devicePixelRatio || 1;
    const width = Math.round(size.width * ratio);
    const height = Math.round(size.height * ratio);
    if (target.width !== width || target.height !== height) {
      target.width = width;
      target.height = height;
    }
    to.setTransform(ratio, 0, 0, ratio, 0, 0);
    paint(to, {
      grid,
      layout,
      view: viewOf(),
      heads: marks,
      plannedHeads,
      scale,
      ...look,
      hover,
      pin,
    });
    target.dataset.drawn = "true";
  }, [grid, layout, marks, plannedHeads, scale, look, hover, pin, size, viewOf]);

  const later = useCallback(() => {
    if (!pending.current) pending.current = requestAnimationFrame(draw);
  }, [draw]);

  useLayoutEffect(() => {
    const box = scroller.current;
    if (!box) return;
    const measure = () => setSize({ width: box.clientWidth, height: box.clientHeight });
    measure();
    const observer = new ResizeObserver(measure);
    observer.observe(box);
    return () => observer.disconnect();
  }, []);

  // New runs come at the right: who looks at the newest goes on looking at the newest.
  useLayoutEffect(() => {
    const box = scroller.current;
    if (box && atNewest.current && layout.width > 0) box.scrollLeft = box.scrollWidth;
  }, [layout.width]);

  useLayoutEffect(draw, [draw]);
  useEffect(() => () => cancelAnimationFrame(pending.current), []);
  useEffect(() => {
    void document.fonts?.ready.then(later);
  }, [later]);

  const show = useCallback(
    (place: Place) => {
      const box = scroller.current;
      if (!box) return;
      const { left, top } = scrollTo(layout, viewOf(), place);
      box.scrollTo({ left, top });
    },
    [layout, viewOf],
  );

  // The place that the URL names is in view when the page opens.
  const shown = useRef(false);
  useEffect(() => {
    if (shown.current || !pin || size.width === 0) return;
    shown.current = true;
    show(pin);
  }, [pin, show, size.width]);

  const placeAt = (event: PointerEvent) => {
    const box = canvas.current?.getBoundingClientRect();
    if (!box) return undefined;
    return hit(layout, viewOf(), event.clientX - box.left, event.clientY - box.top);
  };

  const onKey = (event: KeyboardEvent) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape") onPin(undefined);
    else if (event.key === "Enter" && pin) onOpen(pin);
    else if (event.key === "r" && pin) onRetry(pin);
    else {
      const next = move(layout, pin, event.key);
      if (!next) return;
      onPin(next);
      show(next);
    }
    event.preventDefault();
    event.stopPropagation();
  };

  return (
    <section
      ref={scroller}
      aria-label="Grid of runs and tasks"
      aria-describedby="grid-keys"
      // biome-ignore lint/a11y/noNoninteractiveTabindex: the arrows move in it
      tabIndex={0}
      onKeyDown={onKey}
      onScroll={(event) => {
        const box = event.currentTarget;
        atNewest.current = box.scrollLeft + box.clientWidth >= box.scrollWidth - EDGE;
        later();
      }}
      className="relative min-h-0 flex-1 overflow-auto bg-surface focus-visible:outline-offset-[-2px]"
    >
      <div style={{ width: layout.width, height: layout.height }}>
        <canvas
          ref={canvas}
          data-testid="grid-canvas"
          onPointerMove={(event) => onHover(placeAt(event))}
          onPointerLeave={() => onHover(undefined)}
          onPointerUp={(event) => onPin(placeAt(event))}
          onDoubleClick={() => pin && onOpen(pin)}
          className="sticky top-0 left-0 block cursor-pointer"
          style={{ width: size.width, height: size.height }}
        />
      </div>
      <p id="grid-keys" className="sr-only">
        Arrow keys move, Enter opens the task run, r retries, Escape lets go.
      </p>
      <p aria-live="polite" className="sr-only">
        {spoken}
      </p>
    </section>
  );
}
