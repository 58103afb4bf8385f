/** A table of any length: only the rows in sight are drawn. Numbers stand right; where columns lack room each row is a card. */
import { useVirtualizer } from "@tanstack/react-virtual";
import { type KeyboardEvent, memo, type ReactNode, useCallback, useEffect, useRef, useState } from "react";
import { Empty } from "./parts";
import { useRoom } from "./room";

export interface Column<T> {
  name: string;
  cell: (row: T) => ReactNode;
  isNumber?: boolean;
  width?: string;
}

/** Pixels of a row, which a finger has to hit, and of a line of a card, of which it hits a button or a field. */
const isTouched = globalThis.matchMedia?.("(pointer: coarse)").matches ?? false;
const [ROW, LINE] = isTouched ? [46, 44] : [34, 38];
/** Pixels that a table of few rows keeps, as one with `reserved={4}` does. */
export const ROOM = 5 * ROW + 10;
/** Pixels that a column has at least, and that lie between two, as in app.css. */
const LEAST = 76;
const GAP = 8;
/** Pixels beside the first column and the last one. */
const EDGES = 12;
/** Pixels of a bar to scroll by, where rows are more than stand in a table. */
const BAR = 15;
/** Rows below those in sight at which more are asked for. */
const AHEAD = 50;
/** A card is a grid of so many parts, with so many pixels around it, as in app.css. */
const PARTS = 6;
const AROUND = 13;

const pixels = <T,>(column: Column<T>) => Number(/(\d+)px/.exec(column.width ?? "")?.[1] ?? LEAST);
const spanOf = <T,>(column: Column<T>) => (pixels(column) > 240 ? PARTS : pixels(column) >= 120 ? 3 : 2);

function cardHeight<T>(columns: Column<T>[]): number {
  let [lines, used] = [1, 0];
  for (const each of columns) {
    const span = spanOf(each);
    if (used + span > PARTS) [lines, used] = [lines + 1, 0];
    used += span;
  }
  return lines * LINE + AROUND;
}

/** Return how many cards have room: those that there were first, as far as they fit whole, or as many as were asked for. */
export function cardsOf(first: number, asked: number, cardHeight: number, height: number): number {
  return asked || Math.min(first, Math.max(1, Math.floor((height - 2) / cardHeight)));
}

const templateOf = <T,>(columns: Column<T>[], isNarrow: boolean) =>
  isNarrow ? {} : { gridTemplateColumns: columns.map((each) => each.width ?? `minmax(${LEAST}px, 1fr)`).join(" ") };

interface RowOf<T> {
  row: T;
  index: number;
  /** Pixels from the top of the table's body, and how high it is. */
  start: number;
  height: number;
  columns: Column<T>[];
  isNarrow: boolean;
  onRow?: (row: T) => void;
}

/** One row; while others come into sight and go, it is not drawn again. */
const Row = memo(function Row<T>({ row, index, start, height, columns, isNarrow, onRow }: RowOf<T>) {
  const act = onRow
    ? {
        tabIndex: -1,
        onClick: () => onRow(row),
        onKeyDown: (event: React.KeyboardEvent) => event.key === "Enter" && event.target === event.currentTarget && onRow(row),
      }
    : {};
  return (
    <div
      role="row"
      aria-rowindex={index + 2}
      className={onRow ? "table-row table-row-open" : "table-row"}
      style={{ ...templateOf(columns, isNarrow), height, transform: `translateY(${start}px)` }}
      {...act}
    >
      {columns.map((each) => (
        <div key={each.name} role="cell" data-name={each.name} className={each.isNumber ? "number" : undefined} style={isNarrow ? { gridColumn: `span ${spanOf(each)}` } : undefined}>
          {each.cell(row)}
        </div>
      ))}
    </div>
  );
}) as <T>(of: RowOf<T>) => ReactNode;

/** Milliseconds after its release in which a press is still on its way: a tap becomes a click only then. */
const RELEASE = 100;

/** Return the rows to show and what goes to the place of a press: what was pressed stays beneath it until it is released. */
function useStill<T>(rows: readonly T[]) {
  const [still, keep] = useState<readonly T[] | null>(null);
  useEffect(() => {
    if (!still) return;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const release = () => {
      timer ??= setTimeout(() => keep(null), RELEASE);
    };
    const ends = ["pointerup", "pointercancel"];
    for (const each of ends) addEventListener(each, release);
    return () => {
      clearTimeout(timer);
      for (const each of ends) removeEventListener(each, release);
    };
  }, [still]);
  return { shown: still ?? rows, onPointerDown: () => keep(rows) };
}

