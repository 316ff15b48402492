import { useId } from "react";

/** A small line without axes: the shape of the last day. */
export function Sparkline({ points, label }: { points: readonly (readonly number[])[]; label: string }) {
  const id = useId();
  const values = points.map((point) => point[1] ?? 0);
  if (values.length < 2) return <svg viewBox="0 0 100 40" aria-hidden />;
  const top = Math.max(...values) * 1.1 || 1;
  const path = values.map((value, index) => `${((index / (values.length - 1)) * 100).toFixed(2)},${(40 - (value / top) * 36).toFixed(2)}`).join(" L");
  return (
    <svg viewBox="0 0 100 40" preserveAspectRatio="none" role="img" aria-label={label}>
      <defs>
        <linearGradient id={id} x1="0" y1="0" x2="0" y2="1">
          <stop offset="0" stopColor="var(--ant-color-primary)" stopOpacity=".24" />
          <stop offset="1" stopColor="var(--ant-color-primary)" stopOpacity="0" />
        </linearGradient>
      </defs>
      <path d={`M0,40 L${path} L100,40 Z`} fill={`url(#${id})`} />
      <path d={`M${path}`} fill="none" stroke="var(--ant-color-primary)" strokeWidth="1.5" vectorEffect="non-scaling-stroke" />
    </svg>
  );
}
