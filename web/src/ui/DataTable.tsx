/** A table of any length: only the rows in sight are drawn. Numbers stand right, in figures of one width. */
import { useVirtualizer } from "@tanstack/react-virtual";
import { type ReactNode, useCallback, useEffect, useRef } from "react";
import { Empty } from "./parts";

export interface Column<T> {
  name: string;
  cell: (row: T) => ReactNode;
  isNumber?: boolean;
  width?: string;
}

const ROW = 34;
/** Pixels that a column has at least, and that lie between two, as in app.css. */
const LEAST = 76;
const GAP = 12;
/** Rows below those in sight at which more are asked for. */
const AHEAD = 50;

export function DataTable<T>({
  rows,
  columns,
  keyOf,
  empty,
  onRow,
  height = 420,
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
  onEnd?: () => void;
}) {
  const place = useRef<HTMLDivElement>(null);
  const virtual = useVirtualizer({
    count: rows.length,
    getScrollElement: () => place.current,
    getItemKey: useCallback((at: number) => keyOf(rows[at] as T), [keyOf, rows]),
    estimateSize: () => ROW,
    overscan: 12,
    // At the top one sees new rows come; further down, the rows in sight stay where they are.
    anchorTo: (place.current?.scrollTop ?? 0) > 0 ? "end" : "start",
  });
  const items = virtual.getVirtualItems();
  const lowest = items.at(-1)?.index ?? -1;
  useEffect(() => {
    if (lowest >= rows.length - AHEAD) onEnd?.();
  });
  if (rows.length === 0) return <Empty>{empty}</Empty>;
  const template = { gridTemplateColumns: columns.map((each) => each.width ?? `minmax(${LEAST}px, 1fr)`).join(" ") };
  const minWidth = columns.reduce((sum, each) => sum + Number(/(\d+)px/.exec(each.width ?? "")?.[1] ?? LEAST) + GAP, GAP);
  const tall = { height: Math.min(height, ROW * (rows.length + 1) + 2) };
  return (
    <div className="table" ref={place} style={tall} role="table" aria-label={label} aria-rowcount={rows.length + 1} tabIndex={0}>
      <div className="table-head" role="row" style={{ ...template, minWidth }}>
        {columns.map((each) => (
          <div key={each.name} role="columnheader" className={each.isNumber ? "number" : undefined}>
            {each.name}
          </div>
        ))}
      </div>
      <div className="table-body" role="rowgroup" style={{ height: virtual.getTotalSize(), minWidth }}>
        {items.map((item) => {
          const row = rows[item.index];
          if (row === undefined) return null;
          const act = onRow
            ? {
                tabIndex: 0,
                onClick: () => onRow(row),
                onKeyDown: (event: React.KeyboardEvent) => event.key === "Enter" && onRow(row),
              }
            : {};
          return (
            <div
              key={keyOf(row)}
              role="row"
              aria-rowindex={item.index + 2}
              className={onRow ? "table-row table-row-open" : "table-row"}
              style={{ ...template, transform: `translateY(${item.start}px)` }}
              {...act}
            >
              {columns.map((each) => (
                <div key={each.name} role="cell" className={each.isNumber ? "number" : undefined}>
                  {each.cell(row)}
                </div>
              ))}
            </div>
          );
        })}
      </div>
    </div>
  );
}
