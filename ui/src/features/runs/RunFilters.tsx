import { DayTime } from "../../components/When";
import { GLYPHS, TRIGGER_WORDS } from "../../lib/states";
import { Button } from "../../ui/Button";
import { SearchInput, Select } from "../../ui/Field";
import { RUN_STATES, type RunFilter, windowWords } from "./filter";

interface Props {
  filter: RunFilter;
  onChange: (change: { [K in keyof RunFilter]?: RunFilter[K] | undefined }) => void;
  search?: boolean;
}

export function RunFilters({ filter, onChange, search = true }: Props) {
  return (
    <div className="flex flex-wrap items-center gap-2">
      {search && (
        <SearchInput
          label="Search workflow, note, who"
          value={filter.search ?? ""}
          onChange={(event) => onChange({ search: event.target.value || undefined })}
          className="w-60 max-md:w-full"
        />
      )}
      <Select
        aria-label="State"
        value={filter.state ?? ""}
        onChange={(event) =>
          onChange({ state: RUN_STATES.find((state) => state === event.target.value) })
        }
      >
        <option value="">Any state</option>
        {RUN_STATES.map((state) => (
          <option key={state} value={state}>
            {GLYPHS[state].word}
          </option>
        ))}
      </Select>
      <Select
        aria-label="Trigger"
        value={filter.trigger ?? ""}
        onChange={(event) =>
          onChange({
            trigger: (Object.keys(TRIGGER_WORDS) as (keyof typeof TRIGGER_WORDS)[]).find(
              (trigger) => trigger === event.target.value,
            ),
          })
        }
      >
        <option value="">Any trigger</option>
        {Object.entries(TRIGGER_WORDS).map(([trigger, word]) => (
          <option key={trigger} value={trigger}>
            {word}
          </option>
        ))}
      </Select>
      <span className="inline-flex flex-wrap items-center gap-2 text-ink-3 text-xs">
        {windowWords(filter)}
        {filter.since && <DayTime at={filter.since} />}
        {filter.until && (
          <>
            until <DayTime at={filter.until} />
          </>
        )}
        {(filter.since || filter.until) && (
          <Button
            small
            kind="quiet"
            onClick={() => onChange({ since: undefined, until: undefined, by: undefined })}
          >
            All times
          </Button>
        )}
      </span>
    </div>
  );
}
