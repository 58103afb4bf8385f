/** How fills, orders, positions and round trips stand in tables, wherever they do. */
import type { ReactNode } from "react";
import type { Run } from "../app/Shell";
import type { Schemas } from "../client/api";
import type { Mark } from "../ui/charts";
import type { Column } from "../ui/DataTable";
import { baseOf, type Figure, inUnit, money, pair, quoteOf, share, sharedUnit, signedShare, whole, words } from "../ui/format";
import { Gain, State, Time } from "../ui/parts";
import { Price, Quantity } from "./rules";

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

/** A unit by instrument: `baseOf` of quantities, `quoteOf` of prices and money. */
type Unit = (instrument: string) => string;
type Shown = (figure: Figure, instrument: string) => ReactNode;
const asGain: Shown = (figure) => <Gain of={figure} />;
const asMean: Shown = (of, instrument) => <Price of={of} instrument={instrument} isMean />;
const asPrice: Shown = (of, instrument) => <Price of={of} instrument={instrument} />;
const asQuantity: Shown = (of, instrument) => <Quantity of={of} instrument={instrument} />;

/** A column of figures in their unit: named in the head where all instruments share it, else beside each, in equal room. */
export function measured<T extends { instrument: string }>(
  run: Pick<Run, "instruments">,
  name: string,
  unitOf: Unit,
  figureOf: (row: T) => Figure,
  { shown = unitOf === baseOf ? asQuantity : asPrice, width = "minmax(84px, 1fr)" } = {},
): Column<T> {
  const shared = sharedUnit(run.instruments, unitOf);
  const room = `${1.25 * Math.max(0, ...run.instruments.map((each) => unitOf(each).length))}ch`; // capitals are wider than digits
  const cell = (row: T) => {
    const [figure, unit] = [figureOf(row), unitOf(row.instrument)];
    if (unit === shared) return shown(figure, row.instrument);
    const isKnown = figure !== null && figure !== undefined && figure !== "";
    return <>{shown(figure, row.instrument)} <span className="unit" style={{ minWidth: room }}>{isKnown && unit}</span></>;
  };
  return shared ? { name: `${name}, ${shared}`, cell, isNumber: true, width } : { name, cell, isNumber: true, width: "minmax(100px, 1.2fr)" };
}

/** A side has its own colours, which those who see no red from green tell apart too, and its shape, as on charts. */
export const sideOf = (side: string) => <span className={side === "buy" ? "side-of bought" : "side-of sold"}>{side}</span>;
const SIDE = "52px";

type FillRow = Pick<Schemas["FillOut"], "ts" | "instrument" | "side" | "purpose"> & { quantity: Figure; price: Figure };

/** A fill as an arrow on a chart, with what is said of it. */
export const markOf = (of: FillRow & { ref: string }): Mark => ({
  id: of.ref,
  ts: of.ts,
  isBuy: of.side === "buy",
  text: `${of.side === "buy" ? "Bought" : "Sold"} ${inUnit(of.quantity, baseOf(of.instrument))} at ${inUnit(of.price, quoteOf(of.instrument))}, ${words(of.purpose).toLowerCase()}`,
});

export const fillColumns = (run: Pick<Run, "instruments">): Column<FillRow>[] => [
  { name: "UTC", cell: (row) => <Time ms={row.ts} isBrief />, width: "120px" },
  { name: "Instrument", cell: (row) => pair(row.instrument), width: "minmax(62px, 1fr)" },
  { name: "Side", cell: (row) => sideOf(row.side), width: SIDE },
  measured(run, "Quantity", baseOf, (row) => row.quantity),
  measured(run, "Price", quoteOf, (row) => row.price, { width: "minmax(76px, 1fr)" }),
  { name: "Purpose", cell: (row) => words(row.purpose), width: "minmax(68px, 1fr)" },
];

