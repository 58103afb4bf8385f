/** Charts: lines over time (uPlot) and candles (lightweight-charts). They own their canvas and follow their frame. */
import { useComputedColorScheme } from "@mantine/core";
import {
  CandlestickSeries,
  createChart,
  createSeriesMarkers,
  HistogramSeries,
  type IChartApi,
  type ISeriesApi,
  LineSeries,
  LineType,
  type SeriesMarker,
  TickMarkType,
  type Time as ChartTime,
} from "lightweight-charts";
import { useEffect, useRef, useState } from "react";
import uPlot from "uplot";
import { digitsOf, grouped, many, pointed } from "./format";

interface Colours {
  text: string;
  grid: string;
  up: string;
  down: string;
  line: string;
  /** Of arrows, so that they are told from the candles at which they point. */
  bought: string;
  sold: string;
  volume: string;
}

function coloursOf(scheme: "light" | "dark"): Colours {
  return scheme === "dark"
    ? { text: "#adb5bd", grid: "#2c3036", up: "#20c997", down: "#ff6b6b", line: "#3bc9db", bought: "#4dabf7", sold: "#ffa94d", volume: "#3b424a" }
    : { text: "#495057", grid: "#e9ecef", up: "#087f5b", down: "#c92a2a", line: "#0b7285", bought: "#1864ab", sold: "#c2410c", volume: "#ced4da" };
}

export interface Curve {
  label: string;
  values: (number | null)[];
  colour?: string;
  format?: (value: number) => string;
}

/** Pixels from one figure beside a chart to the next. */
const ROOM = 30;
const [SECOND, MINUTE, HOUR, DAY, YEAR] = [1, 60, 3_600, 86_400, 31_536_000];
/** How moments stand below a chart: as everywhere here, year before month before day. */
const STAMPS = [
  [YEAR, "{YYYY}", null, null, null, null, null, null, 1],
  [DAY * 28, "{YYYY}-{MM}", null, null, null, null, null, null, 1],
  [DAY, "{MM}-{DD}", "\n{YYYY}", null, null, null, null, null, 1],
  [HOUR, "{HH}:{mm}", "\n{YYYY}-{MM}-{DD}", null, "\n{MM}-{DD}", null, null, null, 1],
  [MINUTE, "{HH}:{mm}", "\n{YYYY}-{MM}-{DD}", null, "\n{MM}-{DD}", null, null, null, 1],
  [SECOND, "{HH}:{mm}:{ss}", "\n{YYYY}-{MM}-{DD}", null, "\n{MM}-{DD}", null, null, null, 1],
];

interface Zoom {
  min: number;
  max: number;
}
/** Return the part of a time axis that somebody chose, null where all of it is shown: that grows with what comes. */
export function zoomOf(ts: ArrayLike<number>, shown: { min?: number; max?: number } | undefined): Zoom | null {
  const [first, last] = [ts[0], ts[ts.length - 1]];
  const { min, max } = shown ?? {};
  if (first === undefined || last === undefined || min === undefined || max === undefined) return null;
  return min > first || max < last ? { min, max } : null;
}

/** Steps that people count in, of each power of ten. */
const STEPS = [1, 1.5, 2, 2.5, 3, 4, 5, 6, 8];

/** Return the figures that stand beside a chart: at most so many, and three at least. */
export function ticksOf(low: number, high: number, most: number): number[] {
  if (!(high > low)) return [low];
  const power = Math.floor(Math.log10(high - low)) - 1;
  const rising = [0, 1, 2].flatMap((more) => STEPS.map((step) => step * 10 ** (power + more)));
  const span = (step: number) => [Math.ceil(low / step - 1e-9), Math.floor(high / step + 1e-9)] as const;
  const count = (step: number) => span(step)[1] - span(step)[0] + 1;
  const step = rising.find((each) => count(each) >= 3 && count(each) <= most) ?? rising.findLast((each) => count(each) >= 3) ?? high - low;
  const [first] = span(step);
  return Array.from({ length: count(step) }, (_, at) => (first + at) * step);
}

