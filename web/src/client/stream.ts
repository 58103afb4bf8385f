/**
 * The live stream: one WebSocket for all that is shown. It comes back by itself and goes on where it was; what was
 * missed for good is read anew. Orders, fills and positions take their places as they come; other changes make the
 * queries that they are about ask again (`changes.ts`, `renewals.ts`). What moves with prices (`valued.ts`) and how long
 * work stands (`work.ts`) is told here whole, and not asked for.
 */
import type { Query, QueryClient } from "@tanstack/react-query";
import { useSyncExternalStore } from "react";
import type { Schemas } from "./api";
import { type Change, isAbout, isOfRuns, wayOf, withRows } from "./changes";
import { ME } from "./me";
import { Renewals } from "./renewals";

export type Link = "live" | "connecting" | "lost";
type Of<S extends keyof Schemas, K extends keyof Schemas[S]> = Pick<Schemas[S], K>;
/** What moves with prices: the run's own figures, and of the rows of each list what tells them apart and what is valued. */
export interface Worth {
  run: Of<"RunOut", "standing" | "start_equity" | "equity" | "profit" | "drawdown" | "profit_today" | "profit_week" | "profit_month" | "exposure" | "open_positions" | "open_orders">;
  usage: Of<"UsageOut", "name" | "used" | "is_spent">[];
  positions: Of<"PositionOut", "strategy" | "instrument" | "price" | "value" | "unrealised" | "share" | "stop" | "take_profit" | "liquidation_price">[];
  balances: Of<"BalanceOut", "venue" | "asset" | "value">[];
  strategies: Of<"RunStrategyOut", "name" | "profit" | "standing">[];
  contribution: Of<"ContributionOut", "strategy" | "instrument" | "open">[];
  round_trips: Of<"RoundTripOut", "strategy" | "instrument" | "pnl" | "pnl_share">[];
}
export interface Prices {
  run: string;
  now: number;
  prices: Record<string, number>;
  /** When each of them was made. */
  price_ts: Record<string, number>;
  worth: Worth;
}
export type WorkKind = Schemas["JobOut"]["kind"];
/** How a piece of long work stands, as its own route shows it. */
export interface Told {
  number: number;
  kind: WorkKind;
  data: Omit<Schemas["JobOut"], "kind">;
}
/** Which lines of which log are followed, after what was last told of it. */
export interface LogWish {
  /** A bot's name, or null for the server. */
  log: string | null;
  file: string;
  since: number;
  level?: string;
  contains?: string;
}
export interface LogTold {
  file: string;
  end: number;
  /** The oldest first. */
  items: Schemas["LogOut"][];
}
type Message = { type: string; run?: string; work?: string; number?: number; items?: (Change | Told)[]; log?: string | null; tag?: number } & Partial<Prices>;

/** Beats come each second: after two that did not, the connection is lost, and three seconds have not passed. */
const SILENCE = 2_200;
const LONGEST = 10_000;
const WORK = /^\/api\/v1\/(backtests|searches|verdicts|downloads|jobs)(\/({id}|counts))?$/;
/** Pieces of long work of which the last word is kept. */
const KEPT = 500;

export class Stream {
  private socket: WebSocket | null = null;
  private queries: QueryClient | null = null;
  private wanted: { run: string; runId: string } | null = null;
  private since: number | null = null;
  private heard = 0;
  private delay = 500;
  /** The count of long work that is followed, and how far it has been told. */
  private counted: { work: string; since: number } | null = null;
  /** The log that is followed, how far it has been told, and what is asked to read it anew (null). */
  private tailed: { wish: LogWish; tag: number; hear: (told: LogTold | null) => void } | null = null;
  private tags = 0;
  private renewals = new Renewals();
  private listeners = new Set<() => void>();
  private watch: ReturnType<typeof setInterval> | null = null;
  /** When the next attempt to connect is made. */
  private retry: ReturnType<typeof setTimeout> | null = null;
  link: Link = "connecting";
  prices: Prices | null = null;
  /** The last word on each piece of long work, by kind and id. */
  work: ReadonlyMap<string, Told> = new Map();

  /** Follow a run of which `changes` were known when it was read; null follows none. */
  follow(queries: QueryClient, run: string | null, runId: string, changes: number): void {
    this.queries = queries;
    this.watch ??= setInterval(() => this.look(), 250);
    if (!this.socket && !this.retry) this.open();
    const next = run === null ? null : { run, runId };
    if (next?.run === this.wanted?.run && next?.runId === this.wanted?.runId) return;
    if (this.wanted && this.socket?.readyState === WebSocket.OPEN) {
      this.send({ type: "unsubscribe", run: this.wanted.run });
    }
    if (this.wanted) this.readAnew(isOfRuns); // what this page knows of the other run may be older than `changes`
    this.wanted = next;
    this.since = next && changes;
    if (this.prices) {
      this.prices = null; // they are those of the other run
      this.tell();
    }
    if (this.socket?.readyState === WebSocket.OPEN) this.subscribe();
  }

  /** Follow nothing, and hold no connection, until `follow` is called: whoever has left is let in by none. */
  leave(): void {
    if (this.retry) clearTimeout(this.retry);
    if (this.watch) clearInterval(this.watch);
    if (this.socket) this.socket.onclose = null;
    this.socket?.close();
    [this.socket, this.retry, this.watch, this.wanted, this.since, this.counted, this.prices] = [null, null, null, null, null, null, null];
    this.work = new Map();
    this.delay = 500;
    this.link = "connecting";
  }

