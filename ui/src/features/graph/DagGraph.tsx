import "@xyflow/react/dist/base.css";
import {
  BaseEdge,
  type Edge,
  type EdgeProps,
  Handle,
  type Node,
  type NodeProps,
  Position,
  ReactFlow,
  ReactFlowProvider,
  useReactFlow,
} from "@xyflow/react";
import { type KeyboardEvent, useEffect, useMemo, useRef, useState } from "react";
import type { Graph, TaskState } from "../../api/types";
import { StateGlyph, TONE_TEXT } from "../../components/StateGlyph";
import { GLYPHS } from "../../lib/states";
import { Button } from "../../ui/Button";
import { cx } from "../../ui/cx";
import { kin, roundedPath } from "./path";

export interface NodeMark {
  state: TaskState;
  /** A few words under the name: "1 m 10 s, 3 attempts". */
  note?: string;
}

interface Props {
  graph: Graph;
  states?: Readonly<Record<string, NodeMark>>;
  selected?: string | undefined;
  onSelect?: (task: string | undefined) => void;
  onOpen?: (task: string) => void;
  critical?: readonly string[];
  className?: string;
}

interface TaskData extends Record<string, unknown> {
  id: string;
  type: string;
  mark?: NodeMark | undefined;
  faint: boolean;
  chosen: boolean;
  critical: boolean;
}

interface LineData extends Record<string, unknown> {
  path: string;
  faint: boolean;
  strong: boolean;
}

/** The smallest text is 11 px at 1 : 1, so the graph scrolls instead of shrinking. */
const MIN_ZOOM = 1;
const MAX_ZOOM = 1.6;
const MARGIN = 24;
const PAN = 90;

/** The structure of a workflow at the server's coordinates. Readable always: it pans, it never shrinks below 11 px. */
export default function DagGraph(props: Props) {
  return (
    <ReactFlowProvider>
      <Canvas {...props} />
    </ReactFlowProvider>
  );
}

function Canvas({ graph, states, selected, onSelect, onOpen, critical, className }: Props) {
  const host = useRef<HTMLDivElement>(null);
  const flow = useReactFlow();
  const [own, setOwn] = useState<string>();
  const chosen = onSelect ? selected : own;
  const select = onSelect ?? setOwn;

  const { nodes, edges } = useMemo(() => {
    const lit = chosen ? kin(graph.edges, chosen) : undefined;
    const path = new Set(critical);
    const made: Node<TaskData>[] = graph.nodes.map((node) => ({
      id: node.id,
      type: "task",
      position: { x: node.x, y: node.y },
      width: node.width,
      height: node.height,
      ariaLabel: `${node.id}, ${node.type}${states?.[node.id] ? `, ${GLYPHS[states[node.id]?.state ?? "waiting"].word}` : ""}`,
      data: {
        id: node.id,
        type: node.type,
        mark: states?.[node.id],
        faint: lit ? !lit.has(node.id) : false,
        chosen: node.id === chosen,
        critical: path.has(node.id),
      },
    }));
    const lines: Edge<LineData>[] = graph.edges.map((edge) => ({
      id: `${edge.from}→${edge.to}`,
      source: edge.from,
      target: edge.to,
      type: "line",
      focusable: false,
      data: {
        path: roundedPath(edge.points),
        faint: lit ? !(lit.has(edge.from) && lit.has(edge.to)) : false,
        strong: path.has(edge.from) && path.has(edge.to),
      },
    }));
    return { nodes: made, edges: lines };
  }, [graph, states, chosen, critical]);

  const home = useMemo(() => {
    const failed = graph.nodes.find((node) => states?.[node.id]?.state === "failed");
    return selected ? graph.nodes.find((node) => node.id === selected) : failed;
  }, [graph, states, selected]);

  // Only when another graph comes: a live run must not move under the reader's eyes.
  // biome-ignore lint/correctness/useExhaustiveDependencies: see above
  useEffect(() => {
    const box = host.current?.getBoundingClientRect();
    if (!box) return;
    const zoom = MIN_ZOOM;
    const wide = graph.width * zoom > box.width - MARGIN;
    const tall = graph.height * zoom > box.height - MARGIN;
    const centre = (size: number, at: number, extent: number) =>
      Math.min(MARGIN, Math.max(extent - size - MARGIN, extent / 2 - at));
    const x = wide
      ? home
        ? centre(graph.width * zoom, (home.x + home.width / 2) * zoom, box.width)
        : MARGIN
      : (box.width - graph.width * zoom) / 2;
    const y = tall
      ? centre(
          graph.height * zoom,
          (home ? home.y + home.height / 2 : graph.height / 2) * zoom,
          box.height,
        )
      : (box.height - graph.height * zoom) / 2;
    void flow.setViewport({ x, y, zoom });
  }, [graph.width, graph.height, graph.nodes.length, flow]);

  const onKey = (event: KeyboardEvent) => {
    const step = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[
      event.key
    ];
    if (!step) return;
    event.preventDefault();
    const view = flow.getViewport();
    void flow.setViewport({
      ...view,
      x: view.x + (step[0] ?? 0) * PAN,
      y: view.y + (step[1] ?? 0) * PAN,
    });
  };

  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: the arrows pan; the nodes inside are the controls
    <div ref={host} className={cx("relative h-full min-h-80 bg-page", className)} onKeyDown={onKey}>
      {/* Absolute: a percentage of a height that is only a minimum would be nothing. */}
      <div className="absolute inset-0">
        <ReactFlow
          nodes={nodes}
          edges={edges}
          nodeTypes={NODE_TYPES}
          edgeTypes={EDGE_TYPES}
          minZoom={MIN_ZOOM}
          maxZoom={MAX_ZOOM}
          nodesDraggable={false}
          nodesConnectable={false}
          elementsSelectable={false}
          disableKeyboardA11y
          zoomOnDoubleClick={false}
          panOnScroll
          proOptions={{ hideAttribution: true }}
          onlyRenderVisibleElements={graph.nodes.length > 60}
          onNodeClick={(_event, node) => select(node.id === chosen ? undefined : node.id)}
          onNodeDoubleClick={(_event, node) => onOpen?.(node.id)}
          onPaneClick={() => select(undefined)}
          aria-label="Graph of the tasks"
        />
      </div>
      <div className="absolute right-3 bottom-3 flex gap-1">
        <Button small onClick={() => void flow.zoomTo(MIN_ZOOM)}>
          1 : 1
        </Button>
        <Button small onClick={() => void flow.zoomTo(MAX_ZOOM)}>
          Larger
        </Button>
      </div>
    </div>
  );
}

