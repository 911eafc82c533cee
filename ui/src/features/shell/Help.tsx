import { Dialog } from "../../ui/Dialog";
import { Kbd } from "../../ui/Feedback";
import { PLACES } from "./nav";

const KEYS: readonly { keys: readonly string[]; does: string }[] = [
  { keys: ["Ctrl", "K"], does: "Search and commands" },
  { keys: ["/"], does: "To the search field of this page" },
  { keys: ["?"], does: "This list" },
  ...PLACES.map((place) => ({ keys: ["g", place.key], does: `Go to ${place.word}` })),
  { keys: ["←", "→", "↑", "↓"], does: "Move in the grid, the timeline and lists" },
  { keys: ["Enter"], does: "Open the task run" },
  { keys: ["r"], does: "Retry what is selected (asks first)" },
  { keys: ["Esc"], does: "Close" },
];

export default function Help({ onClose }: { onClose: () => void }) {
  return (
    <Dialog open onClose={onClose} title="Keys">
      <dl className="grid grid-cols-[auto_1fr] items-center gap-x-4 gap-y-2">
        {KEYS.map(({ keys, does }) => (
          <div key={does} className="contents">
            <dt className="flex gap-1">
              {keys.map((key) => (
                <Kbd key={key}>{key}</Kbd>
              ))}
            </dt>
            <dd className="text-ink-2">{does}</dd>
          </div>
        ))}
      </dl>
    </Dialog>
  );
}
