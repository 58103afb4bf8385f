/**
 * The live stream: one WebSocket for all that is shown. It comes back by itself and goes on where it was; what was
 * missed for good is read anew. What changes here makes queries ask again at once: each a few times a second at most,
 * and never before its last answer is there, so that a slow link is neither flooded nor left without any answer.
 * What is worth something else with each price is read anew once a second while prices move.
 */
import type { Query, QueryClient } from "@tanstack/react-query";
import { useSyncExternalStore } from "react";

export type Link = "live" | "connecting" | "lost";
export interface Prices {
  now: number;
  equity: number;
  prices: Record<string, number>;
}

/** Beats come each second: after two that did not, the connection is lost, and three seconds have not passed. */
const SILENCE = 2_200;
/** Milliseconds between two times of asking: a change that comes sooner waits so long at most. */
const EVERY = 100;
/** Requests a second in the long run, well below what the server lets one address ask, and how many at first. */
const [PACE, CREDIT] = [20, 80];
const LONGEST = 10_000;
/** What is valued at the last prices, and how often in milliseconds it is read while they move. */
const VALUED = /^\/api\/v1\/runs(\/{run}\/(risk|positions|balances|strategies|contribution))?$/;
const VALUED_EVERY = 1_000;

export class Stream {
  private socket: WebSocket | null = null;
  private queries: QueryClient | null = null;
  private wanted: { run: string; runId: string } | null = null;
  private since: number | null = null;
  private heard = 0;
  private delay = 500;
  private due: ReturnType<typeof setTimeout> | null = null;
  private next = 0;
  private valuing: ReturnType<typeof setTimeout> | null = null;
  private valued = 0;
  private credit = { left: CREDIT, at: 0 };
  /** Queries that are asked again, and whether once more after that. */
  private renewed = new Map<string, boolean>();
  private listeners = new Set<() => void>();
  private watch: ReturnType<typeof setInterval> | null = null;
  link: Link = "connecting";
  prices: Prices | null = null;

  /** Follow a run of which `changes` were known when it was read; null follows none. */
  follow(queries: QueryClient, run: string | null, runId: string, changes: number): void {
    this.queries = queries;
    this.watch ??= setInterval(() => this.look(), 250);
    if (!this.socket && this.link === "connecting") this.open();
    const next = run === null ? null : { run, runId };
    if (next?.run === this.wanted?.run && next?.runId === this.wanted?.runId) return;
    if (this.wanted && this.socket?.readyState === WebSocket.OPEN) {
      this.send({ type: "unsubscribe", run: this.wanted.run });
    }
    if (this.wanted) this.refresh(); // what this page knows of the other run may be older than `changes`
    this.wanted = next;
    this.since = next && changes;
    this.prices = null;
    if (this.socket?.readyState === WebSocket.OPEN) this.subscribe();
  }

  subscribeTo = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  private open(): void {
    const address = `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/api/v1/stream`;
    const socket = new WebSocket(address);
    this.socket = socket;
    this.heard = Date.now();
    socket.onmessage = (event) => this.hear(JSON.parse(String(event.data)));
    socket.onopen = () => {
      this.delay = 500;
      this.subscribe();
    };
    socket.onclose = () => {
      this.socket = null;
      this.set("lost");
      void this.queries?.invalidateQueries({ queryKey: ["get", "/api/v1/session"] }); // the session may be over
      setTimeout(() => this.open(), this.delay);
      this.delay = Math.min(this.delay * 2, LONGEST);
    };
  }

  private look(): void {
    if (this.socket?.readyState === WebSocket.OPEN && Date.now() - this.heard > SILENCE) {
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

  private hear(message: { type: string; run?: string; number?: number; items?: { number: number }[] } & Partial<Prices>): void {
    this.heard = Date.now();
    this.set("live");
    if (message.run && message.run !== this.wanted?.run) return;
    if (message.type === "prices") {
      this.prices = { now: message.now ?? 0, equity: message.equity ?? 0, prices: message.prices ?? {} };
      this.tell();
      this.valuing ??= setTimeout(() => this.value(), Math.max(0, this.valued + VALUED_EVERY - Date.now()));
    } else if (message.type === "running") {
      this.refresh();
    } else if (message.type === "changes") {
      this.since = message.items?.at(-1)?.number ?? this.since;
      this.refresh();
    } else if (message.type === "reset" || message.type === "subscribed") {
      this.since = message.number ?? null;
      if (message.type === "reset") this.refresh();
    }
  }

  private refresh(): void {
    if (this.due) return;
    const wait = this.next - Date.now();
    if (wait > 0) this.due = setTimeout(() => this.ask(), wait);
    else this.ask();
  }

  private ask(): void {
    this.due = null;
    this.readAnew((query) => /\/(runs|alerts)/.test(JSON.stringify(query.queryKey)));
  }

  private value(): void {
    this.valuing = null;
    this.valued = Date.now();
    this.readAnew((query) => VALUED.test(String(query.queryKey[1])));
  }

  private readAnew(predicate: (query: Query) => boolean): void {
    void this.queries?.invalidateQueries({ predicate, refetchType: "none" });
    const active = this.queries?.getQueryCache().findAll({ type: "active", predicate }) ?? [];
    for (const query of active) void this.renew(query);
    const now = Date.now();
    const left = Math.min(CREDIT, this.credit.left + ((now - this.credit.at) / 1_000) * PACE) - active.length;
    this.credit = { left, at: now };
    this.next = now + Math.max(EVERY, (-left / PACE) * 1_000);
  }

  /** Ask again after what is under way, which may have been answered before the change. */
  private async renew(query: Query): Promise<void> {
    const isUnderWay = this.renewed.has(query.queryHash);
    this.renewed.set(query.queryHash, isUnderWay);
    if (isUnderWay) return;
    await query.promise?.catch(() => undefined);
    await this.queries?.refetchQueries({ queryKey: query.queryKey, exact: true, type: "active" }, { cancelRefetch: false });
    const isAskedAgain = this.renewed.get(query.queryHash);
    this.renewed.delete(query.queryHash);
    if (isAskedAgain) await this.renew(query);
  }

  private set(link: Link): void {
    if (link === this.link) return;
    const came = link === "live" && this.link === "lost";
    this.link = link;
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

export function usePrices(): Prices | null {
  return useSyncExternalStore(stream.subscribeTo, () => stream.prices);
}
