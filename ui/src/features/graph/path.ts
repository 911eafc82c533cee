/** The line of an edge through the layout's points, with rounded corners. Pure. */

const RADIUS = 8;

type Point = readonly [number, number];

const distance = (a: Point, b: Point) => Math.hypot(b[0] - a[0], b[1] - a[1]);

/** From `from` towards `to`, `by` units. */
function towards(from: Point, to: Point, by: number): Point {
  const length = distance(from, to) || 1;
  return [from[0] + ((to[0] - from[0]) / length) * by, from[1] + ((to[1] - from[1]) / length) * by];
}

const text = (p: Point) => `${Math.round(p[0] * 10) / 10} ${Math.round(p[1] * 10) / 10}`;

export function roundedPath(points: readonly Point[]): string {
  const [first, ...rest] = points;
  if (!first || rest.length === 0) return "";
  let path = `M${text(first)}`;
  let before = first;
  rest.forEach((point, index) => {
    const after = rest[index + 1];
    if (!after) {
      path += `L${text(point)}`;
      return;
    }
    const radius = Math.min(RADIUS, distance(before, point) / 2, distance(point, after) / 2);
    path += `L${text(towards(point, before, radius))}Q${text(point)} ${text(towards(point, after, radius))}`;
    before = point;
  });
  return path;
}

/** All tasks before and after `task`, itself included: what a selection lights up. */
export function kin(edges: readonly { from: string; to: string }[], task: string): Set<string> {
  const found = new Set([task]);
  const walk = (from: "from" | "to", to: "from" | "to") => {
    const open = [task];
    for (let each = open.pop(); each !== undefined; each = open.pop()) {
      for (const edge of edges) {
        if (edge[from] === each && !found.has(edge[to])) {
          found.add(edge[to]);
          open.push(edge[to]);
        }
      }
    }
  };
  walk("from", "to");
  walk("to", "from");
  return found;
}