export function Lines({
  ts,
  curves,
  height = 220,
  least,
}: {
  ts: number[];
  curves: Curve[];
  height?: number;
  /** What the scale shows at least, from below to above. */
  least?: readonly [number, number];
}) {
  const place = useRef<HTMLDivElement>(null);
  const made = useRef<uPlot | null>(null);
  const zoom = useRef<Zoom | null>(null);
  const shown = useRef(curves);
  shown.current = curves;
  const looks = JSON.stringify(curves.map((each) => [each.label, each.colour]));
  const scheme = useComputedColorScheme("dark");
  useEffect(() => {
    const frame = place.current;
    if (!frame) return;
    const colours = coloursOf(scheme);
    const axis = { stroke: colours.text, grid: { stroke: colours.grid, width: 1 }, ticks: { stroke: colours.grid } };
    const palette = [colours.line, "#f59f00", "#9775fa", "#e64980", "#74b816"];
    const chart = new uPlot(
      {
        width: frame.clientWidth || 600,
        height,
        tzDate: (at) => uPlot.tzDate(new Date(at * 1e3), "Etc/UTC"),
        cursor: { drag: { x: true, y: false } },
        legend: { show: shown.current.length > 0, live: true },
        scales: {
          x: { time: true },
          ...(least && { y: { range: (_, low, high) => [Math.min(low, least[0]), Math.max(high, least[1])] } }),
        },
        hooks: { setScale: [(chart, key) => { if (key === "x" && chart.data[0].length > 0) zoom.current = zoomOf(chart.data[0], chart.scales.x); }] },
        axes: [
          { ...axis, values: STAMPS as unknown as uPlot.Axis.Values },
          { ...axis, size: 70, splits: (chart, _, low, high) => ticksOf(low, high, Math.max(3, Math.floor(chart.bbox.height / devicePixelRatio / ROOM))), values: (_, found) => found.map((each) => (shown.current[0]?.format?.(each) ?? String(each)).replace(/\.00$/, "")) },
        ],
        series: [
          { label: "Time", value: (_: uPlot, at: number | null) => (at === null || at === undefined ? "–" : pointed(at * 1_000)) },
          ...shown.current.map((each, at) => ({
            label: each.label,
            stroke: each.colour ?? palette[at % palette.length],
            width: 1.5,
            points: { show: false },
            value: (_: uPlot, found: number | null) =>
              found === null || found === undefined ? "–" : (shown.current[at]?.format?.(found) ?? found.toFixed(2)),
          })),
        ],
      },
      [[], ...shown.current.map(() => [])],
      frame,
    );
    made.current = chart;
    const watcher = new ResizeObserver(() => chart.setSize({ width: frame.clientWidth, height }));
    watcher.observe(frame);
    return () => {
      watcher.disconnect();
      made.current = null;
      chart.destroy();
    };
  }, [looks, height, least, scheme]);
  useEffect(() => {
    const chart = made.current;
    const kept = zoom.current;
    chart?.batch(() => {
      chart.setData([ts.map((each) => each / 1000), ...curves.map((each) => each.values)] as uPlot.AlignedData, kept === null);
      if (kept) chart.setScale("x", kept);
    });
  }, [ts, curves, looks, height, least, scheme]);
  return <div ref={place} className="chart" role="img" aria-label={`${curves.map((each) => each.label).join("; ")}, over time`} style={{ minHeight: height + 30 }} />;
}

export interface Candles {
  ts: number[];
  open: number[];
  high: number[];
  low: number[];
  close: number[];
  volume: number[];
}
export interface Mark {
  /** What `onMark` is told of the arrow that is pressed. */
  id: string;
  ts: number;
  isBuy: boolean;
  /** What is said of it where one points: on the candles it could not be read. */
  text: string;
}
export interface Level {
  price: number;
  title: string;
  isStop: boolean;
}
/** Where stops or targets stood over time: for each bar a price, or null where none stood. */
export interface Path {
  isStop: boolean;
  prices: (number | null)[];
}

export interface Overlay {
  ts: number[];
  lines: { label: string; values: (number | null)[] }[];
}

/** Below the candles stands what is needed to tell the moment: a year, a month, a day or a time. */
function stamp(time: ChartTime, kind: TickMarkType): string {
  const text = new Date((time as number) * 1_000).toISOString();
  if (kind === TickMarkType.Year) return text.slice(0, 4);
  if (kind === TickMarkType.Month) return text.slice(0, 7);
  return kind === TickMarkType.DayOfMonth ? text.slice(5, 10) : text.slice(11, kind === TickMarkType.Time ? 16 : 19);
}