export function DataTable<T>({
  rows: told,
  columns,
  keyOf,
  empty,
  onRow,
  height = 420,
  reserved = 0,
  onEnd,
  label,
}: {
  rows: readonly T[];
  columns: Column<T>[];
  keyOf: (row: T) => string;
  empty: ReactNode;
  label: string;
  onRow?: (row: T) => void;
  height?: number;
  /** Rows for which there is room even where there are fewer. It grows row by row; cards, which are high, would push all
   * else away under one's finger: their room is that of the first ones until one asks for all. */
  reserved?: number;
  onEnd?: () => void;
}) {
  const { place, measured, room } = useRoom();
  const { shown: rows, onPointerDown } = useStill(told);
  const bar = (rows.length + 1) * ROW > height ? BAR : 0;
  const isNarrow = columns.reduce((sum, each) => sum + pixels(each) + GAP, EDGES - GAP) > room - bar;
  const [rowHeight, head] = isNarrow ? [cardHeight(columns), 0] : [ROW, ROW];
  const virtual = useVirtualizer({
    count: rows.length,
    getScrollElement: () => place.current,
    getItemKey: useCallback((at: number) => keyOf(rows[at] as T), [keyOf, rows]),
    estimateSize: () => rowHeight,
    overscan: 12,
    // At the top one sees new rows come; further down, the rows in sight stay where they are.
    anchorTo: (place.current?.scrollTop ?? 0) > 0 ? "end" : "start",
  });
  useEffect(() => virtual.measure(), [virtual, rowHeight]);
  const items = virtual.getVirtualItems();
  const lowest = items.at(-1)?.index ?? -1;
  useEffect(() => {
    if (lowest >= rows.length - AHEAD) onEnd?.();
  });
  /** By Tab one goes through screens, past a list that may have no end; by arrows from row to row. */
  const onKeyDown = (event: KeyboardEvent<HTMLElement>) => {
    const [table, by] = [event.currentTarget, { ArrowDown: 1, ArrowUp: -1 }[event.key]];
    const from = event.target as HTMLElement;
    if (!onRow || !by || (from !== table && !from.matches(".table-row"))) return;
    event.preventDefault();
    const at = from === table ? Math.ceil(table.scrollTop / rowHeight) : Number(from.ariaRowIndex) - 2 + by;
    (table.querySelector<HTMLElement>(`[aria-rowindex="${at + 2}"]`) ?? (by < 0 ? table : from)).focus();
  };
  const most = useRef(0);
  most.current = Math.max(most.current, rows.length);
  const [first] = useState(rows.length);
  const [asked, ask] = useState(0);
  const least = reserved && reserved * ROW + head + 2;
  const cards = isNarrow && reserved ? cardsOf(first, asked, rowHeight, height) : null;
  const tall = cards === null ? Math.min(height, Math.max(least, rowHeight * (reserved ? most.current : rows.length) + head + 2)) : Math.max(ROOM, cards * rowHeight + 2);
  if (rows.length === 0)
    return (
      <div className="table-empty" ref={measured} style={{ minHeight: reserved ? tall : undefined }}>
        <Empty>{empty}</Empty>
      </div>
    );
  const template = templateOf(columns, isNarrow);
  const hasMore = cards !== null && rowHeight * rows.length + 2 > tall;
  return (
    <>
      <div className={isNarrow ? "table cards" : "table"} ref={measured} style={{ height: tall }} role="table" aria-label={label} aria-rowcount={rows.length + 1} tabIndex={0} onKeyDown={onKeyDown}>
        <div className="table-head" role="row" style={template}>
          {columns.map((each) => (
            <div key={each.name} role="columnheader" className={each.isNumber ? "number" : undefined}>
              {each.name}
            </div>
          ))}
        </div>
        <div className="table-body" role="rowgroup" style={{ height: virtual.getTotalSize() }} onPointerDown={onPointerDown}>
          {items.map((item) => {
            const row = rows[item.index];
            if (row === undefined) return null;
            return <Row key={keyOf(row)} row={row} index={item.index} start={item.start} height={rowHeight} columns={columns} isNarrow={isNarrow} onRow={onRow} />;
          })}
        </div>
      </div>
      {hasMore && (
        <button type="button" className="table-more" onClick={() => ask(rows.length)}>
          Show all {rows.length}
        </button>
      )}
    </>
  );
}