/** The tag of orders that people place. */
const BY_HAND = "manual";
/** What an order is for, and whether a person placed it. */
export const purposeOf = (row: Pick<Schemas["OrderOut"], "purpose" | "tag">) => (row.tag === BY_HAND ? `${words(row.purpose)}, by hand` : words(row.purpose));

export const orderColumns = (run: Run): Column<Schemas["OrderOut"]>[] => [
  { name: "UTC", cell: (row) => <Time ms={row.ts} />, width: TIME },
  { name: "Strategy", cell: (row) => row.strategy },
  { name: "Instrument", cell: (row) => pair(row.instrument), width: "minmax(82px, 1fr)" },
  { name: "Side", cell: (row) => sideOf(row.side), width: SIDE },
  { name: "Type", cell: (row) => words(row.type), width: "minmax(66px, 1fr)" },
  measured(run, "Quantity", baseOf, (row) => row.quantity),
  measured(run, "Filled", baseOf, (row) => row.filled, { width: "minmax(76px, 1fr)" }),
  measured(run, "Price", quoteOf, (row) => row.price ?? row.trigger ?? row.average_price, { shown: asMean, width: "minmax(76px, 1fr)" }),
  { name: "Purpose", cell: (row) => purposeOf(row) },
  { name: "State", cell: (row) => <State of={row.state} />, width: "minmax(82px, 1fr)" },
];

export const positionColumns = (run: Run): Column<Schemas["PositionOut"]>[] => [
  { name: "Instrument", cell: (row) => pair(row.instrument), width: "minmax(82px, 1fr)" },
  { name: "Strategy", cell: (row) => row.strategy },
  { name: "Side", cell: (row) => row.direction, width: "40px" },
  measured(run, "Quantity", baseOf, (row) => row.quantity),
  measured(run, "Entry", quoteOf, (row) => row.average_price, { shown: asMean }),
  measured(run, "Last", quoteOf, (row) => row.price),
  measured(run, "P&L", quoteOf, (row) => row.unrealised, { shown: asGain }),
  measured(run, "Stop", quoteOf, (row) => row.stop),
  measured(run, "Target", quoteOf, (row) => row.take_profit),
  { name: "Share", cell: (row) => share(row.share), isNumber: true, width: "minmax(62px, 1fr)" },
];

/** Whose a trip was is told where several strategies trade. */
export const tripColumns = (run: Run): Column<Schemas["RoundTripOut"]>[] => [
  { name: "Entry, UTC", cell: (row) => <Time ms={row.ts_entry} isBrief />, width: "120px" },
  { name: "Exit, UTC", cell: (row) => <Time ms={row.ts_exit} isBrief />, width: "120px" },
  ...(run.strategies.length > 1 ? [{ name: "Strategy", cell: (row: Schemas["RoundTripOut"]) => row.strategy }] : []),
  { name: "Instrument", cell: (row) => pair(row.instrument), width: "minmax(72px, 1fr)" },
  { name: "Side", cell: (row) => row.direction, width: "36px" },
  measured(run, "Quantity", baseOf, (row) => row.quantity),
  measured(run, "Entry", quoteOf, (row) => row.entry_price, { shown: asMean, width: "minmax(76px, 1fr)" }),
  measured(run, "Exit", quoteOf, (row) => row.exit_price, { shown: asMean, width: "minmax(76px, 1fr)" }),
  measured(run, "P&L", quoteOf, (row) => row.pnl, { shown: asGain, width: "minmax(76px, 1fr)" }),
  { name: "P&L, %", cell: (row) => <Gain of={row.pnl_share} text={signedShare(row.pnl_share)} />, isNumber: true, width: "minmax(60px, 1fr)" },
  measured(run, "Fees", quoteOf, (row) => row.fees, { shown: money, width: "minmax(72px, 1fr)" }),
  { name: "Exit by", cell: (row) => words(row.exit_reason), width: "minmax(72px, 1fr)" },
];
