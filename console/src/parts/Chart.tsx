import { BarChart, LineChart } from "echarts/charts";
import { AxisPointerComponent, GridComponent, LegendComponent, TooltipComponent } from "echarts/components";
import { connect, init, use as register, type EChartsCoreOption, type EChartsType } from "echarts/core";
import { CanvasRenderer } from "echarts/renderers";
import { useEffect, useRef } from "react";
import { useSettings } from "../app/settings";
import { chartColors } from "../app/theme";

register([BarChart, LineChart, GridComponent, TooltipComponent, LegendComponent, AxisPointerComponent, CanvasRenderer]);

export interface Series {
  name: string;
  points: readonly (readonly (number | string)[])[];
}

export interface Span {
  from: number;
  to: number;
  step: number;
}

interface Hover {
  marker: string;
  seriesName: string;
  value: [number, number];
}

export interface ChartProps {
  series: Series[];
  kind?: "line" | "bar";
  /** Words for a value, with its unit. */
  format: (value: number) => string;
  label: string;
  height?: number;
  /** Bars only: series stand on each other. */
  stacked?: boolean;
  /** Lines only: the time shown, in epoch seconds; a hole of more than two steps breaks the line. */
  span?: Span;
  /** Charts of one group share their crosshair. */
  group?: string;
}

/** One chart, one question. X is time in epoch seconds for lines, a category for bars. */
export default function Chart({ series, kind = "line", format, label, height = 220, stacked = false, span, group }: ChartProps) {
  const element = useRef<HTMLDivElement>(null);
  const chart = useRef<EChartsType>(null);
  const { theme, language } = useSettings();

  useEffect(() => {
    if (!element.current) return;
    const made = init(element.current);
    chart.current = made;
    if (group) {
      made.group = group;
      connect(group);
    }
    const observer = new ResizeObserver(() => made.resize());
    observer.observe(element.current);
    return () => {
      observer.disconnect();
      made.dispose();
    };
  }, [group]);

  useEffect(() => {
    if (!element.current) return;
    chart.current?.setOption(options(series, kind, stacked, span, format, getComputedStyle(element.current), chartColors(theme), language), { notMerge: true });
  }, [series, kind, stacked, span, format, theme, language, group]);

  return <div ref={element} role="img" aria-label={label} style={{ height, width: "100%" }} />;
}

function options(series: Series[], kind: "line" | "bar", stacked: boolean, span: Span | undefined, format: (value: number) => string, style: CSSStyleDeclaration, colors: string[], language: string): EChartsCoreOption {
  const quiet = style.getPropertyValue("--ant-color-text-tertiary");
  const line = style.getPropertyValue("--ant-color-border-secondary");
  const font = { color: quiet, fontSize: 11, fontFamily: style.fontFamily };
  const time = new Intl.DateTimeFormat(language, { hour: "2-digit", minute: "2-digit" });
  const day = new Intl.DateTimeFormat(language, { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" });
  return {
    animation: false,
    color: colors,
    grid: { left: 8, right: kind === "line" ? 26 : 12, top: series.length > 1 ? 34 : 12, bottom: 4, outerBoundsMode: "same", outerBoundsContain: "axisLabel" },
    legend: series.length > 1 ? { type: "scroll", top: 0, right: 8, icon: "roundRect", itemWidth: 10, itemHeight: 3, textStyle: font } : undefined,
    tooltip: {
      trigger: "axis",
      ...(kind === "line" ? { formatter: (rows: Hover[]) => hover(rows, day, format) } : {}),
      valueFormatter: (value: unknown) => format(Number(value)),
      axisPointer: { type: kind === "bar" ? "shadow" : "line", label: { show: false } },
      backgroundColor: style.getPropertyValue("--ant-color-bg-elevated"),
      borderColor: line,
      textStyle: { color: style.getPropertyValue("--ant-color-text"), fontSize: 12, fontFamily: style.fontFamily },
    },
    xAxis: {
      type: kind === "bar" ? "category" : "time",
      axisLine: { lineStyle: { color: line } },
      axisTick: { show: false },
      axisLabel: kind === "bar" ? { ...font, hideOverlap: true } : { ...font, hideOverlap: true, formatter: (value: number) => time.format(value) },
      splitLine: { show: false },
      ...(kind === "line" && span ? { min: span.from * 1000, max: span.to * 1000 } : {}),
    },
    yAxis: { type: "value", min: 0, splitNumber: 3, axisLabel: { ...font, formatter: format }, splitLine: { lineStyle: { color: line } } },
    series: series.map((item) => ({
      name: item.name,
      type: kind,
      // A point alone draws no line.
      showSymbol: kind === "line" && item.points.length < 60,
      symbolSize: 4,
      barMaxWidth: 28,
      stack: stacked ? "all" : undefined,
      itemStyle: kind === "bar" && !stacked ? { borderRadius: [3, 3, 0, 0] } : undefined,
      lineStyle: { width: 1.75 },
      areaStyle: kind === "line" && series.length === 1 ? { opacity: 0.1 } : undefined,
      data: kind === "bar" ? item.points : broken(item.points, span),
    })),
  };
}

/** Points in milliseconds, with nothing where nothing was measured. */
function broken(points: Series["points"], span: Span | undefined): [number, number | null][] {
  const line: [number, number | null][] = [];
  let last: number | undefined;
  for (const [x, y] of points) {
    const at = Number(x);
    if (span && last !== undefined && at - last > 2 * span.step) line.push([(last + span.step) * 1000, null]);
    line.push([at * 1000, Number(y)]);
    last = at;
  }
  return line;
}

function hover(rows: Hover[], time: Intl.DateTimeFormat, format: (value: number) => string): HTMLElement {
  const box = document.createElement("div");
  const head = box.appendChild(document.createElement("div"));
  head.textContent = time.format(rows[0]?.value[0]);
  for (const row of rows) {
    const line = box.appendChild(document.createElement("div"));
    // The marker is the library's own markup; names come from metrics and stay text.
    line.innerHTML = row.marker;
    line.append(`${row.seriesName}  ${format(row.value[1])}`);
  }
  return box;
}
