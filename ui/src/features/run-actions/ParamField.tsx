import { Field, Input, Select, Textarea } from "../../ui/Field";
import { type FormField, shown } from "./schema";

interface Props {
  field: FormField;
  value: string;
  error: string | undefined;
  onChange: (text: string) => void;
  onLeave: () => void;
}

/** One param with the control that fits its schema. */
export function ParamField({ field, value, error, onChange, onLeave }: Props) {
  const { schema, kind } = field;
  const label = (
    <>
      {field.title}
      {field.title !== field.name && (
        <code className="ml-2 font-mono font-normal text-2xs text-ink-3">{field.name}</code>
      )}
      {field.required && <span className="ml-2 font-normal text-2xs text-ink-3">required</span>}
    </>
  );
  return (
    <Field label={label} help={field.help || undefined} error={error}>
      {(ids) => {
        switch (kind) {
          case "enum":
            return (
              <Select
                {...ids}
                value={value}
                onChange={(event) => onChange(event.target.value)}
                onBlur={onLeave}
              >
                {!field.required && schema.default === undefined && (
                  <option value="">(none)</option>
                )}
                {field.options.map((option) => {
                  const text = shown(option, "enum");
                  return (
                    <option key={text} value={text}>
                      {text}
                    </option>
                  );
                })}
              </Select>
            );
          case "bool":
            return (
              <span className="touch flex h-8 items-center">
                <input
                  {...ids}
                  type="checkbox"
                  checked={value === "true"}
                  onChange={(event) => onChange(String(event.target.checked))}
                  className="size-4"
                />
              </span>
            );
          case "json":
            return (
              <Textarea
                {...ids}
                rows={4}
                spellCheck={false}
                value={value}
                onChange={(event) => onChange(event.target.value)}
                onBlur={onLeave}
                className="font-mono text-xs"
              />
            );
          case "integer":
          case "number":
            return (
              <Input
                {...ids}
                type="number"
                inputMode={kind === "integer" ? "numeric" : "decimal"}
                step={kind === "integer" ? 1 : "any"}
                min={schema.minimum}
                max={schema.maximum}
                value={value}
                onChange={(event) => onChange(event.target.value)}
                onBlur={onLeave}
              />
            );
          case "date":
          case "datetime":
          case "text":
            return (
              <Input
                {...ids}
                type={kind === "date" ? "date" : kind === "datetime" ? "datetime-local" : "text"}
                required={field.required}
                maxLength={schema.maxLength}
                value={value}
                spellCheck={false}
                onChange={(event) => onChange(event.target.value)}
                onBlur={onLeave}
              />
            );
        }
      }}
    </Field>
  );
}