function TaskNode({ data }: NodeProps<Node<TaskData>>) {
  const tone = data.mark ? GLYPHS[data.mark.state].tone : undefined;
  const loud = tone === "bad" || tone === "run";
  return (
    <div
      className={cx(
        "flex h-full w-full flex-col justify-center gap-0.5 rounded-md border bg-surface px-2.5",
        data.chosen ? "border-ink ring-1 ring-ink" : loud ? "border-current" : "border-line-strong",
        loud && tone && TONE_TEXT[tone],
        // Faint by its frame and glyph: text stays readable.
        data.faint && "border-dashed",
      )}
      title={data.id}
    >
      <Handle type="target" position={Position.Left} className="invisible" />
      <span className="flex items-center gap-1.5">
        {data.mark && (
          <StateGlyph
            state={data.mark.state}
            silent
            {...(data.faint ? { className: "opacity-50" } : {})}
          />
        )}
        <span
          className={cx("truncate text-sm", data.faint ? "text-ink-3" : "font-medium text-ink")}
        >
          {data.id}
        </span>
      </span>
      <span className="flex items-center gap-1.5 text-2xs text-ink-3">
        <span className="min-w-0 truncate">{data.mark?.note ?? data.type}</span>
        {data.critical && (
          <span className="ml-auto" title="On the critical path">
            ◆
          </span>
        )}
      </span>
      <Handle type="source" position={Position.Right} className="invisible" />
    </div>
  );
}

function Line({ data, id }: EdgeProps<Edge<LineData>>) {
  if (!data) return null;
  return (
    <BaseEdge
      id={id}
      path={data.path}
      style={{
        stroke: data.strong ? "var(--c-ink-2)" : "var(--c-line-strong)",
        strokeWidth: data.strong ? 2 : 1.4,
        opacity: data.faint ? 0.35 : 1,
      }}
    />
  );
}

const NODE_TYPES = { task: TaskNode };
const EDGE_TYPES = { line: Line };
