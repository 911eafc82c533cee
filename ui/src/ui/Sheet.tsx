import { Dialog as Radix } from "radix-ui";
import type { ReactNode } from "react";
import { IconButton } from "./Button";
import { cx } from "./cx";

interface Props {
  open: boolean;
  onClose: () => void;
  title: string;
  /** One sentence under the title. */
  about?: ReactNode;
  children: ReactNode;
  /** Always visible, at the foot. */
  actions?: ReactNode;
  wide?: boolean;
}

/*
 * Radix' own overlay locks scrolling by an injected <style>, which the page's policy forbids; a plain
 * element does as scrim, and `Content` keeps focus and hides the rest from ears all the same.
 */
export function Scrim() {
  return <div className="fixed inset-0 z-40 bg-scrim" aria-hidden="true" />;
}

/** A panel from the right: a form or a preview with its act always in view. On a phone it is the whole page. */
export function Sheet({ open, onClose, title, about, children, actions, wide }: Props) {
  return (
    <Radix.Root open={open} onOpenChange={(next) => !next && onClose()}>
      <Radix.Portal>
        <Scrim />
        <Radix.Content
          {...(about ? {} : { "aria-describedby": undefined })}
          className={cx(
            "fixed inset-y-0 right-0 z-50 flex w-full flex-col border-line border-l bg-surface text-ink shadow-float focus:outline-none",
            wide ? "max-w-3xl" : "max-w-lg",
          )}
        >
          <header className="flex items-start gap-4 border-line border-b px-6 py-4">
            <div className="min-w-0 flex-1">
              <Radix.Title className="font-semibold text-lg">{title}</Radix.Title>
              {about && (
                <Radix.Description asChild>
                  <div className="mt-1 text-ink-2">{about}</div>
                </Radix.Description>
              )}
            </div>
            <IconButton icon="close" label="Close" onClick={onClose} />
          </header>
          <div className="min-h-0 flex-1 overflow-y-auto overscroll-contain px-6 py-4">
            {children}
          </div>
          {actions && (
            <footer className="flex flex-wrap items-center justify-end gap-2 border-line border-t bg-surface px-6 py-3">
              {actions}
            </footer>
          )}
        </Radix.Content>
      </Radix.Portal>
    </Radix.Root>
  );
}
