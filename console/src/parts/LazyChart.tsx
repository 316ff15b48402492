import { LineChartOutlined } from "@ant-design/icons";
import { Skeleton } from "antd";
import { lazy, Suspense } from "react";
import type { ChartProps } from "./Chart";

const Chart = lazy(() => import("./Chart"));

/** A chart that loads its library when first seen, and words in its place when there is nothing to draw. */
export function LazyChart({ empty, pending, ...chart }: ChartProps & { empty: string; pending?: boolean }) {
  const height = chart.height ?? 220;
  if (pending) return <Skeleton.Node active style={{ width: "100%", height }} />;
  if (chart.series.every((series) => series.points.length === 0)) {
    return (
      <div className="quiet row" style={{ height, justifyContent: "center" }}>
        <LineChartOutlined aria-hidden /> {empty}
      </div>
    );
  }
  return (
    <Suspense fallback={<Skeleton.Node active style={{ width: "100%", height }} />}>
      <Chart {...chart} />
    </Suspense>
  );
}
