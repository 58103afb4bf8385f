/** Charts over two values, as SVG: points with a line through them or not, and fields of colour. */
import { useRoom } from "./room";

export interface Point {
  x: number;
  y: number;
  title: string;
  isMarked?: boolean;
}

/** Pixels: letters are as large on a phone as on a desk. At the left the numbers stand beside the points. */
const [HEIGHT, EDGE, LEFT] = [220, 34, 48];
const label = (value: number) => (Math.abs(value) >= 1000 ? value.toFixed(0) : String(Math.round(value * 1000) / 1000));

function span(values: number[]): [number, number] {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  return high > low ? [low, high] : [low - 0.5, high + 0.5];
}

export function Dots({ points, label: name, xName, yName, isLine = false }: { points: Point[]; label: string; xName: string; yName: string; isLine?: boolean }) {
  const { measured, room } = useRoom();
  if (points.length === 0) return null;
  const width = Math.max(Number.isFinite(room) ? room : 0, 2 * LEFT + EDGE);
  const [left, right] = span(points.map((each) => each.x));
  const [low, high] = span(points.map((each) => each.y));
  const at = (each: Point) => [LEFT + ((each.x - left) / (right - left)) * (width - LEFT - EDGE), HEIGHT - EDGE - ((each.y - low) / (high - low)) * (HEIGHT - 2 * EDGE)] as const;
  return (
    <figure className="figure" ref={measured}>
      <figcaption>{name}</figcaption>
      <svg className="dots" viewBox={`0 0 ${width} ${HEIGHT}`} role="img" aria-label={`${name}: ${yName} against ${xName}, ${points.length} points`}>
        {isLine && <polyline className="dots-line" points={points.map((each) => at(each).join(",")).join(" ")} />}
        {points.map((each) => {
          const [cx, cy] = at(each);
          return (
            <circle key={each.title} className={each.isMarked || isLine ? "dot dot-marked" : "dot"} cx={cx} cy={cy} r={4}>
              <title>{each.title}</title>
            </circle>
          );
        })}
        <text x={LEFT} y={HEIGHT - 8}>{label(left)}</text>
        <text x={width / 2} y={HEIGHT - 8} textAnchor="middle">{xName}</text>
        <text x={width - EDGE} y={HEIGHT - 8} textAnchor="end">{label(right)}</text>
        <text x={4} y={HEIGHT - EDGE}>{label(low)}</text>
        <text x={4} y={EDGE - 10}>{yName}: {label(high)}</text>
      </svg>
    </figure>
  );
}

type Place = number | string | boolean;
const MOST = 16;
const PARTS = 12;

/** Return the fields of an axis: each value where there are few, equal parts where there are many, of whole numbers whole ones. */
export function axis(values: Place[]): { names: string[]; of: (value: Place) => number } {
  const known = [...new Set(values)];
  if (known.length <= MOST || known.some((each) => typeof each !== "number")) {
    const sorted = known.sort((a, b) => (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b))));
    return { names: sorted.map((each) => (typeof each === "number" ? label(each) : String(each))), of: (value) => sorted.indexOf(value) };
  }
  const [low, high] = span(known as number[]);
  if (known.every((each) => Number.isInteger(each))) {
    const step = Math.ceil((high - low + 1) / PARTS);
    const starts = Array.from({ length: Math.ceil((high - low + 1) / step) }, (_, at) => low + at * step);
    return { names: starts.map((each) => `${each}–${Math.min(high, each + step - 1)}`), of: (value) => Math.floor(((value as number) - low) / step) };
  }
  const step = (high - low) / PARTS;
  return { names: Array.from({ length: PARTS }, (_, at) => label(low + at * step)), of: (value) => Math.min(PARTS - 1, Math.floor(((value as number) - low) / step)) };
}

export function HeatMap({ cells, xName, yName, isMore }: { cells: { x: Place; y: Place; value: number }[]; xName: string; yName: string; isMore: boolean }) {
  if (cells.length === 0) return null;
  const [across, up] = [axis(cells.map((each) => each.x)), axis(cells.map((each) => each.y))];
  const best = new Map<string, number>();
  for (const each of cells) {
    const key = `${across.of(each.x)} ${up.of(each.y)}`;
    const before = best.get(key);
    if (before === undefined || (isMore ? each.value > before : each.value < before)) best.set(key, each.value);
  }
  const [low, high] = span([...best.values()]);
  return (
    <div className="heat-frame">
      <table className="heat" aria-label={`The best score by ${xName} and ${yName}`}>
        <tbody>
          {[...up.names.keys()].reverse().map((row) => (
            <tr key={row}>
              <th scope="row">{up.names[row]}</th>
              {across.names.map((name, column) => {
                const value = best.get(`${column} ${row}`);
                const level = value === undefined ? "none" : Math.min(6, Math.floor(((isMore ? value - low : high - value) / (high - low)) * 7));
                return (
                  <td key={name} className={`heat-${level}`} title={value === undefined ? "not tried" : `${xName} ${name}, ${yName} ${up.names[row]}: ${label(value)}`}>
                    {value === undefined ? "" : label(value)}
                  </td>
                );
              })}
            </tr>
          ))}
          <tr>
            <th scope="row">{yName} / {xName}</th>
            {across.names.map((name) => <th scope="col" key={name}>{name}</th>)}
          </tr>
        </tbody>
      </table>
    </div>
  );
}

/** Days as small squares, a line for each year: how whole each is. */
export function Days({ start, wanted, rows }: { start: number; wanted: number; rows: number[] }) {
  const DAY = 86_400_000;
  const years = new Map<number, { day: number; ms: number; share: number; count: number }[]>();
  rows.forEach((count, at) => {
    const ms = start + at * DAY;
    const year = new Date(ms).getUTCFullYear();
    const day = Math.round((ms - Date.UTC(year, 0, 1)) / DAY);
    years.set(year, [...(years.get(year) ?? []), { day, ms, share: count / wanted, count }]);
  });
  const level = (part: number) => (part <= 0 ? "none" : part < 0.5 ? "bad" : part < 1 ? "some" : "whole");
  return (
    <div className="days">
      {[...years].map(([year, days]) => {
        const missing = days.filter((each) => each.share < 1).length;
        return (
          <figure key={year} className="figure">
            <figcaption>{year}: {missing === 0 ? "every day is whole" : `${missing} of ${days.length} days lack bars`}</figcaption>
            <svg viewBox="0 0 427 58" role="img" aria-label={`${year}, day by day`}>
              {days.map((each) => (
                <rect key={each.day} className={`day-${level(each.share)}`} x={Math.floor(each.day / 7) * 8} y={(each.day % 7) * 8} width={7} height={7}>
                  <title>{`${new Date(each.ms).toISOString().slice(0, 10)}: ${each.count} of ${wanted}`}</title>
                </rect>
              ))}
            </svg>
          </figure>
        );
      })}
    </div>
  );
}
