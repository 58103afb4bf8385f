/** How fills, orders, positions and round trips stand in tables, wherever they do. */
import type { ReactNode } from "react";
import type { Run } from "../app/Shell";
import type { Schemas } from "../client/api";
import type { Column } from "../ui/DataTable";
import { exact, money, pair, quoteOf, share, sharedQuote, signedShare, whole, words } from "../ui/format";
import { Gain, State, Time } from "../ui/parts";

const TIME = "150px";

/** What a limit is about: all, the positions, an asset or a venue. */
export function usageLabel({ name }: Schemas["UsageOut"]): string {
  const [limit = "", of] = name.split(" ");
  const about = words(limit.replace(/^max_/, "").replace(/_exposure$/, ""));
  return of ? `${about} ${of}` : about;
}

/** How much of a limit is used: positions are counted, all else is a share of the equity. */
export function usageText({ name, used, limit }: Schemas["UsageOut"]): string {
  const written = name === "max_positions" ? whole : share;
  return limit === null ? written(used) : `${written(used)} of ${written(limit)}`;
}

export const fillColumns: Column<Schemas["FillOut"]>[] = [
  { name: "UTC", cell: (row) => <Time ms={row.ts} isBrief />, width: "118px" },
  { name: "Instrument", cell: (row) => pair(row.instrument), width: "minmax(74px, 1fr)" },
  { name: "Side", cell: (row) => <span className={row.side === "buy" ? "up" : "down"}>{row.side}</span>, width: "40px" },
  { name: "Quantity", cell: (row) => exact(row.quantity), isNumber: true, width: "minmax(56px, 1fr)" },
  { name: "Price", cell: (row) => exact(row.price), isNumber: true, width: "minmax(80px, 1fr)" },
  { name: "Purpose", cell: (row) => words(row.purpose), width: "minmax(86px, 1fr)" },
];

export const orderColumns: Column<Schemas["OrderOut"]>[] = [
  { name: "UTC", cell: (row) => <Time ms={row.ts} />, width: TIME },
  { name: "Strategy", cell: (row) => row.strategy },
  { name: "Instrument", cell: (row) => pair(row.instrument), width: "minmax(86px, 1fr)" },
  { name: "Side", cell: (row) => <span className={row.side === "buy" ? "up" : "down"}>{row.side}</span>, width: "46px" },
  { name: "Type", cell: (row) => words(row.type) },
  { name: "Quantity", cell: (row) => exact(row.quantity), isNumber: true },
  { name: "Filled", cell: (row) => exact(row.filled), isNumber: true },
  { name: "Price", cell: (row) => exact(row.price ?? row.trigger ?? row.average_price), isNumber: true },
  { name: "Purpose", cell: (row) => words(row.purpose) },
  { name: "State", cell: (row) => <State of={row.state} /> },
];

/** A column of amounts that each instrument counts in its own currency: named once where all share it, else in each row. */
function counted<T extends { instrument: string }>(run: Run, name: string, width: string, cell: (row: T) => ReactNode): Column<T> {
  const shared = sharedQuote(run.instruments);
  if (shared) return { name: `${name}, ${shared}`, cell, isNumber: true, width };
  return { name, cell: (row) => <>{cell(row)} <span className="quiet">{quoteOf(row.instrument)}</span></>, isNumber: true, width: "minmax(110px, 1fr)" };
}

export function positionColumns(run: Run): Column<Schemas["PositionOut"]>[] {
  return [
    { name: "Instrument", cell: (row) => pair(row.instrument), width: "minmax(86px, 1fr)" },
    { name: "Strategy", cell: (row) => row.strategy },
    { name: "Side", cell: (row) => row.direction, width: "56px" },
    { name: "Quantity", cell: (row) => exact(row.quantity), isNumber: true },
    { name: "Entry", cell: (row) => exact(row.average_price), isNumber: true },
    { name: "Last", cell: (row) => exact(row.price), isNumber: true },
    counted(run, "P&L", "minmax(84px, 1fr)", (row) => <Gain of={row.unrealised} />),
    { name: "Stop", cell: (row) => exact(row.stop), isNumber: true },
    { name: "Target", cell: (row) => exact(row.take_profit), isNumber: true },
    { name: "Share", cell: (row) => share(row.share), isNumber: true },
  ];
}

export const tripColumns = (run: Run): Column<Schemas["RoundTripOut"]>[] => [
  { name: "Entry, UTC", cell: (row) => <Time ms={row.ts_entry} isBrief />, width: "128px" },
  { name: "Exit, UTC", cell: (row) => <Time ms={row.ts_exit} isBrief />, width: "128px" },
  { name: "Strategy", cell: (row) => row.strategy },
  { name: "Instrument", cell: (row) => pair(row.instrument), width: "minmax(82px, 1fr)" },
  { name: "Side", cell: (row) => row.direction, width: "40px" },
  { name: "Quantity", cell: (row) => exact(row.quantity), isNumber: true },
  { name: "Entry", cell: (row) => exact(row.entry_price), isNumber: true },
  { name: "Exit", cell: (row) => exact(row.exit_price), isNumber: true },
  counted(run, "P&L", "minmax(84px, 1fr)", (row) => <Gain of={row.pnl} />),
  { name: "P&L, %", cell: (row) => <Gain of={row.pnl_share} text={signedShare(row.pnl_share)} />, isNumber: true, width: "minmax(70px, 1fr)" },
  counted(run, "Fees", "minmax(76px, 1fr)", (row) => money(row.fees)),
  { name: "Exit by", cell: (row) => words(row.exit_reason), width: "minmax(86px, 1fr)" },
];
