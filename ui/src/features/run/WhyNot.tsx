import { Link } from "@tanstack/react-router";
import { Fragment } from "react";
import type { Reason } from "../../api/types";
import { cx } from "../../ui/cx";
import { taskLink } from "./links";
import { reasonParts } from "./reason";

/** Why it is not running, in a sentence; whoever holds the slot is one click away. */
export function WhyNot({ reason, className }: { reason: Reason; className?: string }) {
  return (
    <span className={cx("text-ink-2 [overflow-wrap:anywhere]", className)}>
      {reasonParts(reason).map((part, index) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: the parts of one sentence
        <Fragment key={index}>
          {part.holder ? (
            <Link
              {...taskLink(part.holder.run, part.holder.task, part.holder.mapIndex)}
              className="relative z-10 font-medium text-ink underline decoration-line-strong underline-offset-2 hover:decoration-ink"
            >
              {part.text}
            </Link>
          ) : (
            part.text
          )}
        </Fragment>
      ))}
    </span>
  );
}
