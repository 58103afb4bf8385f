import { describe, expect, it } from "vitest";
import { baseOf, digitsOf, gain, inField, inUnit, local, mean, money, numeral, quoteOf, reading, share, sharedUnit, signedShare, stepped, sums, toStep, typed, utc } from "./format";

describe("the currency of an instrument", () => {
  it("is its quote, of spot pairs and perpetuals alike", () => {
    expect(["BTC/USDT@BINANCE", "ETH/BTC@KRAKEN", "BTC/USDC:USDC@HYPERLIQUID"].map(quoteOf)).toEqual(["USDT", "BTC", "USDC"]);
  });

  it("is shared only where all have it", () => {
    expect(sharedUnit(["BTC/USDT@BINANCE", "ETH/USDT@KRAKEN"], quoteOf)).toBe("USDT");
    expect(sharedUnit(["BTC/USDT@BINANCE", "ETH/BTC@BINANCE"], quoteOf)).toBe("");
    expect(sharedUnit(["BTC/USDT@BINANCE", "BTC/USDC:USDC@BYBIT"], baseOf)).toBe("BTC");
    expect(sharedUnit([], quoteOf)).toBe("");
  });

  it("stands behind a number that is known", () => {
    expect([inUnit("1234.50", "USDT"), inUnit(null, "USDT"), inUnit(0, "BTC")]).toEqual(["1,234.5 USDT", "–", "0 BTC"]);
  });

  it("keeps sums apart", () => {
    const rows = [
      { instrument: "BTC/USDT@BINANCE", pnl: "10.5" },
      { instrument: "ETH/BTC@BINANCE", pnl: "0.25" },
      { instrument: "SOL/USDT@BINANCE", pnl: "-3" },
    ];

    expect(sums(rows, (row) => row.pnl)).toEqual([["BTC", 0.25], ["USDT", 7.5]]);
    expect(sums([], () => 1)).toEqual([]);
  });
});

describe("an amount", () => {
  it("keeps the digits that say something where it is less than a cent", () => {
    expect(["0.00012", "-0.004", "0", "1e-12"].map(gain)).toEqual(["+0.00012", "-0.004", "0.00", "0.00"]);
    expect([money(1234.5), money("0.00000001"), money(null)]).toEqual(["1,234.50", "0.00000001", "–"]);
  });
});

describe("a moment", () => {
  it("is told in UTC wherever one is, and in local time for a hover", () => {
    const moment = Date.UTC(2026, 2, 29, 23, 30, 5);

    expect(utc(moment)).toBe("2026-03-29 23:30:05");
    expect(local(moment)).toContain("your time");
    expect([utc(null), utc(0), local(undefined)]).toEqual(["–", "–", ""]);
  });
});

describe("a share", () => {
  it("that is nothing in the digits that are shown has no sign", () => {
    expect(share(-0.0004)).toBe("0.0 %");
    expect(signedShare(-0.00001)).toBe("0.00 %");
    expect(share(-0.0006)).toBe("-0.1 %");
  });
});

describe("a field for a number", () => {
  it("that is empty is sent as nothing, which is told to be missing", () => {
    expect(JSON.stringify([typed(numeral("")), typed(numeral("7")), typed(0)])).toBe("[null,7,0]");
  });

  it("sends what is no number as it was typed, to be refused, and never as another number", () => {
    const odd = ["2,5", "10,000", "1e2", "1_0", "0x10", "1.2.3", "１２", "-", ".", "Infinity", "9".repeat(400)];

    expect(odd.map((each) => typed(numeral(each)))).toEqual(odd);
    expect(odd.map((each) => typed(numeral(each), 3_600))).toEqual(odd);
  });

  it("of money shows beside it what was read, grouped, and nothing where that is no number", () => {
    expect(["1000000", "1234567.891", "0.5", "1,5", "1,000", "1 000", "1.000.000", "1e6", ""].map((each) => reading(numeral(each), "USDT").trim())).toEqual(["1,000,000 USDT", "1,234,567.891 USDT", "0.5 USDT", "", "", "", "", "", ""]);
  });

  it("shows what was typed while it holds that, and what it was given from elsewhere", () => {
    expect([inField("2.50", 2.5), inField("007", 7), inField("1e2", "1e2"), inField("2.50", 3), inField("", ""), inField("", 100)]).toEqual(["2.50", "007", "1e2", "3", "", "100"]);
  });

  it("is moved by one of its last digit, and by nothing where it is no number", () => {
    expect(["100", "0.05", "2.50", "9", "-1", " 7 "].map((each) => stepped(each, 1))).toEqual(["101", "0.06", "2.51", "10", "0", "8"]);
    expect([stepped("100", -1), stepped("0.10", -1), stepped("0.1", -1), stepped("0.05", -1)]).toEqual(["99", "0.09", "0.0", "0.04"]);
    expect(["", "1e2", "10,000", "abc", "1234567890.123456789"].map((each) => stepped(each, 1))).toEqual([null, null, null, null, null]);
  });

  it("sends a number in the unit that is meant, with the digits that were typed", () => {
    expect([typed(numeral(" 2.5 ")), typed(numeral("0.7"), 0.01), typed(numeral("-.5")), typed(0.07, 100)]).toEqual([2.5, 0.007, -0.5, 7]);
  });
});

describe("a price or quantity in the steps of its instrument", () => {
  it("has all the digits of its step, so that a column lines up", () => {
    expect(["61000.1", "61000.25", 61000, "999.9"].map((each) => toStep(each, "0.01"))).toEqual(["61,000.10", "61,000.25", "61,000.00", "999.90"]);
    expect([toStep("7", "0.25"), toStep(1e-7, 1e-8), toStep("120", "10"), toStep("-0.5", "0.00100000")]).toEqual(["7.00", "0.00000010", "120", "-0.500"]);
  });

  it("keeps what is finer than its step, and is as it is where there is none", () => {
    expect([toStep("61000.123", "0.01"), toStep("61000.10", undefined), toStep(null, "0.01"), toStep("", "0.01")]).toEqual(["61,000.123", "61,000.1", "–", "–"]);
  });

  it("is cut where it is a mean, to its step or to what says something", () => {
    expect(["61000.129", "61000", "99.99", "100.5"].map((each) => mean(each, "0.01"))).toEqual(["61,000.12", "61,000.00", "99.99", "100.50"]);
    expect([mean("100.5", "1"), mean("0.0000123456", "0.00000001"), mean(null, "1"), mean("61000.123456789", null)]).toEqual(["100.50", "0.00001234", "–", "61,000.123"]);
  });

  it("has the digits of steps that are fractions, too", () => {
    expect(["0.01", "0.25", 0.5, "1", "0.010", 1e-8, null].map(digitsOf)).toEqual([2, 2, 1, 0, 2, 8, 0]);
  });
});
