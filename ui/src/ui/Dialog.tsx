import { Dialog as Radix } from "radix-ui";
import type { ReactNode } from "react";
import { Scrim } from "./Sheet";

interface Props {
  open: boolean;
  onClose: () => void;
  title: string;
  about?: ReactNode;
  children?: ReactNode;
  actions?: ReactNode;
}

/** A question that must be answered before anything else; rare. Forms belong in a `Sheet`. */
export function Dialog({ open, onClose, title, about, children, actions }: Props) {
  return (
    <Radix.Root open={open} onOpenChange={(next) => !next && onClose()}>
      <Radix.Portal>
        <Scrim />
        <Radix.Content
          {...(about ? {} : { "aria-describedby": undefined })}
          className="fixed inset-x-4 top-[12vh] z-50 mx-auto flex max-h-[76vh] max-w-md flex-col rounded-lg border border-line bg-surface p-6 text-ink shadow-float focus:outline-none"
        >
          <Radix.Title className="font-semibold text-lg">{title}</Radix.Title>
          {about && (
            <Radix.Description asChild>
              <div className="mt-2 text-ink-2">{about}</div>
            </Radix.Description>
          )}
          {children && <div className="mt-4 min-h-0 overflow-y-auto">{children}</div>}
          {actions && <div className="mt-6 flex flex-wrap justify-end gap-2">{actions}</div>}
        </Radix.Content>
      </Radix.Portal>
    </Radix.Root>
  );
}