const NO_PATHS: Path[] = [];
/** The part of a chart in which volume stands, below the candles. */
const VOLUME = 0.16;
/** Bars that are fewer stand over the whole width. */
const FEW = 120;

const OVERLAYS = ["#f59f00", "#9775fa", "#4dabf7", "#e64980", "#74b816", "#15aabf", "#fd7e14", "#868e96"];

/** A path as points: a line goes on to its next point, so that where nothing stood it is there and not seen. */
export function steps(ts: number[], prices: (number | null)[]): { time: ChartTime; value: number; color?: string }[] {
  const first = prices.findIndex((each) => each !== null);
  const last = prices.findLastIndex((each) => each !== null);
  return ts.slice(first, last + 1).map((moment, at) => {
    const price = prices[first + at] ?? null;
    const next = prices.slice(first + at).find((each) => each !== null) ?? 0; // the step to it is not seen either
    return { time: (moment / 1_000) as ChartTime, value: price ?? next, ...(price === null ? { color: "transparent" } : {}) };
  });
}

export function CandleChart({
  bars,
  forming = null,
  marks,
  levels,
  paths = NO_PATHS,
  overlay,
  tick,
  height = 460,
  onMark,
}: {
  bars: Candles;
  /** The candle after the last bar, as far as it is known. */
  forming?: { ts: number; open: number; high: number; low: number; close: number } | null;
  marks: Mark[];
  levels: Level[];
  paths?: Path[];
  overlay?: Overlay;
  /** The step of prices; without one they stand with two digits. */
  tick?: number;
  height?: number;
  onMark?: (id: string) => void;
}) {
  const press = useRef(onMark);
  press.current = onMark;
  const place = useRef<HTMLDivElement>(null);
  const made = useRef<{ chart: IChartApi; series: ISeriesApi<"Candlestick">; volume: ISeriesApi<"Histogram">; isFitted: boolean } | null>(null);
  const said = useRef(marks);
  said.current = marks;
  const [caption, say] = useState("");
  const scheme = useComputedColorScheme("dark");

  useEffect(() => {
    const frame = place.current;
    if (!frame) return;
    const colours = coloursOf(scheme);
    const chart = createChart(frame, {
      height,
      autoSize: true,
      layout: { background: { color: "transparent" }, textColor: colours.text, attributionLogo: false },
      grid: { vertLines: { color: colours.grid }, horzLines: { color: colours.grid } },
      timeScale: { timeVisible: true, secondsVisible: false, borderColor: colours.grid, tickMarkFormatter: stamp, rightOffset: 4 },
      localization: { timeFormatter: (time: ChartTime) => pointed((time as number) * 1_000) },
      rightPriceScale: { borderColor: colours.grid },
    });
    const volume = chart.addSeries(HistogramSeries, { color: colours.volume, priceScaleId: "volume", priceFormat: { type: "volume" }, priceLineVisible: false, lastValueVisible: false });
    chart.priceScale("volume").applyOptions({ scaleMargins: { top: 1 - VOLUME, bottom: 0 } });
    chart.priceScale("right").applyOptions({ scaleMargins: { top: 0.1, bottom: VOLUME + 0.04 } });
    const series = chart.addSeries(CandlestickSeries, {
      upColor: colours.up,
      downColor: colours.down,
      borderVisible: false,
      wickUpColor: colours.up,
      wickDownColor: colours.down,
    });
    if (tick) {
      const digits = digitsOf(tick);
      series.applyOptions({ priceFormat: { type: "custom", minMove: tick, formatter: (price: number) => grouped(price, digits) } });
    }
    chart.subscribeClick(({ hoveredInfo }) => {
      if (typeof hoveredInfo?.objectId === "string") press.current?.(hoveredInfo.objectId);
    });
    chart.subscribeCrosshairMove(({ hoveredInfo }) => {
      const mark = said.current.find((each) => each.id === hoveredInfo?.objectId);
      frame.style.cursor = press.current && mark ? "pointer" : "";
      say(mark?.text ?? "");
    });
    made.current = { chart, series, volume, isFitted: false };
    return () => {
      made.current = null;
      chart.remove();
    };
  }, [height, scheme, tick]);

  useEffect(() => {
    const { series, volume } = made.current ?? {};
    if (!series || !volume) return;
    const colours = coloursOf(scheme);
    const seconds = (ms: number) => (ms / 1000) as ChartTime;
    series.setData(
      bars.ts.map((ts, at) => ({
        time: seconds(ts),
        open: bars.open[at] ?? 0,
        high: bars.high[at] ?? 0,
        low: bars.low[at] ?? 0,
        close: bars.close[at] ?? 0,
      })),
    );
    volume.setData(bars.ts.map((ts, at) => ({ time: seconds(ts), value: bars.volume[at] ?? 0 })));
    const barOf = (ts: number) => bars.ts.findLast((open) => open <= ts);
    const pinned: SeriesMarker<ChartTime>[] = marks.flatMap((mark) => {
      const open = barOf(mark.ts);
      if (open === undefined) return [];
      return [
        {
          time: seconds(open),
          position: mark.isBuy ? ("belowBar" as const) : ("aboveBar" as const),
          shape: mark.isBuy ? ("arrowUp" as const) : ("arrowDown" as const),
          color: mark.isBuy ? colours.bought : colours.sold,
          id: mark.id,
        },
      ];
    });
    pinned.sort((one, other) => Number(one.time) - Number(other.time)); // others are not drawn
    if (bars.ts.length > 1 && bars.ts.length < FEW && made.current && !made.current.isFitted) {
      made.current.isFitted = true;
      made.current.chart.timeScale().fitContent();
    }
    const markers = createSeriesMarkers(series, pinned);
    const lines = levels.map((level) =>
      series.createPriceLine({
        price: level.price,
        title: level.title,
        color: level.isStop ? colours.down : colours.up,
        lineStyle: 2,
        lineWidth: 1,
      }),
    );
    return () => {
      if (made.current === null) return; // the chart is gone, and they with it
      markers.detach();
      for (const line of lines) series.removePriceLine(line);
    };
  }, [bars, marks, levels, scheme, tick]);

  useEffect(() => {
    const last = bars.ts.at(-1);
    if (!forming || last === undefined || forming.ts <= last) return;
    const { ts, open, high, low, close } = forming;
    made.current?.series.update({ time: (ts / 1_000) as ChartTime, open, high, low, close });
  }, [forming, bars, marks, levels, scheme, tick]); // whenever the bars are drawn, it is drawn after them

  useEffect(() => {
    const { chart } = made.current ?? {};
    if (!chart || paths.length === 0) return;
    const colours = coloursOf(scheme);
    const drawn = paths.map((path) => {
      const shown = chart.addSeries(LineSeries, {
        color: path.isStop ? colours.down : colours.up,
        lineType: LineType.WithSteps,
        lineStyle: 1,
        lineWidth: 1,
        priceLineVisible: false,
        lastValueVisible: false,
        crosshairMarkerVisible: false,
      });
      shown.setData(steps(bars.ts, path.prices));
      return shown;
    });
    return () => {
      if (made.current?.chart === chart) for (const each of drawn) chart.removeSeries(each);
    };
  }, [bars, paths, scheme, tick]);

  useEffect(() => {
    const { chart } = made.current ?? {};
    if (!chart || !overlay) return;
    const drawn = overlay.lines.map((line, at) => {
      const shown = chart.addSeries(LineSeries, {
        color: OVERLAYS[at % OVERLAYS.length],
        lineWidth: 1,
        priceLineVisible: false,
        lastValueVisible: false,
        crosshairMarkerVisible: false,
      });
      const points = overlay.ts.map((ts, row) => ({ time: (ts / 1000) as ChartTime, value: line.values[row] ?? undefined }));
      shown.setData(points.filter((each): each is { time: ChartTime; value: number } => each.value !== undefined));
      return shown;
    });
    return () => {
      if (made.current?.chart === chart) for (const each of drawn) chart.removeSeries(each);
    };
  }, [overlay, scheme, tick]);

  return (
    <>
      <div className="chart-frame">
        <div ref={place} className="chart" role="img" aria-label={`Candles of ${many(bars.ts.length, "bar")} with their volume and ${many(marks.length, "fill")}`} style={{ height }} />
        <div className="chart-caption" role="status">{caption}</div>
      </div>
      {overlay && (
        <div className="legend">
          {overlay.lines.map((line, at) => (
            <span key={line.label}>
              <i style={{ background: OVERLAYS[at % OVERLAYS.length] }} /> {line.label}
            </span>
          ))}
        </div>
      )}
    </>
  );
}
