import type { FormEvent, ReactNode } from "react";
import { Mark } from "./Shell";

/** The frame of the pages before the door: one column, one form. */
export function Door({
  title,
  about,
  children,
  onSubmit,
}: {
  title: string;
  about?: ReactNode;
  children: ReactNode;
  onSubmit?: () => void;
}) {
  const submit = (event: FormEvent) => {
    event.preventDefault();
    onSubmit?.();
  };
  return (
    <main className="mx-auto flex min-h-dvh w-full max-w-sm flex-col justify-center px-6 py-12">
      <Mark className="size-10" />
      <h1 className="mt-4 font-semibold text-xl">{title}</h1>
      {about && <div className="mt-1 text-base text-ink-2">{about}</div>}
      <form onSubmit={submit} className="mt-6 flex flex-col gap-4">
        {children}
      </form>
    </main>
  );
}
