/** Small parts that every screen uses: figures, times, panels, empty and failed states. */
import { Alert, Loader } from "@mantine/core";
import type { ReactNode } from "react";
import { told } from "../client/api";
import { type Figure, gain, local, tone, utc } from "./format";

export function Panel({ title, aside, children }: { title?: ReactNode; aside?: ReactNode; children: ReactNode }) {
  return (
    <section className="panel">
      {(title || aside) && (
        <header className="panel-head">
          {title && <h2>{title}</h2>}
          {aside && <div className="panel-aside">{aside}</div>}
        </header>
      )}
      {children}
    </section>
  );
}

export function Stat({ label, children, note }: { label: string; children: ReactNode; note?: ReactNode }) {
  return (
    <div className="stat">
      <div className="stat-label">{label}</div>
      <div className="stat-value">{children}</div>
      {note && <div className="stat-note">{note}</div>}
    </div>
  );
}

export function Gain({ of, text }: { of: Figure; text?: string }) {
  return <span className={tone(of)}>{text ?? gain(of)}</span>;
}

export function Time({ ms }: { ms: number | null | undefined }) {
  return (
    <time dateTime={ms ? new Date(ms).toISOString() : undefined} title={local(ms)}>
      {utc(ms)}
    </time>
  );
}

/** A whole list as a file, whatever is shown of it. */
export function Export({ run, what }: { run: string; what: "fills" | "orders" | "round-trips" | "ledger" }) {
  return (
    <a className="export" href={`/api/v1/runs/${encodeURIComponent(run)}/exports/${what}`} download>
      Save as CSV
    </a>
  );
}

export function Empty({ children }: { children: ReactNode }) {
  return <div className="empty">{children}</div>;
}

export function Failure({ error }: { error: unknown }) {
  const { title, remedy, fields } = told(error);
  return (
    <Alert color="red" variant="light" title={title} role="alert">
      {remedy}
      {fields.length > 0 && (
        <ul>
          {fields.map((each) => (
            <li key={each.field + each.message}>
              <code>{each.field}</code>: {each.message}
            </li>
          ))}
        </ul>
      )}
    </Alert>
  );
}

/** Show what a query brought, or why it did not; data that is there stays while it is asked for again. */
export function Loaded<T>({
  query,
  children,
}: {
  query: { data: T | undefined; error: unknown; isPending: boolean };
  children: (data: T) => ReactNode;
}) {
  if (query.data !== undefined) return <>{children(query.data)}</>;
  if (query.error) return <Failure error={query.error} />;
  return (
    <div className="empty">
      <Loader size="sm" aria-label="Loading" />
    </div>
  );
}

const TONES: Record<string, string> = {
  ...Object.fromEntries(["active", "running", "certified", "done", "filled"].map((each) => [each, "good"])),
  ...Object.fromEntries(["open", "partial", "info"].map((each) => [each, "calm"])),
  ...Object.fromEntries(["reducing", "paused", "stale", "gap", "unknown", "warning"].map((each) => [each, "careful"])),
  ...Object.fromEntries(["halted", "stopped", "crossed", "failed", "rejected", "error"].map((each) => [each, "bad"])),
};

export function State({ of, label }: { of: string; label?: string }) {
  return <span className={`state state-${TONES[of] ?? "plain"}`}>{label ?? of}</span>;
}

/** A share of a limit as a bar with its number: colour says how near it is. */
export function Meter({ label, used, limit, text }: { label: string; used: number; limit: number | null; text: string }) {
  const part = limit ? Math.min(1, Math.max(0, used / limit)) : 0;
  const level = part > 0.9 ? "high" : part > 0.7 ? "near" : "low";
  return (
    <div className="meter">
      <span>{label}</span>
      <meter className={level} min={0} max={1} value={part} aria-label={label} />
      <span className="number">{text}</span>
    </div>
  );
}
