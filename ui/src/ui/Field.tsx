import type {
  InputHTMLAttributes,
  ReactNode,
  SelectHTMLAttributes,
  TextareaHTMLAttributes,
} from "react";
import { useId } from "react";
import { cx } from "./cx";
import { Icon } from "./Icon";

export const inputClass =
  "touch h-8 w-full rounded-md border border-control bg-surface px-2 text-ink text-sm disabled:opacity-55 aria-invalid:border-bad pointer-coarse:text-base";

interface FieldProps {
  label: ReactNode;
  help?: ReactNode;
  error?: string | undefined;
  /** Gets the ids to put on the control. */
  children: (ids: {
    id: string;
    "aria-describedby": string | undefined;
    "aria-invalid": boolean | undefined;
  }) => ReactNode;
}

/** Label above, help below, error in words below that. */
export function Field({ label, help, error, children }: FieldProps) {
  const id = useId();
  const helpId = `${id}-help`;
  const described = help || error ? helpId : undefined;
  return (
    <div className="flex flex-col gap-1">
      <label htmlFor={id} className="font-medium text-ink text-sm">
        {label}
      </label>
      {children({ id, "aria-describedby": described, "aria-invalid": error ? true : undefined })}
      {described && (
        <div id={helpId} className="text-xs">
          {error && <p className="text-bad">{error}</p>}
          {help && <div className="text-ink-3">{help}</div>}
        </div>
      )}
    </div>
  );
}

export function Input({ className, ...rest }: InputHTMLAttributes<HTMLInputElement>) {
  return <input {...rest} className={cx(inputClass, className)} />;
}

export function Textarea({ className, ...rest }: TextareaHTMLAttributes<HTMLTextAreaElement>) {
  return <textarea {...rest} className={cx(inputClass, "h-auto py-1.5", className)} />;
}

/** The browser's own select: best on phones, and free. */
export function Select({ className, children, ...rest }: SelectHTMLAttributes<HTMLSelectElement>) {
  return (
    <span className={cx("relative inline-flex", className)}>
      <select {...rest} className={cx(inputClass, "appearance-none pr-8")}>
        {children}
      </select>
      <Icon
        name="chevronDown"
        className="pointer-events-none absolute inset-y-0 right-2 my-auto text-ink-3"
      />
    </span>
  );
}

interface SearchProps extends InputHTMLAttributes<HTMLInputElement> {
  label: string;
}

/** `data-search` makes the `/` key find it. */
export function SearchInput({ label, className, ...rest }: SearchProps) {
  return (
    <span className={cx("relative inline-flex", className)}>
      <Icon
        name="search"
        className="pointer-events-none absolute inset-y-0 left-2 my-auto text-ink-3"
      />
      <input
        type="search"
        aria-label={label}
        placeholder={label}
        data-search=""
        autoComplete="off"
        spellCheck={false}
        {...rest}
        className={cx(inputClass, "pl-8")}
      />
    </span>
  );
}
