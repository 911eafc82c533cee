import { useQuery } from "@tanstack/react-query";
import { lazy, Suspense, useState } from "react";
import { codeQuery } from "../../api/queries";
import type { Diagnostic, VersionSummary } from "../../api/types";
import { RelativeTime } from "../../components/When";
import { count } from "../../lib/duration";
import { usePhone } from "../../lib/media";
import { Skeleton, SkeletonRows } from "../../ui/Feedback";
import { Select } from "../../ui/Field";
import { Icon } from "../../ui/Icon";
import { Segments } from "../../ui/Tabs";
import { QueryError } from "../shell/Problems";
import { Diff } from "./Diff";

const YamlView = lazy(() => import("./YamlView").then((m) => ({ default: m.YamlView })));

interface Props {
  workflow: string;
  version: number | undefined;
  against: number | undefined;
  onSearch: (change: { version?: number | undefined; against?: number | undefined }) => void;
}

/** The file of a version, with what is wrong in it; or the difference between two versions. */
export default function CodeTab({ workflow, version, against, onSearch }: Props) {
  const phone = usePhone();
  const [split, setSplit] = useState(!phone);
  const [line, setLine] = useState<number>();
  const { data: code, error, refetch } = useQuery(codeQuery(workflow, version, against));
  if (error && !code) return <QueryError error={error} onRetry={() => void refetch()} />;
  const data = code?.version;
  const shown = version ?? data?.version;
  return (
    <div className="flex h-full min-h-0 flex-col bg-surface">
      <div className="flex flex-wrap items-center gap-x-3 gap-y-2 border-line border-b px-4 py-1.5 md:px-6">
        <Select
          aria-label="Version"
          value={shown ?? ""}
          onChange={(event) => onSearch({ version: Number(event.target.value) })}
        >
          {options(code?.versions, shown)}
        </Select>
        <Select
          aria-label="Compare with"
          value={against ?? ""}
          onChange={(event) => onSearch({ against: Number(event.target.value) || undefined })}
        >
          <option value="">Compare with…</option>
          {options(code?.versions.filter((each) => each.version !== shown))}
        </Select>
        {against !== undefined && (
          <Segments
            label="View of the difference"
            value={split ? "split" : "unified"}
            options={[
              { value: "split", text: "Side by side" },
              { value: "unified", text: "Unified" },
            ]}
            onChange={(value) => setSplit(value === "split")}
          />
        )}
        {data && (
          <span className="flex min-w-0 flex-wrap items-center gap-x-3 text-ink-3 text-xs">
            <span className="font-mono">{data.path}</span>
            <span className="font-mono" title={data.sha256}>
              {data.sha256.slice(0, 12)}
            </span>
            <span>
              published <RelativeTime at={data.created_at} />
            </span>
          </span>
        )}
      </div>
      {data && against === undefined && <Problems list={data.diagnostics} onLine={setLine} />}
      <div className="min-h-0 flex-1 overflow-hidden">
        {!data ? (
          <SkeletonRows rows={16} height={20} />
        ) : against !== undefined ? (
          code?.against ? (
            <Diff before={code.against.source} after={data.source} split={split} />
          ) : (
            <SkeletonRows rows={16} height={20} />
          )
        ) : (
          <Suspense fallback={<Skeleton className="m-4 h-80" />}>
            <YamlView source={data.source} diagnostics={data.diagnostics} line={line} />
          </Suspense>
        )}
      </div>
    </div>
  );
}

function options(items: readonly VersionSummary[] | undefined, shown?: number) {
  if (!items) return shown === undefined ? null : <option value={shown}>Version {shown}</option>;
  return items.map((each) => (
    <option key={each.version} value={each.version}>
      Version {each.version}
      {each.current ? ", newest" : ""}
      {each.runs == null ? "" : `, ${count(each.runs, "run")}`}
    </option>
  ));
}

function Problems({
  list,
  onLine,
}: {
  list: readonly Diagnostic[];
  onLine: (line: number) => void;
}) {
  if (list.length === 0) return null;
  return (
    <ul className="divide-y divide-line border-line border-b">
      {list.map((each) => (
        <li key={`${each.code}:${each.line}:${each.column}`}>
          <button
            type="button"
            onClick={() => onLine(each.line)}
            className="touch flex w-full flex-wrap items-center gap-x-2 px-4 py-1.5 text-left hover:bg-hover md:px-6"
          >
            <Icon name="warn" className={each.severity === "error" ? "text-bad" : "text-warn"} />
            <span className="font-mono text-xs">
              {each.line}:{each.column} {each.code}
            </span>
            <span className="min-w-0">{each.message}</span>
            {each.hint && <span className="text-ink-3">{each.hint}</span>}
          </button>
        </li>
      ))}
    </ul>
  );
}
