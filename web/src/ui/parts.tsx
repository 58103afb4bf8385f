/** Small parts that every screen uses: figures, times, panels, empty and failed states. */
import { Alert, Loader } from "@mantine/core";
import { useIsFetching } from "@tanstack/react-query";
import { type FormEvent, isValidElement, type ReactNode, useContext, useEffect, useRef, useState } from "react";
import { told } from "../client/api";
import { type Figure, gain, local, tone, utc, words } from "./format";
import { IsShown, useReach } from "./reach";

export function Panel({ title, aside, children }: { title?: ReactNode; aside?: ReactNode; children: ReactNode }) {
  return (
    <section className="panel">
      {(title || aside) && (
        <header className="panel-head">
          {typeof title === "string" ? <h2>{title}</h2> : title}
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

/** A moment in UTC, local on hover; brief ones end with the minute. */
export function Time({ ms, isBrief = false }: { ms: number | null | undefined; isBrief?: boolean }) {
  return (
    <time dateTime={ms ? new Date(ms).toISOString() : undefined} title={isBrief && ms ? `${utc(ms)} UTC, ${local(ms)}` : local(ms)}>
      {isBrief && ms ? utc(ms).slice(0, 16) : utc(ms)}
    </time>
  );
}

/** A list as a file, whole or as its filters (`query`) leave it; `run` is null for what the server lists of itself. */
export function Export({ run, what, query }: { run: string | null; what: "fills" | "orders" | "round-trips" | "ledger" | "logs"; query: Record<string, string> }) {
  const asked = new URLSearchParams(query).toString();
  return (
    <a className="export" href={`/api/v1/${run === null ? "" : `runs/${encodeURIComponent(run)}/`}exports/${what}${asked && `?${asked}`}`} download>
      Save as CSV
    </a>
  );
}

export function Empty({ children }: { children: ReactNode }) {
  return <div className="empty">{children}</div>;
}

export function Failure({ error }: { error: unknown }) {
  if (!error) return null;
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

/**
 * A form: what is wrong with it stands at the field that is meant, and takes the eye and the cursor to the first. All of
 * it is said by the server, in one voice; the browser's own bubbles would say a part, and be gone with the next click.
 */
export function Form({
  error,
  onSend,
  label,
  control = "",
  className = "form",
  below,
  children,
}: {
  error: unknown;
  onSend: () => void;
  label?: string;
  /** By what name the palette finds it. */
  control?: string;
  className?: string;
  /** What may hold a form of its own: a browser keeps what is sent by a form within another one from us. */
  below?: ReactNode;
  children: ReactNode;
}) {
  const place = useReach<HTMLFormElement>(control);
  useEffect(() => {
    if (error) place.current?.querySelector<HTMLElement>("input[aria-invalid=true], textarea[aria-invalid=true], input[data-invalid=true]")?.focus();
  }, [error]);
  const send = (event: FormEvent) => {
    event.preventDefault();
    event.stopPropagation(); // a form in a dialog may be part of what another one shows
    onSend();
  };
  return (
    <>
      <form ref={place} className={className} aria-label={label} onSubmit={send} noValidate>
        {children}
      </form>
      {below && <div className="below">{below}</div>}
    </>
  );
}

/** Milliseconds after which a screen is shown although a part of it still waits. */
const PATIENCE = 4_000;

/**
 * Hold a screen back until all that it asks for has come: nothing moves under one's eyes when the rest arrives. What
 * comes later than that finds the room that was kept for it, and stays within it (`Loaded`).
 */
export function Settled({ children }: { children: ReactNode }) {
  const waiting = useIsFetching({ type: "active", predicate: (query) => query.state.status === "pending" });
  const [isShown, show] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => show(true), PATIENCE);
    return () => clearTimeout(timer);
  }, []);
  useEffect(() => {
    if (waiting > 0) return;
    const timer = setTimeout(() => show(true), 30); // what has come may ask for more
    return () => clearTimeout(timer);
  }, [waiting]);
  return (
    <>
      {!isShown && (
        <div className="settling">
          <Waiting />
        </div>
      )}
      <div className={isShown ? "screen" : "screen screen-hidden"}>
        <IsShown.Provider value={isShown}>{children}</IsShown.Provider>
      </div>
    </>
  );
}

/** What stands where something is waited for. */
export function Waiting() {
  return <Loader size="sm" role="status" aria-label="Loading" />;
}

/** A text of the program, in which `names` stand between backticks. */
export function Told({ text }: { text: string }) {
  return text.split("`").map((part, at) => (at % 2 ? <code key={`${at}${part}`}>{part}</code> : part));
}

/**
 * Show what a query brought, or why it did not; data that is there stays while it is asked for again. Where something
 * follows below it, `height` keeps room: what comes after the screen is shown takes that and no more, and scrolls.
 */
export function Loaded<T>({
  query,
  height,
  children,
}: {
  query: { data: T | undefined; error: unknown; isPending: boolean };
  /** Pixels that it will take, about. */
  height?: number;
  children: (data: T) => ReactNode;
}) {
  const isShown = useContext(IsShown);
  const isLate = useRef(false);
  if (query.data === undefined && isShown) isLate.current = true;
  if (query.data !== undefined && isLate.current && height)
    return <div className="late" style={{ height }}>{children(query.data)}</div>;
  if (query.data !== undefined) return <>{children(query.data)}</>;
  if (query.error) return <div style={{ minHeight: height }}><Failure error={query.error} /></div>;
  return (
    <div className="empty waiting" style={{ height }}>
      <Waiting />
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

/** A share of a limit as a bar with its number: colour says how near it is, unless it is no limit. */
export function Meter({ label, used, limit, text, isPlain = false }: { label: string; used: number; limit: number | null; text: string; isPlain?: boolean }) {
  const part = limit ? Math.min(1, Math.max(0, used / limit)) : 0;
  const level = isPlain ? "low" : part > 0.9 ? "high" : part > 0.7 ? "near" : "low";
  return (
    <div className="meter">
      <span>{label}</span>
      <meter className={level} min={0} max={1} value={part} aria-label={label} />
      <span className="number">{text}</span>
    </div>
  );
}

/** A name and what is known of it, in a `facts` list. */
export function Fact({ name, children }: { name: string; children: ReactNode }) {
  return (
    <>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </>
  );
}

/** A value as a person reads it: numbers without the noise of floats, objects as what they hold. */
export function written(value: unknown): string {
  if (typeof value === "number") return String(Number(value.toPrecision(12)));
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (value === null || typeof value !== "object") return String(value);
  if (Array.isArray(value)) return value.map(written).join(", ");
  const told = Object.entries(value).filter(([, each]) => each !== null && each !== "");
  return told.map(([name, each]) => `${name.replaceAll("_", " ")} ${written(each)}`).join(", ");
}

/** All that is known of something, by name; what is not known is left out. */
export function Facts({ of }: { of: Record<string, unknown> }) {
  const rows = Object.entries(of).filter(([, value]) => value !== undefined && value !== false && (isValidElement(value) || written(value ?? "") !== ""));
  return (
    <dl className="facts">
      {rows.map(([name, value]) => (
        <Fact key={name} name={words(name)}>
          {isValidElement(value) ? value : written(value)}
        </Fact>
      ))}
    </dl>
  );
}
