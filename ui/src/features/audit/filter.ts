/** The audit page's filters, as the URL holds them. Pure. */

export interface AuditFilter {
  actor?: string;
  action?: string;
  subject?: string;
  since?: string;
  until?: string;
}

const KEYS = ["actor", "action", "subject"] as const;

export function readAuditFilter(search: Record<string, unknown>): AuditFilter {
  const filter: AuditFilter = {};
  for (const key of KEYS) {
    const value = search[key];
    if (typeof value === "string" && value) filter[key] = value;
    else if (typeof value === "number") filter[key] = String(value);
  }
  for (const key of ["since", "until"] as const) {
    const value = search[key];
    if (typeof value === "string" && !Number.isNaN(Date.parse(value))) filter[key] = value;
  }
  return filter;
}
