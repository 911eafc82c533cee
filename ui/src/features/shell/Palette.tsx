import { useQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { Dialog as Radix } from "radix-ui";
import { useId, useMemo, useRef, useState } from "react";
import { workflowsQuery } from "../../api/queries";
import { StateGlyph } from "../../components/StateGlyph";
import { setTheme, type Theme } from "../../lib/prefs";
import { cx } from "../../ui/cx";
import { Kbd } from "../../ui/Feedback";
import { Icon, type IconName } from "../../ui/Icon";
import { Scrim } from "../../ui/Sheet";
import { useSheet } from "../run-actions/sheet";
import { type Command, rank } from "./commands";
import { useMay } from "./may";
import { PLACES } from "./nav";

const THEMES: readonly Theme[] = ["system", "light", "dark"];
const SHOWN = 60;

interface Props {
  onClose: () => void;
  onHelp: () => void;
  onMore: () => void;
}

/** Reaches every page, every workflow and every action by its words. */
export default function Palette({ onClose, onHelp, onMore }: Props) {
  const navigate = useNavigate();
  const { open } = useSheet();
  const { data } = useQuery(workflowsQuery());
  const acts = useMay("operator").refused === undefined;
  const [text, setText] = useState("");
  const [at, setAt] = useState(0);
  const list = useRef<HTMLDivElement>(null);
  const id = useId();

  const commands = useMemo<Command[]>(() => {
    const go = PLACES.map((place) => ({
      id: place.to,
      group: "Pages",
      text: place.word,
      keys: ["g", place.key],
      icon: place.icon,
      run: () => void navigate({ to: place.to }),
    }));
    const settings: Command[] = [
      ...THEMES.map((theme) => ({
        id: `theme-${theme}`,
        group: "Settings",
        text: `Theme: ${theme}`,
        icon: (theme === "dark" ? "moon" : theme === "light" ? "sun" : "auto") as IconName,
        run: () => setTheme(theme),
      })),
      { id: "zone", group: "Settings", text: "Choose the time zone", icon: "clock", run: onMore },
      {
        id: "account",
        group: "Settings",
        text: "Account, password, sign out",
        icon: "key",
        run: onMore,
      },
      { id: "help", group: "Settings", text: "Keys", icon: "help", keys: ["?"], run: onHelp },
    ];
    const workflows = data?.items ?? [];
    const mine = acts ? workflows : [];
    return [
      ...go,
      ...workflows.map((workflow) => ({
        id: `w-${workflow.id}`,
        group: "Workflows",
        text: workflow.id,
        hint: workflow.description ?? workflow.tags.join(", "),
        ...(workflow.last_run ? { state: workflow.last_run.state } : {}),
        icon: "workflow" as IconName,
        run: () => void navigate({ to: "/workflows/$workflow", params: { workflow: workflow.id } }),
      })),
      ...mine.map((workflow) => ({
        id: `t-${workflow.id}`,
        group: "Actions",
        text: `Trigger ${workflow.id}`,
        icon: "play" as IconName,
        run: () => open("trigger", workflow.id),
      })),
      ...mine.map((workflow) => ({
        id: `p-${workflow.id}`,
        group: "Actions",
        text: `${workflow.paused ? "Unpause" : "Pause"} ${workflow.id}`,
        icon: (workflow.paused ? "play" : "pause") as IconName,
        run: () => open("pause", workflow.id),
      })),
      ...settings,
    ];
  }, [data, acts, navigate, onHelp, onMore, open]);

  const found = useMemo(() => rank(commands, text).slice(0, SHOWN), [commands, text]);
  const current = Math.min(at, Math.max(0, found.length - 1));

  const run = (command: Command | undefined) => {
    if (!command) return;
    onClose();
    command.run();
  };
  const move = (by: number) => {
    const next = (current + by + found.length) % Math.max(1, found.length);
    setAt(next);
    list.current?.children[next]?.scrollIntoView({ block: "nearest" });
  };

  return (
    <Radix.Root open onOpenChange={(next) => !next && onClose()}>
      <Radix.Portal>
        <Scrim />
        <Radix.Content
          aria-describedby={undefined}
          className="fixed inset-x-2 top-2 z-50 mx-auto flex max-h-[80dvh] max-w-xl flex-col overflow-hidden rounded-lg border border-line bg-surface text-ink shadow-float focus:outline-none md:top-[10vh]"
        >
          <Radix.Title className="sr-only">Search and commands</Radix.Title>
          <div className="flex items-center gap-3 border-line border-b px-4">
            <Icon name="search" className="text-ink-3" />
            <input
              role="combobox"
              aria-expanded="true"
              aria-controls={`${id}-list`}
              aria-activedescendant={found[current] ? `${id}-${current}` : undefined}
              aria-label="Search pages, workflows and actions"
              placeholder="Search pages, workflows and actions"
              value={text}
              onChange={(event) => {
                setText(event.target.value);
                setAt(0);
              }}
              onKeyDown={(event) => {
                if (event.key === "ArrowDown") move(1);
                else if (event.key === "ArrowUp") move(-1);
                else if (event.key === "Enter") run(found[current]);
                else return;
                event.preventDefault();
              }}
              className="h-12 min-w-0 flex-1 bg-transparent text-base focus:outline-none"
              autoComplete="off"
              spellCheck={false}
            />
            <Kbd>Esc</Kbd>
          </div>
          <div
            ref={list}
            role="listbox"
            id={`${id}-list`}
            aria-label="Found"
            className="min-h-0 overflow-y-auto p-1"
          >
            {found.map((command, index) => (
              // biome-ignore lint/a11y/useKeyWithClickEvents: the combobox above holds the focus and has the keys
              <div
                key={command.id}
                id={`${id}-${index}`}
                role="option"
                tabIndex={-1}
                aria-selected={index === current}
                onClick={() => run(command)}
                onPointerMove={() => setAt(index)}
                className={cx(
                  "touch flex min-h-9 cursor-pointer items-center gap-3 rounded-md px-3",
                  index === current && "bg-hover",
                )}
              >
                {command.state ? (
                  <StateGlyph state={command.state} />
                ) : (
                  <Icon name={command.icon} className="text-ink-3" />
                )}
                <span className="shrink-0 truncate">{command.text}</span>
                {command.hint && (
                  <span className="truncate text-ink-3 text-xs">{command.hint}</span>
                )}
                <span className="ml-auto flex shrink-0 items-center gap-1 text-ink-3 text-xs">
                  {command.keys?.map((key) => <Kbd key={key}>{key}</Kbd>) ?? command.group}
                </span>
              </div>
            ))}
          </div>
          {found.length === 0 && (
            <p className="px-4 py-6 text-center text-ink-2">Nothing has these words.</p>
          )}
        </Radix.Content>
      </Radix.Portal>
    </Radix.Root>
  );
}
