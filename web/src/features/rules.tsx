/** The steps of instruments, in whose digits their prices and quantities are written, so that they line up in tables. */
import { useQuery } from "@tanstack/react-query";
import { createContext, type ReactNode, useContext, useMemo } from "react";
import { client, type Schemas } from "../client/api";
import { digitsOf, exact, type Figure, mean, toStep } from "../ui/format";

type Rules = { tick: Figure; lot: Figure };
const Known = createContext<ReadonlyMap<string, Rules>>(new Map());

/** Those of a run, which stay what they were when it began; an instrument of none is written as its figures come. */
export function RulesOfRun({ run, children }: { run: Pick<Schemas["RunOut"], "name" | "run_id"> | undefined; children: ReactNode }) {
  const { data } = useQuery({
    queryKey: ["rules", run?.run_id],
    queryFn: async ({ signal }) => {
      const { data: found, error } = await client.GET("/api/v1/runs/{run}/instruments", { params: { path: { run: run?.name ?? "" } }, signal });
      if (!found) throw error;
      return new Map(found.map((each) => [each.id, each] as const));
    },
    enabled: run !== undefined,
    staleTime: Number.POSITIVE_INFINITY,
  });
  return <Known.Provider value={data ?? NONE}>{children}</Known.Provider>;
}
const NONE: ReadonlyMap<string, Rules> = new Map();

interface Traded {
  instrument: string;
  price: Figure;
  quantity: Figure;
}

/** Of fills that come without steps the finest that any of them has. */
export function RulesOfFills({ of, children }: { of: readonly Traded[]; children: ReactNode }) {
  return <Known.Provider value={useMemo(() => finest(of), [of])}>{children}</Known.Provider>;
}

export function finest(fills: readonly Traded[]): Map<string, Rules> {
  const found = new Map<string, Rules>();
  const finer = (step: Figure, figure: Figure) => (digitsOf(step) >= digitsOf(figure) ? step : Number(`1e-${digitsOf(figure)}`));
  for (const { instrument, price, quantity } of fills) {
    const known = found.get(instrument) ?? { tick: 1, lot: 1 };
    found.set(instrument, { tick: finer(known.tick, price), lot: finer(known.lot, quantity) });
  }
  return found;
}

interface Written {
  of: Figure;
  instrument: string;
}

export function Quantity({ of, instrument }: Written) {
  return toStep(of, useContext(Known).get(instrument)?.lot);
}

/** A price; one that may be a mean, which may have no end, has all its digits on hover. */
export function Price({ of, instrument, isMean = false }: Written & { isMean?: boolean }) {
  const tick = useContext(Known).get(instrument)?.tick;
  return isMean ? <span title={exact(of)}>{mean(of, tick)}</span> : toStep(of, tick);
}
