import { type FormEvent, useState } from "react";
import { bytes, count } from "../../lib/duration";
import { Button, buttonClass, IconButton } from "../../ui/Button";
import { cx } from "../../ui/cx";
import { Input, SearchInput, Select } from "../../ui/Field";
import { toast } from "../../ui/notes";
import { type Level, type LogInfo, type LogRef, wholeLog } from "./source";

interface Props {
  log: LogRef;
  info: LogInfo | undefined;
  text: string;
  onText: (text: string) => void;
  onFind: (direction: "next" | "previous") => void;
  note: string;
  match: number | undefined;
  level: Level | undefined;
  onLevel: (level: Level | undefined) => void;
  times: boolean;
  onTimes: (on: boolean) => void;
  wrap: boolean;
  onWrap: (on: boolean) => void;
  live: boolean;
  following: boolean;
  onFollow: () => void;
  onStart: () => void;
  onEnd: () => void;
  onError: (() => void) | undefined;
  onGoTo: (line: number) => void;
  compact: boolean;
}

export function Toolbar(props: Props) {
  const { info, compact } = props;
  return (
    <div className="flex items-center gap-x-2 gap-y-1 overflow-x-auto border-line border-b px-4 py-1 [scrollbar-width:none] md:flex-wrap md:px-6">
      <form
        className="flex shrink-0 items-center"
        onSubmit={(event) => {
          event.preventDefault();
          props.onFind("next");
        }}
      >
        <SearchInput
          label={compact ? "Search" : "Search the whole log"}
          value={props.text}
          maxLength={200}
          onChange={(event) => props.onText(event.target.value)}
          className={compact ? "w-32" : "w-56"}
        />
        <IconButton
          icon="chevronLeft"
          label="Previous match (N)"
          disabled={props.text.trim() === ""}
          onClick={() => props.onFind("previous")}
          className="rotate-90"
        />
        <IconButton
          icon="chevronRight"
          label="Next match (n)"
          disabled={props.text.trim() === ""}
          onClick={() => props.onFind("next")}
          className="rotate-90"
        />
        <span role="status" className="num min-w-0 text-2xs text-ink-3">
          {props.note || (props.match == null ? "" : `line ${props.match.toLocaleString("en-US")}`)}
        </span>
      </form>
      <Select
        aria-label="Least weight of a line"
        value={props.level ?? ""}
        onChange={(event) => props.onLevel((event.target.value || undefined) as Level | undefined)}
        className={compact ? "w-28 shrink-0" : "w-36 shrink-0"}
      >
        <option value="">All levels</option>
        <option value="info">Info and up</option>
        <option value="warn">Warnings, errors</option>
        <option value="error">Errors only</option>
      </Select>
      {props.onError && (
        <Button small kind="danger" className="max-md:order-first" onClick={props.onError}>
          First error
        </Button>
      )}
      {!compact && <GoTo onGoTo={props.onGoTo} />}
      <span className="flex shrink-0 items-center">
        <Button small kind="quiet" onClick={props.onStart} title="Start of the log (g)">
          Start
        </Button>
        <Button small kind="quiet" onClick={props.onEnd} title="End of the log (G)">
          End
        </Button>
        {props.live && (
          <Button
            small
            kind={props.following ? "primary" : "plain"}
            aria-pressed={props.following}
            onClick={props.onFollow}
            title="Follow what is being written (f)"
          >
            {props.following ? "Following" : "Follow"}
          </Button>
        )}
      </span>
      <span className="flex shrink-0 items-center md:ml-auto">
        <span className="num px-2 text-2xs text-ink-3 max-md:hidden">
          {info &&
            (info.lines === undefined
              ? bytes(info.bytes)
              : `${count(info.lines, "line")}, ${bytes(info.bytes)}`)}
          {info?.truncated && ", the middle is cut"}
        </span>
        <Toggle on={props.times} onChange={props.onTimes} className="max-md:hidden">
          Times
        </Toggle>
        <Toggle on={props.wrap} onChange={props.onWrap}>
          Wrap
        </Toggle>
        <Download log={props.log} />
      </span>
    </div>
  );
}

function Toggle({
  on,
  onChange,
  children,
  className,
}: {
  on: boolean;
  onChange: (on: boolean) => void;
  children: string;
  className?: string;
}) {
  return (
    <button
      type="button"
      aria-pressed={on}
      onClick={() => onChange(!on)}
      className={cx(
        buttonClass("quiet", true),
        on && "text-ink underline decoration-2 underline-offset-4",
        className,
      )}
    >
      {children}
    </button>
  );
}

function GoTo({ onGoTo }: { onGoTo: (line: number) => void }) {
  const [text, setText] = useState("");
  const submit = (event: FormEvent) => {
    event.preventDefault();
    const line = Number(text.replaceAll(/[^\d]/g, ""));
    if (line > 0) onGoTo(line);
  };
  return (
    <form onSubmit={submit} className="w-20 max-md:hidden">
      <Input
        aria-label="Go to line"
        placeholder="Line"
        inputMode="numeric"
        value={text}
        onChange={(event) => setText(event.target.value)}
        className="h-7 text-xs"
      />
    </form>
  );
}

/** An answer holds some MiB at most, so the file is put together here; the browser keeps its parts on disk. */
function Download({ log }: { log: LogRef }) {
  const [share, setShare] = useState<number>();
  const save = async () => {
    setShare(0);
    try {
      const link = document.createElement("a");
      link.href = URL.createObjectURL(await wholeLog(log, setShare));
      const index = log.mapIndex === undefined ? "" : `-${log.mapIndex}`;
      link.download = `${log.task}${index}-attempt-${log.attempt}.log`;
      link.click();
      window.setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
    } catch (error) {
      toast(`The log was not downloaded: ${error instanceof Error ? error.message : error}`, "bad");
    } finally {
      setShare(undefined);
    }
  };
  return (
    <Button small kind="quiet" disabled={share !== undefined} onClick={() => void save()}>
      {share === undefined ? "Download" : `Download, ${Math.floor(share * 100)} %`}
    </Button>
  );
}