  /** Follow a log, in the place of any other, until what is returned is called; it is to be read anew when null is told. */
  tail(wish: LogWish, hear: (told: LogTold | null) => void): () => void {
    const tag = ++this.tags;
    this.tailed = { wish, tag, hear };
    this.followLog();
    return () => {
      if (this.tailed?.tag !== tag) return;
      this.tailed = null;
      if (this.socket?.readyState === WebSocket.OPEN) this.send({ type: "unsubscribe", log: wish.log });
    };
  }

  private followLog(): void {
    if (this.tailed && this.socket?.readyState === WebSocket.OPEN) this.send({ type: "subscribe", tag: this.tailed.tag, ...this.tailed.wish });
  }

  subscribeTo = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  private open(): void {
    this.retry = null;
    const address = `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/api/v1/stream`;
    const socket = new WebSocket(address);
    this.socket = socket;
    this.heard = Date.now();
    socket.onmessage = (event) => this.hear(JSON.parse(String(event.data)));
    socket.onopen = () => {
      this.delay = 500;
      this.subscribe();
      this.send({ type: "subscribe", work: this.counted?.work ?? null, since: this.counted?.since ?? null });
      this.followLog();
    };
    socket.onclose = () => {
      this.socket = null;
      this.set("lost");
      void this.queries?.invalidateQueries({ queryKey: ME }); // the session may be over
      this.retry = setTimeout(() => this.open(), this.delay);
      this.delay = Math.min(this.delay * 2, LONGEST);
    };
  }

  private look(): void {
    // An attempt that nobody answers ends too: a browser would wait for it far longer than the network is away.
    if (this.socket && this.socket.readyState <= WebSocket.OPEN && Date.now() - this.heard > SILENCE) {
      this.set("lost");
      this.socket.close();
    }
  }

  private subscribe(): void {
    if (this.wanted) {
      this.send({ type: "subscribe", run: this.wanted.run, run_id: this.wanted.runId, since: this.since });
    }
  }

  private send(message: object): void {
    this.socket?.send(JSON.stringify(message));
  }

  private hear(message: Message): void {
    this.heard = Date.now();
    this.set("live");
    if (message.log !== undefined) {
      this.hearOfLog(message);
      return;
    }
    if (message.run && message.run !== this.wanted?.run) return;
    if (message.work !== undefined || message.type === "work") this.hearOfWork(message);
    else if (message.type === "prices") {
      this.prices = message as Prices;
      this.tell();
    } else if (message.type === "running") {
      this.readAnew(isOfRuns);
    } else if (message.type === "changes") {
      this.since = message.items?.at(-1)?.number ?? this.since;
      this.take(message.run ?? "", (message.items ?? []) as Change[]);
    } else if (message.type === "reset" || message.type === "subscribed") {
      this.since = message.number ?? null;
      if (message.type === "reset") this.readAnew(isOfRuns);
    }
  }

  private hearOfLog({ type, tag, ...told }: Message): void {
    const found = this.tailed;
    if (!found || tag !== found.tag) return; // what was asked for before
    const { file, end, items } = told as unknown as LogTold;
    if (type === "log") found.wish = { ...found.wish, file, since: end };
    found.hear(type === "log" ? { file, end, items } : null);
  }

  private hearOfWork({ type, work, number = 0, items = [] }: Message): void {
    const id = work ?? this.counted?.work ?? "";
    this.counted = { work: id, since: number };
    if (type === "work") {
      const told = (items as Told[]).map((each) => [`${each.kind} ${each.data.id}`, each] as const);
      this.work = new Map([...this.work, ...told].slice(-KEPT));
      this.tell();
    } else if (type === "reset") {
      this.work = new Map();
      this.readAnew((query) => WORK.test(wayOf(query)));
    }
  }

  /** Put what is told whole in its place, and let all else that the changes are about be asked for again. */
  private take(run: string, changes: Change[]): void {
    const kinds = new Set(changes.map((each) => each.kind));
    const placed = new Set<Query>();
    for (const query of this.queries?.getQueryCache().findAll({ type: "active" }) ?? []) {
      const found = query.state.fetchStatus === "idle" && withRows(query, run, changes);
      if (!found) continue;
      this.queries?.setQueryData(query.queryKey, found);
      placed.add(query);
    }
    this.readAnew((query) => isAbout(query, kinds) && !placed.has(query));
  }

  private readAnew(predicate: (query: Query) => boolean): void {
    if (this.queries) this.renewals.ask(this.queries, predicate);
  }

  private set(link: Link): void {
    if (link === this.link) return;
    const came = link === "live" && this.link === "lost";
    this.link = link;
    if (link === "lost") [this.prices, this.work] = [null, new Map()]; // what is asked for meanwhile is newer
    if (came) void this.queries?.invalidateQueries();
    this.tell();
  }

  private tell(): void {
    for (const listener of this.listeners) listener();
  }
}

export const stream = new Stream();

export function useLink(): Link {
  return useSyncExternalStore(stream.subscribeTo, () => stream.link);
}

export function useToldWork(): ReadonlyMap<string, Told> {
  return useSyncExternalStore(stream.subscribeTo, () => stream.work);
}

export function usePrices(): Prices | null {
  return useSyncExternalStore(stream.subscribeTo, () => stream.prices);
}
